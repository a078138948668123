"""Softmax and its logarithm, written out: exp(x - max x) over its sum. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_initcheck.probes.graph.averages import reduced_axes
from pytest_initcheck.probes.graph.composites import VIEWS, Composite
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance

_FAINT = 1e-3
"""What keeps a sum from zero is smaller."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One step on the way: ``peak shifted exp total inverse logarithm lse`` of a root over axes."""

    step: str
    root: int
    axes: tuple[int, ...] | None = None


def softmaxes(graph: Graph, origins: Sequence[Provenance]) -> Iterator[Composite]:
    """Yield what normalises exponentials over an axis."""
    parts: dict[int, _Part] = {}
    for node in graph.nodes:
        if not origins[node.index].signal or not node.floating or not node.reads:
            continue
        ended = _ended(node, parts)
        if ended is not None:
            op, root, axes = ended
            yield Composite(node.index, root, "softmax", op, axes=axes)
            continue
        part = _next(node, graph, parts, origins)
        if part is not None:
            parts[node.index] = part


def _ended(node: Node, parts: dict[int, _Part]) -> tuple[str, int, tuple[int, ...]] | None:
    if len(node.reads) != 2:
        return None
    left, right = (parts.get(read) for read in node.reads)
    if node.op == "mul" and right is not None and right.step != "inverse":
        left, right = right, left
    if right is None or right.axes is None:
        return None
    steps = {"div": ("exp", "total"), "mul": ("exp", "inverse"), "sub": ("shifted", "logarithm")}
    if left is not None and steps.get(node.op) == (left.step, right.step) and left.root == right.root:
        return ("log_softmax" if node.op == "sub" else "softmax"), left.root, right.axes
    if node.op == "sub" and right.step in ("lse", "bare") and right.root == node.reads[0]:
        return "log_softmax", right.root, right.axes
    return None


def _next(
    node: Node, graph: Graph, parts: dict[int, _Part], origins: Sequence[Provenance]
) -> _Part | None:
    first = parts.get(node.reads[0])
    if node.op == "max":
        operand = graph.nodes[node.reads[0]]
        return _Part("peak", operand.index, reduced_axes(node, operand))
    if first is not None and node.op in VIEWS:
        return first
    if node.op == "exp":
        if first is not None and first.step == "shifted":
            return _Part("exp", first.root, first.axes)
        return _Part("exp", node.reads[0])
    if node.op == "sum" and first is not None and first.step == "exp":
        axes = reduced_axes(node, graph.nodes[node.reads[0]])
        return _Part("total", first.root, axes) if first.axes in (None, axes) else None
    if node.op == "log" and first is not None and first.step == "total":
        bare = _is_bare(node, graph, parts)
        return _Part("bare" if bare else "logarithm", first.root, first.axes)
    if node.op == "reciprocal" and first is not None and first.step == "total":
        return _Part("inverse", first.root, first.axes)
    return _of_two(node, parts, origins) if len(node.reads) > 1 else None


def _is_bare(node: Node, graph: Graph, parts: dict[int, _Part]) -> bool:
    """Tell whether the exponentials that were summed were shifted by nothing."""
    index = node.reads[0]
    while parts[index].step == "total":
        index = graph.nodes[index].reads[0]
    return parts[index].axes is None


def _of_two(node: Node, parts: dict[int, _Part], origins: Sequence[Provenance]) -> _Part | None:
    known = [read for read in node.reads if read in parts]
    if node.op == "sub" and known == [node.reads[1]]:
        part = parts[known[0]]
        return _Part("shifted", part.root, part.axes) if _peak_of(part, node.reads[0]) else None
    if node.op == "div" and known == [node.reads[1]] and parts[known[0]].step == "total":
        one = origins[node.reads[0]].uniform == 1
        return _Part("inverse", parts[known[0]].root, parts[known[0]].axes) if one else None
    if node.op == "add" and len(known) == 2:
        steps = {parts[read].step: parts[read] for read in known}
        logarithm, peak = steps.get("logarithm"), steps.get("peak")
        if logarithm is not None and peak is not None and logarithm.root == peak.root:
            return _Part("lse", logarithm.root, logarithm.axes)
    if len(known) == 1 and _guards(node, known[0], parts[known[0]], origins):
        return parts[known[0]]
    return None


def _peak_of(part: _Part, signal: int) -> bool:
    return part.step == "peak" and part.root == signal


def _guards(node: Node, known: int, part: _Part, origins: Sequence[Provenance]) -> bool:
    """Tell whether a peak or a sum is only kept from being infinite, or zero."""
    others = [read for read in node.reads if read != known]
    numbers = [origins[read].uniform for read in others]
    if part.step == "peak":
        if node.op == "maximum":
            return numbers == [-math.inf] or (numbers[0] is not None and numbers[0] < -1e30)
        return node.op == "where" and numbers[-1:] == [0.0]
    small = all(number is not None and abs(number) <= _FAINT for number in numbers)
    return part.step == "total" and node.op in ("add", "maximum") and small
