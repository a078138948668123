"""matched-init: each weight's variance is the one that its activation needs (principles.md 6.4).

Forward (1 / (fan_in E phi^2)), backward (1 / (fan_out E phi'^2)) or their compromise, each with the
activation's textbook gains, for the activation that follows the layer or the one that it reads
through.  The head is left out: its scale is a choice.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import theory
from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import SLACK, Measure
from pytest_initcheck.runs import LINEAR, activation_after, head_of, reads_through
from pytest_initcheck.trace import Site, Trace, Wanted

NAME = "matched-init"
_KURTOSES = (3.0, 30.0)
_WANTED_SLACK = 0.5
"""Seeds are averaged until luck's share of the limit is no more than this."""


def wanted(limits: Limits) -> Wanted:
    """Return what a trace must hold for this invariant."""
    return Wanted(kurtosis=True)


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return one claim per weight matrix: ln of its variance over the nearest one that is needed."""
    reach = math.log1p(limits["matched_init"] or 0.0)
    found = []
    for site in judged(trace):
        assert site.weight is not None
        slack = SLACK * math.sqrt(_relative_variance(site) / seeds)
        found.append(
            Measure(
                site.name,
                site.index,
                distance(trace, site),
                low=-reach - slack,
                high=reach + slack,
                limit=(math.exp(-reach), math.exp(reach)),
            )
        )
    return tuple(found)


def judged(trace: Trace) -> tuple[Site, ...]:
    """Return the weight layers of the model but its heads, each weight once."""
    heads = head_of(trace)
    found: dict[str, Site] = {}
    for site in trace.sites:
        weight = site.weight
        weighs = site.kind in LINEAR and site.op != "embedding" and site.index not in heads
        if weighs and weight is not None and weight.fan_in:
            found.setdefault(weight.name, site)
    return tuple(found.values())


def needed(trace: Trace, site: Site) -> tuple[tuple[float, float], ...]:
    """Return the ranges of variances, one per criterion, that would do for this layer."""
    assert site.weight is not None
    fan_in, fan_out = max(site.weight.fan_in, 1), max(site.weight.fan_out, 1)
    names = {activation_after(trace, site) or "identity", reads_through(trace, site)}
    gains = [gain for name in names for gain in theory.matched_gains(name)]
    slopes = [1 / math.sqrt(theory.chi_1(name, 1.0, q=1.0)) for name in names]
    low, high = min((*gains, *slopes)), max((*gains, *slopes))
    fans = (fan_in, fan_out, (fan_in + fan_out) / 2)
    return tuple((low**2 / fan, high**2 / fan) for fan in fans)


def distance(trace: Trace, site: Site) -> float:
    """Return ln of the weight's second moment over the nearest needed variance; 0 inside a range."""
    assert site.weight is not None
    moment = site.weight.second_moment
    if not moment > 0:
        return -math.inf
    logs = [
        min(0.0, math.log(moment / low)) + max(0.0, math.log(moment / high))
        for low, high in needed(trace, site)
    ]
    return min(logs, key=abs)


def _relative_variance(site: Site) -> float:
    """Return the relative variance of a weight's second moment, (kurtosis - 1) / N."""
    assert site.weight is not None
    kurtosis = site.weight.kurtosis
    least, most = _KURTOSES
    kurtosis = min(max(kurtosis, least), most) if math.isfinite(kurtosis) else least
    return (kurtosis - 1) / max(site.weight.count, 1)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    reach = math.log1p(limits["matched_init"] or 0.0)
    return max(
        (
            math.ceil(_relative_variance(site) * (SLACK / (_WANTED_SLACK * reach)) ** 2)
            for site in judged(trace)
        ),
        default=1,
    )
