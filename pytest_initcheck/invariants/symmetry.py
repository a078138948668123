"""symmetry: equal units do not stay equal, and no block of a weight is a copy (principles.md R3).

A matrix of equal rows is a layer of one unit, however wide.  A zero head is one too, until its first
step; a constant one under another constant one stays so for ever, whatever is learned.  So do two
tensors that are copies and receive equal gradients, as the members of an ensemble made by deepcopy.
Blocks that are copies are what a sharded init leaves behind that uses one seed for every shard.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure
from pytest_initcheck.trace import Trace, Wanted

NAME = "symmetry"


def wanted(limits: Limits) -> Wanted:
    """Return what a trace must hold for this invariant."""
    return Wanted(steps=True)


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return two claims per matrix: its units, or it and a copy, stay equal; its blocks are copies."""
    equal = frozenset() if trace.training is None else frozenset(trace.training.equal)
    twins = {} if trace.training is None else {other: one for one, other in trace.training.twins}
    found = []
    for parameter in trace.parameters:
        if len(parameter.shape) < 2 or not parameter.count or not parameter.multiplicative:
            continue
        site = trace.site_of(parameter.name)
        if trace.training is not None and parameter.trainable and parameter.used:
            twin = twins.get(parameter.name)
            alike = parameter.name in equal or twin is not None
            found.append(_fact(f"equal/{parameter.name}", site, alike, twin))
        copies = parameter.copies
        note = f"{copies} copies" if copies > 1 else None
        found.append(_fact(f"copies/{parameter.name}", site, copies > 1, note))
    return tuple(found)


def _fact(claim: str, site: int, happened: bool, note: str | None) -> Measure:
    return Measure(
        claim, site, 1.0 if happened else 0.0, high=0.5, limit=(0.0, 0.0), fact=True, note=note
    )


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return 1
