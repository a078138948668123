"""Operands of recorded operations: traced arrays, parameters known by identity, constants.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.numpy_tape import Compute, Memory, Tape
from pytest_initcheck.probes.numpy_traced import Traced
from pytest_initcheck.probes.numpy_views import Step, owner, positions, same_layout, steps, take_flat
from pytest_initcheck.probes.numpy_views import reshape as reshaping

Array = NDArray[Any]


def is_traced(value: Any) -> bool:
    return type(value) is Traced


def plain(value: Any) -> Any:
    """Return the value behind a traced array, everything else as it is; containers are entered."""
    if type(value) is Traced:
        return value._array
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    return value


def node_of(tape: Tape, value: Any, weak: Any = None) -> int:
    """Return the node of an operand; ``weak`` is the type that a plain number takes on."""
    if type(value) is Traced:
        return tape.current(value)
    if isinstance(value, np.ndarray):
        return _plain_array(tape, value)
    if isinstance(value, (bool, int, float, complex)):
        return tape.leaf("constant", value, dtype=_weak(value, weak))
    return tape.leaf("constant", np.asarray(value))


def _weak(value: Any, dtype: Any) -> Any:
    if dtype is None or isinstance(value, bool):
        return None
    return np.result_type(dtype, value)


def _plain_array(tape: Tape, array: Array) -> int:
    found = tape.known.get(id(array))
    if found is not None:
        return found[1]
    if array.base is not None:
        block = owner(array)
        for known, node in tape.known.values():
            if owner(known) is block and np.may_share_memory(known, array):
                derived = along(tape, node, known, steps(known, array))
                if derived is not None:
                    return derived
    return tape.leaf("constant", array)


def along(tape: Tape, node: int, value: Array, path: list[Step] | None) -> int | None:
    """Record these steps from a node; None without steps."""
    if path is None:
        return None
    for step in path:
        if step.ids is None:
            value = np.asarray(step.compute(value))
            node = tape.record(step.op, step.compute, (node,), value, **step.settings)
        else:
            ids = tape.leaf("constant", step.ids)
            value = np.asarray(step.compute(value, step.ids))
            node = tape.record(step.op, step.compute, (node, ids), value, **step.settings)
    return node


def current(traced: Traced) -> int:
    """Return the node that a traced array holds now: its memory may have been written to."""
    memory = traced._memory
    if traced._version != memory.version:
        node = along(traced._tape, memory.node, memory.array, steps(memory.array, traced._array))
        if node is None:
            raise traced._tape.escaped(
                "a view is read after its memory was written to, and the trace cannot tell how",
                "write to a copy",
            )
        traced._node, traced._version = node, memory.version
    return traced._node


def wrapped(tape: Tape, value: Any, node: int, *parents: Any) -> Traced:
    """Return a traced array for a node; it shares the memory of the parent that it is a view of."""
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.base is not None:
        block = owner(array)
        for parent in parents:
            if type(parent) is Traced and owner(parent._memory.array) is block:
                return Traced(tape, array, node, parent._memory)
    return Traced(tape, array, node, Memory(array, node))


def emit(
    tape: Tape,
    op: str,
    compute: Compute,
    operands: Sequence[Any],
    value: Any = None,
    *,
    label: str = "",
    **settings: Any,
) -> Traced:
    """Record an operation on operands of any kind, and return what it gives.

    ``value`` is given where it is there already, as after an operation in place.
    """
    weak = _strong_dtype(operands)
    reads = [node_of(tape, operand, weak) for operand in operands]
    if value is None:
        value = compute(*map(plain, operands))
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if all(tape.nodes[read].op == "constant" for read in reads):
        node = tape.leaf("constant", array)
    else:
        node = tape.record(op, compute, reads, array, label=label, **settings)
    return wrapped(tape, array, node, *operands)


def _strong_dtype(operands: Sequence[Any]) -> Any:
    for operand in operands:
        if type(operand) is Traced or isinstance(operand, np.ndarray):
            return operand.dtype
    return None


def stepped(tape: Tape, operand: Any, *path: Step) -> Traced:
    """Record view steps on an operand."""
    found = operand
    for step in path:
        reads = (found,) if step.ids is None else (found, step.ids)
        found = emit(tape, step.op, step.compute, reads, **step.settings)
    return found if type(found) is Traced else emit(tape, "cast", np.asarray, (found,))


def written(tape: Tape, target: Traced, node: int, values: Array) -> None:
    """Let a traced array hold another node from here on, and all that share its memory with it.

    The values are copied into the array itself.
    """
    tape.current(target)
    target._selected = None
    memory = target._memory
    root = memory.array
    _saved(tape, root)
    np.copyto(target._array, values, casting="unsafe")
    if same_layout(root, target._array):
        memory.node = node
    else:
        ids = positions(root, target._array)
        if ids is None:
            raise tape.escaped(
                "a view is written to that the trace cannot follow", "write to the array, or to a copy"
            )
        memory.node = _updated(tape, memory.node, root, node, ids)
    memory.version += 1
    target._node, target._version = node, memory.version


def _updated(tape: Tape, old: int, root: Array, new: int, ids: Array) -> int:
    """Record that some entries of a block were replaced."""
    return tape.record("update", put_at(ids, root.shape), (old, new), root, ids=ids)


def put_at(ids: Array, shape: tuple[int, ...]) -> Compute:
    """Return the function that replaces entries by their positions."""

    def put(whole: Array, part: Any, positions: Array = ids) -> Array:
        flat = np.array(whole, copy=True, order="C").reshape(-1)
        flat[positions] = part
        return flat.reshape(shape)

    return put


def _saved(tape: Tape, root: Array) -> None:
    """Keep what a parameter held before it was written to: the user's arrays are put back."""
    for known, _ in tape.known.values():
        if np.may_share_memory(known, root) and id(known) not in tape.overwritten:
            tape.overwritten[id(known)] = (known, known.copy())


def flat_take(tape: Tape, operand: Any, ids: Any) -> Traced:
    """Pick entries by their position in C order; the ids may be traced."""
    flat = stepped(tape, operand, reshaping((-1,)))
    pick = take_flat(np.zeros(0, np.intp))
    return emit(tape, "take", pick.compute, (flat, ids), axis=0)
