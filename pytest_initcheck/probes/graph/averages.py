"""Means that are written out: a sum over axes, or over a window, divided by how many it has.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

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
        total, counts = (graph.nodes[through_views(graph, read)] for read in node.reads)
        if total.op == "window_sum" and _counts(total, counts, graph):
            return total, None
    return None


def _counts(total: Node, divisor: Node, graph: Graph) -> bool:
    """Tell whether a divisor is how many values each window holds: at the border fewer.

    Ones may have been summed by the same windows, or the numbers be there.
    """
    if divisor.op == "window_sum":
        return all(divisor.settings[name] == total.settings[name] for name in ("size", "strides"))
    value, shape = divisor.value, graph.nodes[total.reads[0]].shape
    if value is None or value.dtype.kind not in "fiu" or value.ndim != len(shape):
        return False
    counts = np.ones((1,) * len(shape))
    for axis, taps in enumerate(total.settings["size"]):
        step, pad = int(total.settings["strides"][axis]), int(total.settings["padding"][axis][0])
        starts = np.arange(total.shape[axis] if taps > 1 else 0) * step - pad
        if starts.size:
            inside = np.minimum(starts + taps, shape[axis]) - np.maximum(starts, 0)
            counts = counts * inside.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    alike = all(n in (1, m) or m == 1 for n, m in zip(value.shape, counts.shape, strict=True))
    return alike and bool((value == counts).all())
