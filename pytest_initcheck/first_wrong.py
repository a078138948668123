"""The first place that is wrong, told from the places that merely suffer. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.length_map import matched_range, step_logs
from pytest_initcheck.layer_causes import layer_of, why_own
from pytest_initcheck.runs import (
    LINEAR,
    Layer,
    activation_after,
    layer_before,
    path_layers,
    residual_additions,
    runs,
    signal_path,
)
from pytest_initcheck.tensor_causes import dead_above, layers_before
from pytest_initcheck.trace import Site, Trace, owner_and_leaf

_WRONG_STEP = math.log(1.5)
"""A layer whose length is 1.5 times off a matched one's is worth naming as the first."""


def named_site(invariant: str, measure: Measure, trace: Trace) -> Site | None:
    """Return the weight layer to look at: that of the site, or the first wrong one before it."""
    if invariant == "variance":
        if measure.direction == "exploding" and measure.fatal is None:
            found = _exploding_site(measure, trace)
        else:
            at = trace.sites[measure.site] if measure.site >= 0 else None
            found = first_wrong_layer(trace, "vanishing") or at
        return _earlier(trace, found, measure.direction or "vanishing")
    if invariant == "gradient":
        return first_wrong_layer(trace, measure.direction or "exploding")
    if measure.site < 0:
        return None
    site = trace.sites[measure.site]
    if invariant == "trainable" and (dead := dead_above(trace, measure.site)) is not None:
        return _first_offset(trace, dead) or layer_before(trace, dead)  # the tensor merely suffers
    if site.kind in ("softmax", "attention"):
        return site  # its scores are a product of two signals
    if invariant not in ("saturation", "dead-relu"):
        return site
    return _first_offset(trace, site) or layer_before(trace, site)


def _earlier(trace: Trace, found: Site | None, direction: str) -> Site | None:
    """Return a layer that is wrong in itself where it comes before the one whose scale is wrong.

    One that is no more than the worst of layers whose scale is right gives way to it too.
    """
    if trace.logits < 0:
        return found
    own = _first_offset(trace, trace.sites[trace.logits])
    if own is None or found is None or own.index < found.index:
        return own or found
    layer = layer_of(trace, found)
    return own if layer is not None and _off(layer, direction) <= _WRONG_STEP else found


def _first_offset(trace: Trace, site: Site) -> Site | None:
    """Return the first layer before this site that is wrong in itself: zero, constant or offset.

    A wrong scale alone leaves a rectifier alive and does not saturate what comes behind the next one.
    """
    for layer in layers_before(trace, site):
        if why_own(trace, layer) is not None:
            return layer
    return None


def _exploding_site(measure: Measure, trace: Trace) -> Site | None:
    if measure.claim.startswith("exploding/"):
        return layer_before(trace, trace.sites[measure.site])
    found = first_wrong_layer(trace, "exploding")
    wrong = found is not None and found.weight is not None and _is_too_large(trace, found)
    additions = residual_additions(trace)
    if not wrong and additions:
        return additions[0][0]
    return found or (trace.sites[measure.site] if measure.site >= 0 else None)


def _is_too_large(trace: Trace, site: Site) -> bool:
    layer = layer_of(trace, site)
    if layer is not None:
        return _off(layer, "exploding") > _WRONG_STEP
    return site.weight is not None and site.weight.sigma_w2 > math.exp(_WRONG_STEP)


def first_wrong_layer(trace: Trace, direction: str) -> Site | None:
    """Return the first layer that is off a matched one by 1.5 times in this direction, or the worst.

    What explodes is looked for behind the last normalisation, which forgets all scales before it. A
    layer of zeros comes first where the signal vanishes.
    """
    path = signal_path(trace)
    layers = path_layers(trace)
    if direction == "exploding":
        layers = [layer for run in runs(trace) if run.last for layer in run.layers]
    zero = [s for s in trace.sites if s.kind in LINEAR and s.weight and s.weight.second_moment == 0]
    if direction == "vanishing" and zero:
        return zero[0]
    for layer in layers:
        if _off(layer, direction) > _WRONG_STEP:
            return layer.site
    head = next((s for s in reversed(path) if s.kind in LINEAR and s.weight is not None), None)
    if direction == "exploding" and head is not None and _is_too_large(trace, head):
        return head
    if not layers:
        return head or next((s for s in trace.sites if s.kind in LINEAR), None)
    return max(layers, key=lambda layer: _off(layer, direction)).site


def _weight_logs(layer: Layer) -> tuple[float, float]:
    """Return ln of sigma_w^2 over the largest and the smallest matched one.

    Weights have hardly any luck in them; where they are not known, the lengths have to do.
    """
    weight = layer.site.weight
    if weight is None or not weight.sigma_w2 > 0:
        return step_logs(layer)
    low, high = matched_range(layer)
    return math.log(weight.sigma_w2 / high), math.log(weight.sigma_w2 / low)


def _off(layer: Layer, direction: str) -> float:
    above, below = _weight_logs(layer)
    return above if direction == "exploding" else -below


def place_of(site: Site | None, trace: Trace) -> str:
    """Describe a place as a reader knows it: ``features.4 (Linear 256->256, then ReLU)``."""
    if site is None:
        return "the model"
    weight = site.weight
    if weight is None or site.kind not in LINEAR:
        return f"{site.name} ({site.op})"
    kind = {"conv": "Conv", "embedding": "Embedding"}.get(site.op, "Linear")
    shape = f"{weight.fan_in}->{site.units}" if kind == "Linear" else "x".join(map(str, weight.shape))
    after = activation_after(trace, site)
    names = (weight.name, *weight.aliases)
    others = [name for name in names if owner_and_leaf(name)[0] != site.name]
    tied = f", tied to {', '.join(others)}" if weight.aliases else ""
    return f"{site.name} ({kind} {shape}{f', then {after}' if after else ''}{tied})"
