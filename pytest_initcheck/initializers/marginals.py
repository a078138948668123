"""The distribution of one weight: moments, distribution function, draws.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from pytest_initcheck.activations import Array

Family = Literal["normal", "uniform", "truncated_normal", "constant"]

_REACH = 12.0
_NODES = 120


@dataclass(frozen=True, slots=True)
class Marginal:
    """A distribution of single weights, in float64.

    * ``mean`` and ``scale``: N(mean, scale^2), U(mean - scale, mean + scale), or the constant ``mean``.
    * ``low`` and ``high`` cut a truncated normal, in the weight's own units.
    """

    family: Family
    mean: float = 0.0
    scale: float = 1.0
    low: float = -math.inf
    high: float = math.inf

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value that can be drawn.

        >>> Marginal("uniform", 1.0, 0.5).support
        (0.5, 1.5)
        """
        if self.family == "uniform":
            return self.mean - self.scale, self.mean + self.scale
        return (self.mean, self.mean) if self.family == "constant" else (self.low, self.high)

    def moment(self, power: int) -> float:
        """Return E[w^power].

        >>> Marginal("normal", 0.0, 2.0).moment(4)
        48.0
        """
        return float(_moment(self, power))

    @property
    def kurtosis(self) -> float:
        """E[w^4] / E[w^2]^2; 1 for a constant, 0 included."""
        second = self.moment(2)
        return self.moment(4) / second**2 if second else 1.0

    @property
    def skewness_of_squares(self) -> float:
        """The skewness of w^2, which the spread of a sample's second moment inherits."""
        second, fourth, sixth = (self.moment(power) for power in (2, 4, 6))
        variance = fourth - second**2
        if variance <= 1e-14 * fourth:
            return 0.0
        return (sixth - 3 * second * fourth + 2 * second**3) / math.pow(variance, 1.5)

    def cdf(self, values: Array) -> Array:
        """Return P(w <= value) for each value."""
        if self.family == "constant":
            return np.asarray(values >= self.mean, dtype=float)
        z = (values - self.mean) / self.scale
        if self.family == "uniform":
            return np.asarray(np.clip((z + 1) / 2, 0.0, 1.0))
        if self.family == "normal":
            return normal_cdf(z)
        below, above = normal_cdf(np.array(self._cuts))
        return np.asarray(np.clip((normal_cdf(z) - below) / (above - below), 0.0, 1.0))

    def log_likelihood(self, values: Array) -> float:
        """Return the mean of ln density over the values; minus infinity outside the support."""
        low, high = self.support
        edge = 1e-6 * max(abs(low), abs(high)) if math.isfinite(high) else 0.0
        if self.family == "constant" or values.min() < low - edge or values.max() > high + edge:
            return -math.inf
        if self.family == "uniform":
            return -math.log(2 * self.scale)
        z = (values - self.mean) / self.scale
        log = float(-0.5 * np.dot(z, z) / z.size) - math.log(self.scale * math.sqrt(2 * math.pi))
        return log - math.log(self._mass) if self.family == "truncated_normal" else log

    @property
    def _cuts(self) -> tuple[float, float]:
        return (self.low - self.mean) / self.scale, (self.high - self.mean) / self.scale

    @property
    def _mass(self) -> float:
        low, high = self._cuts
        return 0.5 * (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2)))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        match self.family:
            case "constant":
                return np.full(shape, self.mean)
            case "uniform":
                return rng.uniform(*self.support, shape)
            case "normal":
                return self.mean + self.scale * rng.standard_normal(shape)
            case "truncated_normal":
                return self._rejected(rng, shape)

    def _rejected(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Draw from the normal where it mostly lies inside, else from the uniform under its density."""
        low, high = self._cuts
        z = np.full(shape, np.nan)
        while (missing := np.isnan(z)).any():
            count = int(missing.sum())
            if self._mass > 0.3:
                draw = rng.standard_normal(count)
                draw[(draw < low) | (draw > high)] = np.nan
            else:
                draw = rng.uniform(max(low, -_REACH), min(high, _REACH), count)
                peak = min(max(0.0, low), high)
                draw[np.log(rng.uniform(size=count)) > (peak**2 - draw**2) / 2] = np.nan
            z[missing] = draw
        return self.mean + self.scale * z


@lru_cache(maxsize=4096)
def _moment(law: Marginal, power: int) -> float:
    if law.family == "truncated_normal":
        low, high = (min(max(cut, -_REACH), _REACH) for cut in law._cuts)
        nodes, weights = _legendre()
        z = (high + low) / 2 + (high - low) / 2 * nodes
        density = weights * np.exp(-0.5 * z * z)
        return float(np.dot((law.mean + law.scale * z) ** power, density) / density.sum())
    about_mean: dict[Family, Callable[[int], float]] = {
        "normal": lambda k: float(math.prod(range(k - 1, 0, -2))),
        "uniform": lambda k: 1 / (k + 1),
        "constant": lambda k: float(k == 0),
    }
    return math.fsum(
        math.comb(power, k) * law.mean ** (power - k) * law.scale**k * about_mean[law.family](k)
        for k in range(0, power + 1, 2)
    )


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return np.asarray(nodes), np.asarray(weights)


@lru_cache(maxsize=1)
def _normal_table() -> tuple[Array, Array]:
    z = np.linspace(-8.5, 8.5, 34001)
    return z, np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])


def normal_cdf(z: Array) -> Array:
    """Return P(N(0, 1) <= z), from a table, with an absolute error below 1e-8.

    >>> round(float(normal_cdf(np.array(1.96))), 6)
    0.975002
    """
    nodes, values = _normal_table()
    return np.interp(z, nodes, values)
