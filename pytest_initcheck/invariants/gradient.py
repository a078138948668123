"""gradient: small changes of the input do not blow up, gradients do not either.

Unasked it judges harm (principles.md R9): noise of 1 % where the input first meets a parameter moves
the output as far as another input would, and it was amplified by more than 1.5 times per layer.  The
network is a hash then: its activations look fine, its gradient explodes.  Batch normalisation
amplifies by pi / (pi - 1) per layer and trains all the same (Yang et al. 2019), so it is exempt.

Asked for, the gradient's second moment follows the backward map of a matched init over every run of
layers between normalisations (principles.md 1.11).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import theory
from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import SLACK, Measure
from pytest_initcheck.invariants.length_map import matched_range, step_spread
from pytest_initcheck.runs import Layer, Run, path_layers, run_spread, runs
from pytest_initcheck.trace import CHAOTIC, Trace, Wanted

NAME = "gradient"
GROWTH_PER_LAYER = 1.5
_NOTHING_LEFT = 1000.0


def wanted(limits: Limits) -> Wanted:
    """Return what a trace must hold for this invariant."""
    asked = limits["gradient"] is not None
    return Wanted(site_gradients=asked, noise=not asked)


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return the claim on noise, or those on every layer's gradient where a limit is asked for."""
    factor = limits["gradient"]
    if factor is None:
        return _chaos(trace)
    found: list[Measure] = []
    for run in runs(trace):
        found.extend(_follows_map(trace, run, math.log(factor), seeds))
    return tuple(found)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    factor = limits["gradient"]
    if factor is None:
        return 1
    variance = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    return max(1, math.ceil(variance * (SLACK / math.log(factor)) ** 2))


# -- harm ----------------------------------------------------------------------------------------


def normalizes_batches(trace: Trace) -> bool:
    return any(site.kind == "norm" and "batch_norm" in site.op for site in trace.sites)


def growth_per_layer(trace: Trace) -> float:
    """Return by how much a layer amplifies the noise, in second moments; NaN where it was not taken."""
    if trace.sensitivity is None or not trace.sensitivity.growth > 0:
        return math.nan
    return float(trace.sensitivity.growth ** (1 / max(len(path_layers(trace)), 1)))


def _chaos(trace: Trace) -> tuple[Measure, ...]:
    if normalizes_batches(trace):
        return ()
    seen = trace.sensitivity
    value = None
    if seen is not None:
        # without the growth a large change is that of a shallow network, or below the precision
        value = seen.change if growth_per_layer(trace) > GROWTH_PER_LAYER else min(seen.change, CHAOTIC)
    return (
        Measure("noise", trace.output, value, high=CHAOTIC, limit=(0.0, CHAOTIC), direction="exploding"),
    )


# -- the textbook property -------------------------------------------------------------------------


def matched_backward(trace: Trace, layer: Layer, after: Layer) -> tuple[float, float]:
    """Return the range of E g^2 at this layer over that at the next, for matched weights.

    E g_l^2 = sigma_w^2 (n_{l+1} / n_l) E[phi'^2] E g_{l+1}^2 (principles.md 1.11), the weights of the
    next layer being matched forward (any textbook gain) or backward (then fan_out Var w = gain^2).
    n counts all elements that the next layer reads and puts out, positions too: one input reaches
    n_{l+1} fan_in / n_l outputs, also where a stride or a flattened image is between.
    """
    n, n_after = max(after.read.value.count, 1), max(after.site.value.count, 1)
    slope = theory.chi_1(after.reads_through, 1.0, q=max(layer.site.value.second_moment, 1e-12))
    low, high = (s * slope * n_after / n for s in matched_range(after))
    pooled = _passed_by_pools(trace, layer.site.index, after.read.index)
    return min(low, 1.0) * pooled, max(high, 1.0) * pooled


def _passed_by_pools(trace: Trace, start: int, end: int) -> float:
    """Return which share of E g^2 the pools between two sites pass on.

    A maximum over k values sends the whole gradient to one of them, a mean 1/k of it to each, a sum all
    of it: with k = n / n' the second moment falls by k, by k^2, or not at all.
    """
    share, index = 1.0, end
    while index > start and trace.sites[index].reads:
        site = trace.sites[index]
        index = site.reads[0]
        if site.kind == "pool" and site.op != "sum":
            kept = site.value.count / max(trace.sites[index].value.count, 1)
            picks = "max" in site.op or "min" in site.op
            share *= kept if picks else kept**2
    return share


def _follows_map(trace: Trace, run: Run, reach: float, seeds: int) -> list[Measure]:
    layers = [
        layer
        for layer in run.layers
        if layer.site.gradient is not None and layer.site.gradient.second_moment > 0
    ]
    found: list[Measure] = []
    whole_b, whole_v = run_spread(run)
    above = below = b = v = 0.0
    for layer, after in zip(reversed(layers[:-1]), reversed(layers), strict=False):
        assert layer.site.gradient is not None
        assert after.site.gradient is not None
        ratio = layer.site.gradient.second_moment / after.site.gradient.second_moment
        low, high = matched_backward(trace, layer, after)
        above, below = above + math.log(ratio / high), below + math.log(ratio / low)
        more_b, more_v = step_spread(after)
        # both bound what luck does so far: layer by layer, and over the whole run
        b, v = min(b + more_b, whole_b), min(v + more_v, whole_v)
        spread = SLACK * math.sqrt(v / seeds)
        for direction, value, slack in (("exploding", above, spread), ("vanishing", below, b + spread)):
            bound = reach + slack
            luck = f"luck alone spreads the gradient {math.exp(slack):.3g}x at this width and depth"
            found.append(
                Measure(
                    f"{layer.site.name}/{direction}",
                    layer.site.index,
                    value,
                    low=-bound if direction == "vanishing" else -math.inf,
                    high=bound if direction == "exploding" else math.inf,
                    limit=(math.exp(-reach), math.exp(reach)),
                    direction=direction,
                    vacuous=luck if slack > reach else None,
                )
            )
    return found
