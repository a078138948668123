"""Why a claim failed, and what would mend it, in words. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck import theory
from pytest_initcheck.invariants import Measure
from pytest_initcheck.layer_causes import Spell, Why, centring, why_layer
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
from pytest_initcheck.tensor_causes import why_tensor
from pytest_initcheck.trace import InputColumns, Site, Trace

_NARROW = 8
_WOUND = 3.0
"""Phases beyond about pi wind around: neighbours are no longer told from others."""
_UNUSUAL_NORM = 4.0
"""A normalisation that puts out four times the second moment of a usual one is worth naming."""


def why(invariant: str, measure: Measure, trace: Trace, site: Site | None, spell: Spell) -> Why:
    """Return the cause and the fix of a violation that starts at this site."""
    if invariant == "finite":
        return _why_not_finite(measure, trace, site)
    if invariant == "inputs":
        return _why_inputs(measure, trace)
    if invariant in ("trainable", "symmetry"):
        return why_tensor(invariant, measure, trace, spell)
    if invariant == "reproducible":
        return _why_spread(trace)
    if invariant == "variance" and measure.direction == "exploding":
        found = _why_residual(trace) or _why_norm(trace)
        if found is not None:
            return found
    if invariant == "saturation" and site is not None and site.kind in ("softmax", "attention"):
        return _why_one_hot(trace, site)
    if invariant == "gradient" and (found := _why_phases(trace, spell)) is not None:
        return found
    if site is None or site.kind not in LINEAR:
        return _nothing_stands_out()
    narrowest = min((unit.units for unit in rectifiers(trace)), default=_NARROW)
    if invariant == "dead-relu" and measure.fatal and narrowest < _NARROW:
        return _why_luck(trace, site)
    if site.reads and trace.sites[site.reads[0]].kind == "input" and _all_zero(trace):
        return Why("its input is zero everywhere", "pass inputs like those that the model will see")
    layer = next((item for item in path_layers(trace) if item.site.index == site.index), None)
    found = why_layer(trace, site, layer, spell, invariant, measure.direction)
    return found or _why_luck(trace, site)


def _nothing_stands_out() -> Why:
    return Why("no single layer stands out", "compare the table below with a matched init")


def _all_zero(trace: Trace) -> bool:
    return all(column.value.low == column.value.high == 0 for column in trace.inputs)


# -- what is not finite ----------------------------------------------------------------------------


def _why_not_finite(measure: Measure, trace: Trace, site: Site | None) -> Why:
    if measure.claim == "parameters":
        return Why(
            "memory that was never initialised, or a draw that overflows",
            "initialise every parameter (a tensor made with empty() holds whatever was in memory)",
        )
    if measure.claim == "gradients":
        return Why(
            "the values are finite, a slope is not: a root, a norm or a quotient at zero, say",
            "keep its argument away from zero, for example sqrt(x + 1e-12)",
        )
    if site is None:
        return Why("an operation gives NaN or infinity", "look at the first non-finite row of the table")
    reads = [trace.sites[index] for index in site.reads]
    seen = "; ".join(
        f"{read.name} runs from {read.value.low:.3g} to {read.value.high:.3g}" for read in reads
    )
    return Why(
        f"the parameters are finite, {site.op} gives NaN or infinity here{f': {seen}' if seen else ''}",
        "keep its argument where it is defined: clamp it, or add a small constant",
    )


# -- inputs ----------------------------------------------------------------------------------------


def _why_inputs(measure: Measure, trace: Trace) -> Why:
    name = measure.claim.rpartition("/")[0]
    column = next((each for each in trace.inputs if each.name == name), trace.inputs[0])
    value = column.value
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0))
    spread = f"mean {value.mean:.3g}, standard deviation {std:.3g}, {value.low:.3g} to {value.high:.3g}"
    if _columns_differ(column):
        return Why(
            f"column {column.largest_index} has root mean square {column.largest_column:.3g}, "
            f"column {column.smallest_index} {column.smallest_column:.3g}",
            "scale per column: x = (x - x.mean(0)) / x.std(0), with the training set's mean and std",
        )
    what = "looks like raw pixels 0..255" if _like_pixels(column) else "raw, unscaled values"
    return Why(f"{what}: {spread}", centring(value))


def _columns_differ(column: InputColumns) -> bool:
    """Tell whether one scale for all columns would leave some of them without a spread."""
    largest, smallest = column.largest_column, column.smallest_column
    return math.isfinite(smallest) and largest > 10 * smallest


def _like_pixels(column: InputColumns) -> bool:
    return column.value.low >= 0 and 200 <= column.value.high <= 256


# -- one-hot rows ----------------------------------------------------------------------------------


def _why_one_hot(trace: Trace, site: Site) -> Why:
    scale = (
        "scale the scores by 1 / sqrt(d), and draw the weights of query and key with variance 1 / fan_in"
    )
    if site.kind == "attention" or not site.reads:
        sizes = [math.sqrt(trace.sites[index].value.second_moment) for index in site.reads[:2]]
        seen = " and ".join(f"{size:.3g}" for size in sizes)
        return Why(f"the scores are too large: query and key have root mean square {seen}", scale)
    scores = trace.sites[site.reads[0]].value
    std = math.sqrt(max(scores.batch_variance, 0.0))
    return Why(f"the scores that the softmax reads have standard deviation {std:.3g} over inputs", scale)


# -- hashes ----------------------------------------------------------------------------------------


def _why_phases(trace: Trace, spell: Spell) -> Why | None:
    """Name the first layer, behind another one, whose sine sees phases that wind around many times.

    Sitzmann et al. (2020) draw weights so that phases have standard deviation 1; only the first layer's
    are larger, on purpose.
    """
    sines = [site for site in trace.sites if site.activation == "sin" and site.reads]
    for sine in sines[1:]:
        phases = trace.sites[sine.reads[0]]
        layer = layer_before(trace, phases)
        wide = math.sqrt(phases.value.second_moment) if phases.value.finite else 0.0
        if wide > _WOUND and layer.weight is not None:
            std = math.sqrt(layer.weight.second_moment) / wide
            return Why(
                f"the phases that the sine reads have standard deviation {wide:.3g}, where 1 is meant: "
                f"the weights of {layer.name} have std {math.sqrt(layer.weight.second_moment):.3g}",
                f"draw {layer.weight.name}, and later ones alike, with std {std:.3g}: "
                f"{spell([layer.weight], std, 'sin')}",
            )
    return None


# -- growth ----------------------------------------------------------------------------------------


def _why_residual(trace: Trace) -> Why | None:
    """Name residual additions where they, and not the weights, make the signal grow."""
    additions = residual_additions(trace)
    inside, _ = last_stretch(trace)
    if len(additions) < 2 or not inside:
        return None
    grown = math.fsum(math.log(factor) for _, factor in additions)
    most = max(site.value.second_moment for site in inside if math.isfinite(site.value.second_moment))
    if most <= 1 or grown < 0.5 * math.log(most):
        return None
    each = math.exp(grown / len(additions))
    return Why(
        f"{len(additions)} residual additions without normalisation, each makes the signal "
        f"{each:.2g} times as large",
        f"scale every branch by 1 / sqrt({len(additions)}) = {len(additions) ** -0.5:.2g}, start its "
        "last layer at zero, or normalise",
    )


def _why_norm(trace: Trace) -> Why | None:
    """Name the last normalisation where its own scale is what is large."""
    _, origins = last_stretch(trace)
    norms = [site for site in origins if site.kind == "norm"]
    largest = max(norms, key=lambda site: site.value.second_moment, default=None)
    if largest is None or not largest.value.second_moment > _UNUSUAL_NORM:
        return None
    return Why(
        f"the normalisation {largest.name} puts out a root mean square of "
        f"{math.sqrt(largest.value.second_moment):.3g}, where 1 is usual: its scale is too large",
        f"start the scale of {largest.name} at 1",
    )


def _why_spread(trace: Trace) -> Why:
    spread = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    widths = [layer.site.units for layer in path_layers(trace)]
    if not widths:
        return _nothing_stands_out()
    return Why(
        f"{len(widths)} layers of width {min(widths)} and up: by luck a correct init of them differs by "
        f"a factor of {math.exp(math.sqrt(spread) / 2):.3g}",
        "widen the layers, add normalisation, or draw orthogonal weights",
    )


# -- width -----------------------------------------------------------------------------------------


def _why_luck(trace: Trace, site: Site) -> Why:
    """The weights are as they should be: widths are what is left, where they explain it."""
    widen = "widen the layers, add normalisation, or make the network shallower"
    narrowest = min((unit.units for unit in rectifiers(trace)), default=_NARROW)
    if narrowest < _NARROW:
        share = theory.dead_layer_probability((narrowest,))
        return Why(
            f"a rectifier layer of {narrowest} units is dead at a given input in {share:.2g} of inits",
            widen,
        )
    widths = [layer.site.units for layer in path_layers(trace)]
    spread = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    if len(widths) > 1 and spread > 1:
        return Why(
            f"{len(widths)} layers of width {min(widths)} and up: too narrow for this depth, "
            f"luck alone spreads the signal by a factor of {math.exp(math.sqrt(spread)):.2g}",
            widen,
        )
    after = activation_after(trace, site)
    chi = theory.chi_1(after, theory.gain(after) ** 2, q=1.0) if after else 1.0
    if chi < 0.5:
        return Why(
            f"{after} passes {chi:.2g} of the squared gradient per layer at the best",
            "use an activation that passes more, or normalisation",
        )
    return _nothing_stands_out()
