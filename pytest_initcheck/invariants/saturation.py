"""saturation: few hidden bounded units start where their slope is gone (principles.md R4).

A (unit, sample) pair is saturated if abs(phi'(z)) is under 5 % of its maximum.  Good models reach .16
at most, bugs .5 and more (principles.md 4); tanh with gain 5/3 shows .19 on N(0, 1) inputs.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure, rate_seeds, rate_slack
from pytest_initcheck.runs import hidden_bounded
from pytest_initcheck.trace import Trace

NAME = "saturation"


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return one claim per hidden layer with a bounded activation."""
    limit = limits["saturation"] or 0.0
    return tuple(
        Measure(
            site.name,
            site.index,
            site.saturated,
            high=limit + rate_slack(limit, site.units, seeds),
            limit=(0.0, limit),
        )
        for site in hidden_bounded(trace)
    )


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    limit = limits["saturation"] or 0.0
    return max((rate_seeds(limit, site.units) for site in hidden_bounded(trace)), default=1)
