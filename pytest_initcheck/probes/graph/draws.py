"""What draws while the model runs and is no signal: the masks of dropout. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_initcheck.probes.graph.averages import factor
from pytest_initcheck.probes.graph.composites import Composite
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance


def masked(graph: Graph, origins: Sequence[Provenance]) -> Iterator[Composite]:
    """Yield what stands for its own operand: one that a drawn mask thins out, with its factor.

    And one that is replaced by nan where an index is out of bounds, as JAX does behind a look-up.
    """
    thinned: dict[int, int] = {}
    for node in graph.nodes:
        if not origins[node.index].signal or not node.floating:
            continue
        rescaled = factor(node, origins)
        if rescaled is not None and rescaled[0] in thinned:
            yield Composite(node.index, thinned[rescaled[0]], "alias", node.op)
            continue
        kept = _kept(node, origins)
        if kept is None:
            continue
        rescaled = factor(graph.nodes[kept], origins)
        drawn = node.op == "mul" or origins[node.reads[0]].mask
        root = rescaled[0] if drawn and rescaled is not None else kept
        if drawn and rescaled is None:
            thinned[node.index] = root
        yield Composite(node.index, root, "alias", node.op)


def _kept(node: Node, origins: Sequence[Provenance]) -> int | None:
    """Return the operand that a mask leaves, or None."""
    if node.op == "mul" and len(node.reads) == 2:
        left, right = node.reads
        if origins[right].mask and origins[left].signal:
            return left
        return right if origins[left].mask and origins[right].signal else None
    if node.op != "where" or len(node.reads) != 3:
        return None
    condition, chosen, otherwise = node.reads
    for kept, rest in ((chosen, otherwise), (otherwise, chosen)):
        number = origins[rest].uniform
        if number is None or origins[rest].learnt or not origins[kept].signal:
            continue
        if math.isnan(number) or (number == 0 and origins[condition].mask):
            return kept
    return None
