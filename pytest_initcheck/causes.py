"""Why a claim failed, and what would mend it, in words. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pytest_initcheck import initializers, theory
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.variance import matched_range
from pytest_initcheck.runs import LINEAR, Layer, activation_after, path_layers, rectifiers
from pytest_initcheck.trace import Parameter, Site, Trace

Spell = Callable[[str, float, str], str]
"""Spells, in the user's framework, drawing this parameter with this std before this activation."""


@dataclass(frozen=True)
class Why:
    """A cause and the fix that follows from it, a line each."""

    cause: str
    fix: str


def why(invariant: str, measure: Measure, trace: Trace, site: Site | None, spell: Spell) -> Why:
    """Return the cause and the fix of a violation that starts at this site."""
    if invariant == "finite":
        return Why(
            "memory that was never initialised, or a computation that overflows",
            "initialise every parameter (a tensor made with empty() holds whatever was in memory)",
        )
    if invariant == "inputs":
        return _why_inputs(trace, site)
    if site is None or site.kind not in LINEAR:
        return Why("no single layer stands out", "compare the table below with a matched init")
    layer = next((item for item in path_layers(trace) if item.site.index == site.index), None)
    return _why_layer(trace, site, layer, spell, invariant, measure.direction)


def _why_inputs(trace: Trace, site: Site | None) -> Why:
    column = trace.inputs[0]
    value = site.value if site is not None else column.value
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0)) or 1.0
    integral = value.low >= 0 and 200 <= value.high <= 256
    what = "looks like raw pixels 0..255" if integral else "raw, unscaled values"
    return Why(
        f"{what}: mean {value.mean:.3g}, standard deviation {std:.3g}, "
        f"{value.low:.3g} to {value.high:.3g}",
        f"x = (x - {value.mean:.3g}) / {std:.3g}, per column where columns differ",
    )


def _why_layer(
    trace: Trace,
    site: Site,
    layer: Layer | None,
    spell: Spell,
    invariant: str,
    direction: str | None,
) -> Why:
    weight = site.weight
    if weight is None:
        return Why("its weight was not seen", "show the weight to the check")
    after = layer.followed_by if layer is not None else activation_after(trace, site) or "identity"
    read = trace.sites[site.reads[0]] if site.reads else site
    fix = _draw_again(weight, after, spell)
    if weight.second_moment == 0:
        return Why("its weights are all zero", fix)
    if weight.constant:
        return Why(f"its weights are all equal ({weight.mean:.3g}): its units compute the same", fix)
    low, high = matched_range(layer) if layer is not None else _range_of(after)
    found = f"weights have std {math.sqrt(weight.second_moment):.3g}{_recognised(weight)}"
    needed = f"{'a linear layer' if after == 'identity' else after} needs {_needed(weight, after)}"
    # too small a weight saturates nothing and explodes nothing, too large a one lets nothing vanish
    too_large = weight.sigma_w2 > 1.5 * high and direction != "vanishing"
    too_small = weight.sigma_w2 < low / 1.5 and direction != "exploding" and invariant != "saturation"
    if too_large or too_small:
        return Why(f"{found}; {needed}", fix)
    offset = _offset(site, read)
    if offset is not None and site.bias is not None:
        return Why(offset, f"set {site.bias.name} to 0: a unit then starts where its input decides")
    if read.kind == "input" and read.value.second_moment > 4:
        value = read.value
        std = math.sqrt(max(value.second_moment - value.mean**2, 0.0)) or 1.0
        size = math.sqrt(value.second_moment)
        return Why(
            f"its input is large: root mean square {size:.3g}, where the init assumes about 1",
            f"x = (x - {value.mean:.3g}) / {std:.3g}",
        )
    if 4 * read.value.batch_variance < read.value.second_moment and read.kind == "input":
        return Why(
            f"its input is not centred: mean {read.value.mean:.3g} against a spread of "
            f"{math.sqrt(max(read.value.batch_variance, 0.0)):.3g}",
            f"x = x - {read.value.mean:.3g}",
        )
    length = site.value.second_moment
    if invariant == "saturation":
        return Why(
            f"its pre-activations have standard deviation {math.sqrt(length):.3g}; {found}",
            "use a smaller gain or smaller inputs, or set a larger limit",
        )
    chi = theory.chi_1(after, weight.sigma_w2, q=length) if math.isfinite(length) else 1.0
    if direction == "vanishing" and chi < 0.5:
        passes = f"with this gain {after} passes {chi:.2g} of the squared gradient per layer"
        return Why(passes, f"{fix}; or use an activation that passes more, or normalisation")
    return _why_luck(trace, site)


def _why_luck(trace: Trace, site: Site) -> Why:
    """The weights are as they should be: widths are what is left."""
    widen = "widen the layers, add normalisation, or make the network shallower"
    narrowest = min((unit.units for unit in rectifiers(trace)), default=8)
    if narrowest < 8:
        share = theory.dead_layer_probability((narrowest,))
        return Why(
            f"a rectifier layer of {narrowest} units is dead at a given input in {share:.2g} of inits",
            widen,
        )
    widths = [layer.site.units for layer in path_layers(trace)] or [site.units]
    return Why(f"{len(widths)} layers of width {min(widths)} and up: too narrow for this depth", widen)


def _range_of(after: str) -> tuple[float, float]:
    low, high = theory.matched_gains(after)
    return min(low, 1.0) ** 2, max(high, 1.0) ** 2


def _needed(weight: Parameter, after: str) -> str:
    low, high = theory.matched_gains(after)
    root = math.sqrt(max(weight.fan_in, 1))
    if high / low < 1.01:
        return f"{high / root:.3g} (gain {high:.4g})"
    return f"{low / root:.3g} to {high / root:.3g} (gain {low:.4g} to {high:.4g})"


def _recognised(weight: Parameter) -> str:
    schemes = initializers.describe(
        max(weight.fan_in, 1),
        max(weight.fan_out, 1),
        weight.second_moment,
        weight.count,
        mean=weight.mean,
    )
    if not schemes:
        return ""
    name = schemes[0].name
    default = ", PyTorch's default" if "sqrt(5)" in name else ""
    return f" (like {name}{default})"


def _draw_again(weight: Parameter, after: str, spell: Spell) -> str:
    gain = theory.matched_gains(after)[1] if after != "identity" else 1.0
    fan_in = max(weight.fan_in, 1)
    std = gain / math.sqrt(fan_in)
    formula = f"{gain:.4g} / sqrt({fan_in})"
    return f"draw {weight.name} with std {std:.3g} = {formula}: {spell(weight.name, std, after)}"


def _offset(site: Site, read: Site) -> str | None:
    """Tell whether the bias outweighs what the weights make of the input."""
    if site.bias is None or site.weight is None:
        return None
    from_weights = site.weight.sigma_w2 * read.value.second_moment
    if site.bias.second_moment <= from_weights:
        return None
    return (
        f"its bias ({site.bias.mean:.3g} on average) outweighs what the weights make of the input "
        f"(standard deviation {math.sqrt(from_weights):.3g})"
    )
