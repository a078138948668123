"""A scheme that fills a layer's weight: its exact moments there, and a draw from it.

Schemes are small frozen values; the named ones are in :mod:`pytest_initcheck.initializers.textbook` and
:mod:`pytest_initcheck.initializers.library_schemes`.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.layers import Layer, Library
from pytest_initcheck.initializers.marginals import Family, Marginal
from pytest_initcheck.initializers.orthonormal import orthonormal

Draw = Literal[
    "normal",
    "uniform",
    "truncated_normal",
    "bounded_normal",
    "orthogonal",
    "delta_orthogonal",
    "constant",
    "identity",
    "dirac",
    "sparse",
]
Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg", "fan_in_squared", "long_side", "absolute"]

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of N(0, 1) truncated at +-2."""
_CUT = 2.0
_FIXED = ("orthogonal", "delta_orthogonal", "constant", "identity", "dirac")
"""Draws whose sum of squares is always the same."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """One initialisation scheme: mean^2 + gain^2 / fan is E[w^2], with the fan that ``mode`` chooses.

    * ``mode`` "long_side" is orthogonal's: fan_in where there are no more units than inputs to one of
      them, fan_out elsewhere; "absolute" means a fixed standard deviation (or constant) ``gain``.
    * ``library`` takes the fans that this library reads off the shape instead of the true ones.
    * ``bounds`` cut a "bounded_normal", whose ``gain`` is its standard deviation before the cut.
    * ``sparsity`` is the share of zeros of "sparse", ``groups`` are those of "dirac".
    * ``bias_bound``: biases are U(-b, b) with b = bias_bound / sqrt(fan_in); 0 means zero biases.
    """

    name: str
    draw: Draw
    gain: float = 1.0
    mode: Mode = "fan_in"
    bias_bound: float = 0.0
    library: Library | None = None
    mean: float = 0.0
    bounds: tuple[float, float] | None = None
    sparsity: float = 0.0
    groups: int = 1

    @property
    def text(self) -> str:
        return self.name

    @property
    def deterministic(self) -> bool:
        """Whether every draw is the same."""
        return self.draw in ("constant", "identity", "dirac") or self.gain == 0

    def variance(self, fan_in: float, fan_out: float, *, units: int | None = None) -> float:
        """Return E[w^2] for these fans, for schemes that depend on fans alone.

        * ``units`` is the number of rows of the weight as a matrix, ``fan_out`` unless given.

        >>> Scheme("lecun_normal", "normal").variance(256, 512)
        0.00390625
        """
        if self.draw == "bounded_normal":
            return self._marginal(self.gain).moment(2)
        return self.mean**2 + self._gain_over_fan(fan_in, fan_out, units)

    def _gain_over_fan(self, fan_in: float, fan_out: float, units: float | None = None) -> float:
        fans: dict[Mode, float] = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
            "fan_in_squared": fan_in**2,
            "long_side": fan_in if (fan_out if units is None else units) <= fan_in else fan_out,
            "absolute": 1,
        }
        return self.gain**2 / fans[self.mode]

    def misfit(self, layer: Layer) -> str | None:
        """Return why the scheme cannot fill this layer, or None if it can."""
        sides = len(layer.shape)
        if self.library and sides != 2 and self.draw in ("identity", "sparse"):
            return f"{self.name} takes a matrix, not {sides} axes"
        if self.draw == "dirac" and (sides < 3 or layer.shape[0] % self.groups):
            return f"{self.name} takes a kernel of 1 to 3 axes whose first side its groups divide"
        delta = self.library and self.draw == "delta_orthogonal"
        if delta and (sides < 3 or layer.shape[-2] > layer.shape[-1]):
            return f"{self.name} takes a kernel [*k, in, out] with no more inputs than outputs"
        return None

    # -- moments ---------------------------------------------------------------------------------

    def std(self, layer: Layer) -> float:
        """Return gain / sqrt(fan): the standard deviation before any cut, mean or sparsity."""
        if self.library:
            return math.sqrt(self._gain_over_fan(*layer.library_fans(self.library)))
        return math.sqrt(self._gain_over_fan(layer.fan_in, layer.fan_out))

    def marginal(self, layer: Layer) -> Marginal:
        """Return the distribution of one entry that is drawn, that is, not held at zero.

        For orthogonal draws, whose entries depend on each other, it is the normal of their variance.
        """
        if self.draw in ("orthogonal", "delta_orthogonal"):
            return Marginal("normal", 0.0, math.sqrt(self.layer_variance(layer)))
        return self._marginal(self.std(layer))

    def _marginal(self, std: float) -> Marginal:
        if self.draw in ("constant", "identity", "dirac"):
            return Marginal("constant", self.gain)
        if std == 0:
            return Marginal("constant", self.mean)
        if self.draw == "truncated_normal":
            wide = std / TRUNCATED_STD
            low, high = self.mean - _CUT * wide, self.mean + _CUT * wide
            return Marginal("truncated_normal", self.mean, wide, low, high)
        if self.draw == "bounded_normal" and self.bounds is not None:
            return Marginal("truncated_normal", self.mean, std, *self.bounds)
        family: Family = "uniform" if self.draw == "uniform" else "normal"
        return Marginal(family, self.mean, math.sqrt(3) * std if family == "uniform" else std)

    def density(self, layer: Layer) -> float:
        """Return the share of entries that are drawn; the others are zero."""
        shape = layer.shape
        if self.draw == "sparse":
            return 1 - math.ceil(self.sparsity * shape[0]) / shape[0]
        if self.draw == "identity":
            rows, columns = self._matrix(layer)
            return min(rows, columns) * self._copies(layer) / layer.count
        if self.draw == "dirac":
            return self.groups * min(shape[0] // self.groups, shape[1]) / layer.count
        return 1.0

    def layer_variance(self, layer: Layer) -> float:
        """Return E[w^2] for this layer, exactly.

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> Scheme("lecun_normal", "normal").layer_variance(dense(256, 8))
        0.00390625
        """
        rows, columns = self._matrix(layer)
        if self.draw == "orthogonal" and self.library:
            return self.gain**2 / max(rows, columns)
        if self.draw == "orthogonal":
            return self.gain**2 / (layer.fan_in if rows <= columns else layer.fan_out)
        if self.draw == "delta_orthogonal":
            return self.gain**2 * min(rows, columns) / (rows * columns * self._taps(layer))
        return self.density(layer) * self.marginal(layer).moment(2)

    def layer_mean(self, layer: Layer) -> float:
        """Return E[w] for this layer."""
        if self.draw in ("orthogonal", "delta_orthogonal"):
            return 0.0
        return self.density(layer) * self.marginal(layer).moment(1)

    def layer_kurtosis(self, layer: Layer) -> float:
        """Return E[w^4] / E[w^2]^2 for this layer, exactly (1 where all weights are zero).

        An orthogonal draw has E[w^4] = 3 / (n (n + 2)), n its longer side: the fourth moment of a
        coordinate on the sphere (principles.md 6.3).

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> Scheme("orthogonal", "orthogonal", mode="long_side").layer_kurtosis(dense(8, 4))
        2.4
        """
        if self.draw in ("orthogonal", "delta_orthogonal"):
            n = max(self._matrix(layer))
            taps = self._taps(layer) if self.draw == "delta_orthogonal" else 1
            return taps * 3 * n / (n + 2)
        share = self.density(layer)
        return self.marginal(layer).kurtosis / share if share else 1.0

    def layer_error(self, layer: Layer) -> float:
        """Return the standard deviation of the mean of w^2 over this layer, relative to E[w^2].

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> round(Scheme("lecun_normal", "normal").layer_error(dense(256, 256)), 4)
        0.0055
        """
        if self.draw in _FIXED:
            return 0.0
        # a sparse draw holds a fixed number of entries at zero: only the others vary
        drawn = max(self.density(layer) * layer.count, 1)
        return math.sqrt(max(self.marginal(layer).kurtosis - 1, 0.0) / drawn)

    @property
    def kurtosis(self) -> float:
        """E[w^4] / E[w^2]^2 of the drawn entries; for orthogonal weights the limit of large sides."""
        if self.draw in ("orthogonal", "delta_orthogonal", "sparse"):
            return 3.0
        return self._marginal(self.gain or 1.0).kurtosis

    def relative_error(self, count: int) -> float:
        """Return the standard deviation of the mean of w^2 over ``count`` drawn weights, relatively.

        Orthogonal weights have a fixed sum of squares, constant ones too.

        >>> round(Scheme("lecun_normal", "normal").relative_error(256 * 256), 4)
        0.0055
        """
        return 0.0 if self.draw in _FIXED else math.sqrt(max(self.kurtosis - 1, 0.0) / count)

    # -- draws -----------------------------------------------------------------------------------

    def _matrix(self, layer: Layer) -> tuple[int, int]:
        """The sides of the matrix that an orthogonal or identity draw fills."""
        shape = layer.shape
        if self.draw == "delta_orthogonal" and self.library:
            return shape[-2], shape[-1]
        if self.library == "torch":
            return shape[0], layer.count // shape[0]
        if self.library:
            return layer.count // shape[-1], shape[-1]
        rows = layer.units // self._copies(layer)
        if self.draw == "orthogonal":
            return rows, layer.per_unit
        return rows, layer.per_unit // layer.positions

    def _taps(self, layer: Layer) -> int:
        return math.prod(layer.shape[:-2]) if self.library else layer.positions

    def _copies(self, layer: Layer) -> int:
        """How many matrices one weight holds: groups or blocks, which only textbook draws heed."""
        return 1 if self.library else layer.groups * layer.blocks

    def sample(self, rng: np.random.Generator, layer: Layer) -> Array:
        """Return a weight of the layer's shape, drawn from ``rng``, in float64.

        Raises ConfigError for a layer that the scheme cannot fill.

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> Scheme("lecun_normal", "normal").sample(np.random.default_rng(0), dense(3, 8)).shape
        (3, 8)
        """
        if reason := self.misfit(layer):
            raise ConfigError(f"{reason}; {layer.text} has shape {layer.shape}")
        match self.draw:
            case "orthogonal" | "delta_orthogonal" | "identity":
                return self._matrices(rng, layer)
            case "dirac":
                return self._dirac(layer)
            case "sparse":
                return self._sparse(rng, layer)
            case _:
                return self.marginal(layer).sample(rng, layer.shape)

    def _matrices(self, rng: np.random.Generator, layer: Layer) -> Array:
        rows, columns = self._matrix(layer)
        if self.draw == "identity":
            one = np.eye(rows, columns)[None].repeat(self._copies(layer), 0) * self.gain
        else:
            one = np.stack([orthonormal(rng, rows, columns) for _ in range(self._copies(layer))])
        if self.draw == "orthogonal":
            one = one * math.sqrt(self.layer_variance(layer) * max(rows, columns))
            return one.reshape(layer.shape) if self.library else layer.from_rows(one)
        if self.draw == "delta_orthogonal":
            one = one * self.gain
        if self.library and self.draw == "identity":
            return one.reshape(layer.shape)
        if self.library:
            weight = np.zeros(layer.shape)
            weight[tuple((side - 1) // 2 for side in layer.shape[:-2])] = one[0]
            return weight
        taps = np.zeros((layer.units, columns, layer.positions))
        middle = tuple(side // 2 for side in layer.kernel)
        centre = np.ravel_multi_index(middle, layer.kernel) if middle else 0
        taps[:, :, centre] = one.reshape(layer.units, columns)
        return layer.from_rows(taps)

    def _dirac(self, layer: Layer) -> Array:
        weight = np.zeros(layer.shape)
        each = layer.shape[0] // self.groups
        centre = tuple(side // 2 for side in layer.shape[2:])
        for group in range(self.groups):
            for channel in range(min(each, layer.shape[1])):
                weight[(group * each + channel, channel, *centre)] = self.gain
        return weight

    def _sparse(self, rng: np.random.Generator, layer: Layer) -> Array:
        weight = self.marginal(layer).sample(rng, layer.shape)
        zeros = math.ceil(self.sparsity * layer.shape[0])
        ranks = rng.random(layer.shape).argsort(axis=0).argsort(axis=0)
        weight[ranks < zeros] = 0.0
        return weight

    def sample_bias(self, rng: np.random.Generator, layer: Layer) -> Array:
        """Return a bias of ``layer.units`` entries, drawn from ``rng``, in float64."""
        bound = self.bias_bound / math.sqrt(layer.fan_in)
        return rng.uniform(-bound, bound, layer.units) if bound else np.zeros(layer.units)
