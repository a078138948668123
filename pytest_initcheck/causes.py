"""Why a claim failed, and what would mend it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from dataclasses import replace

from pytest_initcheck import theory
from pytest_initcheck.edits import Edit
from pytest_initcheck.invariants import Measure
from pytest_initcheck.layer_causes import why_layer
from pytest_initcheck.remedies import (
    Remedy,
    Why,
    advice,
    drawn,
    filled,
    scaled,
    standardised,
    standardised_columns,
    without,
)
from pytest_initcheck.runs import (
    LINEAR,
    activation_after,
    last_stretch,
    layer_before,
    path_layers,
    rectifiers,
    residual_additions,
    run_spread,
    runs,
)
from pytest_initcheck.tensor_causes import owner_of, why_stopped, why_tensor
from pytest_initcheck.trace import InputColumns, Parameter, Site, Trace

_NARROW = 8
_WOUND = 3.0
"""Phases beyond about pi wind around: neighbours are no longer told from others."""
_UNUSUAL_NORM = 4.0
"""A normalisation that puts out four times the second moment of a usual one is worth naming."""
_TOO_LARGE = 1.5
_UNUSUAL_SUM = 4.0
_SUMS = ("sum", "cumsum", "index_add", "scatter_add", "segment_reduce", "logsumexp")
_FOREIGN = 1e4
"""Root mean square of a tensor that no scheme draws."""


def why(invariant: str, measure: Measure, trace: Trace, site: Site | None) -> Why:
    """Return the cause and the remedies of a violation that starts at this site."""
    if invariant == "finite":
        return _why_not_finite(measure, trace, site)
    if invariant == "inputs":
        return _why_inputs(measure, trace)
    if invariant in ("trainable", "symmetry"):
        return why_tensor(invariant, measure, trace)
    if invariant == "reproducible":
        return _why_spread(trace)
    if invariant == "variance" and measure.direction == "exploding":
        adds = site is not None and site.kind == "add"
        found = (_why_residual(trace) if adds else None) or _why_norm(trace)
        if found is not None:
            return found
    if invariant == "saturation" and site is not None and site.kind in ("softmax", "attention"):
        return _why_one_hot(trace, site)
    if measure.direction == "vanishing" and (found := why_stopped(trace)) is not None:
        return found
    if invariant == "gradient" and (found := _why_phases(trace)) is not None:
        return found
    if site is None or site.kind not in LINEAR:
        return _why_sums(trace, measure) or _nothing_stands_out()
    if invariant == "dead-relu" and (found := _why_output(trace, site)) is not None:
        return found
    narrowest = min((unit.units for unit in rectifiers(trace)), default=_NARROW)
    if invariant == "dead-relu" and measure.fatal and narrowest < _NARROW:
        return _why_luck(trace, site)
    if site.reads and trace.sites[site.reads[0]].kind == "input" and _all_zero(trace):
        return Why(
            "zero inputs",
            "its input is zero everywhere",
            advice("pass inputs like those that the model will see"),
        )
    found = why_layer(trace, site, invariant, measure.direction)
    return found or _why_sums(trace, measure) or _why_luck(trace, site)


def _nothing_stands_out() -> Why:
    return Why(
        "no single layer",
        "no single layer stands out",
        advice("compare the table below with a matched init"),
    )


def _all_zero(trace: Trace) -> bool:
    return all(column.value.low == column.value.high == 0 for column in trace.inputs)


# -- what is not finite ----------------------------------------------------------------------------


def _why_not_finite(measure: Measure, trace: Trace, site: Site | None) -> Why:
    if measure.claim == "parameters":
        return _why_memory(trace)
    if measure.claim == "gradients":
        return Why(
            "undefined slope",
            "the values are finite, a slope is not: a root, a norm or a quotient at zero, say",
            advice("keep its argument away from zero, for example sqrt(x + 1e-12)"),
        )
    if site is None:
        return Why(
            "undefined operation",
            "an operation gives NaN or infinity",
            advice("look at the first non-finite row of the table"),
        )
    reads = [trace.sites[index] for index in site.reads]
    seen = "; ".join(
        f"{read.name} runs from {read.value.low:.3g} to {read.value.high:.3g}" for read in reads
    )
    return Why(
        "undefined operation",
        f"the parameters are finite, {site.op} gives NaN or infinity here{f': {seen}' if seen else ''}",
        advice("keep its argument where it is defined: clamp it, or add a small constant"),
    )


def _why_memory(trace: Trace) -> Why:
    """Name the first tensor with NaN or infinity, and draw it and others that no scheme draws."""
    bad = [p for p in trace.parameters if p.non_finite]
    first = bad[0]
    others = [p for p in trace.parameters if not p.non_finite and p.second_moment > _FOREIGN**2]
    known = {site.weight.name: site.weight for site in trace.sites if site.weight is not None}
    wrong = [replace(known.get(p.name, p), multiplicative=p.multiplicative) for p in [*bad, *others]]
    more = f", and {', '.join(p.name for p in wrong[1:])} with it" if len(wrong) > 1 else ""
    return Why(
        "uninitialised memory",
        f"{first.name} holds {first.non_finite} numbers that are NaN or infinite{more}: memory that was "
        "never initialised, or a draw that overflows (a tensor made with empty() holds whatever was in "
        "memory)",
        (_initialised(trace, wrong),),
        place=owner_of(trace, first),
    )


def _initialised(trace: Trace, wrong: list[Parameter]) -> Remedy:
    """Return the draw of what multiplies, and zeros for what is only added."""
    added = [p for p in wrong if not p.multiplicative]
    weights = [p for p in wrong if p.multiplicative]
    parts = [drawn(weights, _after(trace, weights[0]))] if weights else []
    if added:
        names = ", ".join(p.name for p in added)
        parts.append(filled(f"start {names} at 0", added, 0.0))
    return Remedy(
        "; ".join(part.advice for part in parts), tuple(edit for part in parts for edit in part.edits)
    )


def _after(trace: Trace, parameter: Parameter) -> str:
    index = trace.site_of(parameter.name)
    known = index >= 0 and trace.sites[index].kind in LINEAR
    return (activation_after(trace, trace.sites[index]) if known else None) or "identity"


# -- inputs ----------------------------------------------------------------------------------------


def _why_inputs(measure: Measure, trace: Trace) -> Why:
    name = measure.claim.rpartition("/")[0]
    column = next((each for each in trace.inputs if each.name == name), trace.inputs[0])
    value = column.value
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0))
    spread = f"mean {value.mean:.3g}, standard deviation {std:.3g}, {value.low:.3g} to {value.high:.3g}"
    if _columns_differ(column):
        return Why(
            "raw columns",
            f"column {column.largest_index} has root mean square {column.largest_column:.3g}, "
            f"column {column.smallest_index} {column.smallest_column:.3g}",
            (standardised_columns(column.name),),
        )
    if _like_pixels(column):
        return Why(
            "raw pixels", f"looks like raw pixels 0..255: {spread}", (standardised(column.name, value),)
        )
    kind = "input offset" if value.mean**2 > 4 * std**2 and std < 4 else "input scale"
    return Why(kind, f"raw, unscaled values: {spread}", (standardised(column.name, value),))


def _columns_differ(column: InputColumns) -> bool:
    """Tell whether one scale for all columns would leave some of them without a spread."""
    largest, smallest = column.largest_column, column.smallest_column
    return math.isfinite(smallest) and largest > 10 * smallest


def _like_pixels(column: InputColumns) -> bool:
    return column.value.low >= 0 and 200 <= column.value.high <= 256


# -- one-hot rows ----------------------------------------------------------------------------------


def _why_one_hot(trace: Trace, site: Site) -> Why:
    words = (
        "scale the scores by 1 / sqrt(d), and draw the weights of query and key with variance 1 / fan_in"
    )
    if site.kind == "attention" or not site.reads:
        sizes = [math.sqrt(read.value.second_moment) for read in _factors(trace, site)]
        seen = " and ".join(f"{size:.3g}" for size in sizes)
        size = max(sizes, default=1.0)
        cause = f"the scores are too large: query and key have root mean square {seen}"
    else:
        size = math.sqrt(max(trace.sites[site.reads[0]].value.batch_variance, 0.0))
        cause = f"the scores that the softmax reads have standard deviation {size:.3g} over inputs"
        size = math.sqrt(size)
    weights = _score_weights(trace, site)
    tried = []
    if any(weight.sigma_w2 > _TOO_LARGE for weight in weights):
        tried.append(drawn(weights, "identity"))
    if weights and 1 < size < math.inf:
        names = weights[0].name + (f" and {len(weights) - 1} more" if len(weights) > 1 else "")
        words = f"scale {names} by {1 / size:.3g} (or the scores by 1 / sqrt(d), if they are not yet)"
        tried.append(scaled(words, weights, 1 / size))
    return Why("scores too large", cause, (*tried, Remedy(words)))


def _factors(trace: Trace, site: Site) -> list[Site]:
    """Return what the scores of a softmax are a product of: query and key."""
    if site.kind == "softmax" and site.reads:
        site = trace.sites[site.reads[0]]
        while site.kind not in (*LINEAR, "matmul") and site.reads:
            site = trace.sites[site.reads[0]]
    return [trace.sites[index] for index in site.reads[:2]]


def _score_weights(trace: Trace, first: Site) -> list[Parameter]:
    """Return the weights that make query and key, of this softmax and of those that start alike."""
    least = (first.saturated or 0.0) / 2
    found: dict[str, Parameter] = {}
    for site in trace.sites:
        alike = site.kind == first.kind and (site.saturated or 0.0) >= least
        for factor in _factors(trace, site) if alike else ():
            weight = layer_before(trace, factor).weight
            if weight is not None:
                found.setdefault(weight.name, weight)
    return list(found.values())


# -- hashes ----------------------------------------------------------------------------------------


def _why_phases(trace: Trace) -> Why | None:
    """Name the first layer, behind another one, whose sine sees phases that wind around many times.

    Sitzmann et al. (2020) draw weights so that phases have standard deviation 1; only the first layer's
    are larger, on purpose.
    """
    sines = [site for site in trace.sites if site.activation == "sin" and site.reads]
    wound: list[tuple[Parameter, float]] = []
    for sine in sines[1:]:
        phases = trace.sites[sine.reads[0]]
        layer = layer_before(trace, phases)
        wide = math.sqrt(phases.value.second_moment) if phases.value.finite else 0.0
        if wide > _WOUND and layer.weight is not None and layer.weight.name not in dict(_named(wound)):
            wound.append((layer.weight, wide))
    if not wound:
        return None
    weight, wide = wound[0]
    stds = tuple(math.sqrt(each.second_moment) / width for each, width in wound)
    edit = Edit("draw", tuple(each.name for each, _ in wound), stds, "sin")
    more = f", and {len(wound) - 1} more alike," if len(wound) > 1 else ""
    layer_name = weight.name.rpartition(".")[0] or weight.name
    return Why(
        "init gain",
        f"the phases that the sine reads have standard deviation {wide:.3g}, where 1 is meant: "
        f"the weights of {layer_name} have std {math.sqrt(weight.second_moment):.3g}",
        (Remedy(f"draw {weight.name}{more} with std {stds[0]:.3g}", (edit,)),),
    )


def _named(pairs: list[tuple[Parameter, float]]) -> list[tuple[str, float]]:
    return [(parameter.name, number) for parameter, number in pairs]


# -- growth ----------------------------------------------------------------------------------------


def _why_residual(trace: Trace) -> Why | None:
    """Name residual additions where they, and not the weights, make the signal grow."""
    additions = [site for site, _ in residual_additions(trace) if len(site.reads) == 2]
    inside, _ = last_stretch(trace)
    if len(additions) < 2 or not inside:
        return None
    branches = [_stream_and_branch(trace, site) for site in additions]
    grown = math.fsum(
        math.log(site.value.second_moment / stream.value.second_moment)
        for site, (stream, _) in zip(additions, branches, strict=True)
        if stream.value.second_moment > 0
    )
    most = max(site.value.second_moment for site in inside if math.isfinite(site.value.second_moment))
    if most <= 1 or grown < 0.5 * math.log(most):
        return None
    each = math.exp(grown / len(additions))
    factor = len(additions) ** -0.5
    last = _branch_ends(trace, [branch for _, branch in branches])
    words = f"scale the last layer of every branch by 1 / sqrt({len(additions)}) = {factor:.2g}"
    tried = (
        scaled(words, last, factor),
        filled("start the last layer of every branch at zero", last, 0.0),
    )
    return Why(
        "residual growth",
        f"{len(additions)} residual additions without normalisation, each makes the signal "
        f"{each:.2g} times as large",
        (*(tried if last else advice(words)), Remedy("or normalise every branch")),
    )


def _stream_and_branch(trace: Trace, site: Site) -> tuple[Site, Site]:
    """Return the operands of an addition: the stream, from which the branch starts, and the branch.

    Where neither starts from the other, as behind a projection, the stream is the larger operand.
    """
    one, other = (trace.sites[index] for index in site.reads)
    if one.index in trace.leading_to({other.index}):
        return one, other
    if other.index in trace.leading_to({one.index}):
        return other, one
    smaller, larger = sorted((one, other), key=lambda operand: operand.value.second_moment)
    return larger, smaller


def _branch_ends(trace: Trace, branches: list[Site]) -> list[Parameter]:
    """Return the weight that each branch ends with."""
    found: dict[str, Parameter] = {}
    for branch in branches:
        weight = layer_before(trace, branch).weight
        if weight is not None:
            found.setdefault(weight.name, weight)
    return list(found.values())


def _why_norm(trace: Trace) -> Why | None:
    """Name the last normalisation where its own scale is what is large."""
    _, origins = last_stretch(trace)
    norms = [site for site in origins if site.kind == "norm"]
    largest = max(norms, key=lambda site: site.value.second_moment, default=None)
    if largest is None or not largest.value.second_moment > _UNUSUAL_NORM:
        return None
    scales = [p for p in trace.parameters if p.name.startswith(f"{largest.name}.") and p.multiplicative]
    words = f"start the scale of {largest.name} at 1"
    return Why(
        "scale of a norm",
        f"the normalisation {largest.name} puts out a root mean square of "
        f"{math.sqrt(largest.value.second_moment):.3g}, where 1 is usual: its scale is too large",
        (filled(words, scales, 1.0),) if scales else advice(words),
        place=largest.name,
    )


def _why_sums(trace: Trace, measure: Measure) -> Why | None:
    """Name the sums that make the signal grow where no weight layer does."""
    if measure.direction != "exploding":
        return None
    grown = []
    for site in trace.sites:
        before = max((trace.sites[index].value.second_moment for index in site.reads), default=0.0)
        sums = site.op in _SUMS and 0 < before < math.inf
        if sums and site.value.second_moment > _UNUSUAL_SUM * before:
            grown.append((site, math.sqrt(site.value.second_moment / before)))
    if not grown:
        return None
    first, factor = grown[0]
    more = f", and {len(grown) - 1} later ones alike" if len(grown) > 1 else ""
    return Why(
        "missing norm",
        f"{first.name} sums without dividing: its result is {factor:.3g} times as large as a term{more}",
        advice("take a mean instead of the sum, or normalise behind it"),
        place=first.name,
    )


def _why_spread(trace: Trace) -> Why:
    spread = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    widths = [layer.site.units for layer in path_layers(trace)]
    if not widths:
        return _nothing_stands_out()
    return Why(
        "width too small",
        f"{len(widths)} layers of width {min(widths)} and up: by luck a correct init of them differs by "
        f"a factor of {math.exp(math.sqrt(spread) / 2):.3g}",
        advice("widen the layers, add normalisation, or draw orthogonal weights"),
    )


# -- width, outputs --------------------------------------------------------------------------------


def _why_output(trace: Trace, site: Site) -> Why | None:
    """A rectifier on the output puts half of its units at zero, and a lone unit for good."""
    output = trace.sites[trace.output] if trace.output >= 0 else None
    if output is None or output.dead is None or layer_before(trace, output).index != site.index:
        return None
    share = theory.dead_layer_probability((output.units,))
    units = "the single output unit" if output.units == 1 else f"the {output.units} output units"
    return Why(
        "activation mismatch",
        f"the output passes through {output.activation}: {units} put out 0 at a given input in "
        f"{share:.2g} of inits, and no gradient comes back then",
        (without(output), Remedy("use softplus or exp if outputs must be positive")),
    )


def _why_luck(trace: Trace, site: Site) -> Why:
    """The weights are as they should be: widths are what is left, where they explain it."""
    widen = advice("widen the layers, add normalisation, or make the network shallower")
    narrowest = min((unit.units for unit in rectifiers(trace)), default=_NARROW)
    if narrowest < _NARROW:
        share = theory.dead_layer_probability((narrowest,))
        return Why(
            "width too small",
            f"a rectifier layer of {narrowest} units is dead at a given input in {share:.2g} of inits",
            widen,
        )
    widths = [layer.site.units for layer in path_layers(trace)]
    spread = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    if len(widths) > 1 and spread > 1:
        return Why(
            "width too small",
            f"{len(widths)} layers of width {min(widths)} and up: too narrow for this depth, "
            f"luck alone spreads the signal by a factor of {math.exp(math.sqrt(spread)):.2g}",
            widen,
        )
    after = activation_after(trace, site)
    chi = theory.chi_1(after, theory.gain(after) ** 2, q=1.0) if after else 1.0
    if chi < 0.5:
        return Why(
            "missing norm",
            f"{after} passes {chi:.2g} of the squared gradient per layer at the best",
            advice("use an activation that passes more, or normalisation"),
        )
    if after and len(widths) > 1 and theory.length_slope(after) > 1 + 1e-9:
        return Why(
            "missing norm",
            f"the length of {after} has no stable fixed point: {len(widths)} layers amplify what a "
            "matched init leaves of luck",
            advice("add normalisation, or make the network shallower"),
        )
    return _nothing_stands_out()
