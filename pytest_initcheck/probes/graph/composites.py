"""Operations that are one thing together: which they can be, and which of them are then no sites.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_initcheck.probes.graph.nodes import Graph

VIEWS = frozenset({"reshape", "transpose", "broadcast", "cast", "stop_gradient"})


@dataclass(frozen=True, slots=True)
class Composite:
    """What the operations between a root and an end are together.

    * ``kind`` and ``op`` are those of the site, kind ``alias`` if there is none: the end then is the
      root, seen otherwise.
    * ``activation`` is the table's name.
    * ``scale`` and ``offset`` are the parameters that it multiplies with and adds.
    * ``argument`` is the root as the end's own axes have it, -1 for the root itself; ``axes`` are
      those of the argument that it runs over.
    """

    end: int
    root: int
    kind: str
    op: str
    activation: str | None = None
    scale: frozenset[str] = frozenset()
    offset: frozenset[str] = frozenset()
    axes: tuple[int, ...] = ()
    argument: int = -1

    @property
    def reads(self) -> int:
        """The node whose values it is of."""
        return self.root if self.argument < 0 else self.argument


@dataclass(frozen=True, slots=True)
class Composites:
    """The composites of a graph by their ends, and what lies inside and is read by nothing else."""

    by_end: Mapping[int, Composite]
    inside: frozenset[int]


def chosen(graph: Graph, found: Iterable[Composite]) -> Composites:
    """Keep the composites that are no part of a later one.

    What only leads to nothing that is returned, such as an update of running statistics, reads nothing.
    """
    alive = graph.leading_to(graph.outputs)
    readers = [[reader for reader in each if reader in alive] for each in graph.readers()]
    outputs = frozenset(graph.outputs)
    by_end: dict[int, Composite] = {}
    inside: set[int] = set()
    for composite in sorted(found, key=lambda c: c.end, reverse=True):
        if composite.end in inside or composite.root in inside or composite.end in by_end:
            continue
        by_end[composite.end] = composite
        inside |= _inside(graph, composite, readers, outputs)
    return Composites(by_end, frozenset(inside))


def between(graph: Graph, root: int, end: int) -> set[int]:
    """Return the nodes on the ways from the root to the end, without both."""
    above = {end}
    for index in range(end, root, -1):
        if index in above:
            above.update(read for read in graph.nodes[index].reads if read > root)
    below = {root}
    for index in range(root + 1, end):
        if index in above and not below.isdisjoint(graph.nodes[index].reads):
            below.add(index)
    return below - {root}


def _inside(
    graph: Graph, composite: Composite, readers: Sequence[Sequence[int]], outputs: frozenset[int]
) -> set[int]:
    found: set[int] = set()
    for index in sorted(between(graph, composite.root, composite.end), reverse=True):
        if index not in outputs and all(r in found or r == composite.end for r in readers[index]):
            found.add(index)
    return found
