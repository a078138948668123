"""Why a claim failed, and what would mend it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from dataclasses import replace

from pytest_initcheck import theory
from pytest_initcheck.growth_causes import why_norm, why_residual, why_spread, why_sums
from pytest_initcheck.invariants import Measure
from pytest_initcheck.layer_causes import FOREIGN, why_layer
from pytest_initcheck.remedies import (
    Remedy,
    Why,
    advice,
    drawn,
    filled,
    nothing_stands_out,
    standardised,
    standardised_columns,
    without,
)
from pytest_initcheck.runs import (
    LINEAR,
    activation_after,
    layer_before,
    path_layers,
    rectifiers,
    run_spread,
    runs,
)
from pytest_initcheck.score_causes import why_one_hot, why_phases
from pytest_initcheck.tensor_causes import owner_of, why_stopped, why_tensor
from pytest_initcheck.trace import InputColumns, Parameter, Site, Trace

_NARROW = 8


def why(invariant: str, measure: Measure, trace: Trace, site: Site | None) -> Why:
    """Return the cause and the remedies of a violation that starts at this site."""
    if invariant == "finite":
        return _why_not_finite(measure, trace, site)
    if invariant == "inputs":
        return _why_inputs(measure, trace)
    if invariant in ("trainable", "symmetry"):
        return why_tensor(invariant, measure, trace)
    if invariant == "reproducible":
        return why_spread(trace)
    if invariant == "variance" and measure.direction == "exploding":
        adds = site is not None and site.kind == "add"
        found = (why_residual(trace) if adds else None) or why_norm(trace)
        if found is not None:
            return found
    if invariant == "saturation" and site is not None and site.kind in ("softmax", "attention"):
        return why_one_hot(trace, site)
    if measure.direction == "vanishing" and (found := why_stopped(trace)) is not None:
        return found
    if invariant == "gradient" and (found := why_phases(trace)) is not None:
        return found
    if site is None or site.kind not in LINEAR:
        return why_sums(trace, measure) or nothing_stands_out()
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
    return found or why_sums(trace, measure) or _why_luck(trace, site)


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
    others = [p for p in trace.parameters if not p.non_finite and p.second_moment > FOREIGN**2]
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
    return nothing_stands_out()
