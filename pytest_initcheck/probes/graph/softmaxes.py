"""Softmax and its logarithm, written out: exp(x - max x) over its sum. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_initcheck.probes.graph.averages import reduced_axes
from pytest_initcheck.probes.graph.composites import VIEWS, Composite
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance

_FAINT = 1e-3
"""What keeps a sum from zero is smaller."""
_LOWEST = -1e30
"""A maximum starts below it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One step on the way.

    ``peak``, the largest; ``shifted``, the signal less its peak; ``exp``; ``total``, their sum over
    axes, ``inverse`` of it, ``logarithm``; ``lse``, the logarithm with the peak added again.

    * ``root`` is the signal, whatever views of it were taken; ``argument`` the view that is shifted.
    * ``bare``: nothing was taken off.
    """

    step: str
    root: int
    argument: int = -1
    axes: tuple[int, ...] = ()
    bare: bool = False


def softmaxes(graph: Graph, origins: Sequence[Provenance]) -> Iterator[Composite]:
    """Yield what normalises exponentials over an axis."""
    walk = _Walk(graph, origins)
    for node in graph.nodes:
        if not origins[node.index].signal or not node.floating or not node.reads:
            continue
        ended = walk.ended(node)
        if ended is not None:
            op, part = ended
            yield Composite(node.index, part.root, "softmax", op, axes=part.axes, argument=part.argument)
            continue
        found = walk.step(node)
        if found is not None:
            walk.parts[node.index] = found


class _Walk:
    """The steps that were found, by node."""

    def __init__(self, graph: Graph, origins: Sequence[Provenance]) -> None:
        self._graph, self._origins = graph, origins
        self.parts: dict[int, _Part] = {}

    def _source(self, index: int) -> int:
        """Return what a value is a view of, with the same numbers."""
        node = self._graph.nodes[index]
        while node.op in ("reshape", "transpose", "cast", "stop_gradient"):
            if not self._graph.nodes[node.reads[0]].floating:
                break
            node = self._graph.nodes[node.reads[0]]
        return node.index

    def ended(self, node: Node) -> tuple[str, _Part] | None:
        if len(node.reads) != 2:
            return None
        left, right = (self.parts.get(read) for read in node.reads)
        if node.op == "mul" and left is not None and left.step == "inverse":
            left, right = right, left
        if right is None:
            return None
        steps = {"div": ("exp", "total"), "mul": ("exp", "inverse"), "sub": ("shifted", "logarithm")}
        if left is not None and steps.get(node.op) == (left.step, right.step):
            if left.root != right.root:
                return None
            return ("log_softmax" if node.op == "sub" else "softmax"), replace(left, axes=right.axes)
        whole = right.step == "lse" or (right.step == "logarithm" and right.bare)
        if node.op == "sub" and whole and right.root == self._source(node.reads[0]):
            return "log_softmax", replace(right, argument=node.reads[0])
        return None

    def step(self, node: Node) -> _Part | None:
        first = self.parts.get(node.reads[0])
        if node.op == "max":
            return _Part("peak", self._source(node.reads[0]))
        if node.op in VIEWS:
            return first
        if node.op == "exp":
            if first is not None and first.step == "shifted":
                return replace(first, step="exp")
            return _Part("exp", self._source(node.reads[0]), node.reads[0], bare=True)
        if node.op == "sum" and first is not None and first.step == "exp":
            axes = reduced_axes(node, self._graph.nodes[node.reads[0]])
            return replace(first, step="total", axes=axes)
        if first is not None and first.step == "total" and node.op in ("log", "reciprocal"):
            return replace(first, step="logarithm" if node.op == "log" else "inverse")
        return self._of_two(node) if len(node.reads) > 1 else None

    def _of_two(self, node: Node) -> _Part | None:
        known = [read for read in node.reads if read in self.parts]
        last = self.parts.get(node.reads[1])
        if node.op == "sub" and last is not None and last.step == "peak":
            shifted = last.root == self._source(node.reads[0])
            return _Part("shifted", last.root, node.reads[0]) if shifted else None
        if node.op == "div" and last is not None and last.step == "total":
            return replace(last, step="inverse") if self._origins[node.reads[0]].uniform == 1 else None
        if node.op == "add" and len(known) == 2:
            steps = {self.parts[read].step: self.parts[read] for read in known}
            logarithm, peak = steps.get("logarithm"), steps.get("peak")
            if logarithm is not None and peak is not None and logarithm.root == peak.root:
                return replace(logarithm, step="lse")
        if len(known) == 1 and self._guards(node, known[0]):
            return self.parts[known[0]]
        return None

    def _guards(self, node: Node, known: int) -> bool:
        """Tell whether a peak or a sum is only kept from being infinite, or zero."""
        step = self.parts[known].step
        numbers = [self._origins[read].uniform for read in node.reads if read != known]
        if step == "peak" and node.op == "where":
            return numbers[-1:] == [0.0]
        if step == "peak" and node.op == "maximum":
            return numbers[0] is not None and numbers[0] < _LOWEST
        small = all(number is not None and abs(number) <= _FAINT for number in numbers)
        return step == "total" and node.op in ("add", "maximum") and small
