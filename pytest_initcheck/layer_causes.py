"""What is wrong with one weight layer, and the code that mends it and those like it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_initcheck import initializers, theory
from pytest_initcheck.invariants.length_map import matched_range
from pytest_initcheck.runs import Layer, activation_after, exempt_inputs, path_layers
from pytest_initcheck.trace import Moments, Parameter, Site, Trace

Spell = Callable[[Sequence[Parameter], float, str], str]
"""Spells, in the user's framework, drawing parameters with this std before this activation."""

_OFF = 1.5
"""A weight whose variance is 1.5 times off a matched one's is worth naming."""


@dataclass(frozen=True)
class Why:
    """A cause and the fix that follows from it, a line each."""

    cause: str
    fix: str


def centring(value: Moments) -> str:
    """Return the code that brings an input with these moments to mean 0 and standard deviation 1."""
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0)) or 1.0
    sign = "-" if value.mean >= 0 else "+"
    return f"x = (x {sign} {abs(value.mean):.3g}) / {std:.3g}"


def why_layer(
    trace: Trace,
    site: Site,
    layer: Layer | None,
    spell: Spell,
    invariant: str,
    direction: str | None,
) -> Why | None:
    """Return what is wrong with this layer's weight, bias or input; None if nothing is."""
    weight = site.weight
    if weight is None:
        return Why("its weight was not seen", "show the weight to the check")
    after = layer.followed_by if layer is not None else activation_after(trace, site) or "identity"
    low, high = matched_range(layer) if layer is not None else _range_of(after)
    smallest = invariant == "saturation"
    if weight.second_moment == 0:
        return Why("its weights are all zero", _draw_again([weight], after, spell, smallest))
    if weight.constant:
        cause = f"its weights are all equal ({weight.mean:.3g}): its units compute the same"
        return Why(cause, _draw_again([weight], after, spell, smallest))
    read = trace.sites[site.reads[0]] if site.reads else site
    offset = _offset(site, read, high)
    if offset is not None:
        return offset
    if 2 * weight.mean**2 > weight.second_moment:
        return Why(
            f"its weights have mean {weight.mean:.3g} and standard deviation "
            f"{math.sqrt(weight.second_moment - weight.mean**2):.3g}: every unit sees the same sum",
            _draw_again([weight], after, spell, smallest),
        )
    # too small a weight saturates nothing and explodes nothing, too large a one lets nothing vanish
    too_large = weight.sigma_w2 > _OFF * high and direction != "vanishing"
    too_small = weight.sigma_w2 < low / _OFF and direction != "exploding" and not smallest
    if too_large or too_small:
        alike = _alike(trace, site, after, too_large=too_large)
        more = f"; {len(alike)} more {'layer' if len(alike) == 1 else 'layers'} like it" if alike else ""
        return Why(
            f"{_found(weight)}; {_needs(weight, after)}{more}",
            _draw_again([weight, *alike], after, spell, smallest),
        )
    return _why_read(trace, site, read, after, spell, invariant, direction)


def _why_read(
    trace: Trace,
    site: Site,
    read: Site,
    after: str,
    spell: Spell,
    invariant: str,
    direction: str | None,
) -> Why | None:
    """The weights are as they should be: look at what the layer reads, and what it makes of it."""
    weight = site.weight
    assert weight is not None
    raw = read.kind in ("input", "cast") and read.index not in exempt_inputs(trace)
    if raw and read.value.second_moment > 4:
        size = math.sqrt(read.value.second_moment)
        return Why(
            f"its input is large: root mean square {size:.3g}, where the init assumes about 1",
            centring(read.value),
        )
    if raw and 4 * read.value.batch_variance < read.value.second_moment:
        spread = math.sqrt(max(read.value.batch_variance, 0.0))
        sign = "-" if read.value.mean >= 0 else "+"
        return Why(
            f"its input is not centred: mean {read.value.mean:.3g} against a spread of {spread:.3g}",
            f"x = x {sign} {abs(read.value.mean):.3g}",
        )
    length = site.value.second_moment
    if invariant == "saturation":
        return Why(
            f"its pre-activations have standard deviation {math.sqrt(length):.3g}; {_found(weight)}",
            "use a smaller gain or smaller inputs, or set a larger limit",
        )
    chi = theory.chi_1(after, weight.sigma_w2, q=length) if math.isfinite(length) else 1.0
    if direction == "vanishing" and chi < 0.5:
        passes = f"with this gain {after} passes {chi:.2g} of the squared gradient per layer"
        fix = _draw_again([weight], after, spell, smallest=False)
        return Why(passes, f"{fix}; or use an activation that passes more, or normalisation")
    return None


def _alike(trace: Trace, site: Site, after: str, *, too_large: bool) -> list[Parameter]:
    """Return the weights of later layers on the path that are off in the same way."""
    found: list[Parameter] = []
    for layer in path_layers(trace):
        weight = layer.site.weight
        if weight is None or layer.site.index <= site.index or layer.followed_by != after:
            continue
        low, high = matched_range(layer)
        off = weight.sigma_w2 > _OFF * high if too_large else weight.sigma_w2 < low / _OFF
        if off and weight.name not in {each.name for each in found}:
            found.append(weight)
    return found


def _range_of(after: str) -> tuple[float, float]:
    low, high = theory.matched_gains(after)
    return min(low, 1.0) ** 2, max(high, 1.0) ** 2


def _found(weight: Parameter) -> str:
    return f"weights have std {math.sqrt(weight.second_moment):.3g}{_recognised(weight)}"


def _needs(weight: Parameter, after: str) -> str:
    who = "a linear layer" if after == "identity" else after
    low, high = theory.matched_gains(after)
    root = math.sqrt(max(weight.fan_in, 1))
    if high / low < 1.01:
        return f"{who} needs {high / root:.3g} (gain {high:.4g})"
    return f"{who} needs {low / root:.3g} to {high / root:.3g} (gain {low:.4g} to {high:.4g})"


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


def _draw_again(weights: Sequence[Parameter], after: str, spell: Spell, smallest: bool) -> str:
    """Return the fix for the first weight, and in the same line for those with its fan_in."""
    gains = theory.matched_gains(after) if after != "identity" else (1.0, 1.0)
    gain = gains[0] if smallest else gains[1]
    fan_in = max(weights[0].fan_in, 1)
    std = gain / math.sqrt(fan_in)
    same = [weight for weight in weights if max(weight.fan_in, 1) == fan_in]
    others = len(weights) - len(same)
    names = weights[0].name + (f" and {len(same) - 1} more" if len(same) > 1 else "")
    rest = f" (and {others} of other widths with gain {gain:.4g} / sqrt(fan_in))" if others else ""
    formula = f"{gain:.4g} / sqrt({fan_in})"
    return f"draw {names} with std {std:.3g} = {formula}{rest}: {spell(same, std, after)}"


def _offset(site: Site, read: Site, high: float) -> Why | None:
    """Tell whether the bias outweighs what matched weights would make of the input."""
    bias, weight = site.bias, site.weight
    if bias is None or weight is None:
        return None
    from_weights = max(weight.sigma_w2, high) * read.value.second_moment
    if bias.second_moment <= from_weights:
        return None
    size, made = math.sqrt(bias.second_moment), math.sqrt(from_weights)
    return Why(
        f"its bias ({bias.mean:.3g} on average, root mean square {size:.3g}) outweighs what the weights "
        f"make of the input (standard deviation {made:.3g})",
        f"set {bias.name} to 0: a unit then starts where its input decides",
    )
