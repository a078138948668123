"""A view of an array, told as operations on the array: transposed, reshaped, sliced or picked.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the vocabulary on one array; ``ids`` are read besides it, by ``take``."""

    op: str
    compute: Callable[..., Any]
    settings: dict[str, Any] = field(default_factory=dict)
    ids: Array | None = None


def owner(array: Array) -> Array:
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def same_layout(one: Array, other: Array) -> bool:
    """Tell whether two arrays are the same entries in the same order."""
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and address(one) == address(other)
        and (one.strides == other.strides or one.size <= 1)
    )


def address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def steps(root: Array, view: Array) -> list[Step] | None:
    """Return the operations that make this view of the root, None if there are none of these kinds."""
    if same_layout(root, view):
        return []
    if root.dtype != view.dtype or view.size == 0:
        return None
    return _transposed(root, view) or _reshaped(root, view) or _sliced(root, view) or _picked(root, view)


def reshape(shape: tuple[int, ...]) -> Step:
    return Step("reshape", lambda x: np.reshape(x, shape))


def transpose(axes: tuple[int, ...]) -> Step:
    return Step("transpose", lambda x: np.transpose(x, axes), {"axes": axes})


def take_flat(ids: Array) -> Step:
    """Pick entries of a one-dimensional array."""
    return Step("take", lambda x, ids: np.take(x, ids, axis=0), {"axis": 0}, ids)


def _transposed(root: Array, view: Array) -> list[Step] | None:
    if sorted(root.shape) != sorted(view.shape) or address(root) != address(view):
        return None
    axes: list[int] = []
    for size, stride in zip(view.shape, view.strides, strict=True):
        fitting = (
            axis
            for axis in range(root.ndim)
            if axis not in axes and root.shape[axis] == size and root.strides[axis] == stride
        )
        axis = next(fitting, None)
        if axis is None:
            return None
        axes.append(axis)
    return [transpose(tuple(axes))]


def _reshaped(root: Array, view: Array) -> list[Step] | None:
    if root.size != view.size or address(root) != address(view):
        return None
    if root.flags.c_contiguous and view.flags.c_contiguous:
        return [reshape(view.shape)]
    if root.flags.c_contiguous and view.flags.f_contiguous:
        return [reshape(view.shape[::-1]), transpose(tuple(reversed(range(view.ndim))))]
    return None


def _sliced(root: Array, view: Array) -> list[Step] | None:
    """Match the view's axes with the root's, in their order; what is not matched is one entry."""
    if any(stride <= 0 for stride in root.strides) or root.size == 0:
        return None
    offset, picks, axis = address(view) - address(root), [], 0
    for dim, stride in sorted(enumerate(root.strides), key=lambda item: -item[1]):
        start, offset = divmod(offset, stride)
        picks.append((dim, int(start)))
    if offset:
        return None
    starts = dict(picks)
    bounds = []
    for dim in range(root.ndim):
        size, step = 1, 1
        if axis < view.ndim and view.strides[axis] > 0 and view.strides[axis] % root.strides[dim] == 0:
            ahead, step = view.shape[axis], view.strides[axis] // root.strides[dim]
            if starts[dim] + (ahead - 1) * step < root.shape[dim]:
                size, axis = ahead, axis + 1
            else:
                step = 1
        bounds.append((starts[dim], starts[dim] + (size - 1) * step + 1, step))
    cut = sliced(tuple(bounds))
    found = cut.compute(root)
    if axis == view.ndim and found.size == view.size and same_layout(found.reshape(view.shape), view):
        return [cut] if found.shape == view.shape else [cut, reshape(view.shape)]
    return None


def sliced(bounds: tuple[tuple[int, int, int], ...]) -> Step:
    """Cut by (start, limit, stride) of each axis."""
    index = tuple(slice(*bound) for bound in bounds)
    starts, limits, strides = zip(*bounds, strict=True)
    settings = {"starts": starts, "limits": limits, "strides": strides}
    return Step("slice", lambda x: x[index], settings)


def positions(root: Array, view: Array) -> Array | None:
    """Return, for each entry of a view, where it is among the root's entries in C order."""
    item = root.itemsize
    if any(stride % item for stride in (*root.strides, *view.strides)) or root.size == 0:
        return None
    first = (address(view) - address(root)) // item
    offsets = np.full(view.shape, first, dtype=np.intp)
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        shape = [1] * view.ndim
        shape[axis] = size
        offsets = offsets + (np.arange(size) * (stride // item)).reshape(shape)
    order = sorted((d for d in range(root.ndim) if root.shape[d] > 1), key=lambda d: -root.strides[d])
    ids, counts = np.zeros_like(offsets), _counts(root.shape)
    for dim in order:
        step = root.strides[dim] // item
        if step <= 0:
            return None
        index, offsets = offsets // step, offsets % step
        if index.size and (index.min() < 0 or index.max() >= root.shape[dim]):
            return None
        ids = ids + index * counts[dim]
    return ids if not offsets.any() else None


def _counts(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]


def _picked(root: Array, view: Array) -> list[Step] | None:
    ids = positions(root, view)
    return None if ids is None else [reshape((root.size,)), take_flat(ids)]
