"""Why a tensor receives no gradient, or its units stay equal, and what would mend it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import theory
from pytest_initcheck.invariants import Measure
from pytest_initcheck.layer_causes import Spell, Why, why_layer
from pytest_initcheck.runs import activation_after, readers
from pytest_initcheck.trace import Parameter, Site, Trace


def why_tensor(invariant: str, measure: Measure, trace: Trace, spell: Spell) -> Why:
    """Return the cause and the fix for a claim of `trainable` or `symmetry`."""
    name = measure.claim.rpartition("/")[2]
    parameter = next((p for p in trace.parameters if p.name == name), None)
    if parameter is None:
        return Why("the tensor is gone", "look at how the model builds it")
    if invariant == "symmetry":
        return _why_equal(measure, trace, parameter, spell)
    if measure.note == "cut off":
        return Why(
            "the forward pass uses it behind a detach(), no_grad(), .data or an argmax",
            f"remove that, freeze it with requires_grad_(False), or pass loss= if {name} is trained "
            "by a loss of its own",
        )
    others = _zero_factors(trace, parameter)
    if parameter.second_moment == 0 and others:
        return Why(
            f"both factors of a product start at zero: {name} and {others[0].name}",
            f"keep one of them at zero and draw the other: {_draw(parameter, trace, spell)}",
        )
    if others:
        return Why(
            f"{others[0].name} is all zero and stays so, and everything behind it passes through it",
            _draw(others[0], trace, spell),
        )
    dead = dead_above(trace, trace.site_of(name))
    if dead is not None:
        return Why(
            f"every unit of {dead.name} is inactive on every input, and its gradient passes there",
            "centre the inputs, start biases at 0, and draw the weights before it for a rectifier",
        )
    return Why(
        "its product with the other factors is zero wherever the output looks at it",
        "look at what multiplies it: a mask, a gate at zero, an index that is never used",
    )


def _zero_factors(trace: Trace, parameter: Parameter) -> list[Parameter]:
    """Return the other tensors that multiply, are all zero, and do not move either."""
    stuck = () if trace.training is None else trace.training.stuck
    return [
        p
        for p in trace.parameters
        if p.multiplicative and p.second_moment == 0 and p.name != parameter.name and p.name in stuck
    ]


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


def _why_equal(measure: Measure, trace: Trace, parameter: Parameter, spell: Spell) -> Why:
    if measure.claim.startswith("copies/"):
        return Why(
            "its blocks were drawn from one seed, as shards that each seed a generator alike do",
            "draw the whole matrix at once, or give every shard a seed of its own",
        )
    if measure.note is not None:
        return Why(
            f"it is a copy of {measure.note}, and both receive the same gradients: they count as one",
            "build every member anew instead of by deepcopy or from one seed",
        )
    index = trace.site_of(parameter.name)
    weight = trace.sites[index].weight if index >= 0 else None
    if parameter.constant and weight is not None and weight.name == parameter.name:
        found = why_layer(trace, trace.sites[index], None, spell, "symmetry", None)
        if found is not None:
            return found
    return Why(
        "its units start equal, and so do those that read them: they receive equal gradients",
        _draw(parameter, trace, spell),
    )


def _draw(parameter: Parameter, trace: Trace, spell: Spell) -> str:
    """Return the code that draws this tensor with the gain of the activation behind it."""
    index = trace.site_of(parameter.name)
    after = (activation_after(trace, trace.sites[index]) if index >= 0 else None) or "identity"
    fan_in = max(parameter.fan_in, 1)
    if not parameter.fan_in and index >= 0 and trace.sites[index].weight is not None:
        weight = trace.sites[index].weight
        fan_in = max(weight.fan_in, 1) if weight is not None else fan_in
    return spell([parameter], theory.matched_gains(after)[1] / math.sqrt(fan_in), after)
