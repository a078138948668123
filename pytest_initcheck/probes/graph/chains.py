"""Activations that are written out, or are one operation: known by their values on a grid.

A chain is what elementwise operations make of one signal, its root; it is evaluated on numbers in the
place of that signal.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.activation_values import BENT, TRANSCENDENTAL, known
from pytest_initcheck.probes.graph.composites import Composite
from pytest_initcheck.probes.graph.elementwise import AFFINE, COMPARISONS, evaluated, named_activation
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance

Array = NDArray[Any]
_GRID = np.linspace(-12.0, 12.0, 385) + 2.0**-7
"""Wide enough that every kink of the table lies inside, and none on a point."""
_ROOTS = 6
"""How many signals a chain is tried as a function of."""
_SINGLE = float(np.finfo(np.float32).eps)
_HALVES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


@dataclass(frozen=True, slots=True)
class _Chain:
    """A value as a function of a root: its values on the grid, and the operations that made them.

    ``names`` are the activations that are complete inside; ``learnt``: parameters have a part in it,
    which stand there with their means.
    """

    values: Array
    made_of: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    learnt: frozenset[str] = frozenset()


def activations(graph: Graph, origins: Sequence[Provenance]) -> Iterator[Composite]:
    """Yield every activation of the graph, those that are parts of later ones among them."""
    chains: list[dict[int, _Chain]] = []
    seen: dict[tuple[Any, ...], str | None] = {}
    for node in graph.nodes:
        own = _continued(node, graph, origins, chains) if origins[node.index].signal else {}
        chains.append(own)
        found = _known_as(node, own, origins, seen) if own and node.floating else None
        if found is not None:
            root, name = found
            chain = own[root]
            own[root] = replace(chain, names=chain.names | {name})
            op = name.partition("(")[0]
            yield Composite(node.index, root, "activation", op, name, chain.learnt)


def _continued(
    node: Node, graph: Graph, origins: Sequence[Provenance], chains: Sequence[Mapping[int, _Chain]]
) -> dict[int, _Chain]:
    """Return the node's value as a function of each root that its operands have in common."""
    signals = [read for read in dict.fromkeys(node.reads) if origins[read].signal]
    rest = [origins[read] for read in node.reads if not origins[read].signal]
    if not signals or any(origin.uniform is None for origin in rest):
        return {}
    if any(graph.nodes[read].shape != node.shape for read in signals):
        return {}
    offered = [_offered(graph.nodes[read], chains) for read in signals]
    common = sorted(root for root in offered[0] if all(root in other for other in offered))
    learnt = frozenset().union(*(origin.parameters for origin in rest))
    own: dict[int, _Chain] = {}
    for root in (*common[: _ROOTS - 1], *common[_ROOTS - 1 :][-1:]):
        by_read = {read: roots[root] for read, roots in zip(signals, offered, strict=True)}
        operands = [
            by_read[r].values if r in by_read else np.asarray(origins[r].uniform) for r in node.reads
        ]
        values = _evaluated(node, operands)
        if values is None:
            return {}
        own[root] = _Chain(
            values,
            frozenset({_kind(node)}).union(*(chain.made_of for chain in by_read.values())),
            frozenset().union(*(chain.names for chain in by_read.values())),
            learnt.union(*(chain.learnt for chain in by_read.values())),
        )
    return own


def _offered(node: Node, chains: Sequence[Mapping[int, _Chain]]) -> dict[int, _Chain]:
    """A chain starts at a signal that is none, at one that is shifted or scaled, or at its last step."""
    roots = {
        root: chain
        for root, chain in chains[node.index].items()
        if all(start.made_of <= AFFINE for start in chains[root].values())
    }
    if node.floating:
        roots[node.index] = _Chain(_GRID)
    return roots


def _known_as(
    node: Node,
    own: Mapping[int, _Chain],
    origins: Sequence[Provenance],
    seen: dict[tuple[Any, ...], str | None],
) -> tuple[int, str] | None:
    """Return (root, name) of the activation that the node completes, of the furthest root it can be.

    What was complete before is not completed again by a view of it or a factor of one.  A scale or an
    offset that is learnt makes a new signal, but the slope of a rectifier may be learnt: of the nearest
    root then.
    """
    plain = [root for root in sorted(own) if not own[root].learnt]
    for root in (*plain, *sorted(set(own) - set(plain), reverse=True)):
        chain = own[root]
        name = _memoised(chain, node.dtype, seen)
        if name is None or (chain.learnt and not _slope_is_learnt(name, chain, node)):
            continue
        # a choice, such as a guard against nan, may come behind
        return (root, name) if name not in chain.names or node.op == "where" else None
    name = named_activation(node.op, node.settings) or _cut_at_zero(node, origins)
    return None if name is None else (node.reads[0], name)


def _slope_is_learnt(name: str, chain: _Chain, node: Node) -> bool:
    return node.op != "mul" and (name.startswith("leaky_relu") or (name == "relu" and not chain.names))


def _cut_at_zero(node: Node, origins: Sequence[Provenance]) -> str | None:
    """A signal that is cut at 0 and anywhere above is a rectifier."""
    low = origins[node.reads[1]].uniform if node.op == "clip" else None
    return "relu" if low == 0 and origins[node.reads[0]].signal else None


def _memoised(chain: _Chain, dtype: str, seen: dict[tuple[Any, ...], str | None]) -> str | None:
    if chain.made_of.isdisjoint(TRANSCENDENTAL | BENT | COMPARISONS) or chain.values.dtype == bool:
        return None
    key = chain.made_of, chain.values.tobytes(), dtype
    if key not in seen:
        # the signal is cut where it is compared with a number
        inside = chain.made_of | ({"where"} if chain.made_of & COMPARISONS else set())
        tolerance = 64 * _SINGLE if dtype not in _HALVES else _HALVES[dtype]
        seen[key] = known(_GRID, chain.values.astype(np.float64), inside, tolerance)
    return seen[key]


def _evaluated(node: Node, operands: Sequence[Array]) -> Array | None:
    value = evaluated(node.op, node.settings, operands)
    if value is None:
        return None
    if node.op == "cast":
        value = value.astype(bool) if node.dtype == "bool" else value.astype(np.float64)
    return np.broadcast_to(value, _GRID.shape)


def _kind(node: Node) -> str:
    name = named_activation(node.op, node.settings)
    return node.op if name is None else name.partition("(")[0]
