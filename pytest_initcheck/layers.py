"""The shape of a layer's weight: what feeds one output, what one input feeds, how it is stored.

Fans are counted where libraries only read them off a shape, which misleads for grouped, transposed
and fused weights (principles.md 6.1).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    """The shape of one weight, made by :func:`dense`, :func:`conv` and the other constructors.

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

        >>> dense(3, 2).laid_out("torch").shape
        (2, 3)
        """
        return self if self.layout is not None else replace(self, layout=_layout(layout))

    @property
    def text(self) -> str:
        """The canonical text: two layers that differ have different texts.

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


def _layout(layout: str | None) -> Layout | None:
    if layout is None:
        return None
    if layout not in _LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}{did_you_mean(str(layout), _LAYOUTS)}")
    return _LAYOUTS[layout]


def _sides(name: str, *sides: int) -> None:
    for side in sides:
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)):
            raise ConfigError(f"{name}: sides are whole numbers, got {side!r}")
    if any(side < 1 for side in sides):
        raise ConfigError(f"{name}: sides must be at least 1, got {sides}")


def _kernel(name: str, kernel: Sequence[int]) -> tuple[int, ...]:
    if not kernel:
        raise ConfigError(f"{name} needs the sides of its kernel, for example {name}(3, 16, 5, 5)")
    if len(kernel) > 3:
        raise ConfigError(f"{name}: kernels have 1 to 3 sides, got {tuple(kernel)}")
    _sides(name, *kernel)
    return tuple(kernel)


def dense(inputs: int, units: int, *, layout: str | None = None) -> Layer:
    """Return a dense layer; its weight has shape ``[inputs, units]``, in torch's layout the reverse.

    Raises ConfigError for a side below 1 or an unknown layout.

    >>> dense(784, 100).fan_in
    784
    """
    _sides("dense", inputs, units)
    return Layer("dense", inputs, units, layout=_layout(layout))


def conv(channels: int, units: int, *kernel: int, stride: int = 1, layout: str | None = None) -> Layer:
    """Return a convolution; its weight has shape ``[units, channels, *kernel]``.

    * ``stride`` is the same along each axis: one input then reaches fewer outputs.

    Raises ConfigError for a side below 1, without a kernel, or for an unknown layout.

    >>> conv(3, 16, 5, 5).fan_in, conv(3, 16, 5, 5).fan_out
    (75, 400)
    """
    kernel = _kernel("conv", kernel)
    _sides("conv", channels, units, stride)
    return Layer("conv", channels, units, kernel, stride=stride, layout=_layout(layout))


def grouped_conv(
    channels: int, units: int, *kernel: int, groups: int, stride: int = 1, layout: str | None = None
) -> Layer:
    """Return a grouped convolution; its weight has shape ``[units, channels / groups, *kernel]``.

    Raises ConfigError for a side below 1 or channels that the groups do not divide.

    >>> grouped_conv(32, 64, 3, 3, groups=4).fan_out, grouped_conv(32, 64, 3, 3, groups=4).fan_in
    (144, 72)
    """
    kernel = _kernel("grouped_conv", kernel)
    _sides("grouped_conv", channels, units, groups, stride)
    _divided("grouped_conv", groups, channels, units)
    return Layer("grouped_conv", channels, units, kernel, groups, stride, layout=_layout(layout))


def depthwise_conv(
    channels: int, *kernel: int, multiplier: int = 1, stride: int = 1, layout: str | None = None
) -> Layer:
    """Return a depthwise convolution, a group per channel, of shape ``[channels * multiplier, 1, *k]``.

    Raises ConfigError for a side below 1.

    >>> depthwise_conv(64, 3, 3).fan_in
    9
    """
    kernel = _kernel("depthwise_conv", kernel)
    _sides("depthwise_conv", channels, multiplier, stride)
    units = channels * multiplier
    return Layer("depthwise_conv", channels, units, kernel, channels, stride, layout=_layout(layout))


