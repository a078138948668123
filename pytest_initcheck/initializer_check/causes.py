"""Why an initialiser's variance is not the needed one, and the code that mends it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.initializer_check.forms import Form
from pytest_initcheck.initializers.layers import Layer, Library
from pytest_initcheck.initializers.marginals import Marginal
from pytest_initcheck.initializers.matching import Need
from pytest_initcheck.initializers.schemes import TRUNCATED_STD

_CLOSE = 0.02
"""How near a formula must come, relatively, besides three standard deviations of luck."""
_GAINS = (
    (1 / 3, "the gain is 1/sqrt(3): kaiming_uniform(a=sqrt(5)), PyTorch's default"),
    (2.0, "the gain is sqrt(2), He's, which is for ReLU"),
    (1.0, "the gain is 1, LeCun's and Xavier's"),
    (25 / 9, "the gain is 5/3, which is for tanh"),
    (9 / 16, "the gain is 3/4: torch's calculate_gain('selu'), an empirical value"),
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A formula that gives the variance that was found, and what is wrong with it."""

    variance: float
    formula: str
    cause: str
    fix: str = ""


def formula(squared_gain: float, fan: float) -> str:
    """Return gain^2 / fan as it is read.

    >>> formula(2.0, 576)
    '2/576'
    """
    return f"{squared_gain:.4g}/{fan:.6g}" if fan != 1 else f"{squared_gain:.4g}"


def explained(
    moment: float, luck: float, need: Need, needs: tuple[Need, ...], layer: Layer, form: Form
) -> Explanation | None:
    """Return the likeliest explanation of a variance, or None where no known mistake gives it.

    * ``luck`` is the relative standard deviation of ``moment``.
    """
    if moment == 0:
        return Explanation(
            0.0,
            "0",
            "all weights are zero",
            "; zeros that are meant (a residual branch's last layer) are asked for by scheme='zeros'",
        )
    reach = max(_CLOSE, 3 * luck)
    for candidate in _candidates(need, needs, layer, form):
        if abs(moment / candidate.variance - 1) <= reach:
            return candidate
    return None


def _candidates(need: Need, needs: tuple[Need, ...], layer: Layer, form: Form) -> Iterator[Explanation]:
    right = sorted({round(gain**2, 12) for each in needs for gain in (each.low_gain, each.high_gain)})
    gains = [(gain, "") for gain in right] + [row for row in _GAINS if row[0] not in right]
    true = [layer.fan_in, layer.fan_out, layer.fan_avg]
    mistaken = [(fan, cause) for fan, cause in _library_fans(layer, form) if not _among(fan, true)]
    for gain, _ in gains[: len(right)]:
        for fan, cause in mistaken:
            yield Explanation(gain / fan, formula(gain, fan), cause, _fan_fix(cause))
    named = {layer.fan_in: "fan_in", layer.fan_out: "fan_out", layer.fan_avg: "fan_avg"}
    for gain, _ in gains[: len(right)]:
        for fan, name in named.items():
            cause = f"it divides by {name} = {fan:.6g}; the {need.criterion} criterion by {need.fan:.6g}"
            swapped = _stored_as_in_out(layer, form)
            if fan == layer.fan_out and swapped:
                cause = swapped
            elif layer.kind == "conv_transposed" and fan == layer.library_fans("torch")[0]:
                cause = _why_fan_in(layer, fan)
            yield Explanation(gain / fan, formula(gain, fan), cause)
    yield from _truncated(need, form)
    for gain, cause in gains[len(right) :]:
        for fan in true:
            yield Explanation(gain / fan, formula(gain, fan), cause)
        for fan, other in mistaken:
            yield Explanation(gain / fan, formula(gain, fan), f"{cause}; and {other}", _fan_fix(other))
    for each, power, cause in (
        (need.high, 2.0, "the variance was passed as the standard deviation"),
        (need.high, 0.5, "the standard deviation's square root was taken: it is the variance's"),
    ):
        yield Explanation(each**power, f"{each:.4g}^{power:g}", cause)
    third = "the bound of a uniform draw is the standard deviation; it must be sqrt(3) times as large"
    yield Explanation(need.high / 3, f"{need.high:.4g}/3", third)
    for std in (0.01, 0.02, 0.05, 1.0):
        cause = f"the standard deviation is {std:g}, whatever the fans"
        yield Explanation(std**2, f"{std:g}^2", cause)


def _among(fan: float, fans: list[float]) -> bool:
    return any(math.isclose(fan, each) for each in fans)


