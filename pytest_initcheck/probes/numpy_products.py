"""Matrix products, einsum and their like as contractions of the vocabulary. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_initcheck.probes.graph.contraction import contracted
from pytest_initcheck.probes.numpy_recording import emit, plain
from pytest_initcheck.probes.numpy_reductions import out_refused
from pytest_initcheck.probes.numpy_tape import Tape
from pytest_initcheck.probes.numpy_traced import Traced

Axes = tuple[tuple[int, ...], tuple[int, ...]]


def product(tape: Tape, left: Any, right: Any, contract: Axes, batch: Axes = ((), ())) -> Traced:
    """Record a contraction; the result has the batch axes, then the free ones of either."""

    def compute(a: Any, b: Any) -> Any:
        return contracted(a, b, contract, batch)

    return emit(tape, "matmul", compute, (left, right), contract=contract, batch=batch)


def _ndim(value: Any) -> int:
    return int(np.ndim(plain(value)))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(np.shape(plain(value)))


def matmul(tape: Tape, name: str, left: Any, right: Any) -> Any:
    """Record ``left @ right`` and the ufuncs that are like it."""
    if name == "vecdot":
        return np.sum(np.multiply(np.conj(left) if np.iscomplexobj(plain(left)) else left, right), -1)
    rows = name == "vecmat" or (name == "matmul" and _ndim(left) == 1)
    columns = name == "matvec" or (name == "matmul" and _ndim(right) == 1)
    if _ndim(left) == _ndim(right) == 1 and rows and columns:
        return product(tape, left, right, ((0,), (0,)))
    if name == "matmul" and rows:
        return _matrices(tape, np.reshape(left, (1, -1)), right)[..., 0, :]
    if name == "matmul" and columns and _ndim(left) >= 2:
        return product(tape, left, right, ((_ndim(left) - 1,), (0,)))
    if rows:
        return _matrices(tape, np.expand_dims(left, -2), right)[..., 0, :]
    if columns:
        return _matrices(tape, left, np.expand_dims(right, -1))[..., 0]
    return _matrices(tape, left, right)


def _matrices(tape: Tape, left: Any, right: Any) -> Any:
    if all(size == 1 for size in _shape(right)[:-2]) and _ndim(left) >= _ndim(right):
        flat = right if _ndim(right) == 2 else np.reshape(right, _shape(right)[-2:])
        return product(tape, left, flat, ((_ndim(left) - 1,), (0,)))
    stacked = np.broadcast_shapes(_shape(left)[:-2], _shape(right)[:-2])
    left = _stacked(tape, left, stacked)
    right = _stacked(tape, right, stacked)
    axes = tuple(range(len(stacked)))
    count = len(axes)
    return product(tape, left, right, ((count + 1,), (count,)), (axes, axes))


def _stacked(tape: Tape, value: Any, stacked: tuple[int, ...]) -> Any:
    shape = (*stacked, *_shape(value)[-2:])
    return value if _shape(value) == shape else broadcast(tape, value, shape)


def broadcast(tape: Tape, value: Any, shape: tuple[int, ...]) -> Traced:
    """Record a broadcast, the operand's axes being the last ones."""
    axes = tuple(range(len(shape) - _ndim(value), len(shape)))
    return emit(tape, "broadcast", lambda x: np.broadcast_to(x, shape), (value,), axes=axes)


def _dot(tape: Tape, a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        return np.matmul(a, b, out=out) if max(_ndim(a), _ndim(b)) <= 2 else _refused(tape)
    if _ndim(a) == 0 or _ndim(b) == 0:
        return np.multiply(a, b)
    second = 0 if _ndim(b) == 1 else _ndim(b) - 2
    return product(tape, a, b, ((_ndim(a) - 1,), (second,)))


def _refused(tape: Tape) -> Any:
    raise out_refused(tape)


def _inner(tape: Tape, a: Any, b: Any) -> Any:
    if _ndim(a) == 0 or _ndim(b) == 0:
        return np.multiply(a, b)
    return product(tape, a, b, ((_ndim(a) - 1,), (_ndim(b) - 1,)))


def _outer(tape: Tape, a: Any, b: Any, out: Any = None) -> Any:
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)), out=out)


def _vdot(tape: Tape, a: Any, b: Any) -> Any:
    return product(tape, np.reshape(a, -1), np.reshape(b, -1), ((0,), (0,)))


