"""reproducible: the signal's size differs little from seed to seed (principles.md 1.4).

One replicate is a group of seeds, its number the standard deviation of ln of the root mean square
over them.  A limit is taken at its word; the note says what a matched net of these widths shows.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import statistics

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import SLACK, Measure
from pytest_initcheck.runs import run_spread, runs
from pytest_initcheck.trace import Site, Trace

NAME = "reproducible"
SEEDS = 8
"""Seeds per replicate: the standard deviation of so few is known to within 2 / sqrt(14) = 53 %."""


def measure_group(group: list[Trace], limits: Limits) -> tuple[Measure, ...]:
    """Return the spread over a group's seeds, as a standard deviation of ln of the size."""
    factor = limits["reproducible"] or 2.0
    site = observed(group[0])
    if site is None or len(group) < 2:
        return ()
    sizes = [trace.sites[site.index].value.second_moment for trace in group]
    limit = math.log(factor)
    slack = SLACK * limit / math.sqrt(2 * (len(group) - 1))
    matched = math.sqrt(max((run_spread(run)[1] for run in runs(group[0])), default=0.0)) / 2
    return (
        Measure(
            "spread",
            site.index,
            _deviation(sizes),
            high=limit + slack,
            limit=(0.0, factor),
            note=f"a matched init of these widths shows {math.exp(matched):.3g}x",
        ),
    )


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """One initialisation has no spread."""
    return ()


def observed(trace: Trace) -> Site | None:
    """Return the logits, or, where a zero head makes them vanish, the last layer that does not."""
    if trace.logits < 0:
        return None
    site = trace.sites[trace.logits]
    while site.value.second_moment == 0 and site.reads:
        site = max(
            (trace.sites[index] for index in site.reads), key=lambda read: read.value.second_moment
        )
    return site


def _deviation(sizes: list[float]) -> float:
    """Return the standard deviation of ln of the root mean squares; infinite if some are zero."""
    if not all(0 < size < math.inf for size in sizes):
        return math.inf
    return statistics.stdev(math.log(size) / 2 for size in sizes)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return SEEDS
