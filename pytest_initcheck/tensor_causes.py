"""Why a tensor receives no gradient, or its units stay equal, and what would mend it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import replace

from pytest_initcheck.edits import merged
from pytest_initcheck.invariants import Measure
from pytest_initcheck.layer_causes import why_own, why_raw
from pytest_initcheck.remedies import Remedy, Why, advice, drawn, effective_fan_in, filled
from pytest_initcheck.runs import LINEAR, activation_after, layer_before, readers
from pytest_initcheck.trace import Parameter, Site, Trace, owner_and_leaf

_CUTS = {
    "torch": ("a detach(), no_grad(), .data or an argmax", "freeze it with requires_grad_(False)"),
    "jax": ("a stop_gradient, a rounding or an argmax", "keep it out of the parameters"),
    "keras": ("an ops.stop_gradient, a rounding or an argmax", "freeze its layer with trainable=False"),
    "numpy": ("a rounding, a comparison or an argmax", "keep it out of network(parameters=...)"),
}
"""By framework, what passes no gradient, and how a tensor is kept from being trained."""

_CUTS_ELSEWHERE = ("what passes no gradient, such as a rounding or an argmax", "freeze it")


def why_tensor(invariant: str, measure: Measure, trace: Trace) -> Why:
    """Return the cause and the remedies for a claim of `trainable` or `symmetry`."""
    name = measure.tensor
    parameter = next((p for p in trace.parameters if p.name == name), None)
    if parameter is None:
        return Why("unseen weight", "the tensor is gone", advice("look at how the model builds it"))
    if invariant == "symmetry":
        return _why_equal(measure, trace, parameter)
    if measure.note == "cut off":
        cuts, freeze = _CUTS.get(trace.framework, _CUTS_ELSEWHERE)
        return Why(
            "cut off",
            f"the forward pass uses it behind {cuts}",
            advice(f"remove that, {freeze}, or pass loss= if {name} is trained by a loss of its own"),
        )
    others = _zero_factors(trace, parameter)
    if parameter.second_moment == 0 and others:
        return _why_both_zero(trace, parameter, others)
    if others:
        return Why(
            "constant weights",
            f"{others[0].name} is all zero and stays so, and everything behind it passes through it",
            (_draw([others[0]], trace),),
            place=owner_of(trace, others[0]),
        )
    dead = dead_above(trace, trace.site_of(name))
    if dead is not None:
        return _why_dead(trace, dead)
    stopped = why_stopped(trace)
    if stopped is not None:
        return stopped
    return Why(
        "closed gate",
        "its product with the other factors is zero wherever the output looks at it",
        advice("look at what multiplies it: a mask, a gate at zero, an index that is never used"),
    )


def _why_both_zero(trace: Trace, parameter: Parameter, others: list[Parameter]) -> Why:
    """Draw the first factor of every pair: what reads the input, so that the other can stay zero."""
    stuck = () if trace.training is None else trace.training.stuck
    zero = [p for p in trace.parameters if p.multiplicative and p.second_moment == 0 and p.name in stuck]
    firsts = _firsts(trace, zero) or [parameter]
    pairs = len(firsts)
    more = f"; {pairs - 1} more {'pair' if pairs == 2 else 'pairs'} like it" if pairs > 1 else ""
    names = f"{firsts[0].name}{f' and {pairs - 1} more' if pairs > 1 else ''}"
    remedy = _draw(firsts, trace)
    return Why(
        "both factors zero",
        f"both factors of a product start at zero: {parameter.name} and {others[0].name}{more}",
        (Remedy(f"keep one of them at zero and draw the other: {names}", remedy.edits),),
        place=parameter.name,
    )


def _firsts(trace: Trace, zero: list[Parameter]) -> list[Parameter]:
    """Return the zero tensors that no other zero tensor comes before, of each branch the first.

    A branch starts where its input is not all zero.
    """
    found = []
    for parameter in zero:
        index = trace.site_of(parameter.name)
        site = trace.sites[index] if index >= 0 else None
        reads = [] if site is None else [trace.sites[read].value for read in site.reads]
        if not reads or any(value.second_moment > 0 for value in reads):
            found.append(parameter)
    return found


def _zero_factors(trace: Trace, parameter: Parameter) -> list[Parameter]:
    """Return the other tensors that multiply, are all zero, and do not move either.

    Those that this tensor's signal passes through come first.
    """
    stuck = () if trace.training is None else trace.training.stuck
    found = [
        p
        for p in trace.parameters
        if p.multiplicative and p.second_moment == 0 and p.name != parameter.name and p.name in stuck
    ]
    own = trace.site_of(parameter.name)

    def apart(other: Parameter) -> tuple[bool, int]:
        index = trace.site_of(other.name)
        return own not in trace.leading_to({index}), abs(index - own)

    return sorted(found, key=apart)


def dead_above(trace: Trace, index: int) -> Site | None:
    """Return a wholly dead rectifier layer that reads what this site feeds."""
    read = readers(trace)
    waiting, seen = [index] if index >= 0 else [], set()
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        if trace.sites[current].dead == 1:
            return trace.sites[current]
        waiting.extend(read[current])
    return None


def _why_dead(trace: Trace, dead: Site) -> Why:
    """Look for the layer that makes a rectifier die: itself, or one that it depends on."""
    for site in layers_before(trace, dead):
        found = why_own(trace, site) or why_raw(trace, site)
        if found is not None:
            return replace(found, place=site.name)
    layer = layer_before(trace, dead)
    return Why(
        "dead layer",
        f"every unit of {dead.name} is inactive on every input, and its gradient passes there",
        advice("centre the inputs, start biases at 0, and draw the weights before it for a rectifier"),
        place=layer.name,
    )


def why_stopped(trace: Trace) -> Why | None:
    """Name the first normalisation that puts out the same for every input, its scale at zero."""
    for site in trace.sites:
        reads = [trace.sites[index].value for index in site.reads]
        varies = any(value.batch_variance > 0 for value in reads)
        if site.kind != "norm" or site.value.batch_variance != 0 or not varies:
            continue
        scales = [p for p in trace.parameters if p.multiplicative and p.second_moment == 0]
        if any(owner_and_leaf(scale.name)[0] in _owners(site) for scale in scales):
            alike = [p for p in scales if owner_and_leaf(p.name)[0] in _norm_owners(trace)]
            return Why(
                "scale of a norm",
                f"the scale of {site.name} is zero: it puts out the same for every input",
                (filled(f"start the scale of {site.name}, and others alike, at 1", alike, 1.0),),
                place=site.name,
            )
    return None


def _owners(site: Site) -> tuple[str, str]:
    """Return the modules that may own a site's parameters: it bears their name, or theirs and the op."""
    return site.name, site.name.rpartition(".")[0]


