"""The shapes of weights, drawn.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import get_args

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from pytest_initcheck.initializers.layer_kinds import (
    conv,
    conv_transposed,
    dense,
    depthwise_conv,
    embedding,
    fused_qkv,
    grouped_conv,
    recurrent,
    tied,
)
from pytest_initcheck.initializers.layers import CELLS, Kind, Layer
from pytest_initcheck.strategies.arguments import check_known, check_range

_KINDS: tuple[Kind, ...] = get_args(Kind)
_KERNELS = ((3, 3), (1, 1), (3,), (5, 5), (7, 7), (3, 5))
_STRIDES = (1, 2, 3)
_GROUPS = (1, 2, 4, 8)


@st.composite
def layer_shapes(
    draw: DrawFn,
    *,
    kinds: tuple[Kind, ...] = _KINDS,
    min_width: int = 8,
    max_width: int = 256,
) -> Layer:
    """Return a strategy for the shapes of weights.

    * ``kinds`` are the kinds of layer, simplest first: dense, conv, grouped_conv, depthwise_conv,
      conv_transposed, embedding, fused (query, key and value), recurrent, tied.
    * ``min_width`` and ``max_width`` bound inputs and units, for convolutions the channels, for fused
      and recurrent weights those of one block.

    Shrinks to a square dense layer of ``min_width``.
    """
    check_known("kinds", kinds, _KINDS)
    check_range("min_width", min_width, "max_width", max_width, 1)
    kind = draw(st.sampled_from(kinds))
    event(f"layer: {kind}")
    inputs, units = (draw(st.integers(min_width, max_width)) for _ in range(2))
    match kind:
        case "dense":
            return dense(inputs, units)
        case "embedding":
            return embedding(inputs, units)
        case "tied":
            return tied(inputs, units)
        case "fused":
            return fused_qkv(units)
        case "recurrent":
            return recurrent(inputs, units, cell=draw(st.sampled_from(list(CELLS))))
    kernel = draw(st.sampled_from(_KERNELS))
    if kind == "conv":
        return conv(inputs, units, *kernel)
    # always drawn, and cut afterwards: Hypothesis calls the shortest example the simplest
    stride = min(draw(st.sampled_from(_STRIDES)), *kernel)
    if kind == "conv_transposed":
        return conv_transposed(inputs, units, *kernel, stride=stride)
    if kind == "depthwise_conv":
        return depthwise_conv(inputs, *kernel, stride=stride)
    groups = draw(st.sampled_from(_GROUPS))
    channels, outputs = (side - side % groups for side in (inputs, units))
    if min(channels, outputs) < min_width:
        groups, channels, outputs = 1, inputs, units
    return grouped_conv(channels, outputs, *kernel, groups=groups, stride=stride)
