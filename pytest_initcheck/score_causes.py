"""Why softmaxes start one-hot, and why sines see phases that wind around. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck.edits import Edit
from pytest_initcheck.misfits import OFF
from pytest_initcheck.remedies import Remedy, Why, drawn, scaled
from pytest_initcheck.runs import (
    LINEAR,
    layer_before,
)
from pytest_initcheck.trace import Parameter, Site, Trace, owner_and_leaf

_WOUND = 3.0
"""Phases beyond about pi wind around: neighbours are no longer told from others."""


def why_one_hot(trace: Trace, site: Site) -> Why:
    words = (
        "scale the scores by 1 / sqrt(d), and draw the weights of query and key with variance 1 / fan_in"
    )
    if site.kind == "attention" or not site.reads:
        sizes = [math.sqrt(read.value.second_moment) for read in _factors(trace, site)]
        seen = " and ".join(f"{size:.3g}" for size in sizes)
        size = max(sizes, default=1.0)
        cause = f"the scores are too large: query and key have root mean square {seen}"
    else:
        size = math.sqrt(max(trace.sites[site.reads[0]].value.batch_variance, 0.0))
        cause = f"the scores that the softmax reads have standard deviation {size:.3g} over inputs"
        size = math.sqrt(size)
    weights = _score_weights(trace, site)
    tried = []
    if any(weight.sigma_w2 > OFF for weight in weights):
        tried.append(drawn(weights, "identity"))
    if weights and 1 < size < math.inf:
        names = weights[0].name + (f" and {len(weights) - 1} more" if len(weights) > 1 else "")
        words = f"scale {names} by {1 / size:.3g} (or the scores by 1 / sqrt(d), if they are not yet)"
        tried.append(scaled(words, weights, 1 / size))
    return Why("scores too large", cause, (*tried, Remedy(words)))


def _factors(trace: Trace, site: Site) -> list[Site]:
    """Return what the scores of a softmax are a product of: query and key."""
    if site.kind == "softmax" and site.reads:
        site = trace.sites[site.reads[0]]
        while site.kind not in (*LINEAR, "matmul") and site.reads:
            site = trace.sites[site.reads[0]]
    return [trace.sites[index] for index in site.reads[:2]]


def _score_weights(trace: Trace, first: Site) -> list[Parameter]:
    """Return the weights that make query and key, of this softmax and of those that start alike."""
    least = (first.saturated or 0.0) / 2
    found: dict[str, Parameter] = {}
    for site in trace.sites:
        alike = site.kind == first.kind and (site.saturated or 0.0) >= least
        for factor in _factors(trace, site) if alike else ():
            weight = layer_before(trace, factor).weight
            if weight is not None:
                found.setdefault(weight.name, weight)
    return list(found.values())


def why_phases(trace: Trace) -> Why | None:
    """Name the first layer, behind another one, whose sine sees phases that wind around many times.

    Sitzmann et al. (2020) draw weights so that phases have standard deviation 1; only the first layer's
    are larger, on purpose.
    """
    sines = [site for site in trace.sites if site.activation == "sin" and site.reads]
    wound: list[tuple[Parameter, float]] = []
    for sine in sines[1:]:
        phases = trace.sites[sine.reads[0]]
        layer = layer_before(trace, phases)
        wide = math.sqrt(phases.value.second_moment) if phases.value.finite else 0.0
        if wide > _WOUND and layer.weight is not None and layer.weight.name not in dict(_named(wound)):
            wound.append((layer.weight, wide))
    if not wound:
        return None
    weight, wide = wound[0]
    stds = tuple(math.sqrt(each.second_moment) / width for each, width in wound)
    edit = Edit("draw", tuple(each.name for each, _ in wound), stds, "sin")
    more = f", and {len(wound) - 1} more alike," if len(wound) > 1 else ""
    layer_name = owner_and_leaf(weight.name)[0] or weight.name
    return Why(
        "init gain",
        f"the phases that the sine reads have standard deviation {wide:.3g}, where 1 is meant: "
        f"the weights of {layer_name} have std {math.sqrt(weight.second_moment):.3g}",
        (Remedy(f"draw {weight.name}{more} with std {stds[0]:.3g}", (edit,)),),
    )


def _named(pairs: list[tuple[Parameter, float]]) -> list[tuple[str, float]]:
    return [(parameter.name, number) for parameter, number in pairs]
