"""From failed claims to findings: the first place that is wrong, why, and what would mend it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_initcheck import initializers, sequential, theory
from pytest_initcheck.config import Limits
from pytest_initcheck.evidence import Claim, Claims
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.variance import matched_range, step_logs
from pytest_initcheck.report.result import Finding
from pytest_initcheck.runs import LINEAR, Layer, activation_after, layer_before, runs
from pytest_initcheck.trace import Parameter, Site, Trace

_WRONG_STEP = math.log(1.5)
"""A layer whose length is 1.5 times off a matched one's is worth naming as the first."""


@dataclass(frozen=True)
class _Why:
    cause: str
    fix: str


def findings_for(claims: Claims, trace: Trace, limits: Limits, *, built: bool) -> tuple[Finding, ...]:
    """Return one finding per invariant and direction that failed or could not be decided.

    However many layers suffer, the finding names the first that is wrong.
    """
    found: list[Finding] = []
    for invariant in dict.fromkeys(claim.invariant for claim in claims.values()):
        own = [claim for claim in claims.values() if claim.invariant == invariant]
        failed = [claim for claim in own if claim.verdict == "fail"]
        for direction in dict.fromkeys(claim.measure.direction for claim in failed):
            group = [claim for claim in failed if claim.measure.direction == direction]
            found.append(_finding(group, trace, limits, "fail"))
        undecided = [claim for claim in own if claim.verdict == "inconclusive"]
        if not failed and undecided:
            found.append(_inconclusive(undecided, trace, limits, built=built))
    return tuple(found)


def _first(group: list[Claim]) -> Claim:
    """Return the claim whose site comes first; whole-model claims come after those with a site."""
    return min(group, key=lambda claim: (_measure(claim).site < 0, _measure(claim).site))


def _measure(claim: Claim) -> Measure:
    return claim.violating or claim.measure


def _finding(group: list[Claim], trace: Trace, limits: Limits, verdict: str) -> Finding:
    claim = _first(group)
    measure = _measure(claim)
    site = _named_site(claim, measure, trace)
    value, bounds = _in_natural_units(claim.invariant, measure)
    why = _why(claim, measure, trace, site)
    more = len({_measure(c).site for c in group}) - 1
    tail = f" (and at {more} more sites)" if more > 0 else ""
    return Finding(
        claim.invariant,
        "error",
        verdict,
        measure.direction,
        None if site is None else site.name,
        value,
        bounds,
        f"{_place(site, trace)}: {_says(claim, measure, trace, limits)}{tail}",
        why.cause,
        why.fix,
        _proof(claim, limits),
    )


def _inconclusive(group: list[Claim], trace: Trace, limits: Limits, *, built: bool) -> Finding:
    claim = max(group, key=lambda c: (c.walk.violations, -c.measure.site))
    measure = _measure(claim)
    site = _named_site(claim, measure, trace)
    value, bounds = _in_natural_units(claim.invariant, measure)
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
    keyword = {"dead-relu": "dead_relu", "inputs": "input_second_moment"}.get(
        claim.invariant, claim.invariant
    )
    source = limits.source(keyword) if keyword in limits.settings else "default"
    bound = sequential.claim_error_bound()
    if claim.one_look:
        return "a fact of this model, one look decides"
    if claim.measure.fatal is not None:
        events = f"seen in {claim.walk.violations} of {claim.walk.replicates} fresh inits"
        p0 = claim.measure.fatal[0]
        return f"{events}; p < {bound:.0e} where at most {p0:.2g} of inits may show it"
    return (
        f"{claim.walk.violations} of {claim.walk.replicates} replicates outside the widened limit "
        f"({source}); p < {bound:.0e} for a correct init"
    )


# -- where ---------------------------------------------------------------------------------------


def _named_site(claim: Claim, measure: Measure, trace: Trace) -> Site | None:
    """Return the weight layer to look at: that of the site, or the first wrong one on the path."""
    if claim.invariant == "variance" and measure.claim in ("vanishing", "exploding", "growth"):
        return first_wrong_layer(trace, measure.direction or "vanishing")
    if claim.invariant == "variance" and measure.claim == "ignored-input":
        return first_wrong_layer(trace, "vanishing")
    if claim.invariant == "variance" and measure.site >= 0:
        return first_wrong_layer(trace, measure.direction or "vanishing") or trace.sites[measure.site]
    if measure.site < 0:
        return None
    site = trace.sites[measure.site]
    return layer_before(trace, site) if claim.invariant in ("saturation", "dead-relu") else site


def _path_layers(trace: Trace) -> list[Layer]:
    return [layer for run in runs(trace) for layer in run.layers]


