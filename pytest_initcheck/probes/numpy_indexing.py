"""Reading and writing parts of a traced array: slices, ids, masks. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.numpy_recording import (
    emit,
    flat_take,
    is_traced,
    node_of,
    plain,
    put_at,
    stepped,
    wrapped,
    written,
)
from pytest_initcheck.probes.numpy_tape import Memory, Tape
from pytest_initcheck.probes.numpy_traced import Traced
from pytest_initcheck.probes.numpy_views import Step, reshape, same_layout, sliced

Array = NDArray[Any]


def read(array: Traced, key: Any) -> Any:
    """Record ``array[key]``."""
    items = key if isinstance(key, tuple) else (key,)
    mask = _mask(array, items)
    if mask is not None:
        return _select(array, mask)
    items = _whole_key(array, items)
    if all(_basic(item) for item in items):
        return _cut(array, items)
    picked = [item for item in items if not _basic(item)]
    others = all(item == slice(None) for item in items if _basic(item))
    if len(picked) == 1 and others and np.asarray(plain(picked[0])).dtype.kind in "iu":
        axis = next(index for index, item in enumerate(items) if not _basic(item))
        ids = picked[0] if is_traced(picked[0]) else np.asarray(picked[0])
        return emit(
            array._tape, "take", lambda x, ids: np.take(x, ids, axis=axis), (array, ids), axis=axis
        )
    if others:
        first = next(index for index, item in enumerate(items) if not _basic(item))
        together = all(not _basic(item) for item in items[first : first + len(picked)])
        if together and all(np.asarray(plain(item)).dtype.kind in "iu" for item in picked):
            return _picked_together(array, items, first, len(picked))
    return flat_take(array._tape, array, _positions(array, items))


def _picked_together(array: Traced, items: tuple[Any, ...], first: int, count: int) -> Any:
    """``x[:, i, j]`` picks entries of two axes, which are one for that: the others stay as they are."""
    shape = array.shape
    inner = shape[first : first + count]
    part = np.reshape(array, (*shape[:first], math.prod(inner), *shape[first + count :]))
    flat: Any = 0
    for item, size in zip(items[first : first + count], inner, strict=True):
        flat = flat * size + np.mod(item if is_traced(item) else np.asarray(item), size)
    return np.take(part, flat, axis=first)


def _positions(array: Traced, items: tuple[Any, ...]) -> Any:
    """Return the positions that a key picks, in C order; they depend on the ids that are traced."""
    shape, size = array.shape, array.size
    traced = [item for item in items if is_traced(item)]

    def compute(*values: Any) -> Any:
        given = iter(values)
        chosen = tuple(next(given) if is_traced(item) else item for item in items)
        return np.asarray(np.arange(size).reshape(shape)[chosen])

    if not traced:
        return compute()
    return emit(array._tape, "positions", compute, traced)


def _basic(item: Any) -> bool:
    number = isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_))
    return item is None or isinstance(item, slice) or (number and not is_traced(item))


def _whole_key(array: Traced, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Spell an ellipsis out, and the axes that a key leaves out."""
    taken = sum(1 if _basic(i) else _width(i) for i in items if i is not None and i is not Ellipsis)
    rest = (slice(None),) * (array.ndim - taken)
    for index, item in enumerate(items):
        if item is Ellipsis:
            return (*items[:index], *rest, *items[index + 1 :])
    return (*items, *rest)


def _width(item: Any) -> int:
    value = np.asarray(plain(item))
    return value.ndim if value.dtype == bool else 1


def _cut(array: Traced, items: tuple[Any, ...]) -> Traced:
    bounds, reverse, shape, axis = [], [], [], 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        size = array.shape[axis]
        if isinstance(item, slice):
            start, stop, step = item.indices(size)
            count = len(range(start, stop, step))
            if step < 0:
                start, step = start + (count - 1) * step, -step
                reverse.append(axis)
            bounds.append((start, max(start + (count - 1) * step + 1, start), step))
            shape.append(count)
        else:
            index = int(item)
            if not -size <= index < size:
                raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
            bounds.append((index % size, index % size + 1, 1))
        axis += 1
    path: list[Step] = []
    if any(bound != (0, size, 1) for bound, size in zip(bounds, array.shape, strict=True)):
        path.append(sliced(tuple(bounds)))
    if reverse:
        path.append(reversed_along(tuple(reverse)))
    cut = tuple(len(range(*bound)) for bound in bounds)
    if tuple(shape) != cut:
        path.append(reshape(tuple(shape)))
    return stepped(array._tape, array, *path) if path else alias(array)


def reversed_along(axes: tuple[int, ...]) -> Step:
    return Step("reverse", lambda x: np.flip(x, axes), {"axes": axes})


def alias(array: Traced) -> Traced:
    """Return another array object for the same memory."""
    return Traced(array._tape, array._array[...], array._tape.current(array), array._memory)


# -- masks ---------------------------------------------------------------------------------------


