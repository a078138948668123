"""From failed claims to findings: the first place that is wrong, why, and what would mend it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import sequential
from pytest_initcheck.causes import why
from pytest_initcheck.config import Limits
from pytest_initcheck.evidence import Claim, Claims
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.length_map import matched_range, step_logs
from pytest_initcheck.layer_causes import Spell
from pytest_initcheck.report.result import Finding
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
from pytest_initcheck.sentences import in_natural_units, says
from pytest_initcheck.tensor_causes import dead_above
from pytest_initcheck.trace import Site, Trace

_WRONG_STEP = math.log(1.5)
"""A layer whose length is 1.5 times off a matched one's is worth naming as the first."""


def findings_for(
    claims: Claims, trace: Trace, limits: Limits, spell: Spell, *, built: bool
) -> tuple[Finding, ...]:
    """Return one finding per invariant and direction that failed or could not be decided.

    However many layers suffer, the finding names the first that is wrong.
    """
    found: list[Finding] = []
    for invariant in dict.fromkeys(claim.invariant for claim in claims.values()):
        own = [claim for claim in claims.values() if claim.invariant == invariant]
        failed = [claim for claim in own if claim.verdict == "fail"]
        for direction in dict.fromkeys(claim.measure.direction for claim in failed):
            group = [claim for claim in failed if claim.measure.direction == direction]
            found.append(_finding(group, trace, limits, spell))
        undecided = [claim for claim in own if claim.verdict == "inconclusive"]
        if not failed and undecided:
            found.append(_inconclusive(undecided, trace, limits, built=built))
    return tuple(found)


def _first(group: list[Claim]) -> Claim:
    """Return the claim whose site comes first; whole-model claims come after those with a site.

    Of two claims on one site that on the logits is the plainer.
    """

    def place(claim: Claim) -> tuple[bool, int, bool]:
        measure = _measure(claim)
        return measure.site < 0, measure.site, measure.claim == "growth"

    return min(group, key=place)


def _measure(claim: Claim) -> Measure:
    return claim.violating or claim.measure


def _finding(group: list[Claim], trace: Trace, limits: Limits, spell: Spell) -> Finding:
    claim = _first(group)
    measure = _measure(claim)
    site = _named_site(claim, measure, trace)
    value, bounds = in_natural_units(claim.invariant, measure)
    reason = why(claim.invariant, measure, trace, site, spell)
    more = len({_measure(c).site for c in group}) - 1
    tail = f"; {more} later {'layer' if more == 1 else 'layers'} too" if more > 0 else ""
    return Finding(
        claim.invariant,
        "error",
        "fail",
        measure.direction,
        None if site is None else site.name,
        value,
        bounds,
        f"{_place(site, trace)}: {says(claim, measure, trace, limits)}{tail}",
        reason.cause,
        reason.fix,
        _proof(claim, limits),
    )


def _inconclusive(group: list[Claim], trace: Trace, limits: Limits, *, built: bool) -> Finding:
    claim = max(group, key=lambda c: (c.walk.violations, -c.measure.site))
    measure = _measure(claim)
    site = _named_site(claim, measure, trace)
    value, bounds = in_natural_units(claim.invariant, measure)
    if built:
        message = f"{claim.invariant} needs fresh initialisations to be decided; pass the factory"
        fix = "pass the function or class that builds the model, not a model that is built"
        proof = "one initialisation seen"
    else:
        seen = f"{claim.walk.violations} of {claim.walk.replicates} replicates outside the limit"
        message = f"{_place(site, trace)}: undecided, {seen}"
        fix = "look at the value: it lies at the limit; change the init, or set the limit you want"
        proof = _proof(claim, limits)
    cause = "the model is built already" if built else "the model sits at its limit"
    return Finding(
        claim.invariant,
        "warning",
        "inconclusive",
        measure.direction,
        None if site is None else site.name,
        value,
        bounds,
        message,
        cause,
        fix,
        proof,
    )


def _proof(claim: Claim, limits: Limits) -> str:
    keyword = "input_second_moment" if claim.invariant == "inputs" else claim.invariant.replace("-", "_")
    source = limits.source(keyword) if keyword in limits.settings else "default"
    bound = sequential.claim_error_bound()
    if claim.one_look:
        return "a fact of this model, one look decides"
    if claim.measure.fatal is not None:
        events = f"seen in {claim.walk.violations} of {claim.walk.replicates} fresh inits"
        p0 = claim.measure.fatal[0]
        return f"{events}; p < {bound:.0e} where at most {p0:.2g} of inits may show it"
    if claim.invariant == "inputs":
        return f"{claim.walk.violations} of {claim.walk.replicates} draws of the inputs ({source})"
    return (
        f"{claim.walk.violations} of {claim.walk.replicates} replicates outside the widened limit "
        f"({source}); p < {bound:.0e} for a correct init"
    )


# -- where ---------------------------------------------------------------------------------------


def _named_site(claim: Claim, measure: Measure, trace: Trace) -> Site | None:
    """Return the weight layer to look at: that of the site, or the first wrong one on the path."""
    if claim.invariant == "variance":
        if measure.direction == "exploding" and measure.fatal is None:
            return _exploding_site(measure, trace)
        return first_wrong_layer(trace, "vanishing") or (
            trace.sites[measure.site] if measure.site >= 0 else None
        )
    if claim.invariant == "gradient":
        return first_wrong_layer(trace, measure.direction or "exploding")
    if measure.site < 0:
        return None
    site = trace.sites[measure.site]
    if claim.invariant == "trainable" and (dead := dead_above(trace, measure.site)) is not None:
        return layer_before(trace, dead)  # the tensor merely suffers
    if site.kind in ("softmax", "attention"):
        return site  # its scores are a product of two signals
    return layer_before(trace, site) if claim.invariant in ("saturation", "dead-relu") else site


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
    layer = next((item for item in path_layers(trace) if item.site.index == site.index), None)
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


def _place(site: Site | None, trace: Trace) -> str:
    """Describe a place as a reader knows it: ``features.4 (Linear 256->256, then ReLU)``."""
    if site is None:
        return "the model"
    weight = site.weight
    if weight is None or site.kind not in LINEAR:
        return f"{site.name} ({site.op})"
    kind = {"conv": "Conv", "embedding": "Embedding"}.get(site.op, "Linear")
    shape = f"{weight.fan_in}->{site.units}" if kind == "Linear" else "x".join(map(str, weight.shape))
    after = activation_after(trace, site)
    tied = f", tied to {', '.join(weight.aliases)}" if weight.aliases else ""
    return f"{site.name} ({kind} {shape}{f', then {after}' if after else ''}{tied})"