def first_wrong_layer(trace: Trace, direction: str) -> Site | None:
    """Return the first layer that is off a matched one by 1.5 times in this direction, or the worst.

    All-zero weights come first in any case.
    """
    layers = _path_layers(trace)
    steps = {layer.site.index: _off(layer, direction) for layer in layers}
    zero = [s for s in trace.sites if s.kind in LINEAR and s.weight and s.weight.second_moment == 0]
    if direction == "vanishing" and zero:
        return zero[0]
    for layer in layers:
        if steps[layer.site.index] > _WRONG_STEP:
            return layer.site
    if direction == "exploding":
        heads = [s for s in trace.sites if s.kind in LINEAR and s.weight is not None]
        if heads and heads[-1].weight is not None and heads[-1].weight.sigma_w2 > 1.5:
            return heads[-1]
    if not layers:
        return next((s for s in trace.sites if s.kind in LINEAR), None)
    return max(layers, key=lambda layer: steps[layer.site.index]).site


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
    return f"{site.name} ({kind} {shape}{f', then {after}' if after else ''})"


# -- what ----------------------------------------------------------------------------------------


def _in_natural_units(
    invariant: str, measure: Measure
) -> tuple[float | None, tuple[float | None, float | None]]:
    """Return value and limit as a reader thinks of them; the claims' logarithms are undone."""
    low, high = (bound if math.isfinite(bound) else None for bound in measure.limit)
    value = measure.value
    if value is not None and invariant == "variance" and measure.fatal is None:
        value = 2.0**value if measure.claim in ("vanishing", "exploding", "growth") else _exp(value)
    return value, (low, high)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _says(claim: Claim, measure: Measure, trace: Trace, limits: Limits) -> str:
    value, (_, high) = _in_natural_units(claim.invariant, measure)
    shown = "?" if value is None else f"{value:.3g}"
    if claim.invariant == "finite":
        where = f" in {measure.note}" if measure.note else ""
        return f"{measure.claim} hold NaN or infinity{where}"
    if claim.invariant == "inputs":
        return _says_inputs(measure, trace, shown, high)
    if claim.invariant == "saturation":
        return f"{_percent(value)} of its units start saturated, at most {_percent(high)}"
    if claim.invariant == "dead-relu":
        if measure.claim == "network" and measure.fatal:
            return "the network is dead: no weight can make its output depend on the input"
        if measure.claim == "layer" and measure.fatal:
            return "every unit is inactive on every input"
        share = f"{_percent(value)} of its units are inactive on every input"
        return f"{share}, at most {_percent(high)}; {measure.note}"
    return _says_variance(measure, trace, limits, shown)


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.0f} %"


def _says_inputs(measure: Measure, trace: Trace, shown: str, high: float | None) -> str:
    kind = measure.claim.rpartition("/")[2]
    if kind == "scale":
        return f"E[x^2] is {shown}, at most {high:g}"
    if kind == "columns":
        return f"one column is {shown} times as large as another, at most {high:g} ({measure.note})"
    low, top = measure.limit
    return f"the {kind} is {shown}, wanted {low:.3g} to {top:.3g}"


def _says_variance(measure: Measure, trace: Trace, limits: Limits, shown: str) -> str:
    factor = _per_layer(trace)
    depth = len(_path_layers(trace))
    if measure.claim == "ignored-input":
        return "no weight can make the output depend on the input"
    if measure.claim == "vanishing":
        steps = 2.0 ** (-(measure.value or 0.0) / 2)
        falls = (
            f"the signal falls {1 / factor:.3g}x per layer over {depth} layers; " if factor < 0.9 else ""
        )
        return f"{falls}gradient descent separates inputs {steps:.2g} times too slowly (limit 256)"
    if measure.claim == "exploding":
        grows = f"the signal grows {factor:.3g}x per layer; " if factor > 1.1 else ""
        return f"{grows}the logits' variance is {shown}, at most 46"
    if measure.claim == "growth":
        return f"the signal grows {shown}x since the last normalisation, at most 100x"
    verb = "grows past" if measure.direction == "exploding" else "falls below"
    layer = trace.sites[measure.site].name if measure.site >= 0 else "the output"
    return (
        f"the signal {verb} the matched length map: {shown}x by {layer}, "
        f"limit {limits['variance']:g}x either way"
    )


def _per_layer(trace: Trace) -> float:
    """Return the geometric mean of a layer's length over a matched layer's, along the path."""
    logs = [_weight_logs(layer) for layer in _path_layers(trace)]
    if not logs:
        return 1.0
    below = math.fsum(low for _, low in logs) / len(logs)
    above = math.fsum(high for high, _ in logs) / len(logs)
    return math.exp(above) if above > 0 else math.exp(min(below, 0.0))


# -- why -----------------------------------------------------------------------------------------


def _why(claim: Claim, measure: Measure, trace: Trace, site: Site | None) -> _Why:
    if claim.invariant == "finite":
        return _Why(
            "memory that was never initialised, or a computation that overflows",
            "initialise every parameter (a tensor made with empty() holds whatever was in memory)",
        )
    if claim.invariant == "inputs":
        return _why_inputs(trace, site)
    if site is None or site.kind not in LINEAR:
        return _Why("no single layer stands out", "compare the table below with a matched init")
    layer = next((item for item in _path_layers(trace) if item.site.index == site.index), None)
    return _why_layer(trace, site, layer)


