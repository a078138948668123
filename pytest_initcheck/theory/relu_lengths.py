"""The exact law of lengths in He-normal ReLU networks without biases.

One layer of n units multiplies the length by (2/n) chi^2_K, K ~ Bin(n, 1/2), whatever it read
(principles.md 1.10).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.theory.roots import root_between

_EULER = 0.57721566490153286061


def check_widths(*widths: int) -> None:
    """Raise ConfigError for a width below 1."""
    if any(width < 1 for width in widths):
        raise ConfigError(f"widths count units, each at least 1; got {', '.join(map(str, widths))}")


@lru_cache(maxsize=256)
def _log_factorials(most: int) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


@lru_cache(maxsize=256)
def _active_units(width: int) -> Array:
    """P(K = k), K ~ Bin(width, 1/2), for k = 0 ... width."""
    logs = _log_factorials(width)
    return np.asarray(np.exp(logs[-1] - logs - logs[::-1] - width * math.log(2)))


@lru_cache(maxsize=256)
def _half_polygammas(most: int) -> tuple[Array, Array]:
    """psi(k/2) and psi'(k/2) for k = 1 ... most, by psi(x + 1) = psi(x) + 1/x from 1/2 and 1."""
    k = np.arange(1, most + 1)
    psi, slope = np.empty(most), np.empty(most)
    starts = ((-_EULER - 2 * math.log(2), math.pi**2 / 2), (-_EULER, math.pi**2 / 6))
    for offset, (first, first_slope) in enumerate(starts):
        steps = 2.0 / k[offset::2][:-1] if most > offset else np.empty(0)
        if most > offset:
            psi[offset::2] = first + np.concatenate([[0.0], np.cumsum(steps)])
            slope[offset::2] = first_slope - np.concatenate([[0.0], np.cumsum(steps**2)])
    return psi, slope


@lru_cache(maxsize=1024)
def log_length_moments(width: int) -> tuple[float, float]:
    """Return mean and variance of ln(q'/q) for one layer, given that a unit is active.

    ln of (2/n) chi^2_K has the moments psi(K/2) + ln(4/n) and psi'(K/2) given K (principles.md 1.10).

    >>> tuple(round(moment, 4) for moment in log_length_moments(32))
    (-0.0825, 0.1775)
    """
    psi, slope = _half_polygammas(width)
    weight = _active_units(width)[1:]
    weight = weight / weight.sum()
    logs = psi + math.log(4 / width)
    mean = float(weight @ logs)
    return mean, float(weight @ (slope + (logs - mean) ** 2))


def relu_length_cdf(x: float, width: int) -> float:
    """Return P(q'/q <= x) for one He-normal ReLU layer of ``width`` units without biases.

    The ratio of lengths is (2/n) chi^2_K with K ~ Bin(n, 1/2), independent over layers (principles.md
    1.10); it is 0, all units dead, with probability 2^-n.

    Raises ConfigError for a width below 1.

    >>> round(relu_length_cdf(0.0, 3), 12)
    0.125
    >>> round(relu_length_cdf(2.61, 32), 3)
    0.999
    """
    check_widths(width)
    if not x >= 0:
        return 0.0
    active = _active_units(width)
    if x == 0:
        return float(active[0])
    return float(active[0] + active[1:] @ (1 - _chi2_survivals(width * x / 2, width)))


def _chi2_survivals(x: float, most: int) -> Array:
    """P(chi^2_k > x) for k = 1 ... most: Q(k + 2) = Q(k) + (x/2)^(k/2) exp(-x/2) / Gamma(k/2 + 1)."""
    half = x / 2
    survival = np.empty(most)
    gamma = np.array([math.lgamma(k / 2 + 1) for k in range(most + 1)])
    terms = np.exp(np.arange(most + 1) / 2 * math.log(half) - half - gamma)
    survival[0::2] = (
        math.erfc(math.sqrt(half))
        + np.concatenate([[0.0], np.cumsum(terms[1::2])])[: len(survival[0::2])]
    )
    survival[1::2] = np.cumsum(terms[0::2])[: len(survival[1::2])]
    return np.minimum(survival, 1.0)


def relu_length_quantile(p: float, width: int) -> float:
    """Return the x with P(q'/q <= x) = p for one He-normal ReLU layer; 0 for p up to 2^-width.

    Raises ConfigError for p outside (0, 1) or a width below 1.

    >>> round(relu_length_quantile(0.001, 64), 3), round(relu_length_quantile(0.999, 64), 2)
    (0.331, 2.06)
    """
    check_widths(width)
    if not 0 < p < 1:
        raise ConfigError(f"a probability lies between 0 and 1, got p={p:g}; for example 0.999")
    if p <= 2.0**-width:
        return 0.0
    most = 2.0
    while relu_length_cdf(most, width) < p:
        most *= 2
    return root_between(lambda x: relu_length_cdf(x, width) - p, 0.0, most)
