"""Sites that are one operation together, such as a normalisation that is written out, made one site.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_initcheck.trace import Site, Trace


@dataclass(frozen=True, slots=True)
class Whole:
    """A normalisation: the sites from ``start`` to ``end``, of which the last one has its value."""

    name: str
    op: str
    start: int
    end: int


def folded(trace: Trace, wholes: Iterable[Whole]) -> Trace:
    """Return the trace with each of these as one site, which reads what its parts read from outside.

    What was computed besides and is read by no later site, as a moving average is, is left out.
    """
    ends: dict[int, Whole] = {}
    inside: set[int] = set()
    for whole in wholes:
        ends[whole.end] = whole
        inside |= set(range(whole.start, whole.end))
    read_later = {
        read
        for site in trace.sites
        if site.index not in inside and site.index not in ends
        for read in site.reads
    }
    inside -= {index for index in inside if index in read_later}
    if not ends:
        return trace
    kept = [site for site in trace.sites if site.index not in inside]
    renumbered = {site.index: index for index, site in enumerate(kept)}
    names: Counter[str] = Counter(site.name for site in kept if site.index not in ends)
    sites = []
    for site in kept:
        if site.index in ends:
            whole = ends[site.index]
            names[whole.name] += 1
            count = names[whole.name]
            site = replace(
                site,
                name=whole.name if count == 1 else f"{whole.name}#{count}",
                kind="norm",
                op=whole.op,
                reads=_from_outside(trace, whole),
                activation=None,
                saturated=None,
                dead=None,
            )
        reads = tuple(renumbered[read] for read in site.reads if read in renumbered)
        sites.append(replace(site, index=renumbered[site.index], reads=reads))
    return replace(
        trace,
        sites=tuple(sites),
        output=renumbered.get(trace.output, -1),
        logits=renumbered.get(trace.logits, -1),
        returned=tuple(renumbered[index] for index in trace.returned if index in renumbered),
    )


def _from_outside(trace: Trace, whole: Whole) -> tuple[int, ...]:
    parts: tuple[Site, ...] = trace.sites[whole.start : whole.end + 1]
    reads = dict.fromkeys(read for site in parts for read in site.reads if read < whole.start)
    return tuple(reads)
