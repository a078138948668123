"""Means that are written out: a sum over axes, or over a window, divided by how many it has.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_initcheck.probes.graph.composites import VIEWS, Composite
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance

EXACT = 1e-6
"""A count in single precision, relatively."""


def reduced_axes(node: Node, operand: Node) -> tuple[int, ...]:
    """Return the axes of a reduction, counted from the first."""
    dimensions = max(len(operand.shape), 1)
    return tuple(sorted(int(axis) % dimensions for axis in node.settings["axes"]))


def through_views(graph: Graph, index: int) -> int:
    """Return what a value is a view of."""
    while graph.nodes[index].op in VIEWS:
        index = graph.nodes[index].reads[0]
    return index


def factor(node: Node, origins: Sequence[Provenance]) -> tuple[int, float] | None:
    """Return (signal, number) of a signal that is multiplied with a number, or divided by it."""
    if node.op not in ("mul", "div") or len(node.reads) != 2:
        return None
    left, right = node.reads
    number = origins[right].uniform
    if number is not None and not origins[right].learnt and origins[left].signal:
        if node.op == "mul":
            return left, number
        return None if number == 0 else (left, 1 / number)
    number = origins[left].uniform
    if node.op == "mul" and number is not None and not origins[left].learnt and origins[right].signal:
        return right, number
    return None


def averages(graph: Graph, origins: Sequence[Provenance]) -> Iterator[Composite]:
    """Yield the means over axes and over windows."""
    for node in graph.nodes:
        if not origins[node.index].signal or not node.floating:
            continue
        summed = _sum_behind(graph, node, origins)
        if summed is None:
            continue
        total, share = summed
        operand = graph.nodes[total.reads[0]]
        if total.op == "sum":
            axes = reduced_axes(total, operand)
            count = math.prod(operand.shape[axis] for axis in axes)
            op = "mean"
        else:
            axes = tuple(k for k, size in enumerate(total.settings["size"]) if size > 1)
            count = math.prod(total.settings["size"])
            op = "window_mean"
        if share is None or abs(share * count - 1) <= EXACT:
            yield Composite(node.index, operand.index, "pool", op, axes=axes)


def _sum_behind(
    graph: Graph, node: Node, origins: Sequence[Provenance]
) -> tuple[Node, float | None] | None:
    """Return the sum and the number that it is multiplied with, None for a count by position."""
    found = factor(node, origins)
    if found is not None:
        total = graph.nodes[through_views(graph, found[0])]
        return (total, found[1]) if total.op in ("sum", "window_sum") else None
    if node.op == "div" and origins[node.reads[1]].fixed:
        # at the border a window holds fewer: ones are summed by the same window
        total, counts = (graph.nodes[through_views(graph, read)] for read in node.reads)
        if total.op == counts.op == "window_sum" and total.settings["size"] == counts.settings["size"]:
            return total, None
    return None
