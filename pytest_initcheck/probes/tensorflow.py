"""Forward passes on TensorFlow: traced to one graph, in which the variables are inputs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.losses import loss_value
from pytest_initcheck.probes.tensorflow_flow import TensorFlowFlow
from pytest_initcheck.probes.tensorflow_graph import Given, recorded

Array = NDArray[Any]
Forward = Callable[[Sequence[Any], Sequence[Any], Call], Any]
"""Takes the values of parameters and states, and the call."""


def flow_of(
    forward: Forward,
    leaves: Sequence[Leaf],
    states: Sequence[tuple[str, Array]],
    call: Call,
    place: Callable[[str], str],
) -> TensorFlowFlow:
    """Trace a forward pass and return its flow.

    * ``place`` tells what in the model an operation of this name belongs to.
    """
    arrays = list(_arrays_in((*call.args, dict(call.kwargs))))
    returned: list[Any] = []

    def traced(parameters: list[Any], carried: list[Any], inputs: list[Any]) -> list[Any]:
        output = forward(parameters, carried, _with_arrays(call, inputs))
        returned[:] = [tensor for tensor in tf.nest.flatten(output) if tf.is_tensor(tensor)]
        return [tf.identity(tensor) for tensor in returned]

    given = (
        [leaf.value for leaf in leaves],
        [value for _, value in states],
        [array for _, array in arrays],
    )
    signature = [[tf.TensorSpec(np.shape(a), np.asarray(a).dtype) for a in group] for group in given]
    with _inlined():
        whole = tf.compat.v1.wrap_function(traced, signature)
    if not returned:
        raise ModelError("the model returned no tensor; return its output")
    kinds = [("parameter", leaf.name) for leaf in leaves]
    kinds += [("state", name) for name, _ in states] + [("input", name) for name, _ in arrays]
    tensors = whole.inputs[: len(kinds)]
    constants = _captured(whole.inputs[len(kinds) :], whole.captured_inputs)
    named: dict[str, Given] = {name: ("constant", "", value) for name, value in constants.items()}
    named |= {tensor.name: (*kind, None) for tensor, kind in zip(tensors, kinds, strict=True)}
    values = [np.asarray(value) for group in given for value in group]
    return TensorFlowFlow(
        recorded(returned, named, place),
        tuple(leaves),
        {tensor.name: value for tensor, value in zip(tensors, values, strict=True)} | constants,
        {leaf.name: tensor for leaf, tensor in zip(leaves, tensors, strict=False)},
        lambda moved, loss: _loss_gradients(forward, leaves, states, call, moved, loss),
    )


def _captured(places: Sequence[Any], values: Sequence[Any]) -> dict[str, Array]:
    """Return the tensors that the model holds, by the names of their places in the graph.

    Raises ModelError for a variable among them: nothing would tell that it is trained.
    """
    found = {}
    for place, value in zip(places, values, strict=True):
        if value.dtype == tf.resource:
            raise ModelError(
                f"the model reads a TensorFlow variable, {place.name}, that Keras does not know; "
                "make it with self.add_weight() or keras.Variable"
            )
        found[place.name] = np.asarray(value)
    return found


def operations() -> list[str]:
    """Return the names of the operations in the graph that is being made, none outside of one."""
    if tf.executing_eagerly():
        return []
    return [operation.name for operation in tf.compat.v1.get_default_graph().get_operations()]


@contextmanager
def _inlined() -> Iterator[None]:
    """Have functions that the user decorated run as they are written, into the graph at hand."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _loss_gradients(
    forward: Forward,
    leaves: Sequence[Leaf],
    states: Sequence[tuple[str, Array]],
    call: Call,
    moved: Mapping[str, Array],
    loss: Callable[..., Any],
) -> Mapping[str, Array]:
    values = [tf.constant(moved.get(leaf.name, leaf.value)) for leaf in leaves]
    given = _with_arrays(call, [tf.constant(a) for _, a in _arrays_in((*call.args, dict(call.kwargs)))])
    with tf.GradientTape() as tape:
        for leaf, value in zip(leaves, values, strict=True):
            if leaf.trainable:
                tape.watch(value)
        output = forward(values, [tf.constant(value) for _, value in states], given)
        found = loss_value(loss, output, given)
    if not tf.is_tensor(found) or int(tf.size(found)) != 1:
        shown = f"shape {tuple(found.shape)}" if tf.is_tensor(found) else type(found).__name__
        raise ModelError(f"loss= must return a tensor with one number, got {shown}")
    gradients = tape.gradient(found, values)
    pairs = zip(leaves, gradients, strict=True)
    return {
        leaf.name: np.asarray(tf.convert_to_tensor(g))
        for leaf, g in pairs
        if g is not None and leaf.trainable
    }


# -- the call -------------------------------------------------------------------------------------


def _arrays_in(value: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a call with their names: those of its keywords, or their positions."""
    if isinstance(value, np.ndarray):
        yield name or "input", value
    elif isinstance(value, Mapping):
        for key in value:
            yield from _arrays_in(value[key], f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        several = sum(isinstance(item, (np.ndarray, list, tuple)) for item in value) > 1
        for index, item in enumerate(value):
            if name:
                yield from _arrays_in(item, f"{name}.{index}")
            elif isinstance(item, Mapping):
                yield from _arrays_in(item)
            else:
                yield from _arrays_in(item, f"input{index}" if several else "input")


def _with_arrays(call: Call, arrays: Collection[Any]) -> Call:
    """Return the call with these in place of its arrays, in their order."""
    waiting = iter(arrays)

    def put(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return next(waiting)
        if isinstance(value, Mapping):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(put(item) for item in value)
        return value

    args = tuple(put(value) for value in call.args)
    return Call(args, put(dict(call.kwargs)))
