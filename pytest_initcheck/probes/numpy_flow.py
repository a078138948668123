"""A recorded numpy model that runs again: with other parameters, with noise, and backward.

The recorded calls are made again on other values, so that the user's arrays are never touched.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.graph.flow import Leaf, Pullback
from pytest_initcheck.probes.graph.nodes import Graph
from pytest_initcheck.probes.graph.reverse import NoRule, pullback
from pytest_initcheck.probes.losses import positional
from pytest_initcheck.probes.numpy_lowering import tape as new_tape
from pytest_initcheck.probes.numpy_recording import is_traced, wrapped
from pytest_initcheck.probes.numpy_tape import Compute

Array = NDArray[Any]


@dataclass(eq=False)
class NumpyFlow:
    """The graph with the NumPy call behind each node, and the values of its leaves.

    * ``backward`` is the user's, of the first output: asked where an operation has no rule.
    * ``returned`` is what the forward function returned, with indices of nodes for traced arrays.
    """

    graph: Graph
    leaves: tuple[Leaf, ...]
    unobserved: tuple[tuple[str, str], ...]
    computes: tuple[Compute | None, ...]
    values: Mapping[int, Any]
    returned: Any = None
    inputs: tuple[Array, ...] = ()
    backward: Callable[[Array], Mapping[str, Array]] | None = None

    @property
    def batch(self) -> int:
        """The number of samples, as the first input has them."""
        return len(self.inputs[0]) if self.inputs and self.inputs[0].ndim else 0

    def run(self, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
        """Run forward; yield the values of these nodes as they come."""
        chosen = set(wanted)
        if not chosen:
            return
        for index, value in self._forward(chosen):
            if index in chosen:
                yield index, np.asarray(value)

    def outputs(
        self,
        parameters: Mapping[str, Array] | None = None,
        noise: Mapping[tuple[int, int], Array] | None = None,
    ) -> tuple[Array, ...]:
        """Run forward with these parameters replaced, and return what the model returns."""
        wanted = set(self.graph.outputs)
        found = dict(self._forward(wanted, self._replaced(parameters or {}), noise or {}))
        return tuple(np.asarray(found[index]) for index in self.graph.outputs)

    def gradients(
        self, target: int, cotangent: Array, parameters: Collection[str], nodes: Collection[int] = ()
    ) -> Pullback | None:
        """Return the gradients of sum(value of the target * cotangent), None where none are known."""
        by_name = {node.label: node.index for node in self.graph.nodes if node.op == "parameter"}
        chosen = {name: by_name[name] for name in parameters if name in by_name}
        wanted = {*chosen.values(), *nodes}
        try:
            found = pullback(self.graph, self._kept, self.computes, {target: cotangent}, wanted)
        except NoRule:
            if self.backward is None or target != self.graph.outputs[0]:
                return None
            own = self.backward(cotangent)
            return Pullback({name: own[name] for name in parameters if name in own})
        return Pullback(
            {name: found[index] for name, index in chosen.items() if index in found},
            {index: found[index] for index in nodes if index in found},
        )

    def step_gradients(
        self,
        parameters: Mapping[str, Array],
        cotangents: tuple[Array, ...] | None,
        loss: Callable[..., Any] | None,
    ) -> Mapping[str, Array] | None:
        """Return the gradients of a loss at other values of the parameters."""
        values = dict(self._forward(None, self._replaced(parameters)))
        try:
            if loss is not None:
                given = self._loss_cotangents(loss, values)
            else:
                given = dict(_added(self.graph.outputs, cotangents or ()))
            by_name = {n.label: n.index for n in self.graph.nodes if n.op == "parameter"}
            found = pullback(self.graph, values, self.computes, given, set(by_name.values()))
        except NoRule:
            return None
        return {name: found[index] for name, index in by_name.items() if index in found}

    # -- running ---------------------------------------------------------------------------------

    @cached_property
    def _kept(self) -> dict[int, Array]:
        return dict(self._forward(None))

    @cached_property
    def _last_readers(self) -> tuple[int, ...]:
        last = list(range(len(self.graph.nodes)))
        for node in self.graph.nodes:
            for read in node.reads:
                last[read] = node.index
        return tuple(last)

    def _replaced(self, parameters: Mapping[str, Array]) -> dict[int, Array]:
        return {
            node.index: np.asarray(parameters[node.label]).astype(node.dtype, copy=False)
            for node in self.graph.nodes
            if node.op == "parameter" and node.label in parameters
        }

    def _forward(
        self,
        wanted: Collection[int] | None,
        replaced: Mapping[int, Array] | None = None,
        noise: Mapping[tuple[int, int], Array] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Yield every node's value in order; values are let go of after their last reader.

        * ``wanted`` are the nodes that anything is asked of, None for all.
        """
        needed = None if wanted is None else _ancestors(self.graph, wanted)
        values: dict[int, Any] = {}
        with np.errstate(all="ignore"):
            for node in self.graph.nodes:
                if needed is not None and node.index not in needed:
                    continue
                compute = self.computes[node.index]
                if compute is None:
                    value = (replaced or {}).get(node.index, self.values[node.index])
                else:
                    operands = [values[read] for read in node.reads]
                    for place in range(len(operands)) if noise else ():
                        added = (noise or {}).get((node.index, place))
                        if added is not None:
                            operands[place] = _added_to(operands[place], added)
                    value = compute(*operands)
                own = (noise or {}).get((node.index, -1)) if noise else None
                values[node.index] = value = value if own is None else _added_to(value, own)
                yield node.index, value
                for read in node.reads:
                    if self._last_readers[read] == node.index:
                        values.pop(read, None)

    # -- the user's loss -------------------------------------------------------------------------

    def _loss_cotangents(
        self, loss: Callable[..., Any], values: Mapping[int, Array]
    ) -> dict[int, Array]:
        """Trace the loss of what the model returned, and differentiate it."""
        tape = new_tape()
        leaves: dict[int, Any] = {}
        for index in dict.fromkeys(_nodes_in(self.returned)):
            value = np.array(values[index])
            leaves[index] = wrapped(tape, value, tape.leaf("input", value, label="output"))
        returned = filled(self.returned, leaves)
        given = self.inputs[0] if len(self.inputs) == 1 else self.inputs
        takes_inputs = positional(loss) > 1
        result = loss(returned, given) if takes_inputs else loss(returned)
        if not is_traced(result) or result.size != 1:
            raise ModelError(
                f"the loss returned {type(result).__name__} that is not one number made of the outputs; "
                "return a scalar computed with NumPy's functions"
            )
        target = tape.current(result)
        graph = Graph(tuple(tape.nodes), (target,))
        flow = NumpyFlow(graph, (), (), tuple(tape.computes), tape.values)
        nodes = {traced._node: index for index, traced in leaves.items()}
        found = pullback(graph, flow._kept, flow.computes, {target: np.ones(result.shape)}, set(nodes))
        return {nodes[node]: gradient for node, gradient in found.items()}