def conv_transposed(
    channels: int,
    units: int,
    *kernel: int,
    stride: int = 1,
    groups: int = 1,
    layout: str | None = None,
) -> Layer:
    """Return a transposed convolution; its weight has shape ``[channels, units / groups, *kernel]``.

    * ``stride`` s: each output is reached by 1 / s of the taps, per axis.

    Raises ConfigError for a side below 1, for groups that do not divide the channels, and for groups
    outside torch's layout.

    >>> conv_transposed(64, 32, 4, 4, stride=2).library_fans("torch")
    (512, 1024)
    """
    kernel = _kernel("conv_transposed", kernel)
    _sides("conv_transposed", channels, units, stride, groups)
    _divided("conv_transposed", groups, channels, units)
    if groups > 1 and _layout(layout) not in (None, "torch"):
        raise ConfigError("conv_transposed: groups are torch's; leave layout out, or groups at 1")
    chosen = "torch" if groups > 1 else _layout(layout)
    return Layer("conv_transposed", channels, units, kernel, groups, stride, layout=_layout(chosen))


def embedding(vocabulary: int, width: int) -> Layer:
    """Return a table of embeddings ``[vocabulary, width]``: a lookup reads one row, so fan_in is 1.

    Raises ConfigError for a side below 1.
    """
    _sides("embedding", vocabulary, width)
    return Layer("embedding", vocabulary, width)


def tied(vocabulary: int, width: int) -> Layer:
    """Return an embedding ``[vocabulary, width]`` that is the output head too.

    Its fans are the head's (width inputs); as an embedding it is then multiplied by sqrt(width)
    (Vaswani et al. 2017, section 3.4).

    Raises ConfigError for a side below 1.
    """
    _sides("tied", vocabulary, width)
    return Layer("tied", width, vocabulary)


def fused(inputs: int, units: int, *, blocks: int, layout: str | None = None) -> Layer:
    """Return ``blocks`` dense layers stored as one, ``[inputs, units]``; ``units`` counts all blocks.

    Raises ConfigError for a side below 1 or units that the blocks do not divide.

    >>> fused(64, 256, blocks=2).fan_out  # gate and up projection of a gated unit
    128
    """
    _sides("fused", inputs, units, blocks)
    if units % blocks:
        raise ConfigError(f"fused: {blocks} blocks do not divide {units} units; units counts all blocks")
    return Layer("fused", inputs, units, blocks=blocks, layout=_layout(layout))


def fused_qkv(width: int, *, inputs: int | None = None, layout: str | None = None) -> Layer:
    """Return the query, key and value projections of attention stored as one, 3 ``width`` units.

    >>> fused_qkv(64).library_fans("torch"), fused_qkv(64, layout="torch").library_fans("torch")
    ((192, 64), (64, 192))
    """
    _sides("fused_qkv", width)
    return fused(width if inputs is None else inputs, 3 * width, blocks=3, layout=layout)


def recurrent(inputs: int, units: int, *, cell: str = "lstm", layout: str | None = None) -> Layer:
    """Return the weight of a recurrent cell, a block per gate: lstm 4, gru 3, rnn 1.

    * ``units`` is the hidden size; the layer's own ``units`` counts all gates.

    Raises ConfigError for a side below 1 or an unknown cell.

    >>> recurrent(32, 64).units, recurrent(32, 64).fan_out
    (256, 64)
    """
    _sides("recurrent", inputs, units)
    if cell not in CELLS:
        raise ConfigError(f"unknown cell {cell!r}{did_you_mean(str(cell), CELLS)}")
    blocks = CELLS[cell]
    return Layer("recurrent", inputs, blocks * units, blocks=blocks, layout=_layout(layout))


def _divided(name: str, groups: int, channels: int, units: int) -> None:
    if channels % groups or units % groups:
        raise ConfigError(
            f"{name}: {groups} groups do not divide {channels} channels and {units} units; "
            "both must be multiples of groups"
        )
