"""The kinds of layer whose weights are initialised, each by its constructor.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers.layers import CELLS, Layer, checked_layout


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
    return Layer("dense", inputs, units, layout=checked_layout(layout))


def conv(channels: int, units: int, *kernel: int, stride: int = 1, layout: str | None = None) -> Layer:
    """Return a convolution; its weight has shape ``[units, channels, *kernel]``.

    * ``stride`` is the same along each axis: one input then reaches fewer outputs.

    Raises ConfigError for a side below 1, without a kernel, or for an unknown layout.

    >>> conv(3, 16, 5, 5).fan_in, conv(3, 16, 5, 5).fan_out
    (75, 400)
    """
    kernel = _kernel("conv", kernel)
    _sides("conv", channels, units, stride)
    return Layer("conv", channels, units, kernel, stride=stride, layout=checked_layout(layout))


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
    return Layer("grouped_conv", channels, units, kernel, groups, stride, layout=checked_layout(layout))


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
    return Layer(
        "depthwise_conv", channels, units, kernel, channels, stride, layout=checked_layout(layout)
    )


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
    if groups > 1 and checked_layout(layout) not in (None, "torch"):
        raise ConfigError("conv_transposed: groups are torch's; leave layout out, or groups at 1")
    chosen = "torch" if groups > 1 else checked_layout(layout)
    return Layer(
        "conv_transposed", channels, units, kernel, groups, stride, layout=checked_layout(chosen)
    )


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
    return Layer("fused", inputs, units, blocks=blocks, layout=checked_layout(layout))


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
    return Layer("recurrent", inputs, blocks * units, blocks=blocks, layout=checked_layout(layout))


def _divided(name: str, groups: int, channels: int, units: int) -> None:
    if channels % groups or units % groups:
        raise ConfigError(
            f"{name}: {groups} groups do not divide {channels} channels and {units} units; "
            "both must be multiples of groups"
        )