def _mask(array: Traced, items: tuple[Any, ...]) -> Any:
    """Return the mask of a key that is one, over leading axes; None of other keys."""
    if len(items) == 2 and items[1] is Ellipsis:
        items = items[:1]
    if len(items) != 1 or isinstance(items[0], (slice, int, type(None), type(Ellipsis))):
        return None
    mask = np.asarray(plain(items[0]))
    fits = mask.dtype == bool and 1 <= mask.ndim <= array.ndim
    return items[0] if fits and mask.shape == array.shape[: mask.ndim] else None


@dataclass(frozen=True, slots=True)
class Selection:
    """What a mask picked of an array, and what became of it elementwise: as of the whole array."""

    tape: Tape
    mask: Any
    operands: tuple[Any, ...]

    def mapped(self, function: Callable[[tuple[Any, ...]], Traced]) -> Traced:
        return selected(function(self.operands), self.mask)


def selection(operands: tuple[Any, ...]) -> Selection | None:
    """Return the operands as whole arrays, where one mask picked all that are not single numbers."""
    mask, whole, tape = None, [], None
    for operand in operands:
        if is_traced(operand) and operand._selected is not None:
            source, its = operand._selected
            if mask is not None and not _same(mask, its):
                return None
            mask, tape = its, operand._tape
            whole.append(source)
        elif np.ndim(plain(operand)) == 0:
            whole.append(operand)
        else:
            return None
    return None if mask is None or tape is None else Selection(tape, mask, tuple(whole))


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(np.array_equal(plain(one), plain(other)))


def _select(array: Traced, mask: Any) -> Traced:
    held = wrapped(array._tape, array._array.copy(), array._tape.current(array))
    return selected(held, mask)


def selected(whole: Traced, mask: Any) -> Traced:
    """Return what the mask picks of an array; it is recorded when something else is done with it."""
    picked = whole._array[plain(mask)]
    found = Traced(whole._tape, picked, -1, Memory(picked, -1))
    found._selected = (whole, mask)
    return found


def picked(array: Traced) -> int:
    """Record what a mask picked, by the positions of its entries."""
    assert array._selected is not None
    whole, mask = array._selected
    ids = np.arange(whole.size).reshape(whole.shape)[plain(mask)]
    return flat_take(whole._tape, whole, ids)._node


# -- writing -------------------------------------------------------------------------------------


def write(array: Traced, key: Any, value: Any) -> None:
    """Record ``array[key] = value``."""
    items = key if isinstance(key, tuple) else (key,)
    if is_traced(value) and value is not array and _is_view_just_written(array, items, value):
        return
    mask = _mask(array, items)
    if mask is not None and _write_masked(array, mask, value):
        return
    if mask is None and all(
        item is Ellipsis or (isinstance(item, slice) and item == slice(None)) for item in items
    ):
        overwrite(array, value)
        return
    tape, shape = array._tape, array.shape
    positions = _positions(array, items)
    ids = np.asarray(plain(positions))
    after = array._array.copy()
    after.reshape(-1)[ids] = plain(value)

    reads = [array._tape.current(array), node_of(tape, value, array.dtype)]
    if is_traced(positions):
        reads.append(positions._node)
    put = put_at(ids, shape)
    node = tape.record("update", put, tuple(reads), after, ids=ids, **_kept_axes(array, items))
    written(tape, array, node, after)


def _kept_axes(array: Traced, items: tuple[Any, ...]) -> dict[str, Any]:
    """Return which axes of the array the picked part has, where slices and numbers pick it."""
    if not all(_basic(item) or item is Ellipsis for item in items) or None in items:
        return {}
    whole = enumerate(_whole_key(array, items))
    return {"axes": tuple(axis for axis, item in whole if isinstance(item, slice))}


def _is_view_just_written(array: Traced, items: tuple[Any, ...], value: Traced) -> bool:
    """``h[:, 0] += 1`` writes the view, and then the view to where it already is."""
    if value._memory is not array._memory or any(is_traced(item) for item in items):
        return False
    target = array._array[items if len(items) > 1 else items[0]]
    return isinstance(target, np.ndarray) and same_layout(target, value._array)


def _write_masked(array: Traced, mask: Any, value: Any) -> bool:
    if is_traced(value) and value._selected is not None and _same(value._selected[1], mask):
        value = value._selected[0]
    elif np.ndim(plain(value)) != 0:
        return False
    condition = mask
    missing = array.ndim - np.ndim(plain(mask))
    if missing:
        condition = np.reshape(mask, (*np.shape(plain(mask)), *(1,) * missing))
    held = wrapped(array._tape, array._array, array._tape.current(array))
    overwrite(array, emit(array._tape, "where", np.where, (condition, value, held)))
    return True


def overwrite(target: Traced, value: Any) -> None:
    """Let an array hold another value of a shape that broadcasts to its own."""
    tape, shape, dtype = target._tape, target.shape, target.dtype
    found = value
    if np.shape(plain(found)) != shape:
        axes = tuple(range(len(shape) - np.ndim(plain(found)), len(shape)))
        found = emit(tape, "broadcast", lambda x: np.broadcast_to(x, shape), (found,), axes=axes)
    if not is_traced(found) or found.dtype != dtype:
        found = emit(tape, "cast", lambda x: np.asarray(x).astype(dtype), (found,))
    written(tape, target, tape.current(found), found._array)
