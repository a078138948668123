"""Running a TensorFlow graph again: values, gradients, steps, noise. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.flow import Leaf, Pullback
from pytest_initcheck.probes.graph.nodes import Graph
from pytest_initcheck.probes.tensorflow_graph import Recorded

Array = NDArray[Any]
_AT_ONCE = 2**25
"""Elements that one run may bring to the host."""


@dataclass
class TensorFlowFlow:
    """A :class:`Flow` over a recorded graph.

    * ``fed`` has the values of the placeholders by the names of their tensors, ``placeholders`` the
      tensor of each parameter by the parameter's name.
    * ``loss_gradients`` differentiates a loss of the user's outside of the graph.
    """

    recorded: Recorded
    leaves: tuple[Leaf, ...]
    fed: Mapping[str, Array]
    placeholders: Mapping[str, Any]
    loss_gradients: Callable[[Mapping[str, Array], Callable[..., Any]], Mapping[str, Array]]
    _session: Any = field(init=False)
    _made: dict[Any, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._session = _session(self.recorded.tensors[0].graph)

    @property
    def graph(self) -> Graph:
        return self.recorded.graph

    @property
    def unobserved(self) -> tuple[tuple[str, str], ...]:
        return self.recorded.unobserved

    def run(self, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
        for part in self._parts(sorted(wanted)):
            values = self._session.run([self.recorded.tensors[i] for i in part], dict(self.fed))
            for index, value in zip(part, values, strict=True):
                yield index, np.asarray(value)

    def _parts(self, wanted: Sequence[int]) -> Iterator[list[int]]:
        part: list[int] = []
        size = 0
        for index in wanted:
            count = math.prod(self.graph.nodes[index].shape)
            if part and size + count > _AT_ONCE:
                yield part
                part, size = [], 0
            part.append(index)
            size += count
        if part:
            yield part

    def _with(self, parameters: Mapping[str, Array] | None) -> dict[str, Array]:
        moved = {self.placeholders[name].name: value for name, value in (parameters or {}).items()}
        return {**self.fed, **moved}

    def outputs(
        self,
        parameters: Mapping[str, Array] | None = None,
        noise: Mapping[tuple[int, int], Array] | None = None,
    ) -> tuple[Array, ...]:
        fed = self._with(parameters)
        if not noise:
            tensors = [self.recorded.tensors[i] for i in self.graph.outputs]
            return tuple(map(np.asarray, self._session.run(tensors, fed)))
        session, names = self._noisy(frozenset(noise))
        fed |= {names[place]: value for place, value in noise.items()}
        values = session.run([names[i] for i in self.graph.outputs], fed)
        return tuple(map(np.asarray, values))

    def _noisy(self, places: frozenset[tuple[int, int]]) -> tuple[Any, dict[Any, str]]:
        """Return a copy of the graph with noise to be fed, and the names of its tensors."""
        if places not in self._made:
            copy = _with_noise(self.recorded, sorted(places))
            self._made[places] = (_session(copy[0]), copy[1])
        found: tuple[Any, dict[Any, str]] = self._made[places]
        return found

    # -- gradients -----------------------------------------------------------------------------------

    def gradients(
        self, target: int, cotangent: Array, parameters: Collection[str], nodes: Collection[int] = ()
    ) -> Pullback | None:
        names = [name for name in self.placeholders if name in parameters]
        order = sorted(nodes)
        wanted = [self.placeholders[n] for n in names] + [self.recorded.tensors[i] for i in order]
        key = ("gradients", target, tuple(names), tuple(order))
        found, weights = self._pulled(key, [self.recorded.tensors[target]], wanted)
        fed = {**self.fed, weights[0].name: cotangent.reshape(self.graph.nodes[target].shape)}
        values = self._fetched(found, fed)
        of_parameters = zip(names, values, strict=False)
        of_nodes = zip(order, values[len(names) :], strict=True)
        return Pullback(
            {name: value for name, value in of_parameters if value is not None},
            {index: value for index, value in of_nodes if value is not None},
        )

    def step_gradients(
        self,
        parameters: Mapping[str, Array],
        cotangents: tuple[Array, ...] | None,
        loss: Callable[..., Any] | None,
    ) -> Mapping[str, Array] | None:
        if loss is not None:
            return self.loss_gradients(parameters, loss)
        nodes = self.graph.nodes
        at = [k for k, index in enumerate(self.graph.outputs) if nodes[index].floating]
        targets = [self.recorded.tensors[self.graph.outputs[k]] for k in at]
        trainable = [leaf.name for leaf in self.leaves if leaf.trainable]
        found, weights = self._pulled("steps", targets, [self.placeholders[n] for n in trainable])
        fed = self._with(parameters)
        fed |= {w.name: (cotangents or ())[k] for w, k in zip(weights, at, strict=True)}
        values = zip(trainable, self._fetched(found, fed), strict=True)
        return {name: value for name, value in values if value is not None}

    def _pulled(
        self, key: Any, targets: Sequence[Any], wanted: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Return gradient tensors, None where there is none, and placeholders for the cotangents."""
        if key not in self._made:
            with targets[0].graph.as_default():
                weights = [tf.compat.v1.placeholder(t.dtype, t.shape) for t in targets]
                found = tf.gradients(list(targets), list(wanted), grad_ys=weights)
                # those of a look-up are rows and their places
                dense = [None if g is None else tf.convert_to_tensor(g) for g in found]
            self._made[key] = (dense, weights)
        made: tuple[list[Any], list[Any]] = self._made[key]
        return made

    def _fetched(self, tensors: Sequence[Any], fed: Mapping[str, Array]) -> list[Array | None]:
        values = iter(self._session.run([t for t in tensors if t is not None], dict(fed)))
        return [None if t is None else np.asarray(next(values)) for t in tensors]


