"""saturation: few hidden bounded units start where their slope is gone (principles.md R4).

A (unit, sample) pair is saturated if abs(phi'(z)) is under 5 % of its maximum.  Good models reach .16
at most, bugs .5 and more (principles.md 4); tanh with gain 5/3 shows .19 on N(0, 1) inputs.  A gate
that its bias opens or closes is a choice.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure, rate_seeds, rate_slack
from pytest_initcheck.runs import hidden_bounded, readers
from pytest_initcheck.trace import Site, Trace

NAME = "saturation"
_INPUT_SHARE = 0.1
_CLOSED = math.log(1024)
"""The sigmoid's slope is 2^-8 of its maximum there."""


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return one claim per hidden layer with a bounded activation."""
    limit = limits["saturation"] or 0.0
    read = readers(trace)
    return tuple(
        Measure(
            site.name,
            site.index,
            0.0 if set_by_bias(trace, site, read[site.index]) else site.saturated,
            high=limit + rate_slack(limit, site.units, seeds),
            limit=(0.0, limit),
        )
        for site in hidden_bounded(trace)
    )


def set_by_bias(trace: Trace, site: Site, followers: tuple[int, ...]) -> bool:
    """Tell whether a gate starts where its bias puts it, with a slope that learning can move.

    A sigmoid that only multiplies other signals, whose pre-activation hardly depends on the input, and
    whose slope is not under 2^-8 of its maximum (as in R8): abs(z) < ln 1024. Chrono initialisation
    (Tallec and Ollivier 2018) and gates biased to stay closed are of this kind.
    """
    gates = bool(followers) and all(trace.sites[index].kind == "mul" for index in followers)
    if site.activation != "sigmoid" or not gates or not site.reads:
        return False
    z = trace.sites[site.reads[0]].value
    return z.batch_variance < _INPUT_SHARE * z.second_moment and z.second_moment < _CLOSED**2


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    limit = limits["saturation"] or 0.0
    return max((rate_seeds(limit, site.units) for site in hidden_bounded(trace)), default=1)