@dataclass(frozen=True, slots=True)
class Returned:
    """Where a traced array stood in what the forward function returned."""

    node: int


def filled(returned: Any, values: Mapping[int, Any]) -> Any:
    """Put values in the places of traced arrays."""
    if isinstance(returned, Returned):
        return values[returned.node]
    if type(returned) in (tuple, list):
        return type(returned)(filled(item, values) for item in returned)
    if type(returned) is dict:
        return {key: filled(item, values) for key, item in returned.items()}
    return returned


def _nodes_in(returned: Any) -> Iterator[int]:
    if isinstance(returned, Returned):
        yield returned.node
    elif type(returned) in (tuple, list, dict):
        items = returned.values() if type(returned) is dict else returned
        for item in items:
            yield from _nodes_in(item)


def _added(outputs: tuple[int, ...], cotangents: tuple[Array, ...]) -> Iterator[tuple[int, Array]]:
    """Sum the cotangents of an output that is returned more than once."""
    total: dict[int, Array] = {}
    for index, cotangent in zip(outputs, cotangents, strict=True):
        total[index] = total[index] + cotangent if index in total else np.asarray(cotangent)
    yield from total.items()


def _added_to(value: Any, noise: Array) -> Array:
    array = np.asarray(value)
    return np.asarray((array + noise).astype(array.dtype, copy=False))


def _ancestors(graph: Graph, wanted: Collection[int]) -> frozenset[int]:
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if node.index in needed:
            needed.update(node.reads)
    return frozenset(needed)
