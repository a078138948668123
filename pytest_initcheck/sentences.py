"""What is wrong, as one sentence with its figures. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.evidence import Claim
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.gradient import growth_per_layer
from pytest_initcheck.runs import signal_per_layer
from pytest_initcheck.trace import STEPS, Parameter, Trace

_LOGARITHMIC = ("variance", "gradient", "matched-init", "reproducible")
_BITS = ("vanishing", "exploding", "growth")
"""Claims in powers of 2; the others of these invariants are natural logarithms."""


def in_natural_units(
    invariant: str, measure: Measure
) -> tuple[float | None, tuple[float | None, float | None]]:
    """Return value and limit as a reader thinks of them; the claims' logarithms are undone."""
    low, high = (bound if math.isfinite(bound) else None for bound in measure.limit)
    value = measure.value
    if value is not None and invariant in _LOGARITHMIC and measure.fatal is None:
        if measure.claim.partition("/")[0] in _BITS and invariant == "variance":
            value = 2.0**value
        elif measure.claim != "noise":
            value = _exp(value)
    return value, (low, high)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def says(claim: Claim, measure: Measure, trace: Trace, limits: Limits) -> str:
    value, (_, high) = in_natural_units(claim.invariant, measure)
    shown = "?" if value is None else f"{value:.3g}"
    if claim.invariant == "finite":
        where = f" in {measure.note}" if measure.note else ""
        return f"{measure.claim} hold NaN or infinity{where}"
    if claim.invariant == "inputs":
        return _says_inputs(measure, trace, shown, high)
    if claim.invariant == "saturation":
        if trace.sites[measure.site].kind in ("softmax", "attention"):
            return f"{_percent(value)} of its rows start one-hot, at most {_percent(high)}"
        return f"{_percent(value)} of its activations start saturated, at most {_percent(high)}"
    if claim.invariant == "dead-relu":
        if measure.claim == "network" and measure.fatal:
            return "the network is dead: no weight can make its output depend on the input"
        if measure.claim == "layer" and measure.fatal:
            return "every unit is inactive on every input"
        share = f"{_percent(value)} of its units are inactive on every input"
        return f"{share}, at most {_percent(high)}; {measure.note}"
    if claim.invariant == "gradient":
        return _says_gradient(measure, trace, limits, shown)
    if claim.invariant in ("trainable", "symmetry"):
        return _says_tensor(claim.invariant, measure, trace)
    if claim.invariant == "matched-init":
        reach = limits["matched_init"] or 0.0
        return f"the variance of its weights is {shown} times the needed one, at most {reach:.0%} off"
    if claim.invariant == "reproducible":
        return (
            f"the signal's size differs by a factor of {shown} from seed to seed (one standard "
            f"deviation), at most {high:g}; {measure.note}"
        )
    return _says_variance(measure, trace, limits, shown)


def _says_gradient(measure: Measure, trace: Trace, limits: Limits, shown: str) -> str:
    if measure.claim == "noise":
        grows = growth_per_layer(trace)
        each = f", amplified {grows:.3g}x per layer" if math.isfinite(grows) else ""
        return (
            f"a hash of its input: 1 % of noise moves the output {shown} times as far as another "
            f"input does, at most 0.5{each}"
        )
    verb = "grows past" if measure.direction == "exploding" else "falls below"
    return (
        f"backwards the gradient {verb} the matched map: {shown}x by this layer, "
        f"limit {limits['gradient']:g}x either way"
    )


def parameter_of(measure: Measure, trace: Trace) -> Parameter | None:
    """Return the tensor that a claim of `trainable` or `symmetry` is about."""
    name = measure.claim.rpartition("/")[2]
    return next((p for p in trace.parameters if p.name == name), None)


def _says_tensor(invariant: str, measure: Measure, trace: Trace) -> str:
    name = measure.claim.rpartition("/")[2]
    if invariant == "trainable":
        if measure.note == "cut off":
            return f"no gradient reaches {name}: autograd has no path from the output to it"
        return f"{name} receives a gradient of exactly zero in each of {STEPS} steps"
    if measure.claim.startswith("copies/"):
        return f"{name} is made of {measure.note or 'copies'} of one block"
    if measure.note is not None:
        return f"{name} and {measure.note} are equal, and stay so over {STEPS} steps of training"
    return f"all units of {name} are equal, and stay so over {STEPS} steps of training"


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
    factor, layers = signal_per_layer(trace)
    if measure.claim == "ignored-input":
        return "no weight can make the output depend on the input"
    if measure.claim == "vanishing":
        steps = 2.0 ** (-(measure.value or 0.0) / 2)
        falls = (
            f"the signal falls {1 / factor:.3g}x per layer over {layers} layers; "
            if factor < 0.9
            else ""
        )
        return f"{falls}gradient descent separates inputs {steps:.2g} times too slowly (limit 256)"
    if measure.claim.startswith("exploding"):
        grows = f"the signal grows {factor:.3g}x per layer; " if factor > 1.1 else ""
        return f"{grows}the logits' variance is {shown}, at most 46"
    if measure.claim == "growth":
        return f"the signal grows {shown}x since the last normalisation, at most 100x"
    verb = "grows past" if measure.direction == "exploding" else "falls below"
    layer = trace.sites[measure.site].name if measure.site >= 0 else "the output"
    return (
        f"the signal {verb} the matched length map: {shown}x by layer {layer}, "
        f"limit {limits['variance']:g}x either way"
    )
