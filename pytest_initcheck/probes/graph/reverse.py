"""Reverse mode over a recorded graph, in numpy: cotangents from an output back to what it reads.

Rules are those of Griewank and Walther, Evaluating Derivatives (2008), chapter 3.  Where a function has
a kink the derivative is 0 at the kink for a bound that is a constant, as of a rectifier, and shared
evenly between operands that tie.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph import reverse_elementwise, reverse_shapes
from pytest_initcheck.probes.graph.nodes import Graph, Node

Array = NDArray[Any]
Compute = Callable[..., Any]


class NoRule(Exception):
    """An operation on the way has no derivative here; ``node`` is it."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"{node.op} has no rule")
        self.node = node


@dataclass(frozen=True, slots=True)
class Recorded:
    """A node with what it read and gave; ``compute`` gives its value from its operands' values."""

    node: Node
    operands: tuple[Array, ...]
    value: Array
    constants: tuple[bool, ...]
    compute: Compute | None


def pullback(
    graph: Graph,
    values: Mapping[int, Array],
    computes: Sequence[Compute | None],
    cotangents: Mapping[int, Array],
    wanted: Collection[int],
) -> dict[int, Array]:
    """Return the gradients of sum(value * cotangent), summed over the nodes with cotangents.

    * ``wanted`` are the nodes whose gradients are returned; those that nothing depends on are left out.

    Raises NoRule at an operation whose derivative is not known.
    """
    needed = _leading_to(graph, wanted)
    found = {index: np.asarray(value, dtype=np.float64) for index, value in cotangents.items()}
    kept: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for node in reversed(graph.nodes):
            cotangent = found.pop(node.index, None)
            if cotangent is None:
                continue
            if node.index in wanted:
                kept[node.index] = cotangent
            if node.leaf or not any(read in needed for read in node.reads):
                continue
            recorded = Recorded(
                node,
                tuple(np.asarray(values[read]) for read in node.reads),
                np.asarray(values[node.index]),
                tuple(graph.nodes[read].op == "constant" for read in node.reads),
                computes[node.index],
            )
            for read, gradient in zip(node.reads, _pulled(recorded, cotangent), strict=True):
                if gradient is None or read not in needed or not graph.nodes[read].floating:
                    continue
                before = found.get(read)
                found[read] = gradient if before is None else before + gradient
    return kept


def _leading_to(graph: Graph, wanted: Collection[int]) -> frozenset[int]:
    """Return the wanted nodes and all that depend on them."""
    needed = set(wanted)
    for node in graph.nodes:
        if any(read in needed for read in node.reads):
            needed.add(node.index)
    return frozenset(needed)


def _pulled(recorded: Recorded, cotangent: Array) -> Sequence[Array | None]:
    node = recorded.node
    if not node.floating or node.op in reverse_elementwise.FLAT:
        return [None] * len(node.reads)
    partials = reverse_elementwise.partials(recorded)
    if partials is not None:
        return [
            None if slope is None else summed_to(_times(cotangent, slope), operand.shape)
            for slope, operand in zip(partials, recorded.operands, strict=True)
        ]
    rule = reverse_shapes.RULES.get(node.op)
    if rule is None:
        raise NoRule(node)
    found = rule(recorded, cotangent)
    if found is None:
        raise NoRule(node)
    return found


def _times(cotangent: Array, slope: Any) -> Array:
    """Multiply; where nothing arrives nothing leaves, however steep the function is."""
    product = cotangent * slope
    if np.isfinite(product).all():
        return np.asarray(product)
    return np.asarray(np.where(cotangent == 0, 0.0, product))


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which an operand of this shape was repeated."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    repeated = tuple(
        axis for axis in range(extra, gradient.ndim) if shape[axis - extra] == 1 != gradient.shape[axis]
    )
    total = gradient.sum((*range(extra), *repeated), keepdims=True)
    return np.broadcast_to(total.reshape(total.shape[extra:]), shape)