def _tensordot(tape: Tape, a: Any, b: Any, axes: Any = 2) -> Any:
    if isinstance(axes, (int, np.integer)):
        count = int(axes)
        pair = (range(_ndim(a) - count, _ndim(a)), range(count))
    else:
        pair = tuple([x] if isinstance(x, (int, np.integer)) else x for x in axes)  # type: ignore[assignment]
    left = tuple(int(axis) % _ndim(a) for axis in pair[0])
    right = tuple(int(axis) % _ndim(b) for axis in pair[1])
    return product(tape, a, b, (left, right))


def _multi_dot(tape: Tape, arrays: Sequence[Any], *, out: Any = None) -> Any:
    return functools.reduce(lambda a, b: np.dot(a, b), arrays)


# -- einsum --------------------------------------------------------------------------------------


def _einsum(tape: Tape, *operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Any:
    if out is not None:
        raise out_refused(tape)
    if not isinstance(operands[0], str):
        return NotImplemented
    inputs, result = _subscripts(operands[0], operands[1:])
    if inputs is None or any(len(set(labels)) < len(labels) for labels in inputs):
        return NotImplemented
    value, labels = operands[1], inputs[0]
    value, labels = _summed(value, labels, set(result).union(*inputs[1:]))
    for index, (other, its) in enumerate(zip(operands[2:], inputs[1:], strict=True), start=2):
        later = set(result).union(*inputs[index:])
        other, its = _summed(other, its, later | set(labels))
        value, labels = _pair(tape, value, labels, other, its, later)
    axes = tuple(labels.index(label) for label in result)
    return value if axes == tuple(range(len(axes))) else np.transpose(value, axes)


def _subscripts(text: str, operands: Sequence[Any]) -> tuple[Any, str]:
    """Return the labels of each operand and of the result, with an ellipsis spelled out."""
    text = text.replace(" ", "")
    left, arrow, result = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        return None, ""
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
    widths = [
        _ndim(value) - len(labels.replace("...", "")) if "..." in labels else 0
        for labels, value in zip(inputs, operands, strict=True)
    ]
    stacked = "".join(free[: max(widths)])
    inputs = [
        labels.replace("...", stacked[len(stacked) - width :])
        for labels, width in zip(inputs, widths, strict=True)
    ]
    if not arrow:
        counts = Counter(c for labels in inputs for c in labels)
        result = stacked + "".join(sorted(c for c in counts if counts[c] == 1 and c not in stacked))
    return inputs, result.replace("...", stacked)


def _summed(value: Any, labels: str, needed: set[str]) -> tuple[Any, str]:
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return value, labels
    return np.sum(value, axes), "".join(label for label in labels if label in needed)


def _pair(tape: Tape, left: Any, ours: str, right: Any, theirs: str, later: set[str]) -> tuple[Any, str]:
    shared = [label for label in ours if label in theirs]
    summed = [label for label in shared if label not in later]
    kept = [label for label in shared if label in later]
    unit = any(_shape(left)[ours.index(label)] != _shape(right)[theirs.index(label)] for label in shared)
    free = [c for c in ours if c not in shared], [c for c in theirs if c not in shared]
    if not summed or unit:
        labels = "".join([*kept, *free[0], *free[1], *summed])
        value = np.multiply(_aligned(left, ours, labels), _aligned(right, theirs, labels))
        if summed:
            value = np.sum(value, tuple(range(len(labels) - len(summed), len(labels))))
        return value, labels[: len(labels) - len(summed)]
    contract = tuple(ours.index(c) for c in summed), tuple(theirs.index(c) for c in summed)
    batch = tuple(ours.index(c) for c in kept), tuple(theirs.index(c) for c in kept)
    return product(tape, left, right, contract, batch), "".join([*kept, *free[0], *free[1]])


def _aligned(value: Any, labels: str, target: str) -> Any:
    """Put the axes in the target's order, with axes of one entry for what the value does not have."""
    axes = tuple(labels.index(label) for label in target if label in labels)
    if axes != tuple(range(len(axes))):
        value = np.transpose(value, axes)
    sizes = iter(_shape(value))
    shape = tuple(next(sizes) if label in labels else 1 for label in target)
    return value if shape == _shape(value) else np.reshape(value, shape)


def functions() -> dict[Any, Callable[..., Any]]:
    """Return, for each of NumPy's functions, how it is recorded."""
    return {
        np.dot: _dot,
        np.inner: _inner,
        np.outer: _outer,
        np.vdot: _vdot,
        np.tensordot: _tensordot,
        np.einsum: _einsum,
        np.linalg.multi_dot: _multi_dot,
    }
