"""Layer, RMS, group and batch normalisation, written out in any spelling. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_initcheck.probes.graph.averages import EXACT, factor, reduced_axes
from pytest_initcheck.probes.graph.composites import VIEWS, Composite
from pytest_initcheck.probes.graph.layout import SAMPLES, Layout
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance

_SPREADS = frozenset({"variance", "power"})


@dataclass(frozen=True, slots=True)
class _Part:
    """One step on the way to a normalised value of a root over axes.

    ``mean``; ``centred``, x - mean; ``square``; ``variance`` and ``power``, the mean of the squares;
    ``deviation`` and ``inverse`` of either, ``about`` says of which; ``scaled``, x * inverse;
    ``shift``, -mean * inverse; ``normed``; ``shifted``, less a running mean.
    """

    step: str
    root: int
    axes: tuple[int, ...] = ()
    about: str = ""
    sign: int = 1
    scale: frozenset[str] = frozenset()
    offset: frozenset[str] = frozenset()


def normalisations(
    graph: Graph, origins: Sequence[Provenance], layouts: Sequence[Layout]
) -> Iterator[Composite]:
    """Yield every normalisation by statistics of the value itself, and its affine map with it."""
    walk = _Walk(graph, origins)
    for node in graph.nodes:
        if not origins[node.index].signal or not node.floating or not node.reads:
            continue
        part = walk.step(node)
        if part is None:
            continue
        walk.parts[node.index] = part
        if part.step == "normed" and node.op not in VIEWS:
            op = _name(part, layouts[part.root], layouts[node.index])
            root = walk.source(part.root)
            yield Composite(
                node.index, root, "norm", op, scale=part.scale, offset=part.offset, axes=part.axes
            )


def _name(part: _Part, root: Layout, end: Layout) -> str:
    if any(atom == SAMPLES for axis in part.axes for atom, _ in root.axes[axis]):
        return "batch_norm"
    if part.about in ("power", "running"):
        return "rms_norm" if part.about == "power" else "batch_norm"
    whole = not set(root.units).isdisjoint(part.axes) and root.width >= end.width
    return "layer_norm" if whole else "group_norm"


class _Walk:
    """The steps that were found, by node."""

    def __init__(self, graph: Graph, origins: Sequence[Provenance]) -> None:
        self._graph, self._origins = graph, origins
        self.parts: dict[int, _Part] = {}
        self._source: dict[int, int] = {}
        self._deviations = _running_deviations(graph, origins)

    def step(self, node: Node) -> _Part | None:
        first = self.parts.get(node.reads[0])
        if node.op in VIEWS:
            return self._viewed(node, first)
        if node.op in ("sum", "mean", "var"):
            return self._reduced(node)
        self._unchanged(node)
        rule = _RULES.get(node.op)
        found = rule(self, node) if rule is not None else None
        return found or self._guarded(node) or self._running(node)

    def _viewed(self, node: Node, first: _Part | None) -> _Part | None:
        if node.op != "broadcast" and self._graph.nodes[node.reads[0]].floating:
            self._source[node.index] = self.source(node.reads[0])
        return first

    def source(self, index: int) -> int:
        """Return the value before it was cast to a wider type, or viewed as groups."""
        return self._source.get(index, index)

    def _is_root(self, index: int, part: _Part) -> bool:
        return self.source(index) == self.source(part.root)

    def _alike(self, one: _Part, other: _Part) -> bool:
        """Tell whether two steps are of the same value over the same axes."""
        return self.source(one.root) == self.source(other.root) and one.axes == other.axes

    def _unchanged(self, node: Node) -> None:
        """A mean of zero may be subtracted, a factor of one multiplied with."""
        neutral = {"sub": 0.0, "add": 0.0, "mul": 1.0, "div": 1.0}.get(node.op)
        if neutral is not None and self._number(node.reads[1]) == neutral:
            self._source[node.index] = self.source(node.reads[0])

    def _parts(self, node: Node) -> list[_Part | None]:
        return [self.parts.get(read) for read in node.reads]

    def _number(self, index: int) -> float | None:
        origin = self._origins[index]
        return None if origin.learnt else origin.uniform

    def _parameters(self, index: int) -> frozenset[str]:
        origin = self._origins[index]
        return origin.parameters if origin.parameters_alone else frozenset()

    # -- reductions ----------------------------------------------------------------------------------

    def _reduced(self, node: Node) -> _Part | None:
        operand = self._graph.nodes[node.reads[0]]
        axes = reduced_axes(node, operand)
        if node.op == "var":
            return _Part("variance", operand.index, axes)
        part = self.parts.get(operand.index)
        summed = "sum of " if node.op == "sum" else ""
        if part is not None and part.step == "square" and part.about:
            matches = part.about == "power" or axes == part.axes
            return _Part(f"{summed}{part.about}", part.root, axes) if matches else None
        return _Part(f"{summed}mean", operand.index, axes)

    def _averaged(self, node: Node) -> _Part | None:
        """A sum divided by a number: for a mean it is the count, a variance may be unbiased."""
        found = factor(node, self._origins)
        part = None if found is None else self.parts.get(found[0])
        if part is None or found is None:
            return None
        shape = self._graph.nodes[part.root].shape
        exact = abs(found[1] * math.prod(shape[axis] for axis in part.axes) - 1) <= EXACT
        if part.step == "sum of mean" and not exact:
            return None
        if part.step.startswith("sum of "):
            return replace(part, step=part.step.removeprefix("sum of "))
        return part if part.step in _SPREADS else None

    # -- elementwise ---------------------------------------------------------------------------------

    def _squared(self, node: Node) -> _Part | None:
        if node.op == "mul" and node.reads[0] != node.reads[1]:
            # x - mean may be there twice, once for each factor
            left, right = self._parts(node)
            twice = left is not None and left == right and left.step == "centred"
            return replace(left, step="square", about="variance") if twice and left else None
        if node.op == "power" and self._number(node.reads[1]) != 2:
            return None
        index = node.reads[0]
        if self._graph.nodes[index].op == "abs":
            index = self._graph.nodes[index].reads[0]
        part = self.parts.get(index)
        if part is not None and part.step == "centred":
            return replace(part, step="square", about="variance")
        if part is not None and part.step == "mean":
            return replace(part, step="squared mean")
        return _Part("square", index, about="power")

    def _subtracted(self, node: Node) -> _Part | None:
        left, right = self._parts(node)
        if right is None:
            return self._offset(node)
        if right.step == "mean" and self._is_root(node.reads[0], right):
            return replace(right, step="centred")
        if (
            left is not None
            and self._alike(left, right)
            and (left.step, right.step) == ("power", "squared mean")
        ):
            return replace(left, step="variance")
        if (
            left is not None
            and self._alike(left, right)
            and (left.step, right.step) == ("scaled", "shift")
        ):
            return self._together(left, replace(right, sign=-right.sign))
        if right.step == "shift" and (names := self._parameters(node.reads[0])):
            return replace(right, sign=-right.sign, offset=right.offset | names)
        return None

    def _added(self, node: Node) -> _Part | None:
        left, right = self._parts(node)
        if left is not None and right is not None and self._alike(left, right):
            if (left.step, right.step) == ("shift", "scaled"):
                left, right = right, left
            if (left.step, right.step) == ("scaled", "shift"):
                return self._together(left, right)
        for part, other in ((right, node.reads[0]), (left, node.reads[1])):
            centring = part is not None and part.step == "mean" and part.sign < 0
            if part is not None and centring and self._is_root(other, part):
                return replace(part, step="centred", sign=1)
        return self._offset(node)

    def _together(self, scaled: _Part, shift: _Part) -> _Part | None:
        if shift.sign > 0:
            return None
        return replace(scaled, step="normed", offset=scaled.offset | shift.offset)

    def _offset(self, node: Node) -> _Part | None:
        for at in (0, 1) if node.op == "add" else (0,):
            part, names = self.parts.get(node.reads[at]), self._parameters(node.reads[1 - at])
            if part is not None and part.step in ("normed", "shift") and names:
                return replace(part, offset=part.offset | names)
        return None

    def _negated(self, node: Node) -> _Part | None:
        part = self.parts.get(node.reads[0])
        if part is None or part.step not in ("mean", "shift"):
            return None
        return replace(part, sign=-part.sign)

    def _rooted(self, node: Node) -> _Part | None:
        part = self.parts.get(node.reads[0])
        if part is None or part.step not in _SPREADS:
            return None
        if node.op == "power":
            exponent = self._number(node.reads[1])
            step = {0.5: "deviation", -0.5: "inverse"}.get(exponent) if exponent is not None else None
        else:
            step = "deviation" if node.op == "sqrt" else "inverse"
        return None if step is None else replace(part, step=step, about=part.step)

    def _powered(self, node: Node) -> _Part | None:
        return self._squared(node) or self._rooted(node)

    def _inverted(self, node: Node) -> _Part | None:
        part = self.parts.get(node.reads[0])
        return replace(part, step="inverse") if part is not None and part.step == "deviation" else None

    def _multiplied(self, node: Node) -> _Part | None:
        squared = self._squared(node)
        if squared is not None:
            return squared
        for at in (0, 1):
            found = self._times(node.reads[at], node.reads[1 - at])
            if found is not None:
                return found
        return self._averaged(node)

    def _times(self, one: int, other: int) -> _Part | None:
        part, factor_part = self.parts.get(one), self.parts.get(other)
        names = self._parameters(other)
        if part is not None and names and part.step in ("normed", "inverse", "scaled"):
            return replace(part, scale=part.scale | names)
        if factor_part is None or factor_part.step != "inverse":
            return None
        if part is not None and self._alike(part, factor_part) and factor_part.about == "variance":
            if part.step == "centred":
                return replace(factor_part, step="normed")
            if part.step == "mean":
                return replace(factor_part, step="shift", sign=part.sign)
        if self._is_root(one, factor_part):
            return replace(factor_part, step="normed" if factor_part.about == "power" else "scaled")
        return None

    def _divided(self, node: Node) -> _Part | None:
        left, right = self._parts(node)
        if right is not None and right.step == "deviation":
            if self._number(node.reads[0]) == 1:
                return replace(right, step="inverse")
            if left is not None and left.step == "centred" and self._alike(left, right):
                return replace(right, step="normed")
            if right.about == "power" and self._is_root(node.reads[0], right):
                return replace(right, step="normed")
        return self._averaged(node)

    def _running(self, node: Node) -> _Part | None:
        """Statistics that are carried: what is multiplied with is the inverse of a root."""
        for at in (0, 1) if len(node.reads) == 2 else ():
            held = self._origins[node.reads[1 - at]]
            if held.signal or not held.state:
                continue
            part = self.parts.get(node.reads[at])
            before = part if part is not None and part.about == "running" else None
            before = before or _Part("shifted", node.reads[at], about="running")
            if node.op in ("add", "sub"):
                return replace(before, offset=before.offset | held.parameters)
            if node.op in ("mul", "div") and node.reads[1 - at] in self._deviations:
                return replace(before, step="normed", scale=before.scale | held.parameters)
        return None

    def _guarded(self, node: Node) -> _Part | None:
        """A variance or a deviation that is kept from zero still is one."""
        if node.op not in ("add", "maximum", "clip", "where"):
            return None
        for at in range(len(node.reads)):
            part = self.parts.get(node.reads[at])
            rest = [read for k, read in enumerate(node.reads) if k != at]
            guarded = part is not None and part.step in (*_SPREADS, "deviation")
            if guarded and all(self._number(read) is not None for read in rest):
                return part
        return None


def _running_deviations(graph: Graph, origins: Sequence[Provenance]) -> frozenset[int]:
    """Return the nodes that a root was taken for, of statistics that are carried."""
    found: set[int] = set()
    for node in graph.nodes:
        rooted = node.op in ("sqrt", "rsqrt", "power") or not found.isdisjoint(node.reads)
        if rooted and origins[node.index].state and not origins[node.index].signal:
            found.add(node.index)
    return frozenset(found)


_RULES: Mapping[str, Callable[[_Walk, Node], _Part | None]] = {
    "square": _Walk._squared,
    "power": _Walk._powered,
    "sub": _Walk._subtracted,
    "add": _Walk._added,
    "neg": _Walk._negated,
    "sqrt": _Walk._rooted,
    "rsqrt": _Walk._rooted,
    "reciprocal": _Walk._inverted,
    "mul": _Walk._multiplied,
    "div": _Walk._divided,
}