def _session(graph: Any) -> Any:
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
    )
    # a graph runs a few times: to rewrite it first takes longer than it saves
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.compat.v1.Session(graph=graph, config=config)


def _with_noise(recorded: Recorded, places: Sequence[tuple[int, int]]) -> tuple[Any, dict[Any, str]]:
    """Return a copy of the graph in which noise is added, and what its tensors are called.

    A place is (reading node, position among its reads), or (node, -1) for the node's own value.
    """
    definition = recorded.tensors[0].graph.as_graph_def()
    by_name = {each.name: each for each in definition.node}
    names: dict[Any, str] = {}
    renamed: dict[str, str] = {}
    for count, (index, position) in enumerate(places):
        own = position < 0
        read = index if own else recorded.graph.nodes[index].reads[position]
        tensor = recorded.tensors[read]
        noise, sum_ = f"initcheck_noise_{count}", f"initcheck_noisy_{count}"
        definition.node.add(name=noise, op="Placeholder").attr[
            "dtype"
        ].type = tensor.dtype.as_datatype_enum
        added = definition.node.add(name=sum_, op="AddV2", input=[_input_name(tensor), noise])
        added.attr["T"].type = tensor.dtype.as_datatype_enum
        names[index, position] = f"{noise}:0"
        if own:
            renamed[_input_name(tensor)] = sum_
        else:
            by, at = recorded.sources[index][position]
            by_name[by].input[at] = sum_
    for node in definition.node:
        if node.name.startswith("initcheck_noisy_"):
            continue
        for at, name in enumerate(node.input):
            if name in renamed:
                node.input[at] = renamed[name]
    copy = tf.Graph()
    with copy.as_default():
        tf.import_graph_def(definition, name="")
    for index in recorded.graph.outputs:
        tensor = recorded.tensors[index]
        names[index] = (
            f"{renamed[_input_name(tensor)]}:0" if _input_name(tensor) in renamed else tensor.name
        )
    return copy, names


def _input_name(tensor: Any) -> str:
    """Return a tensor's name as a node of a definition reads it."""
    name, _, which = tensor.name.partition(":")
    return name if which == "0" else f"{name}:{which}"
