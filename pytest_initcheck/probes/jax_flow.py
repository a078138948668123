"""Running a program again: values, gradients, steps; compiled once for every initialisation alike.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.flow import Leaf, Pullback
from pytest_initcheck.probes.graph.nodes import Graph
from pytest_initcheck.probes.jax_steps import Program, bound, opened

Array = NDArray[Any]
Loss = Callable[[Any], Any]


@dataclass(frozen=True)
class JaxFlow:
    """A :class:`Flow` over a program.

    * ``values`` are those of the program's leaves, in their order.
    * ``whole`` puts flat outputs together as the model returned them.
    """

    program: Program
    values: tuple[Any, ...]
    leaves: tuple[Leaf, ...]
    whole: Callable[[Sequence[Any]], Any]
    loss_of: Callable[[Callable[..., Any], Any], Any]

    @property
    def graph(self) -> Graph:
        return self.program.graph

    @property
    def unobserved(self) -> tuple[tuple[str, str], ...]:
        return self.program.unseen

    def run(self, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
        order = tuple(sorted(wanted))
        found = _values(self.program, order, (), self.values, ())
        for index, value in zip(order, found, strict=True):
            yield index, on_host(value)

    def outputs(
        self,
        parameters: Mapping[str, Array] | None = None,
        noise: Mapping[tuple[int, int], Array] | None = None,
    ) -> tuple[Array, ...]:
        places = tuple(noise or {})
        added = tuple(jnp.asarray(value) for value in (noise or {}).values())
        given = self._with(parameters or {})
        found = _values(self.program, self.graph.outputs, places, given, added)
        return tuple(on_host(value) for value in found)

    def gradients(
        self, target: int, cotangent: Array, parameters: Collection[str], nodes: Collection[int] = ()
    ) -> Pullback | None:
        before = _leading_to(self.program, (target,))
        named = {
            name: at for name, at in self._parameters().items() if name in parameters and at in before
        }
        # inside a function that brings its derivative along there is none
        closed = frozenset[int]().union(*(step.within() for step in self.program.steps))
        inside = tuple(index for index in sorted(nodes) if index in before - closed)
        value = self.graph.nodes[target]
        weights = jnp.asarray(cotangent.reshape(value.shape), dtype=_real(value.dtype))
        of_leaves, of_nodes = _pullback(
            self.program, target, tuple(named.values()), inside, self.values, weights
        )
        return Pullback(
            {name: on_host(g) for name, g in zip(named, of_leaves, strict=True)},
            {index: on_host(g) for index, g in zip(inside, of_nodes, strict=True)},
        )

    def step_gradients(
        self,
        parameters: Mapping[str, Array],
        cotangents: tuple[Array, ...] | None,
        loss: Callable[..., Any] | None,
    ) -> Mapping[str, Array] | None:
        before = _leading_to(self.program, self.graph.outputs)
        named = {name: at for name, at in self._parameters().items() if at in before}
        moved = self._with(parameters)
        trainable = {leaf.name for leaf in self.leaves if leaf.trainable}
        named = {name: at for name, at in named.items() if name in trainable}
        if loss is None:
            weights = tuple(jnp.asarray(c) for c in cotangents or ())
            found = _readout_gradients(self.program, tuple(named.values()), moved, weights)
        else:
            found = self._loss_gradients(tuple(named.values()), moved, loss)
        return {name: on_host(g) for name, g in zip(named, found, strict=True)}

    def _loss_gradients(
        self, places: tuple[int, ...], values: tuple[Any, ...], loss: Callable[..., Any]
    ) -> Any:
        at = [self.program.leaves.index(place) for place in places]

        def total(chosen: list[Any]) -> Any:
            given = list(values)
            for position, value in zip(at, chosen, strict=True):
                given[position] = value
            flat = _evaluated(self.program, self.graph.outputs, (), tuple(given), ())
            return self.loss_of(loss, self.whole(flat))

        return jax.grad(total)([values[position] for position in at])

    def _parameters(self) -> dict[str, int]:
        nodes = self.graph.nodes
        return {nodes[at].label: at for at in self.program.leaves if nodes[at].op == "parameter"}

    def _with(self, parameters: Mapping[str, Array]) -> tuple[Any, ...]:
        given = []
        for at, value in zip(self.program.leaves, self.values, strict=True):
            node = self.graph.nodes[at]
            new = parameters.get(node.label) if node.op == "parameter" else None
            given.append(value if new is None else jnp.asarray(new, dtype=value.dtype))
        return tuple(given)


def _evaluated(
    program: Program,
    wanted: Sequence[int],
    places: Sequence[tuple[int, int]],
    leaves: Sequence[Any],
    added: Sequence[Any],
) -> list[Any]:
    """Run the steps; what is added at a place goes to an operand, or to a node's value (position -1)."""
    noise = dict(zip(places, added, strict=True))
    values: dict[int, Any] = dict(program.constants)
    for at, leaf in zip(program.leaves, leaves, strict=True):
        values[at] = _plus(leaf, noise.get((at, -1)))
    nodes = program.graph.nodes
    for step in opened(program.steps, {*wanted, *(node for node, _ in places)}):
        operands = [values[read] for read in step.reads]
        for out in step.outs:
            # an operand of the node is one of its step, whose own order may differ
            for position, read in enumerate(nodes[out].reads):
                extra = noise.get((out, position))
                if extra is not None:
                    spot = step.reads.index(read)
                    operands[spot] = _plus(operands[spot], extra)
        for out, value in zip(step.outs, bound(step, operands), strict=True):
            values[out] = _plus(value, noise.get((out, -1)))
    return [values[index] for index in wanted]


