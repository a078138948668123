"""variance: the signal neither vanishes nor explodes with depth. PYTEST_DONT_REWRITE

Unasked it judges harm, by principles that hold for any architecture (principles.md 3):

* vanishing (R8): gradient descent can move the difference between inputs 2^8 times more slowly than
  all outputs together, rho = D / max(M, 1) < 2^-16;
* exploding (R5): the logits' variance is past 46, where half of the sigmoids that read them are
  saturated; growth (R6): the signal grows 100 times since the last normalisation.

Asked for, it is the textbook property: every run of layers between normalisations follows the length
map of a matched init within the limit (principles.md 1.1).
"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import SLACK, Measure, event
from pytest_initcheck.invariants.dead_relu import network_is_dead
from pytest_initcheck.invariants.length_map import matched_lengths, step_logs, step_spread
from pytest_initcheck.runs import (
    LINEAR,
    Layer,
    Run,
    exempt_inputs,
    is_bounded,
    last_stretch,
    readers,
    run_spread,
    runs,
)
from pytest_initcheck.sequential import FATAL_P0, FATAL_P1
from pytest_initcheck.trace import Site, Trace

NAME = "variance"
VANISHING_BITS = -16.0
LOGIT_VARIANCE = 46.0
GROWTH = 100.0
_WEIGHTED = ("linear", "recurrent")
_TAKES_UP = (*_WEIGHTED, "matmul", "pool")
_SUMS = ("sum", "cumsum", "logsumexp", "linalg_vector_norm")
_WANTED_SLACK_BITS = 1.0
_ROUNDING_BITS = -45.0
"""Below 2^-45 rho is rounding noise in float32, so a limit down there cannot be violated."""


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return the claims on harm, or on every layer's length where a limit is asked for."""
    factor = limits["variance"]
    if factor is None:
        return _harm(trace, seeds)
    found: list[Measure] = []
    for run in runs(trace):
        found.extend(_follows_map(run, math.log(factor), seeds))
    return tuple(found)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    factor = limits["variance"]
    variance = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    target = _WANTED_SLACK_BITS * math.log(2) if factor is None else math.log(factor)
    return max(1, math.ceil(variance * (SLACK / target) ** 2))


# -- harm ----------------------------------------------------------------------------------------


def _harm(trace: Trace, seeds: int) -> tuple[Measure, ...]:
    found = [_vanishing(trace, seeds), *_exploding(trace, seeds)]
    if not any(site.dead == 1 for site in trace.sites):
        ignored = trace.gradient is not None and network_is_dead(trace)
    else:
        ignored = False
    found.append(event("ignored-input", -1, ignored, p0=FATAL_P0, p1=FATAL_P1))
    return tuple(found)


def _vanishing(trace: Trace, seeds: int) -> Measure:
    limit = (2.0**VANISHING_BITS, math.inf)
    if trace.gradient is None:
        return Measure(
            "vanishing",
            -1,
            None,
            limit=limit,
            direction="vanishing",
            vacuous="gradients were not seen, so vanishing cannot be judged",
            essential=True,
        )
    rho = trace.gradient.difference / max(trace.gradient.common, 1.0)
    # exactly zero is another event: the network is dead or ignores its input
    # and what is not finite is for `finite` to report
    value = math.log2(rho) if 0 < rho < math.inf else None
    slack = max((_bits(*run_spread(run), seeds) for run in runs(trace)), default=0.0)
    low = VANISHING_BITS - slack
    vacuous = None
    if low < _ROUNDING_BITS:
        vacuous = f"luck alone spreads the signal by 2^{slack:.0f} at this width and depth"
    return Measure(
        "vanishing",
        -1,
        value,
        low=low,
        limit=limit,
        direction="vanishing",
        vacuous=vacuous,
        essential=True,
    )


def _bits(b: float, v: float, seeds: int) -> float:
    return (b + SLACK * math.sqrt(v / seeds)) / math.log(2)


def _exploding(trace: Trace, seeds: int) -> tuple[Measure, ...]:
    if trace.logits < 0:
        return ()
    last = next((run for run in runs(trace) if run.last), None)
    spread = SLACK * math.sqrt(run_spread(last)[1] / seeds) / math.log(2) if last else 0.0
    found = [_logits(trace, trace.logits, "exploding", spread)]
    # what is returned besides is judged by itself, unless the model itself goes on from there
    read = readers(trace)
    found += [
        _logits(trace, index, f"exploding/{trace.sites[index].name}", spread)
        for index in trace.returned
        if index not in (trace.output, trace.logits) and not read[index]
    ]
    grown = _growth(trace, spread)
    return (*found, grown) if grown is not None else tuple(found)


def _logits(trace: Trace, index: int, claim: str, spread: float) -> Measure:
    site = trace.sites[index]
    return Measure(
        claim,
        index,
        None if no_readout(trace, site) else _log2(logit_variance(site)),
        high=math.log2(LOGIT_VARIANCE) + spread,
        limit=(0.0, LOGIT_VARIANCE),
        direction="exploding",
    )


