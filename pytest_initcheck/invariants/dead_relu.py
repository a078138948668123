"""dead-relu: few rectifier units are inactive on every input, and no layer wholly is.

Rates are judged against what a matched net shows at that depth and batch (principles.md 1.5), since a
correct He net kills a third of its units on a small batch by depth 20.  Unasked, a layer fails that
lost more than half of the units which a matched net keeps alive.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from functools import lru_cache

from pytest_initcheck import theory
from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure, event, rate_seeds, rate_slack
from pytest_initcheck.runs import rectifier_depths, rectifiers
from pytest_initcheck.sequential import FATAL_P0, FATAL_P1
from pytest_initcheck.trace import Site, Trace

NAME = "dead-relu"
_FEWEST_SAMPLES = 8
_NARROW = 8
"""A network gets no allowance for dying whole in a layer narrower than this: that is the bug."""


@lru_cache(maxsize=4096)
def _dead_fraction(depth: int, batch: int, correlation: float) -> float:
    return theory.dead_fraction(depth, batch, correlation)


def matched_rate(trace: Trace, site: Site, depth: int) -> float:
    """Return the dead share that a matched net shows at this depth, batch and input correlation.

    The correlation is that of the inputs: mean square of the unit means over the second moment.
    """
    known = [c.value for c in trace.inputs if not c.exempt and c.value.second_moment > 0]
    shares = [1 - v.batch_variance / v.second_moment for v in known if math.isfinite(v.batch_variance)]
    correlation = round(min(max([*shares, 0.0]), 0.999), 2)
    return _dead_fraction(depth, max(trace.batch, 1), correlation)


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return a rate per rectifier layer, and the rare events: a dead layer, a dead network."""
    layers = rectifiers(trace)
    depths = rectifier_depths(trace)
    asked = limits["dead_relu"]
    found = []
    for site in layers:
        matched = matched_rate(trace, site, depths[site.index])
        limit = asked if asked is not None else 0.5 + 0.5 * matched
        found.append(
            Measure(
                site.name,
                site.index,
                site.dead,
                high=limit + rate_slack(limit, site.units, seeds),
                limit=(0.0, limit),
                note=f"a matched init shows {100 * matched:.0f} % at this depth and batch",
            )
        )
    if not layers:
        return ()
    dead = next((site for site in layers if site.dead == 1), None)
    whole = dead is not None and network_is_dead(trace)
    index = -1 if dead is None else dead.index
    widths = tuple(site.units for site in layers)
    wide = tuple(n for n in widths if n >= _NARROW)
    return (
        *found,
        _rare("layer", index, dead is not None and not whole, widths),
        _rare("network", index, whole, wide),
    )


def network_is_dead(trace: Trace) -> bool:
    """Tell whether no weight can make the output depend on the input (principles.md R2)."""
    if trace.gradient is not None:
        if trace.gradient.non_finite:
            return False
        return trace.gradient.matrices > 0 and trace.gradient.live_matrices == 0
    if not any(column.value.batch_variance > 0 for column in trace.inputs):
        return False
    output = trace.sites[trace.output].value if trace.output >= 0 else None
    # a few samples agree by luck: then a dead layer is no more than a dead layer
    return output is not None and trace.batch >= _FEWEST_SAMPLES and output.batch_variance == 0


def _rare(claim: str, site: int, happened: bool, widths: tuple[int, ...]) -> Measure:
    luck = theory.dead_layer_probability(widths)
    p0 = max(FATAL_P0, luck)
    p1 = max(FATAL_P1, 10 * p0)
    vacuous = None
    if p1 > 0.9:
        vacuous = f"a layer this narrow dies by luck in {luck:.0%} of matched inits"
        p0, p1 = FATAL_P0, FATAL_P1
    return event(claim, site, happened, p0=p0, p1=p1, vacuous=vacuous)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    asked = limits["dead_relu"]
    limit = asked if asked is not None else 0.5
    return max((rate_seeds(limit, site.units) for site in rectifiers(trace)), default=1)
