"""TensorFlow's operations in the vocabulary of graphs. PYTEST_DONT_REWRITE

A translation reads the operation and says what each of its results is: the word, the tensors that it
reads with the place of each among the operation's inputs, and the settings.  What takes two words for
one operation gets a tensor of its own between them, made in the same TensorFlow graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True, slots=True)
class Read:
    """A tensor that is read: the ``at``-th input of the operation called ``by``."""

    tensor: Any
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Word:
    """What a tensor is; ``alias`` without a word: it is the first tensor that it reads."""

    op: str
    reads: tuple[Read, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


ALIAS = ""
Translation = Callable[[Any, int], tuple[Word, dict[str, Word]]]
"""(operation, which of its results) -> the word, and those of tensors between, by name."""

_SAME_NAME = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), "add"),
    **dict.fromkeys(("RealDiv", "Div", "DivNoNan"), "div"),
    **dict.fromkeys(("Mul", "MulNoNan"), "mul"),
    **dict.fromkeys(("Inv", "Reciprocal"), "reciprocal"),
    **dict.fromkeys(("Select", "SelectV2"), "where"),
    **dict.fromkeys(("Round", "Rint"), "round"),
    "Sub": "sub",
    "Neg": "neg",
    "Abs": "abs",
    "Sign": "sign",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "ClipByValue": "clip",
    "Square": "square",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Pow": "power",
    "Exp": "exp",
    "Expm1": "expm1",
    "Log": "log",
    "Log1p": "log1p",
    "Tanh": "tanh",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Sigmoid": "sigmoid",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfinv": "erf_inv",
    "Sin": "sin",
    "Cos": "cos",
    "Floor": "floor",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "Less": "lt",
    "LessEqual": "le",
    "Equal": "eq",
    "NotEqual": "ne",
    "LogicalAnd": "and",
    "LogicalOr": "or",
    "LogicalNot": "not",
    "StopGradient": "stop_gradient",
    "Cast": "cast",
    "Relu": "relu",
    "Relu6": "relu6",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
}
_ALIASES = frozenset(
    {
        "Identity",
        "IdentityN",
        "PreventGradient",
        "Snapshot",
        "CheckNumerics",
        "EnsureShape",
        "Placeholder",
    }
) | {"PlaceholderWithDefault"}
_REDUCTIONS = {
    "Sum": "sum",
    "Mean": "mean",
    "Max": "max",
    "Min": "min",
    "Prod": "prod",
    "Any": "any",
    "All": "all",
}
_WINDOWS = {
    **dict.fromkeys(("MaxPool", "MaxPool3D"), "window_max"),
    **dict.fromkeys(("AvgPool", "AvgPool3D"), "window_mean"),
}
OPAQUE = frozenset({"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}) | {
    *("PartitionedCall", "StatefulPartitionedCall", "PyFunc", "EagerPyFunc", "XlaCallModule")
}


def constant_of(tensor: Any) -> np.ndarray[Any, Any]:
    """Return the value of a tensor that depends on no input: a shape, axes.

    Raises ValueError for one that does.
    """
    value = tf.get_static_value(tensor)
    if value is None:
        raise ValueError(f"{tensor.name} is not known before the model runs")
    return np.asarray(value)


def shape_of(tensor: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.shape)


def translated(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    """Return what a result of an operation is; an operation without a translation keeps its name."""
    kind = operation.type
    if kind in _SAME_NAME:
        return _word(operation, _SAME_NAME[kind])
    if kind in _ALIASES:
        return _word(operation, ALIAS, [which if kind == "IdentityN" else 0])
    if kind in _REDUCTIONS:
        return _reduced(operation, _REDUCTIONS[kind])
    if kind in _WINDOWS:
        return _windowed(operation, _WINDOWS[kind])
    translation = _TRANSLATIONS.get(kind)
    if translation is not None:
        return translation(operation, which)
    return _word(operation, kind.lower())


def _word(
    operation: Any, op: str, places: Sequence[int] | None = None, **settings: Any
) -> tuple[Word, dict[str, Word]]:
    return Word(op, _reads(operation, places), settings), {}


def _reads(operation: Any, places: Sequence[int] | None = None) -> tuple[Read, ...]:
    chosen = range(len(operation.inputs)) if places is None else places
    return tuple(Read(operation.inputs[at], operation.name, at) for at in chosen)


def _between(make: Callable[..., Any], *arguments: Any) -> Any:
    """Make a tensor in the graph at hand; nothing of the model reads it."""
    with tf.control_dependencies(None):
        return make(*arguments)


# -- reductions, windows, views -------------------------------------------------------------------


def _reduced(operation: Any, op: str) -> tuple[Word, dict[str, Word]]:
    dimensions = len(operation.inputs[0].shape)
    axes = tuple(int(k) % max(dimensions, 1) for k in constant_of(operation.inputs[1]).reshape(-1))
    return _word(operation, op, [0], axes=axes, keepdims=bool(operation.get_attr("keep_dims")))


def _windowed(operation: Any, op: str) -> tuple[Word, dict[str, Word]]:
    size, strides = (tuple(map(int, operation.get_attr(name))) for name in ("ksize", "strides"))
    before = shape_of(operation.inputs[0])
    ones = (1,) * len(before)
    padding = _padding(operation, before, size, strides, ones)
    return _word(operation, op, [0], size=size, strides=strides, padding=padding)


def _padding(
    operation: Any,
    sizes: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Return what is padded before and behind each axis ("SAME" pads the odd one behind)."""
    if operation.get_attr("padding") != b"SAME":
        return ((0, 0),) * len(sizes)
    found = []
    for size, count, stride, dilation in zip(sizes, taps, strides, dilations, strict=True):
        reach = (count - 1) * dilation + 1
        whole = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        found.append((whole // 2, whole - whole // 2))
    return tuple(found)


def _reshaped(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    return _word(operation, "reshape", [0])


def _transposed(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    axes = tuple(int(k) for k in constant_of(operation.inputs[1]))
    return _word(operation, "transpose", [0], axes=axes)


def _broadcast(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    before, after = len(operation.inputs[0].shape), len(operation.outputs[0].shape)
    return _word(operation, "broadcast", [0], axes=tuple(range(after - before, after)))


def _taken(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    if operation.get_attr("batch_dims"):
        return _word(operation, "gather", [0, 1])
    axis = int(constant_of(operation.inputs[2]))
    return _word(operation, "take", [0, 1], axis=axis % len(operation.inputs[0].shape))


def _concatenated(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    parts = len(operation.inputs) - 1
    axis = int(constant_of(operation.inputs[parts])) % len(operation.outputs[0].shape)
    return _word(operation, "concatenate", range(parts), axis=axis)


def _packed(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    axis = int(operation.get_attr("axis")) % len(operation.outputs[0].shape)
    rows = {}
    reads = []
    for read in _reads(operation):
        row = _between(tf.expand_dims, read.tensor, axis)
        rows[row.name] = Word("reshape", (read,))
        reads.append(Read(row, operation.name, read.at))
    return Word("concatenate", tuple(reads), {"axis": axis}), rows


def _padded(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    pairs = tuple((int(a), int(b)) for a, b in constant_of(operation.inputs[1]))
    return _word(operation, "pad", [0], padding=pairs)


def _cut(operation: Any, at: int, starts: Sequence[int], limits: Sequence[int]) -> Word:
    ones = (1,) * len(starts)
    settings = {"starts": tuple(starts), "limits": tuple(limits), "strides": ones}
    return Word("slice", _reads(operation, [at]), settings)


def _sliced(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    starts = [int(n) for n in constant_of(operation.inputs[1])]
    limits = [a + n for a, n in zip(starts, shape_of(operation.outputs[0]), strict=True)]
    return _cut(operation, 0, starts, limits), {}


def _split(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    at = 1 if operation.type == "Split" else 0
    axis = int(constant_of(operation.inputs[0 if operation.type == "Split" else 2]))
    shape = shape_of(operation.inputs[at])
    axis %= len(shape)
    before = sum(shape_of(each)[axis] for each in operation.outputs[:which])
    starts, limits = [0] * len(shape), list(shape)
    starts[axis] = before
    limits[axis] = before + shape_of(operation.outputs[which])[axis]
    return _cut(operation, at, starts, limits), {}


def _unpacked(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    shape = shape_of(operation.inputs[0])
    axis = int(operation.get_attr("axis")) % len(shape)
    starts, limits = [0] * len(shape), list(shape)
    starts[axis], limits[axis] = which, which + 1
    sizes = [b - a for a, b in zip(starts, limits, strict=True)]
    row = _between(tf.slice, operation.inputs[0], starts, sizes)
    rows = {row.name: _cut(operation, 0, starts, limits)}
    return Word("reshape", (Read(row, operation.name, 0),)), rows


def _strided(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    """A slice by Python's brackets: cut first, then without the axes that an index takes."""
    source = operation.inputs[0]
    shape = shape_of(source)
    begin, end, step = (constant_of(each).reshape(-1) for each in operation.inputs[1:4])
    mask = {
        name: int(operation.get_attr(f"{name}_mask"))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    spans: list[slice] = []
    for k in range(len(begin)):
        bit = 1 << k
        if mask["ellipsis"] & bit:
            later = [j for j in range(k + 1, len(begin)) if not mask["new_axis"] & (1 << j)]
            spans += [slice(None)] * (len(shape) - len(spans) - len(later))
        elif mask["new_axis"] & bit:
            continue
        elif mask["shrink_axis"] & bit:
            start = int(begin[k]) % shape[len(spans)]
            spans.append(slice(start, start + 1))
        else:
            first = None if mask["begin"] & bit else int(begin[k])
            last = None if mask["end"] & bit else int(end[k])
            spans.append(slice(first, last, int(step[k])))
    spans += [slice(None)] * (len(shape) - len(spans))
    bounds = [span.indices(size) for span, size in zip(spans, shape, strict=True)]
    settings = dict(zip(("starts", "limits", "strides"), zip(*bounds, strict=True), strict=True))
    cut = Word("slice", _reads(operation, [0]), settings)
    if len(shape_of(operation.outputs[0])) == len(shape) and not mask["new_axis"]:
        return cut, {}
    kept = _between(source.__getitem__, tuple(spans))
    return Word("reshape", (Read(kept, operation.name, 0),)), {kept.name: cut}


# -- elementwise ----------------------------------------------------------------------------------


def _squared_difference(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    left, right = operation.inputs
    apart = _between(tf.subtract, left, right)
    return Word("square", (Read(apart, operation.name, 0),)), {
        apart.name: Word("sub", _reads(operation))
    }


def _leaky(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    return _word(operation, "leaky_relu", slope=float(operation.get_attr("alpha")))


def _summed(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    parts = _reads(operation)
    words: dict[str, Word] = {}
    total = parts[0]
    for part in parts[1:-1]:
        name = _between(tf.add, total.tensor, part.tensor)
        words[name.name] = Word("add", (total, part))
        total = Read(name, operation.name, part.at)
    return Word("add", (total, parts[-1])), words


def _softmax(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    return _word(operation, "softmax" if operation.type == "Softmax" else "log_softmax", axis=-1)


def _batch_norm(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    last = operation.get_attr("data_format") in (b"NHWC", b"NDHWC")
    dimensions = len(operation.inputs[0].shape)
    units = dimensions - 1 if last else 1
    axes = tuple(k for k in range(dimensions) if k != units)
    return _word(operation, "batch_norm", [0, 1, 2], axes=axes)


# -- products -------------------------------------------------------------------------------------


def _product(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    flags = ("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y")
    turned = [bool(operation.get_attr(flag)) for flag in flags]
    left, right = (len(each.shape) for each in operation.inputs)
    contract = (
        (left - 2 if turned[0] else left - 1,),
        (right - 1 if turned[1] else right - 2,),
    )
    along = min(left, right) - 2
    # a side without batch axes is one matrix for all
    batch = tuple(tuple(range(n - 2 - along, n - 2)) for n in (left, right))
    return _word(operation, "matmul", contract=contract, batch=batch)


def _einsum(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    equation = operation.get_attr("equation").decode()
    terms, result = equation.replace(" ", "").split("->")
    parts = terms.split(",")
    if len(parts) != 2 or "." in equation:
        return _word(operation, "einsum", equation=equation)
    left, right = parts
    batch = [a for a in left if a in right and a in result]
    contract = [a for a in left if a in right and a not in result]
    free = [a for a in left if a not in right] + [a for a in right if a not in left]
    if any(a not in result for a in free):
        return _word(operation, "einsum", equation=equation)
    settings: dict[str, Any] = {
        "contract": tuple(tuple(part.index(a) for a in contract) for part in parts),
        "batch": tuple(tuple(part.index(a) for a in batch) for part in parts),
    }
    order = "".join([*batch, *free])
    if order == result:
        return Word("matmul", _reads(operation), settings), {}
    natural = _between(tf.einsum, f"{terms}->{order}", *operation.inputs)
    words = {natural.name: Word("matmul", _reads(operation), settings)}
    axes = tuple(order.index(a) for a in result)
    return Word("transpose", (Read(natural, operation.name, 0),), {"axes": axes}), words


def _convolution(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    image, kernel = operation.inputs[:2]
    grid = _Grid.of(operation, len(image.shape))
    taps = shape_of(kernel)[: len(grid.space)]
    groups = shape_of(image)[grid.units] // shape_of(kernel)[-2]
    settings = grid.settings(operation, shape_of(image), taps, groups)
    return _word(operation, "conv", [0, 1], **settings)


def _depthwise(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    image, kernel = operation.inputs
    grid = _Grid.of(operation, len(image.shape))
    height, width, channels, times = shape_of(kernel)
    flat = _between(tf.reshape, kernel, (height, width, 1, channels * times))
    words = {flat.name: Word("reshape", _reads(operation, [1]))}
    settings = grid.settings(operation, shape_of(image), (height, width), channels)
    reads = (*_reads(operation, [0]), Read(flat, operation.name, 1))
    return Word("conv", reads, settings), words


def _transposed_convolution(operation: Any, which: int) -> tuple[Word, dict[str, Word]]:
    """The gradient of a convolution: its image is spread out by the strides, its kernel turned."""
    kernel, image = operation.inputs[1:3]
    grid = _Grid.of(operation, len(image.shape))
    taps = shape_of(kernel)[: len(grid.space)]
    after = shape_of(operation.outputs[0])
    settings = grid.settings(operation, after, taps, 1)
    out, inputs, *space = settings["kernel"]
    padding = tuple(
        (count - 1 - low, count - 1 - high)
        for count, (low, high) in zip(taps, settings["padding"], strict=True)
    )
    settings |= {
        "kernel": (inputs, out, *space),
        "padding": padding,
        "image_dilation": settings["strides"],
        "strides": (1,) * len(space),
    }
    return _word(operation, "conv", [2, 1], **settings)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the units and the space of an image are."""

    units: int
    space: tuple[int, ...]

    @classmethod
    def of(cls, operation: Any, dimensions: int) -> _Grid:
        last = operation.get_attr("data_format") in (b"NHWC", b"NDHWC")
        units = dimensions - 1 if last else 1
        return cls(units, tuple(k for k in range(1, dimensions) if k != units))

    def settings(
        self, operation: Any, image: Sequence[int], taps: Sequence[int], groups: int
    ) -> dict[str, Any]:
        def along(name: str) -> tuple[int, ...]:
            values = operation.get_attr(name)
            return tuple(int(values[k]) for k in self.space)

        strides, dilations = along("strides"), along("dilations")
        sizes = [image[k] for k in self.space]
        padding = _padding(operation, sizes, taps, strides, dilations)
        if operation.get_attr("padding") == b"EXPLICIT":
            flat = operation.get_attr("explicit_paddings")
            padding = tuple((int(flat[2 * k]), int(flat[2 * k + 1])) for k in self.space)
        places = (0, self.units, *self.space)
        axes = len(self.space)
        return {
            "image": places,
            "kernel": (axes + 1, axes, *range(axes)),
            "result": places,
            "strides": strides,
            "padding": padding,
            "image_dilation": (1,) * axes,
            "kernel_dilation": dilations,
            "groups": groups,
        }


_TRANSLATIONS: Mapping[str, Translation] = {
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), _reshaped),
    "Transpose": _transposed,
    "BroadcastTo": _broadcast,
    "GatherV2": _taken,
    "ConcatV2": _concatenated,
    "Pack": _packed,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    "Slice": _sliced,
    **dict.fromkeys(("Split", "SplitV"), _split),
    "Unpack": _unpacked,
    "StridedSlice": _strided,
    "SquaredDifference": _squared_difference,
    "LeakyRelu": _leaky,
    "AddN": _summed,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _product),
    "Einsum": _einsum,
    **dict.fromkeys(("Conv2D", "Conv3D"), _convolution),
    "DepthwiseConv2dNative": _depthwise,
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution),
}
