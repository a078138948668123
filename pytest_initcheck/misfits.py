"""How a weight's variance is off: what it looks like, what is needed, for which fan it was drawn.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import initializers, theory
from pytest_initcheck.trace import Parameter

OFF = 1.5
"""A weight whose variance is 1.5 times off a matched one's is worth naming."""
_AGREES, _AGREES_AT_MOST = 1.1, 1.3
"""A variance within 10 % of what another fan would need was drawn for that fan; within 30 % where few
weights tell no better."""


def range_of(after: str) -> tuple[float, float]:
    """Return the smallest and largest sigma_w^2 for a layer off the signal path."""
    low, high = theory.matched_gains(after)
    return min(low, 1.0) ** 2, max(high, 1.0) ** 2


def misfit(weight: Parameter, after: str) -> tuple[str, str]:
    """Return the kind of a gain that is off, and what gives it away."""
    if weight.aliases:
        tied = ", ".join(weight.aliases)
        return "tied embedding scale", f", and serve as {tied} too"
    if after == "selu":
        return "activation mismatch", ""
    other = other_fan(weight, after)
    if other is not None:
        return "wrong fan", f", drawn for a fan of {other} where fan_in is {weight.fan_in}"
    return "init gain", ""


def other_fan(weight: Parameter, after: str) -> int | None:
    """Return the fan that this weight was drawn for, None if it is fan_in or none of its shape's.

    Libraries read fans off a shape: transposed, grouped and fused weights then get another layer's.
    """
    gains = {round(gain, 6) for gain in theory.matched_gains(after)}
    known = _schemes(weight)
    if len(weight.shape) < 2 or not weight.second_moment > 0:
        return None
    if known and not any("fan_out" in name for name in known):
        return None
    # three standard deviations of the second moment of so many normal draws
    agrees = min(max(_AGREES, 1 + 3 * math.sqrt(2 / max(weight.count, 1))), _AGREES_AT_MOST)
    rest = math.prod(weight.shape[2:])
    fans = {weight.fan_out, weight.shape[0] * rest, weight.shape[1] * rest, weight.shape[0]}
    for fan in sorted(fans, reverse=True):
        apart = max(fan, weight.fan_in) > OFF * max(min(fan, weight.fan_in), 1)
        for gain in gains:
            ratio = weight.second_moment * fan / gain**2
            if apart and 1 / agrees < ratio < agrees:
                return fan
    return None


def found_std(weight: Parameter) -> str:
    """Say how large a weight is, and which scheme it looks like."""
    return f"weights have std {math.sqrt(weight.second_moment):.3g}{recognised(weight)}"


def needs(weight: Parameter, after: str) -> str:
    """Say how large it should be before this activation."""
    who = "a linear layer" if after == "identity" else after
    low, high = theory.matched_gains(after)
    root = math.sqrt(max(weight.fan_in, 1))
    if high / low < 1.01:
        return f"{who} needs {high / root:.3g} (gain {high:.4g})"
    return f"{who} needs {low / root:.3g} to {high / root:.3g} (gain {low:.4g} to {high:.4g})"


def recognised(weight: Parameter) -> str:
    """Name the scheme that a weight looks like, in brackets; empty if there is none."""
    known = _schemes(weight)
    if not known:
        return ""
    default = ", PyTorch's default" if "sqrt(5)" in known[0] else ""
    return f" (like {known[0]}{default})"


def _schemes(weight: Parameter) -> list[str]:
    """Return the names of the schemes that a weight looks like, the likeliest first."""
    fans = max(weight.fan_in, 1), max(weight.fan_out, 1)
    schemes = initializers.describe(*fans, weight.second_moment, weight.count, mean=weight.mean)
    return [scheme.name for scheme in schemes]
