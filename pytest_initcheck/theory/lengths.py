"""The length map q' = sigma_w2 E[phi(sqrt(q) z)^2] + sigma_b2 and its fixed points.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.theory.gains import relative_slope, second_moment
from pytest_initcheck.theory.moments import Phi, moment
from pytest_initcheck.theory.roots import root_between, sign_changes

_GRID = np.geomspace(1e-12, 1e12, 193)
_ZERO = 1e-24
"""The length that stands for the limit q -> 0, far below where any activation turns."""
_INFINITE = 1e24
_NEUTRAL = 1e-9
_ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A length that the length map keeps.

    * ``q`` may be 0 or infinity.
    * ``slope`` is J = dq'/dq there; at infinity the ratio q'/q.
    * ``stable`` tells whether lengths nearby come to it.
    """

    q: float
    slope: float
    stable: bool


def length_map(phi: Phi, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """Return the next layer's E[z^2]: sigma_w2 E[phi(sqrt(q) z)^2] + sigma_b2 (principles.md 1.1).

    Raises ValueError for negative lengths or variances.

    >>> length_map("relu", 3.0, 2.0, 0.5)
    3.5
    """
    _check_variances(sigma_w2, sigma_b2)
    return sigma_w2 * second_moment(phi, q) + sigma_b2


def _check_variances(sigma_w2: float, sigma_b2: float) -> None:
    for name, value in (("sigma_w2", sigma_w2), ("sigma_b2", sigma_b2)):
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{name} is a variance, got {value:g}; give fan_in * Var w, or Var b, at least 0"
            )


def length_fixed_points(phi: Phi, sigma_w2: float, sigma_b2: float = 0.0) -> tuple[FixedPoint, ...]:
    """Return all fixed points of the length map from 0 to 1e12, the smallest first.

    Where every length is one (ReLU at sigma_w2 = 2), 0 stands for all of them, with slope 1.

    Raises ValueError for negative variances.

    >>> from pytest_initcheck.theory import gain
    >>> gain2 = gain("gelu") ** 2
    >>> [(round(p.q, 9), round(p.slope, 4), p.stable) for p in length_fixed_points("gelu", gain2)]
    [(0.0, 0.5879, True), (1.0, 1.1441, False)]
    """
    _check_variances(sigma_w2, sigma_b2)
    act = activation(phi)
    found = []
    if sigma_w2 * moment(act, 0.0, 2) + sigma_b2 == 0:
        found.append(_at(act, 0.0, sigma_w2, sigma_b2))
    if act.slopes is not None:
        rate = sigma_w2 * moment(act, 1.0, 2)
        if sigma_b2 > 0 and rate < 1:
            found.append(FixedPoint(sigma_b2 / (1 - rate), rate, True))
        return tuple(found)
    values = np.array([_excess(act, float(q), sigma_w2, sigma_b2) for q in _GRID])
    for low, high in sign_changes(_GRID, values):
        root = root_between(lambda q: _excess(act, q, sigma_w2, sigma_b2), low, high)
        found.append(_at(act, root, sigma_w2, sigma_b2))
    return tuple(found)


def _excess(act: Activation, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """q'/q - 1, without the rounding of a quadrature about the identity."""
    value = (sigma_w2 * moment(act, q, 2) + sigma_b2) / q - 1
    return 0.0 if abs(value) < 1e-12 else value


def _at(act: Activation, q: float, sigma_w2: float, sigma_b2: float) -> FixedPoint:
    if q == 0:
        slope = sigma_w2 * moment(act, _ZERO, 2) / _ZERO
        if abs(slope - 1) <= _NEUTRAL:  # decided by what bends the map, further out
            return FixedPoint(0.0, 1.0, _excess(act, 1e-4, sigma_w2, sigma_b2) < -1e-7)
        return FixedPoint(0.0, slope, slope < 1)
    slope = relative_slope(act, q) * sigma_w2 * moment(act, q, 2) / q
    return FixedPoint(q, slope, abs(slope) < 1)


@lru_cache(maxsize=1024)
def _settled(act: Activation, sigma_w2: float, sigma_b2: float, start: float) -> FixedPoint:
    first = sigma_w2 * moment(act, start, 2) + sigma_b2
    if abs(first - start) <= 1e-12 * start:
        return _at(act, start, sigma_w2, sigma_b2)
    points = length_fixed_points(act, sigma_w2, sigma_b2)
    outer = _at_infinity(act, sigma_w2)
    nothing = _at(act, 0.0, sigma_w2, sigma_b2)  # biases below 1e-12 are none
    lengths = [sigma_w2 * moment(act, float(q), 2) for q in _GRID]
    if all(after >= before * (1 - 1e-9) for before, after in pairwise(lengths)):
        # an increasing map moves every length towards the next fixed point on its way
        if first > start:
            return next((point for point in points if point.q > start), outer)
        return next((point for point in reversed(points) if point.q < start), nothing)
    # E[g (z^2 - 1)] / 2 >= -E[g] / 2 for any g >= 0, so ln q' falls by at most half of what ln q rises:
    # the iteration has no cycles
    q = start
    for _ in range(_ITERATIONS):
        q, before = sigma_w2 * moment(act, q, 2) + sigma_b2, q
        if q > _GRID[-1]:
            return outer
        if abs(q - before) <= 1e-12 * q:
            break
    return min(points, key=lambda point: abs(point.q - q), default=nothing)


def _at_infinity(act: Activation, sigma_w2: float) -> FixedPoint:
    slope = sigma_w2 * moment(act, _INFINITE, 2) / _INFINITE
    return FixedPoint(math.inf, slope, slope > 1)


def length_fixed_point(
    phi: Phi, sigma_w2: float, sigma_b2: float = 0.0, *, start: float = 1.0
) -> FixedPoint:
    """Return the fixed point that the length comes to from ``start``, layer by layer.

    ``start`` itself if the map keeps it; q is 0 where the signal vanishes, infinity where it grows
    without bound.  There are no cycles: d ln q' / d ln q is at least -1/2 (principles.md 1.3).

    Raises ValueError for negative variances and for a start that is not positive.

    >>> round(length_fixed_point("tanh", 1.3**2, 0.3**2).q, 5)  # Poole et al. 2016, sigma_b = .3
    0.60705
    >>> length_fixed_point("relu", 2.0, start=3.0)
    FixedPoint(q=3.0, slope=1.0, stable=False)
    >>> length_fixed_point("relu", 2.5).q
    inf
    """
    _check_variances(sigma_w2, sigma_b2)
    if not 0 < start < math.inf:
        raise ValueError(f"start is a length, got {start:g}; give E[z^2] > 0")
    return _settled(activation(phi), float(sigma_w2), float(sigma_b2), float(start))


def working_length(act: Activation, sigma_w2: float, sigma_b2: float, q: float | None = None) -> float:
    """Return ``q``, or the length fixed point from 1, as a length that moments can be taken at.

    0 and infinity are approached, since what is asked there is a limit.
    """
    _check_variances(sigma_w2, sigma_b2)
    if q is None:
        q = _settled(act, float(sigma_w2), float(sigma_b2), 1.0).q
    if not q >= 0:
        raise ValueError(f"a length is not negative, got q={q:g}; give E[z^2]")
    return min(max(float(q), _ZERO), _INFINITE)
