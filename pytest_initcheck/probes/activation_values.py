"""Activations known by the values that they take, whatever operations wrote them out.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import activation

_LARGE = 1e4
_SMOOTH = ("tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "mish", "softplus", "log_sigmoid", "erf")
_HALVED = ("elu", "selu", *_SMOOTH)
_ANGULAR = ("relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "softsign")
"""What a chain can be, by the operations in it: transcendental ones, both kinds, or none.

In the order of preference where a sample does not tell two of them apart.
"""
TRANSCENDENTAL = frozenset(
    {"exp", "exp2", "expm1", "log", "log1p", "log2", "logaddexp", "tanh", "sigmoid", "erf", "erfc"}
) | {"sinh", "cosh", "log_sigmoid_forward", *_HALVED}
BENT = frozenset({"where", "masked_fill", "index_put", "clamp", "clamp_min", "clamp_max", "clip"})
BENT |= {"maximum", "minimum", "abs", "sign", "threshold", "leaky_relu", *_ANGULAR, "elu", "selu"}
"""Operations of either kind, by their names in torch and in graphs: one with none is a polynomial."""
_Values = NDArray[np.float64]


def known(z: _Values, y: _Values, inside: Collection[str], tolerance: float) -> str | None:
    """Return the name of the activation that maps z to y with these operations, or None.

    >>> z = np.linspace(-4, 4, 9)
    >>> known(z, np.maximum(z, 0.2 * z), {"maximum", "mul"}, 1e-6)
    'leaky_relu(0.2)'
    >>> known(z, z / (1 + np.exp(-z)), {"exp", "div"}, 1e-6)
    'silu'
    """
    if z.shape != y.shape or z.size < 2 or not (np.isfinite(z).all() and np.isfinite(y).all()):
        return None
    if float(np.abs(z).max()) > _LARGE and np.ptp(z) == 0:
        return None  # where a running maximum starts
    # such a root would allow everything
    allowed = tolerance * max(float(np.abs(y).max()), min(float(np.abs(z).max()), _LARGE))
    bent = not BENT.isdisjoint(inside)
    if TRANSCENDENTAL.isdisjoint(inside):
        if (slope := _lower_slope(z, y, allowed)) is not None:
            return f"leaky_relu({slope:.3g})"
        candidates: tuple[str, ...] = _ANGULAR
    else:
        candidates = _HALVED if bent else _SMOOTH
    slope, offset = np.polyfit(z, y, 1) if np.ptp(z) > 0 else (0.0, y[0])
    exact = tolerance * float(np.abs(y).max())
    if abs(slope) * np.ptp(z) > exact and np.abs(slope * z + offset - y).max() <= exact:
        return None  # nothing is bent on this sample
    errors = {name: float(np.abs(activation(name).phi(z) - y).max()) for name in candidates}
    best = min(errors, key=lambda name: errors[name])
    if errors[best] > allowed and bent and not TRANSCENDENTAL.isdisjoint(inside):
        return _exponential_tail(z, y, allowed)
    return best if errors[best] <= allowed else None


def _lower_slope(z: _Values, y: _Values, allowed: float) -> float | None:
    """Return the slope of a leaky rectifier, or None if this is none."""
    below = z < 0
    if not below.any() or np.abs(y - z)[~below].max(initial=0.0) > allowed:
        return None
    slope = float(np.median(y[below] / z[below]))
    return slope if 0 < slope < 1 and np.abs(y - slope * z)[below].max() <= allowed else None


def _exponential_tail(z: _Values, y: _Values, allowed: float) -> str | None:
    """Return an ELU or CELU with its number, or None: z above 0, alpha (exp(z) - 1) below, or that of
    z / alpha (Barron 2017)."""
    below = z < 0
    if not below.any() or np.abs(y - z)[~below].max(initial=0.0) > allowed:
        return None
    z, y = z[below], y[below]
    alpha = float(np.median(y / np.expm1(z)))
    if alpha > 0 and np.abs(alpha * np.expm1(z) - y).max() <= allowed:
        return f"elu({alpha:.3g})"
    alpha = _celu_number(float(z.min()), float(y.min()))
    if alpha > 0 and np.abs(alpha * np.expm1(z / alpha) - y).max() <= allowed:
        return f"celu({alpha:.3g})"
    return None


def _celu_number(z: float, y: float) -> float:
    """Solve alpha (exp(z / alpha) - 1) = y for alpha: the left side falls with it."""
    low, high = 0.0, 2.0**10
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * np.expm1(z / middle) > y else (low, middle)
    return high
