"""The shape of a layer's weight, and a scheme that fills it: its variance and a draw from it.

Both are small frozen values.  The named schemes are in :mod:`pytest_initcheck.initializers`.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError

Kind = Literal["dense", "conv"]
Draw = Literal["normal", "uniform", "truncated_normal", "orthogonal", "constant"]
Mode = Literal["fan_in", "fan_out", "fan_avg", "long_side", "absolute"]

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of N(0, 1) truncated at +-2."""
_CUT = 2.0


@dataclass(frozen=True, slots=True)
class Layer:
    """The shape of one weight: dense ``[in, out]`` or convolution ``[out, in, *kernel]``.

    Made by :func:`dense` and :func:`conv`; ``units`` is the number of outputs or output channels.
    """

    kind: Kind
    fan_in: int
    fan_out: int
    units: int
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many weights the layer has."""
        return math.prod(self.shape)

    @property
    def text(self) -> str:
        return f"{self.kind}({'x'.join(str(side) for side in self.shape)})"


def _sides(name: str, *sides: int) -> None:
    if any(side < 1 for side in sides):
        raise ConfigError(f"{name}: sides must be at least 1, got {sides}")


def dense(inputs: int, units: int) -> Layer:
    """Return a dense layer; its weight has shape ``[inputs, units]``.

    Raises ConfigError for a side below 1.

    >>> dense(784, 100).fan_in
    784
    """
    _sides("dense", inputs, units)
    return Layer("dense", inputs, units, units, (inputs, units))


def conv(channels: int, units: int, *kernel: int) -> Layer:
    """Return a convolution; its weight has shape ``[units, channels, *kernel]``.

    Raises ConfigError for a side below 1 or without a kernel.

    >>> conv(3, 16, 5, 5).fan_in, conv(3, 16, 5, 5).fan_out
    (75, 400)
    """
    if not kernel:
        raise ConfigError("conv needs the sides of its kernel, for example conv(3, 16, 5, 5)")
    _sides("conv", channels, units, *kernel)
    field = math.prod(kernel)
    return Layer("conv", channels * field, units * field, units, (units, channels, *kernel))


@dataclass(frozen=True, slots=True)
class Scheme:
    """One initialisation scheme: Var w = gain^2 / fan, with the fan that ``mode`` chooses.

    * ``mode`` "long_side" is torch's and keras' orthogonal, orthonormal along the longer side;
      "absolute" means a fixed standard deviation (or constant) ``gain``.
    * ``bias_bound``: biases are U(-b, b) with b = bias_bound / sqrt(fan_in); 0 means zero biases.
    """

    name: str
    draw: Draw
    gain: float = 1.0
    mode: Mode = "fan_in"
    bias_bound: float = 0.0

    @property
    def text(self) -> str:
        return self.name

    def variance(self, fan_in: int, fan_out: int, *, units: int | None = None) -> float:
        """Return E[w^2] for these fans.

        * ``units`` is the number of rows of the weight as a matrix, ``fan_out`` unless given.

        >>> Scheme("lecun_normal", "normal").variance(256, 512)
        0.00390625
        """
        fans: dict[Mode, float] = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "long_side": max(fan_in, fan_out if units is None else units),
            "absolute": 1,
        }
        return self.gain**2 / fans[self.mode]

    def layer_variance(self, layer: Layer) -> float:
        """Return E[w^2] for this layer.

        >>> Scheme("lecun_normal", "normal").layer_variance(conv(16, 8, 4, 4))
        0.00390625
        """
        return self.variance(layer.fan_in, layer.fan_out, units=layer.units)

    @property
    def kurtosis(self) -> float:
        """E[w^4] / E[w^2]^2; for orthogonal weights the limit of large sides."""
        kurtoses: dict[Draw, float] = {
            "normal": 3.0,
            "uniform": 9 / 5,
            "truncated_normal": _truncated_kurtosis(),
            "orthogonal": 3.0,
            "constant": 1.0,
        }
        return kurtoses[self.draw]

    def relative_error(self, count: int) -> float:
        """Return the standard deviation of the mean of w^2 over ``count`` weights, relative to E[w^2].

        Orthogonal weights have a fixed sum of squares, constant ones too.

        >>> round(Scheme("lecun_normal", "normal").relative_error(256 * 256), 4)
        0.0055
        """
        if self.draw in ("orthogonal", "constant"):
            return 0.0
        return math.sqrt((self.kurtosis - 1) / count)

    def sample(self, rng: np.random.Generator, layer: Layer) -> Array:
        """Return a weight of the layer's shape, drawn from ``rng``, in float64.

        >>> Scheme("lecun_normal", "normal").sample(np.random.default_rng(0), conv(3, 8, 3, 3)).shape
        (8, 3, 3, 3)
        """
        std = math.sqrt(self.layer_variance(layer))
        match self.draw:
            case "normal":
                return std * rng.standard_normal(layer.shape)
            case "uniform":
                return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, layer.shape)
            case "truncated_normal":
                return std / TRUNCATED_STD * _truncated_normal(rng, layer.shape)
            case "constant":
                return np.full(layer.shape, self.gain)
            case "orthogonal":
                rows = _orthonormal(rng, layer.units, layer.fan_in)
                rows = rows * std * math.sqrt(max(rows.shape))
                return rows.T if layer.kind == "dense" else rows.reshape(layer.shape)

    def sample_bias(self, rng: np.random.Generator, layer: Layer) -> Array:
        """Return a bias of ``layer.units`` entries, drawn from ``rng``, in float64."""
        bound = self.bias_bound / math.sqrt(layer.fan_in)
        return rng.uniform(-bound, bound, layer.units) if bound else np.zeros(layer.units)


def _truncated_kurtosis() -> float:
    """E z^4 / (E z^2)^2 of N(0, 1) truncated at +-2, by parts from its density at the cut."""
    inside = math.erf(_CUT / math.sqrt(2))
    edge = 2 * _CUT * math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi) / inside
    second = 1 - edge
    return (3 * second - _CUT**2 * edge) / second**2


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    draw = rng.standard_normal(shape)
    while (outside := np.abs(draw) > _CUT).any():
        draw[outside] = rng.standard_normal(int(outside.sum()))
    return draw


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """A Haar-distributed matrix with orthonormal rows or columns, whichever are the fewer."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # without it QR's sign convention biases the draw
    return np.asarray(q if rows >= columns else q.T)
