"""What of a model was not seen: parameters that nothing read, operations that ran closed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_initcheck.probes.dead_ends import FOR_NOTHING
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.graph.planned import Plan


def unseen(plan: Plan, leaves: Sequence[Leaf]) -> Iterator[tuple[str, str]]:
    """Yield (place, reason) for every opaque operation and every parameter that had no part."""
    for site in plan.sites:
        node = plan.graph.nodes[site.node]
        if node.op == "opaque":
            yield site.name, node.label or "one operation: not seen inside"
    idle = plan.for_nothing
    yield from ((leaf.name, FOR_NOTHING) for leaf in leaves if leaf.name in idle)
    unused = [leaf.name for leaf in leaves if leaf.name not in plan.used | idle]
    used = {_above(leaf.name) for leaf in leaves if leaf.name in plan.used | idle}
    for above in dict.fromkeys(map(_above, unused)):
        names = [name for name in unused if _above(name) == above]
        if above and above not in used:
            count = f"its {len(names)} parameters are" if len(names) > 1 else "its parameter is"
            yield above, f"never called on these inputs: {count} not judged"
        else:
            yield from ((name, "no operation reads it on these inputs") for name in names)


def _above(name: str) -> str:
    """Return what a parameter belongs to, empty where it stands by itself."""
    return name[: max(name.rfind("."), name.rfind("/"), 0)]