def _library_fans(layer: Layer, form: Form) -> Iterator[tuple[float, str]]:
    """The fans that libraries read off the shape, and why they are not the layer's."""
    libraries: tuple[Library, ...] = ("torch",) if form.layout == "torch" else ("jax", "torch")
    for library in libraries:
        fan_in, fan_out = layer.library_fans(library)
        yield fan_in, _why_fan_in(layer, fan_in)
        yield fan_out, _why_fan_out(layer, fan_out)
        both = [] if fan_in == layer.fan_in else [_why_fan_in(layer, fan_in)]
        both += [] if fan_out == layer.fan_out else [_why_fan_out(layer, fan_out)]
        yield (fan_in + fan_out) / 2, "; ".join(both)


def _why_fan_in(layer: Layer, fan: float) -> str:
    taps = layer.positions
    if layer.kind == "conv_transposed":
        skipped = layer.stride ** len(layer.kernel)
        reached = f" and stride {layer.stride} reaches an output by 1/{skipped} of the taps"
        return (
            f"fan_in was read as {fan:g} = {fan / taps:g} x {taps} taps; the weight of a transposed "
            f"convolution is stored [in, out, *kernel]{reached if skipped > 1 else ''}: "
            f"fan_in is {layer.fan_in:g}"
        )
    if layer.kind == "embedding":
        return f"fan_in was read as {fan:g}; a lookup reads one row, so fan_in is 1"
    if layer.groups > 1:
        return f"fan_in was read as {fan:g}; in {layer.groups} groups it is {layer.fan_in:g}"
    return f"fan_in was read as {fan:g}, off the wrong axis; it is {layer.fan_in:g}"


def _why_fan_out(layer: Layer, fan: float) -> str:
    if layer.kind == "conv_transposed":
        return f"fan_out was read as {fan:g}, the input channels' count; it is {layer.fan_out:g}"
    if layer.groups > 1:
        return (
            f"fan_out counts all {layer.units} channels although groups={layer.groups}: "
            f"one input reaches {layer.units // layer.groups} of them"
        )
    if layer.blocks > 1:
        return (
            f"fan_out counts all {layer.units} units although {layer.blocks} blocks of "
            f"{layer.units // layer.blocks} are stored as one"
        )
    if layer.stride > 1:
        return f"fan_out counts every tap although stride {layer.stride} skips some"
    return f"fan_out was read as {fan:g}, off the wrong axis; it is {layer.fan_out:g}"


def _fan_fix(cause: str) -> str:
    if "although groups=" in cause:
        return "; or divide fan_out by groups"
    return "; or initialise each block by itself" if "blocks of" in cause else ""


def _stored_as_in_out(layer: Layer, form: Form) -> str:
    """A weight stored as [in, out] in front of a function that reads [out, in]."""
    if form.layout != "torch" or layer.layout == "torch" or layer.kind not in ("dense", "fused"):
        return ""
    return (
        f"fan_in was read off shape[1] = {layer.shape[1]}, which are the outputs: the weight is "
        "stored as [in, out], torch.nn.init reads [out, in]"
    )


def _truncated(need: Need, form: Form) -> Iterator[Explanation]:
    for variance in sorted({need.low, need.high}):
        std = math.sqrt(variance)
        cut = Marginal("truncated_normal", 0.0, std, -2.0, 2.0).moment(2)
        yield Explanation(
            cut,
            f"{std:.3g}^2 x {cut / variance:.3g}",
            f"trunc_normal_ cuts at a=-2 and b=2, which are values and not standard deviations: with "
            f"std={std:.3g} that takes away {1 - cut / variance:.0%} of the variance",
            f"; a truncated draw needs s = {std:.4g} / {TRUNCATED_STD:.4g}; a, b = -2 * s, 2 * s",
        )
        yield Explanation(
            variance * TRUNCATED_STD**2,
            f"{std:.3g}^2 x {TRUNCATED_STD**2:.3g}",
            "it is cut at two standard deviations and not corrected for it (1 / 0.8796)",
        )


def fix(need: Need, layer: Layer, form: Form, activation: str | None) -> str:
    """Return the code that draws the needed variance."""
    gain = need.high_gain
    std = gain / math.sqrt(need.fan)
    root = f"sqrt({formula(gain**2, need.fan)})"
    if form.kind in ("tensor", "module"):
        attention = layer.kind == "fused" and layer.units == 3 * layer.inputs
        names = {"recurrent": "weight_ih_l0", "fused": "in_proj_weight" if attention else "weight"}
        held = names.get(layer.kind, "weight")
        target = "weight" if form.kind == "tensor" else f"module.{held}"
        plain = layer.kind in ("dense", "conv") and layer.layout == "torch"
        if plain and need.criterion == "forward" and activation == "relu":
            return f"nn.init.kaiming_normal_({target}, nonlinearity='relu')"
        return f"nn.init.normal_({target}, std={std:.4g})  # {root}"
    if "key" in form.filled:
        return f"{std:.4g} * jax.random.normal(key, shape)  # {root}"
    return f"rng.normal(0.0, {std:.4g}, shape)  # {root}"