def logit_variance(site: Site) -> float:
    """Return the variance of an output, without what was put there on purpose.

    Of a weight layer it is the variance over units and inputs less that of the bias, which is a class
    prior; of any other operation that over inputs: what all inputs share is an offset, a unit.
    """
    value = site.value
    if site.kind not in _WEIGHTED or not math.isfinite(value.second_moment):
        return value.batch_variance
    prior = 0.0 if site.bias is None else site.bias.second_moment - site.bias.mean**2
    return max(value.batch_variance, value.second_moment - value.mean**2 - prior)


def no_readout(trace: Trace, site: Site) -> bool:
    """Tell whether an output is no logit: a sum over many terms, or in a unit of its own.

    A log-likelihood is the one, 80 * sigmoid(z) the other, and what is added up or scaled from such.
    """
    if site.op in _SUMS:
        return True
    reads = [trace.sites[index] for index in site.reads]
    passes_on = site.kind in ("mul", "add", "slice") or site.op == "neg"
    if not passes_on or not reads:
        return False
    return all(is_bounded(read) or no_readout(trace, read) for read in reads)


def _growth(trace: Trace, spread: float) -> Measure | None:
    """Judge growth where a weight layer, a pool or the outside takes the signal up.

    What an elementwise function or a normalisation reads may be large (phases, distances, gates).
    A weight's gradient scales with all that it reads; elsewhere a part that all inputs share is none
    of the signal.
    """
    inside, origins = last_stretch(trace)
    read = readers(trace)

    def taken_up(site: Site) -> float:
        if any(trace.sites[r].kind in _WEIGHTED for r in read[site.index]):
            return _or_zero(site.value.second_moment)
        return _or_zero(site.value.batch_variance)

    grown = [
        site
        for site in inside
        if site.kind not in ("scale", "matmul")
        and (read[site.index] or not no_readout(trace, site))
        and (not read[site.index] or any(trace.sites[r].kind in _TAKES_UP for r in read[site.index]))
    ]
    if not grown:
        return None
    # ids and masks have no scale
    unscaled = exempt_inputs(trace)
    known = [o.value.second_moment for o in origins if o.index not in unscaled]
    start = max([1.0, *(moment for moment in known if moment > 0)])
    most = max(grown, key=taken_up)
    # growth through residual additions is a design error, not luck
    residual = any(site.kind == "add" and len(site.reads) > 1 for site in inside)
    return Measure(
        "growth",
        most.index,
        _log2(taken_up(most) / start),
        high=math.log2(GROWTH) + (0.0 if residual else spread),
        limit=(0.0, GROWTH),
        direction="exploding",
    )


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _log2(value: float) -> float | None:
    if math.isnan(value):
        return None  # `finite` reports it
    return math.log2(value) if value > 0 else None


# -- the textbook property -------------------------------------------------------------------------


def _follows_map(run: Run, reach: float, seeds: int) -> list[Measure]:
    found: list[Measure] = []
    above = below = b = v = 0.0
    for layer in run.layers:
        if layer.site.kind not in LINEAR or layer.site.kind == "embedding":
            continue
        high, low = step_logs(layer)
        above, below = above + high, below + low
        more_b, more_v = step_spread(layer)
        b, v = b + more_b, v + more_v
        found.extend(_two_sided(layer, "steps", above, below, reach, b, v, seeds))
    if run.plain:
        found.extend(_total(run, reach, seeds))
    return found


def _two_sided(
    layer: Layer, kind: str, above: float, below: float, reach: float, b: float, v: float, seeds: int
) -> list[Measure]:
    spread = SLACK * math.sqrt(v / seeds)
    limit = (math.exp(-reach), math.exp(reach))
    found = []
    for direction, value, slack in (("exploding", above, spread), ("vanishing", below, b + spread)):
        vacuous = None
        if slack > reach:
            vacuous = f"luck alone spreads the length {math.exp(slack):.3g}x at this width and depth"
        bound = reach + slack
        found.append(
            Measure(
                f"{layer.site.name}/{kind}/{direction}",
                layer.site.index,
                value,
                low=-bound if direction == "vanishing" else -math.inf,
                high=bound if direction == "exploding" else math.inf,
                limit=limit,
                direction=direction,
                vacuous=vacuous,
            )
        )
    return found


def _total(run: Run, reach: float, seeds: int) -> list[Measure]:
    """Compare each length with the matched map, iterated from what the run reads."""
    if not run.layers or run.layers[0].followed_by == "identity":
        return []
    found: list[Measure] = []
    for matched in matched_lengths(run):
        layer, length = matched.layer, matched.layer.site.value.second_moment
        if not length > 0:
            break
        above, below = math.log(length / matched.high), math.log(length / matched.low)
        found.extend(_two_sided(layer, "total", above, below, reach, matched.b, matched.v, seeds))
    return found
