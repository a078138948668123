"""The shape of a layer's weight: what feeds one output, what one input feeds, how it is stored.

Fans are counted where libraries only read them off a shape, which misleads for grouped, transposed
and fused weights (principles.md 6.1).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError, did_you_mean

Kind = Literal[
    "dense",
    "conv",
    "grouped_conv",
    "depthwise_conv",
    "conv_transposed",
    "embedding",
    "fused",
    "recurrent",
    "tied",
]
Layout = Literal["numpy", "torch", "keras"]
Library = Literal["torch", "keras", "jax"]

CELLS = {"rnn": 1, "gru": 3, "lstm": 4}
"""Gates, that is blocks of the weight, per recurrent cell."""
_LAYOUTS: Mapping[str, Layout] = {
    "numpy": "numpy",
    "jax": "numpy",
    "flax": "numpy",
    "torch": "torch",
    "keras": "keras",
}
_CONVOLUTIONS = ("conv", "grouped_conv", "depthwise_conv", "conv_transposed")


@dataclass(frozen=True, slots=True)
class Layer:
    """The shape of one weight, made by the constructors of :mod:`.layer_kinds`.

    * ``inputs`` and ``units`` are features, channels, or the rows and columns of an embedding.
    * ``layout`` None leaves it to who asks: dense ``[in, out]``, convolutions ``[out, in, *kernel]``;
      ``ic.check_initializer`` then takes torch's for torch functions and numpy's for the others.

    ==================  ==========================  ======================  =====================
    kind                torch                       numpy (jax)             keras
    ==================  ==========================  ======================  =====================
    dense, fused        [out, in]                   [in, out]               [in, out]
    recurrent           [gates * out, in]           [in, gates * out]       [in, gates * out]
    conv, grouped       [out, in / groups, *k]      [*k, in / groups, out]  [*k, in / groups, out]
    depthwise           [in * multiplier, 1, *k]    [*k, 1, out]            [*k, in, multiplier]
    transposed          [in, out / groups, *k]      [*k, in, out]           [*k, out, in]
    embedding, tied     [vocabulary, width]         the same                the same
    ==================  ==========================  ======================  =====================
    """

    kind: Kind
    inputs: int
    units: int
    kernel: tuple[int, ...] = ()
    groups: int = 1
    stride: int = 1
    blocks: int = 1
    layout: Layout | None = None

    @property
    def positions(self) -> int:
        """How many taps the kernel has."""
        return int(math.prod(self.kernel))

    @property
    def _skipped(self) -> int:
        return int(self.stride ** len(self.kernel))

    @property
    def fan_in(self) -> float:
        """How many weights reach one output, on average over positions (principles.md 6.1).

        >>> from pytest_initcheck.initializers.layer_kinds import conv_transposed
        >>> conv_transposed(64, 32, 4, 4, stride=2).fan_in
        256
        """
        if self.kind == "embedding":
            return 1
        fan = self.inputs // self.groups * self.positions
        return _whole(fan / self._skipped) if self.kind == "conv_transposed" else fan

    @property
    def fan_out(self) -> float:
        """How many outputs one input reaches, in one block of a fused weight (principles.md 6.1).

        >>> from pytest_initcheck.initializers.layer_kinds import depthwise_conv
        >>> depthwise_conv(64, 3, 3).fan_out
        9
        """
        fan = self.units // self.groups // self.blocks * self.positions
        return fan if self.kind == "conv_transposed" else _whole(fan / self._skipped)

    @property
    def fan_avg(self) -> float:
        return (self.fan_in + self.fan_out) / 2

    @property
    def per_unit(self) -> int:
        """How many entries of the weight belong to one unit."""
        return self.count // self.units

    @property
    def count(self) -> int:
        """How many weights the layer has."""
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._stored[1]

    @property
    def _stored(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The finest split of the stored array, its shape, and the axes that bring units first."""
        shape: tuple[int, ...]
        k, taps = self.kernel, len(self.kernel)
        per_group = self.inputs // self.groups
        torch = self.layout == "torch" or (self.layout is None and self.kind in _CONVOLUTIONS)
        if self.kind in ("embedding", "tied"):
            lookup = self.kind == "embedding"
            shape = (self.inputs, self.units) if lookup else (self.units, self.inputs)
            return shape, shape, (1, 0) if lookup else (0, 1)
        if not k:
            shape = (self.units, self.inputs) if torch else (self.inputs, self.units)
            return shape, shape, (0, 1) if torch else (1, 0)
        kernel_first = tuple(range(taps))
        if self.kind == "conv_transposed":
            if torch:
                each = self.units // self.groups
                split = (self.groups, per_group, each, *k)
                return split, (self.inputs, each, *k), (0, 2, 1, *range(3, 3 + taps))
            if self.layout == "keras":
                shape = (*k, self.units, self.inputs)
                return shape, shape, (taps, taps + 1, *kernel_first)
        if torch:
            shape = (self.units, per_group, *k)
            return shape, shape, tuple(range(2 + taps))
        if self.layout == "keras" and self.kind == "depthwise_conv":
            shape = (*k, self.inputs, self.units // self.inputs)
            return shape, shape, (taps, taps + 1, *kernel_first)
        shape = (*k, per_group, self.units)
        return shape, shape, (taps + 1, taps, *kernel_first)

    def rows(self, weight: Array) -> Array:
        """Return the weight as a matrix ``[units, per_unit]``: what feeds each unit.

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> dense(3, 2).rows(np.arange(6.0).reshape(3, 2))
        array([[0., 2., 4.],
               [1., 3., 5.]])
        """
        split, _, axes = self._stored
        return weight.reshape(split).transpose(axes).reshape(self.units, -1)

    def from_rows(self, rows: Array) -> Array:
        """Return the weight in its layout from a matrix ``[units, per_unit]``."""
        split, shape, axes = self._stored
        moved = rows.reshape([split[axis] for axis in axes])
        return moved.transpose(np.argsort(axes)).reshape(shape)

    def library_fans(self, library: Library) -> tuple[float, float]:
        """Return the (fan_in, fan_out) that a library computes from the shape alone.

        torch.nn.init._calculate_fan_in_and_fan_out (torch 2.13), keras
        initializers.random_initializers.compute_fans (keras 3.15), jax.nn.initializers (jax 0.10).

        >>> from pytest_initcheck.initializers.layer_kinds import depthwise_conv
        >>> depthwise_conv(64, 3, 3).library_fans("torch")
        (9, 576)
        """
        shape = self.shape
        if library == "torch":
            field = math.prod(shape[2:])
            return shape[1] * field, shape[0] * field
        field = math.prod(shape[:-2])
        return shape[-2] * field, shape[-1] * field

    def laid_out(self, layout: str) -> Layer:
        """Return the layer with this layout, unless it has one already.

        >>> from pytest_initcheck.initializers.layer_kinds import dense
        >>> dense(3, 2).laid_out("torch").shape
        (2, 3)
        """
        return self if self.layout is not None else replace(self, layout=checked_layout(layout))

    @property
    def text(self) -> str:
        """The canonical text: two layers that differ have different texts.

        >>> from pytest_initcheck.initializers.layer_kinds import grouped_conv
        >>> grouped_conv(32, 64, 3, 3, groups=4, stride=2).text
        'grouped_conv(64x8x3x3, groups=4, stride=2)'
        """
        parts = ["x".join(str(side) for side in self.shape)]
        parts += [f"groups={self.groups}"] if self.groups > 1 else []
        parts += [f"stride={self.stride}"] if self.stride > 1 else []
        parts += [f"blocks={self.blocks}"] if self.kind == "fused" else []
        parts += [cell for cell, gates in CELLS.items() if gates == self.blocks][
            : self.kind == "recurrent"
        ]
        parts += [self.layout] if self.layout else []
        return f"{self.kind}({', '.join(parts)})"


def _whole(fan: float) -> float:
    return int(fan) if fan == int(fan) else fan


def checked_layout(layout: str | None) -> Layout | None:
    """Return the layout of this name, jax and flax being numpy; None stays None.

    Raises ConfigError for an unknown name.
    """
    if layout is None:
        return None
    if layout not in _LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}{did_you_mean(str(layout), _LAYOUTS)}")
    return _LAYOUTS[layout]
