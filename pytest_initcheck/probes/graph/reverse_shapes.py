"""Cotangents through views, reductions and products, for reverse mode. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph import reverse_windows
from pytest_initcheck.probes.graph.contraction import contracted, free_axes
from pytest_initcheck.probes.graph.reverse_elementwise import Seen

Array = NDArray[Any]
Gradients = Sequence[Array | None] | None


def _shape(seen: Seen) -> tuple[int, ...]:
    return seen.operands[0].shape


# -- views ---------------------------------------------------------------------------------------


def _transposed(seen: Seen, cotangent: Array) -> Gradients:
    return (cotangent.transpose(np.argsort(seen.node.settings["axes"])),)


def _broadcast(seen: Seen, cotangent: Array) -> Gradients:
    shape, places = _shape(seen), seen.node.settings["axes"]
    others = tuple(axis for axis in range(cotangent.ndim) if axis not in places)
    kept = cotangent.sum(others) if others else cotangent
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 != kept.shape[axis])
    return (kept.sum(repeated, keepdims=True) if repeated else kept,)


def _cut(seen: Seen, cotangent: Array) -> Gradients:
    settings = seen.node.settings
    gradient = np.zeros(_shape(seen))
    strides = settings.get("strides") or (1,) * gradient.ndim
    bounds = zip(settings["starts"], settings["limits"], strides, strict=True)
    gradient[tuple(slice(*bound) for bound in bounds)] = cotangent
    return (gradient,)


def _reversed(seen: Seen, cotangent: Array) -> Gradients:
    return (np.flip(cotangent, seen.node.settings["axes"]),)


def _taken(seen: Seen, cotangent: Array) -> Gradients:
    table, ids = seen.operands
    axis = seen.node.settings["axis"]
    gradient = np.zeros((table.shape[axis], *table.shape[:axis], *table.shape[axis + 1 :]))
    moved = np.moveaxis(
        cotangent.reshape((*table.shape[:axis], ids.size, *table.shape[axis + 1 :])), axis, 0
    )
    np.add.at(gradient, ids.reshape(-1), moved)
    return np.moveaxis(gradient, 0, axis), None


def _gathered(seen: Seen, cotangent: Array) -> Gradients:
    table, ids = seen.operands
    axis = seen.node.settings["axis"]
    gradient = np.zeros(table.size)
    places = np.take_along_axis(np.arange(table.size).reshape(table.shape), ids, axis)
    np.add.at(gradient, places.reshape(-1), cotangent.reshape(-1))
    return gradient.reshape(table.shape), None


def _concatenated(seen: Seen, cotangent: Array) -> Gradients:
    axis = seen.node.settings["axis"]
    ends = np.cumsum([operand.shape[axis] for operand in seen.operands])
    return np.split(cotangent, ends[:-1], axis)


def _padded(seen: Seen, cotangent: Array) -> Gradients:
    widths = seen.node.settings["padding"]
    inner = tuple(slice(low, low + size) for (low, _), size in zip(widths, _shape(seen), strict=True))
    return (cotangent[inner], *[None] * (len(seen.operands) - 1))


def _updated(seen: Seen, cotangent: Array) -> Gradients:
    ids = seen.node.settings["ids"]
    kept = cotangent.reshape(-1).copy()
    part = kept[ids]
    kept[ids] = 0.0
    value = seen.operands[1]
    extra = part.ndim - value.ndim
    repeated = tuple(a for a in range(extra, part.ndim) if value.shape[a - extra] == 1 != part.shape[a])
    total = part.sum((*range(extra), *repeated), keepdims=True)
    return kept.reshape(cotangent.shape), total.reshape(value.shape)


def _windows(seen: Seen, cotangent: Array) -> Gradients:
    settings = seen.node.settings
    gradient = np.zeros(_shape(seen))
    view = np.lib.stride_tricks.sliding_window_view(
        np.arange(gradient.size).reshape(gradient.shape), settings["sizes"], settings["axes"]
    )
    np.add.at(gradient.reshape(-1), view.reshape(-1), cotangent.reshape(-1))
    return (gradient,)


# -- reductions ----------------------------------------------------------------------------------


def _spread(seen: Seen, reduced: Array) -> Array:
    """Put the reduced axes back, with one entry each."""
    axes = seen.node.settings["axes"]
    return reduced.reshape([1 if axis in axes else size for axis, size in enumerate(_shape(seen))])


def _count(seen: Seen) -> int:
    return math.prod(_shape(seen)[axis] for axis in seen.node.settings["axes"])


def _sum(seen: Seen, cotangent: Array) -> Gradients:
    return (np.broadcast_to(_spread(seen, cotangent), _shape(seen)),)


def _mean(seen: Seen, cotangent: Array) -> Gradients:
    return (np.broadcast_to(_spread(seen, cotangent) / _count(seen), _shape(seen)),)


def _variance(seen: Seen, cotangent: Array) -> Gradients:
    x = seen.operands[0].astype(np.float64)
    centred = x - x.mean(tuple(seen.node.settings["axes"]), keepdims=True)
    return (_spread(seen, cotangent) * 2 * centred / _count(seen),)


def _extreme(seen: Seen, cotangent: Array) -> Gradients:
    hits = (seen.operands[0] == _spread(seen, seen.value)).astype(np.float64)
    total = hits.sum(tuple(seen.node.settings["axes"]), keepdims=True)
    return (_spread(seen, cotangent) * hits / np.maximum(total, 1),)


def _product(seen: Seen, cotangent: Array) -> Gradients:
    x = seen.operands[0].astype(np.float64)
    zeros = (x == 0).sum(tuple(seen.node.settings["axes"]), keepdims=True)
    filled = np.where(x == 0, 1.0, x).prod(tuple(seen.node.settings["axes"]), keepdims=True)
    others = np.where(x == 0, filled * (zeros == 1), np.where(zeros > 0, 0.0, filled / x))
    return (_spread(seen, cotangent) * others,)


def _cumulated(seen: Seen, cotangent: Array) -> Gradients:
    axis = seen.node.settings["axis"]
    return (np.flip(np.cumsum(np.flip(cotangent, axis), axis), axis),)


# -- products ------------------------------------------------------------------------------------


def _matmul(seen: Seen, cotangent: Array) -> Gradients:
    """The gradient of either operand is the cotangent contracted with the other one's free axes."""
    left, right = seen.operands
    contract, batch = seen.node.settings["contract"], seen.node.settings["batch"]
    ours = free_axes(left.ndim, contract[0], batch[0])
    theirs = free_axes(right.ndim, contract[1], batch[1])
    stacked = len(batch[0])
    leading = tuple(range(stacked))
    first = tuple(range(stacked, stacked + len(ours)))
    second = tuple(range(stacked + len(ours), cotangent.ndim))
    of_left = contracted(cotangent, right, (second, theirs), (leading, batch[1]))
    of_right = contracted(cotangent, left, (first, ours), (leading, batch[0]))
    # their axes are now: batch, free, contracted
    return (
        _in_order(of_left, (*batch[0], *ours, *_sorted_with(contract, 0))),
        _in_order(of_right, (*batch[1], *theirs, *_sorted_with(contract, 1))),
    )


def _sorted_with(contract: Any, side: int) -> tuple[int, ...]:
    """Return this side's contracted axes in the order that the other operand's have."""
    pairs = sorted(zip(contract[1 - side], contract[side], strict=True))
    return tuple(axis for _, axis in pairs)


def _in_order(gradient: Array, axes: tuple[int, ...]) -> Array:
    return gradient.transpose(np.argsort(axes))


RULES: Mapping[str, Callable[[Seen, Array], Gradients]] = {
    "reshape": lambda seen, cotangent: (cotangent.reshape(_shape(seen)),),
    "transpose": _transposed,
    "broadcast": _broadcast,
    "slice": _cut,
    "reverse": _reversed,
    "take": _taken,
    "concatenate": _concatenated,
    "pad": _padded,
    "update": _updated,
    "windows": _windows,
    "sum": _sum,
    "mean": _mean,
    "var": _variance,
    "max": _extreme,
    "min": _extreme,
    "prod": _product,
    "cumsum": _cumulated,
    "matmul": _matmul,
    "gather": _gathered,
    "conv": reverse_windows.convolution,
    **dict.fromkeys(("window_max", "window_min", "window_sum", "window_mean"), reverse_windows.pool),
}
"""The cotangents of what an operation reads, from that of its value."""
