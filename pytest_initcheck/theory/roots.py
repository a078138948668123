"""Where a function of one number is zero. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from pytest_initcheck.activations import Array

_STEPS = 200


def root_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of ``function`` between two points of opposite sign.

    Bisection and inverse quadratic interpolation in turn (Chandrupatla 1997).

    Raises ValueError if the signs are equal.

    >>> round(root_between(lambda x: x**3 - 2, 0.0, 2.0), 12)
    1.259921049895
    """
    a, b = high, low
    fa, fb = function(a), function(b)
    if fa == 0 or fb == 0:
        return a if fa == 0 else b
    if (fa > 0) == (fb > 0):
        raise ValueError(f"no sign change between {low:g} and {high:g}; widen the bracket")
    t = 0.5
    for _ in range(_STEPS):
        x = a + t * (b - a)
        fx = function(x)
        if (fx > 0) == (fa > 0):
            c, fc, a, fa = a, fa, x, fx
        else:
            c, fc, b, a, fb, fa = b, fb, a, x, fa, fx
        best, smallest = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        tolerance = 4e-16 * abs(best) + 1e-300
        if smallest == 0 or abs(b - a) <= 2 * tolerance:
            return best
        t = _next_step(a, b, c, fa, fb, fc)
        share = tolerance / abs(b - a)
        t = min(max(t, share), 1 - share)
    return best


def _next_step(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    xi = (a - b) / (c - b) if c != b else 0.5
    ratio = (fa - fb) / (fc - fb) if fc != fb else 0.5
    if not (ratio**2 < xi and (1 - ratio) ** 2 < 1 - xi):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)


def sign_changes(points: Array, values: Array) -> Iterator[tuple[float, float]]:
    """Yield the neighbouring points between which the values change sign; a zero counts as positive.

    >>> import numpy as np
    >>> list(sign_changes(np.array([1.0, 2.0, 3.0]), np.array([-1.0, 1.0, 2.0])))
    [(1.0, 2.0)]
    """
    for index in range(len(points) - 1):
        here, there = float(values[index]), float(values[index + 1])
        if math.isfinite(here) and math.isfinite(there) and (here >= 0) != (there >= 0):
            yield float(points[index]), float(points[index + 1])
