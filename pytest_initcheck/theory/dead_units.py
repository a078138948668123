"""Rectifier units that no input activates, and layers that die whole. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pytest_initcheck.activations import Array, normal_cdf
from pytest_initcheck.theory.correlations import relu_correlation
from pytest_initcheck.theory.gaussian import gaussian_mean

_TOGETHER = 1 - 1e-15


@lru_cache(maxsize=4096)
def dead_fraction(depth: int, batch: int, input_correlation: float = 0.0) -> float:
    """Return the share of ReLU units of layer ``depth`` (from 1) with no positive pre-activation.

    For a matched bias-free net on ``batch`` inputs whose pairs correlate by ``input_correlation``
    this is E[Phi(s)^batch] for s ~ N(0, rho / (1 - rho)) (principles.md 1.5).

    Raises ValueError for a depth or batch below 1.

    >>> round(dead_fraction(1, 32, 0.75), 4)
    0.125
    """
    if depth < 1 or batch < 1:
        raise ValueError(f"depth and batch count from 1, got {depth} and {batch}")
    rho = input_correlation
    for _ in range(depth - 1):
        rho = relu_correlation(rho)
    if rho <= 0:
        return 0.5**batch
    if rho >= _TOGETHER:
        return 0.5

    def all_negative(s: Array) -> Array:
        return np.asarray(normal_cdf(s) ** batch)

    return gaussian_mean(all_negative, rho / (1 - rho))


def dead_layer_probability(widths: int | Sequence[int]) -> float:
    """Return 1 - prod(1 - 2^-n): the chance that one of these layers is dead at a point.

    Exact for bias-free symmetric weights and one input (Rister and Rubin 2017).

    >>> round(dead_layer_probability((2,) * 5), 6), dead_layer_probability(3)
    (0.762695, 0.125)
    """
    layers = (widths,) if isinstance(widths, int) else widths
    return -math.expm1(sum(math.log1p(-(2.0 ** -min(n, 1000))) for n in layers if n > 0))


def born_dead_bounds(width: int, depth: int) -> tuple[float, float]:
    """Return bounds of the chance that a ReLU net of one input is constant on [-r, r].

    * ``depth`` hidden layers of ``width`` units, symmetric weights, no biases; the net is then
      decided by the inputs 1 and -1.

    With a = 1 - 2^-n: 1 - 2 a^L + (1 - 2^(1-n)) a^(2(L-1)) <= P <= 1 - a^(L-1) (principles.md 1.5).

    Raises ValueError for a width or depth below 1.

    >>> tuple(round(bound, 3) for bound in born_dead_bounds(2, 5))
    (0.575, 0.684)
    """
    if width < 1 or depth < 1:
        raise ValueError(f"width and depth count from 1, got {width} and {depth}")
    alive = 1 - 2.0**-width
    low = 1 - 2 * alive**depth + (1 - 2.0 ** (1 - width)) * alive ** (2 * (depth - 1))
    return max(low, 0.0), 1 - alive ** (depth - 1)
