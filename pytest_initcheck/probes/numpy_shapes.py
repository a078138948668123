"""NumPy's functions of shape as nodes: views, joins, parts, padding, windows. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_initcheck.probes.numpy_indexing import alias, reversed_along
from pytest_initcheck.probes.numpy_recording import emit, flat_take, is_traced, plain, stepped
from pytest_initcheck.probes.numpy_reductions import axes_of, out_refused
from pytest_initcheck.probes.numpy_tape import Tape
from pytest_initcheck.probes.numpy_views import positions, reshape, transpose


def _ndim(value: Any) -> int:
    return int(np.ndim(plain(value)))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(np.shape(plain(value)))


def _reshape(
    tape: Tape, a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None
) -> Any:
    wanted = shape if shape is not None else newshape
    wanted = tuple(int(n) for n in wanted) if isinstance(wanted, (tuple, list)) else (int(wanted),)
    wanted = np.empty(_shape(a), np.bool_).reshape(wanted).shape  # with the -1 worked out
    if order == "F":
        flipped = transposed(tape, a, tuple(reversed(range(_ndim(a)))))
        found = stepped(tape, flipped, reshape(wanted[::-1]))
        return transposed(tape, found, tuple(reversed(range(len(wanted)))))
    if wanted == _shape(a):
        return alias(a) if is_traced(a) else a
    found = stepped(tape, a, reshape(wanted))
    return np.copy(found) if copy else found


def transposed(tape: Tape, a: Any, axes: Sequence[int]) -> Any:
    order = tuple(int(axis) % max(_ndim(a), 1) for axis in axes)
    if order == tuple(range(len(order))):
        return alias(a) if is_traced(a) else a
    return stepped(tape, a, transpose(order))


def _transpose(tape: Tape, a: Any, axes: Any = None) -> Any:
    return transposed(tape, a, tuple(reversed(range(_ndim(a)))) if axes is None else axes)


def _swapaxes(tape: Tape, a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(_ndim(a)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transposed(tape, a, order)


def _moveaxis(tape: Tape, a: Any, source: Any, destination: Any) -> Any:
    labels = np.empty((1,) * _ndim(a))
    moved = np.moveaxis(np.broadcast_to(labels, tuple(range(2, 2 + _ndim(a)))), source, destination)
    return transposed(tape, a, [size - 2 for size in moved.shape])


def _rollaxis(tape: Tape, a: Any, axis: int, start: int = 0) -> Any:
    moved = np.rollaxis(np.broadcast_to(0, tuple(range(2, 2 + _ndim(a)))), axis, start)
    return transposed(tape, a, [size - 2 for size in moved.shape])


def _through_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    """Record a function that adds or drops axes of one entry."""

    def call(tape: Tape, a: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = function(np.empty(_shape(a), np.bool_), *args, **kwargs).shape
        return np.reshape(a, wanted)

    return call


def _at_least(function: Callable[..., Any]) -> Callable[..., Any]:
    single = _through_shape(function)

    def call(tape: Tape, *arrays: Any) -> Any:
        found = tuple(single(tape, a) for a in arrays)
        return found[0] if len(found) == 1 else found

    return call


def _broadcast_to(tape: Tape, array: Any, shape: Any, subok: bool = False) -> Any:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    axes = tuple(range(len(shape) - _ndim(array), len(shape)))
    return emit(tape, "broadcast", lambda x: np.broadcast_to(x, shape), (array,), axes=axes)


def _broadcast_arrays(tape: Tape, *args: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*map(_shape, args))
    return tuple(_broadcast_to(tape, a, shape) for a in args)


def _flip(tape: Tape, m: Any, axis: Any = None) -> Any:
    return stepped(tape, m, reversed_along(axes_of(axis, _ndim(m))))


def _copy(tape: Tape, a: Any, order: str = "K", subok: bool = False) -> Any:
    return emit(tape, "cast", np.copy, (a,))


# -- joins and parts -----------------------------------------------------------------------------


def _concatenate(
    tape: Tape,
    arrays: Sequence[Any],
    /,
    axis: Any = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    if out is not None:
        raise out_refused(tape)
    arrays = [arrays[index] for index in range(len(arrays))]
    if axis is None:
        arrays, axis = [np.reshape(a, -1) for a in arrays], 0
    at = axis % max(_ndim(arrays[0]), 1)

    def compute(*parts: Any) -> Any:
        return np.concatenate(parts, axis=at, dtype=dtype, casting=casting)  # type: ignore[call-overload]

    return emit(tape, "concatenate", compute, arrays, axis=at)


def _stack(
    tape: Tape,
    arrays: Sequence[Any],
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    expanded = [np.expand_dims(arrays[index], axis) for index in range(len(arrays))]
    return _concatenate(tape, expanded, axis, out, dtype=dtype, casting=casting)


def _vstack(tape: Tape, tup: Sequence[Any], **kwargs: Any) -> Any:
    return _concatenate(tape, [np.atleast_2d(a) for a in tup], 0, **kwargs)


def _hstack(tape: Tape, tup: Sequence[Any], **kwargs: Any) -> Any:
    parts = [np.atleast_1d(a) for a in tup]
    return _concatenate(tape, parts, 0 if _ndim(parts[0]) == 1 else 1, **kwargs)


def _dstack(tape: Tape, tup: Sequence[Any]) -> Any:
    return _concatenate(tape, [np.atleast_3d(a) for a in tup], 2)


def _column_stack(tape: Tape, tup: Sequence[Any]) -> Any:
    return _concatenate(tape, [np.reshape(a, (-1, 1)) if _ndim(a) < 2 else a for a in tup], 1)


def _append(tape: Tape, arr: Any, values: Any, axis: Any = None) -> Any:
    return _concatenate(tape, [arr, values], axis)


def _split(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(tape: Tape, ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        at = {np.hsplit: min(1, _ndim(ary) - 1), np.vsplit: 0, np.dsplit: 2}.get(function, axis)
        count = _shape(ary)[at]
        whole = np.split if function not in (np.array_split,) else np.array_split
        parts = whole(np.arange(count), indices_or_sections)
        ends = np.cumsum([len(part) for part in parts])
        key = [slice(None)] * _ndim(ary)
        found = []
        for part, end in zip(parts, ends, strict=True):
            key[at] = slice(int(end) - len(part), int(end))
            found.append(ary[tuple(key)])
        return found

    return call


def _picked_along(positions_of: Callable[..., Any]) -> Callable[..., Any]:
    """Record a function that takes entries along one axis, or along none of the flattened array."""

    def call(tape: Tape, a: Any, *args: Any, axis: Any = None, **kwargs: Any) -> Any:
        if axis is None and len(args) > 1:
            *args, axis = args  # type: ignore[assignment]
        if axis is None:
            ids = positions_of(np.arange(math.prod(_shape(a))).reshape(_shape(a)), *args, **kwargs)
            return flat_take(tape, a, ids)
        axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
        if isinstance(axis, tuple):
            return NotImplemented
        ids = positions_of(np.arange(_shape(a)[axis]), *args, **kwargs)
        return np.take(a, ids, axis=axis)

    return call


def _tile(tape: Tape, A: Any, reps: Any) -> Any:
    return flat_take(tape, A, np.tile(np.arange(math.prod(_shape(A))).reshape(_shape(A)), reps))


def _take(
    tape: Tape, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise"
) -> Any:
    if out is not None:
        raise out_refused(tape)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    at = int(axis) % max(_ndim(a), 1)
    ids = indices if is_traced(indices) else np.asarray(indices)

    def compute(x: Any, ids: Any) -> Any:
        return np.take(x, ids, axis=at, mode=mode)  # type: ignore[call-overload]

    return emit(tape, "take", compute, (a, ids), axis=at)


def _take_along_axis(tape: Tape, arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = np.reshape(arr, -1), 0
    at = int(axis) % _ndim(arr)

    def compute(x: Any, ids: Any) -> Any:
        return np.take_along_axis(x, ids, at)

    return emit(tape, "gather", compute, (arr, indices), axis=at)


def _sort(tape: Tape, a: Any, axis: Any = -1, **options: Any) -> Any:
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    return _take_along_axis(tape, a, np.argsort(plain(a), axis=axis), axis)


def _pad(tape: Tape, array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    widths = np.broadcast_to(_widths(pad_width, _ndim(array)), (_ndim(array), 2))
    pairs = tuple((int(low), int(high)) for low, high in widths)
    if mode == "constant":
        value = plain(kwargs.get("constant_values", 0))
        single = float(value) if np.ndim(value) == 0 else None

        def compute(x: Any) -> Any:
            return np.pad(x, pairs, constant_values=value)

        return emit(tape, "pad", compute, (array,), padding=pairs, fill=single)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        return NotImplemented
    for axis, pair in enumerate(pairs):
        if pair != (0, 0):
            ids = np.pad(np.arange(_shape(array)[axis]), pair, mode=mode, **kwargs)
            array = np.take(array, ids, axis=axis)
    return array


def _widths(given: Any, ndim: int) -> Any:
    if isinstance(given, dict):
        return [given.get(axis, given.get(axis - ndim, (0, 0))) for axis in range(ndim)]
    return given


def _triangle(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(tape: Tape, m: Any, k: int = 0) -> Any:
        keep = function(np.ones(_shape(m)[-2:], bool), k)
        return np.where(keep, m, np.zeros((), m.dtype))

    return call


def _windows(
    tape: Tape,
    x: Any,
    window_shape: Any,
    axis: Any = None,
    *,
    subok: bool = False,
    writeable: bool = False,
) -> Any:
    sizes = (window_shape,) if isinstance(window_shape, int) else tuple(map(int, window_shape))
    axes = axes_of(axis, _ndim(x))

    def compute(a: Any) -> Any:
        return np.lib.stride_tricks.sliding_window_view(a, sizes, axes)

    return emit(tape, "windows", compute, (x,), axes=axes, sizes=sizes)


def _as_strided(
    tape: Tape,
    x: Any,
    shape: Any = None,
    strides: Any = None,
    subok: bool = False,
    writeable: bool = True,
) -> Any:
    value = plain(x)
    view = np.lib.stride_tricks.as_strided(value, shape, strides, writeable=False)
    ids = positions(value, view)
    if ids is None:
        return NotImplemented
    if value.ndim < 2 or view.shape[:1] != value.shape[:1] or view.strides[0] != value.strides[0]:
        return flat_take(tape, x, ids)
    # the first axis is kept, of samples most likely: the same entries are picked in each
    each = np.reshape(x, (len(value), -1))
    return np.take(each, ids[0], axis=1)


def functions() -> dict[Any, Callable[..., Any]]:
    """Return, for each of NumPy's functions, how it is recorded."""
    return {
        np.reshape: _reshape,
        np.ravel: lambda tape, a, order="C": _reshape(tape, a, (-1,), order),
        np.transpose: _transpose,
        np.matrix_transpose: lambda tape, x: _swapaxes(tape, x, -1, -2),
        np.swapaxes: _swapaxes,
        np.moveaxis: _moveaxis,
        np.rollaxis: _rollaxis,
        np.squeeze: _through_shape(np.squeeze),
        np.expand_dims: _through_shape(np.expand_dims),
        np.atleast_1d: _at_least(np.atleast_1d),
        np.atleast_2d: _at_least(np.atleast_2d),
        np.atleast_3d: _at_least(np.atleast_3d),
        np.broadcast_to: _broadcast_to,
        np.broadcast_arrays: _broadcast_arrays,
        np.flip: _flip,
        np.fliplr: lambda tape, m: _flip(tape, m, 1),
        np.flipud: lambda tape, m: _flip(tape, m, 0),
        np.copy: _copy,
        np.concatenate: _concatenate,
        np.stack: _stack,
        np.vstack: _vstack,
        np.hstack: _hstack,
        np.dstack: _dstack,
        np.column_stack: _column_stack,
        np.append: _append,
        np.split: _split(np.split),
        np.array_split: _split(np.array_split),
        np.hsplit: _split(np.hsplit),
        np.vsplit: _split(np.vsplit),
        np.dsplit: _split(np.dsplit),
        np.roll: _picked_along(np.roll),
        np.repeat: _picked_along(np.repeat),
        np.tile: _tile,
        np.take: _take,
        np.take_along_axis: _take_along_axis,
        np.sort: _sort,
        np.pad: _pad,
        np.tril: _triangle(np.tril),
        np.triu: _triangle(np.triu),
        np.lib.stride_tricks.sliding_window_view: _windows,
        np.lib.stride_tricks.as_strided: _as_strided,
    }