def _why_inputs(trace: Trace, site: Site | None) -> _Why:
    column = trace.inputs[0]
    value = site.value if site is not None else column.value
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0)) or 1.0
    integral = value.low >= 0 and 200 <= value.high <= 256
    what = "raw pixels 0..255" if integral else "raw, unscaled values"
    return _Why(
        f"{what}: mean {value.mean:.3g}, standard deviation {std:.3g}, "
        f"{value.low:.3g} to {value.high:.3g}",
        f"x = (x - {value.mean:.3g}) / {std:.3g}, per column where columns differ",
    )


def _why_layer(trace: Trace, site: Site, layer: Layer | None) -> _Why:
    weight = site.weight
    if weight is None:
        return _Why("its weight was not seen", "show the weight to the check")
    after = layer.followed_by if layer is not None else activation_after(trace, site) or "identity"
    read = trace.sites[site.reads[0]] if site.reads else site
    fix = _draw_again(weight, after)
    if weight.second_moment == 0:
        return _Why("its weights are all zero", fix)
    if weight.constant:
        return _Why(f"its weights are all equal ({weight.mean:.3g}): its units compute the same", fix)
    low, high = matched_range(layer) if layer is not None else _range_of(after)
    found = f"weights have std {math.sqrt(weight.second_moment):.3g}{_recognised(weight)}"
    needed = f"{after} needs {_needed(weight, after)}"
    if weight.sigma_w2 > 1.5 * high or weight.sigma_w2 < low / 1.5:
        return _Why(f"{found}; {needed}", fix)
    offset = _offset(site, read)
    if offset is not None:
        return _Why(offset, "nn.init.zeros_(bias), or b = 0: a unit starts where its input decides")
    if read.kind == "input" and read.value.second_moment > 4:
        std = math.sqrt(read.value.second_moment)
        return _Why(
            f"its input is large: root mean square {std:.3g}, where the init assumes about 1",
            f"x = (x - {read.value.mean:.3g}) / {std:.3g}",
        )
    if 4 * read.value.batch_variance < read.value.second_moment and read.kind == "input":
        return _Why(
            f"its input is not centred: mean {read.value.mean:.3g} against a spread of "
            f"{math.sqrt(max(read.value.batch_variance, 0.0)):.3g}",
            f"x = x - {read.value.mean:.3g}",
        )
    layers = _path_layers(trace)
    widths = [item.site.units for item in layers] or [site.units]
    narrow = f"{len(widths)} layers of width {min(widths)} and up: too narrow for this depth"
    return _Why(narrow, "widen the layers, add normalisation, or make the network shallower")


def _range_of(after: str) -> tuple[float, float]:
    low, high = theory.matched_gains(after)
    return min(low, 1.0) ** 2, max(high, 1.0) ** 2


def _needed(weight: Parameter, after: str) -> str:
    low, high = theory.matched_gains(after)
    root = math.sqrt(max(weight.fan_in, 1))
    if high / low < 1.01:
        return f"{high / root:.3g} (gain {high:.4g})"
    return f"{low / root:.3g} to {high / root:.3g} (gain {low:.4g} to {high:.4g})"


def _recognised(weight: Parameter) -> str:
    schemes = initializers.describe(
        max(weight.fan_in, 1),
        max(weight.fan_out, 1),
        weight.second_moment,
        weight.count,
        mean=weight.mean,
    )
    if not schemes:
        return ""
    name = schemes[0].name
    default = ", PyTorch's default" if "sqrt(5)" in name else ""
    return f" (like {name}{default})"


def _draw_again(weight: Parameter, after: str) -> str:
    gain = theory.matched_gains(after)[1] if after != "identity" else 1.0
    fan_in = max(weight.fan_in, 1)
    std = gain / math.sqrt(fan_in)
    formula = f"{gain:.4g} / sqrt({fan_in})"
    return f"draw {weight.name} with std {std:.3g} = {formula}: {_named_draw(after)}"


def _named_draw(after: str) -> str:
    if after.startswith(("relu", "leaky_relu")):
        slope = after.partition("(")[2].rstrip(")")
        argument = f", a={slope}, nonlinearity='leaky_relu'" if slope else ", nonlinearity='relu'"
        return f"He, nn.init.kaiming_normal_(weight{argument})"
    if after == "tanh":
        return "Xavier, nn.init.xavier_normal_(weight, gain=5/3)"
    if after in ("selu", "identity"):
        return "LeCun, nn.init.kaiming_normal_(weight, nonlinearity='linear')"
    return f"nn.init.normal_(weight, std) with the gain of {after}"


def _offset(site: Site, read: Site) -> str | None:
    """Tell whether the bias outweighs what the weights make of the input."""
    if site.bias is None or site.weight is None:
        return None
    from_weights = site.weight.sigma_w2 * read.value.second_moment
    if site.bias.second_moment <= from_weights:
        return None
    return (
        f"its bias ({site.bias.mean:.3g} on average) outweighs what the weights make of the input "
        f"(standard deviation {math.sqrt(from_weights):.3g})"
    )