def _plus(value: Any, extra: Any) -> Any:
    return value if extra is None else value + jnp.asarray(extra, value.dtype).reshape(value.shape)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _values(
    program: Program,
    wanted: tuple[int, ...],
    places: tuple[tuple[int, int], ...],
    leaves: tuple[Any, ...],
    added: tuple[Any, ...],
) -> list[Any]:
    return _evaluated(program, wanted, places, leaves, added)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _pullback(
    program: Program,
    target: int,
    places: tuple[int, ...],
    inside: tuple[int, ...],
    leaves: tuple[Any, ...],
    cotangent: Any,
) -> Any:
    at = [program.leaves.index(place) for place in places]
    nodes = program.graph.nodes
    zeros = [jnp.zeros(nodes[index].shape, nodes[index].dtype) for index in inside]

    def readout(chosen: list[Any], shifts: list[Any]) -> Any:
        given = list(leaves)
        for position, value in zip(at, chosen, strict=True):
            given[position] = value
        spots = [(index, -1) for index in inside]
        (value,) = _evaluated(program, (target,), spots, given, shifts)
        return jnp.sum(jnp.real(value) * cotangent)

    return jax.grad(readout, argnums=(0, 1))([leaves[position] for position in at], zeros)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _readout_gradients(
    program: Program, places: tuple[int, ...], leaves: tuple[Any, ...], cotangents: tuple[Any, ...]
) -> Any:
    at = [program.leaves.index(place) for place in places]

    def readout(chosen: list[Any]) -> Any:
        given = list(leaves)
        for position, value in zip(at, chosen, strict=True):
            given[position] = value
        found = _evaluated(program, program.graph.outputs, (), given, ())
        parts = [
            jnp.sum(jnp.real(value) * cotangent)
            for value, cotangent in zip(found, cotangents, strict=True)
            if jnp.issubdtype(value.dtype, jnp.inexact)
        ]
        return sum(parts, jnp.zeros(()))

    return jax.grad(readout)([leaves[position] for position in at])


def _leading_to(program: Program, ends: Sequence[int]) -> frozenset[int]:
    """Return the nodes that these depend on by way of numbers that can be differentiated."""
    nodes = program.graph.nodes
    by_rule = {out: step.reads for step in program.steps if step.body for out in step.outs}
    found: set[int] = set()
    waiting = list(ends)
    while waiting:
        index = waiting.pop()
        node = nodes[index]
        if index not in found and node.floating and node.op != "stop_gradient":
            found.add(index)
            waiting.extend((*node.reads, *by_rule.get(index, ())))
    return frozenset(found)


def _real(dtype: str) -> Any:
    return jnp.zeros((), dtype).real.dtype


def on_host(value: Any) -> Array:
    """Return a numpy array; types that numpy does not know by itself become float32."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" else array