def _norm_owners(trace: Trace) -> set[str]:
    return {name for site in trace.sites if site.kind == "norm" for name in _owners(site)}


def layers_before(trace: Trace, site: Site) -> list[Site]:
    """Return the weight layers that a site depends on, in the order of execution."""
    return [
        trace.sites[i] for i in sorted(trace.leading_to({site.index})) if trace.sites[i].kind in LINEAR
    ]


def owner_of(trace: Trace, parameter: Parameter) -> str:
    """Return the name of the site that a parameter belongs to, its own name if there is none."""
    index = trace.site_of(parameter.name)
    return trace.sites[index].name if index >= 0 else parameter.name


def _why_equal(measure: Measure, trace: Trace, parameter: Parameter) -> Why:
    if measure.claim.startswith("copies/"):
        words = "draw the whole matrix at once, or give every shard a seed of its own"
        return Why(
            "duplicated weights",
            "its blocks were drawn from one seed, as shards that each seed a generator alike do",
            (_redrawn(words, [p for p in trace.parameters if p.copies > 1], trace),),
        )
    if measure.note is not None:
        words = "build every member anew instead of by deepcopy or from one seed"
        return Why(
            "duplicated weights",
            f"it is a copy of {measure.note}, and both receive the same gradients: they count as one",
            (_redrawn(words, _twins(trace, parameter), trace),),
        )
    index = trace.site_of(parameter.name)
    weight = trace.sites[index].weight if index >= 0 else None
    if parameter.constant and weight is not None and weight.name == parameter.name:
        found = why_own(trace, trace.sites[index])
        if found is not None:
            return found
    return Why(
        "constant weights",
        "its units start equal, and so do those that read them: they receive equal gradients",
        (_draw([parameter], trace),),
    )


def _twins(trace: Trace, parameter: Parameter) -> list[Parameter]:
    """Return every tensor that is a copy of another, this one first."""
    copies = set() if trace.training is None else {other for _, other in trace.training.twins}
    others = [p for p in trace.parameters if p.name in copies and p.name != parameter.name]
    return [parameter, *others]


def _redrawn(words: str, parameters: list[Parameter], trace: Trace) -> Remedy:
    """Return the draw of each of these tensors for the activation behind it."""
    return Remedy(words, merged(edit for p in parameters for edit in _draw([p], trace).edits))


def _draw(parameters: list[Parameter], trace: Trace) -> Remedy:
    """Return the draw of these tensors with the gain of the activation behind the first of them."""
    index = trace.site_of(parameters[0].name)
    after = (activation_after(trace, trace.sites[index]) if index >= 0 else None) or "identity"
    return drawn([_with_fans(parameter, trace) for parameter in parameters], after)


def _with_fans(parameter: Parameter, trace: Trace) -> Parameter:
    """Return the parameter with the fans that its layer shows."""
    index = trace.site_of(parameter.name)
    weight = trace.sites[index].weight if index >= 0 else None
    if weight is not None and weight.name == parameter.name:
        return weight
    if weight is not None and not parameter.fan_in:
        return replace(parameter, fan_in=effective_fan_in(weight))
    return parameter
