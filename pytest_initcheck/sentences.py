"""What is wrong, with its figures: a few words for a first line, and the rest. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from pytest_initcheck.config import Limits
from pytest_initcheck.evidence import Claim
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.gradient import growth_per_layer
from pytest_initcheck.report.first_line import LONGEST_MESSAGE
from pytest_initcheck.report.prose import columns, plain, shortened
from pytest_initcheck.runs import signal_per_layer
from pytest_initcheck.trace import STEPS, Parameter, Trace, owner_and_leaf

_LOGARITHMIC = ("variance", "gradient", "matched-init", "reproducible")
_BITS = ("vanishing", "exploding", "growth")
"""Claims in powers of 2; the others of these invariants are natural logarithms."""
_LONGEST_LEAF = 15


@dataclass(frozen=True)
class Said:
    """What is wrong: ``short`` fits a first line, ``detail`` says the rest; it may be empty."""

    short: str
    detail: str = ""


def in_natural_units(
    invariant: str, measure: Measure
) -> tuple[float | None, tuple[float | None, float | None]]:
    """Return value and limit as a reader thinks of them; the claims' logarithms are undone."""
    low, high = (bound if math.isfinite(bound) else None for bound in measure.limit)
    value = measure.value
    if value is not None and invariant in _LOGARITHMIC and measure.fatal is None:
        if measure.claim.partition("/")[0] in _BITS and invariant == "variance":
            value = 2.0 ** min(value, 1000.0)
        elif measure.claim != "noise":
            value = _exp(value)
    return value, (low, high)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def says(claim: Claim, measure: Measure, trace: Trace, limits: Limits) -> Said:
    """Return what a violated claim says; the place is not part of it."""
    value, (_, high) = in_natural_units(claim.invariant, measure)
    shown = "?" if value is None else f"{value:.3g}"
    if claim.invariant == "finite":
        return Said(f"{measure.claim} hold NaN or infinity", measure.note or "")
    if claim.invariant == "inputs":
        return _says_inputs(measure, shown, high)
    if claim.invariant == "saturation":
        if trace.sites[measure.site].kind in ("softmax", "attention"):
            return _bounded(f"{_percent(value)} of its rows start one-hot", f"at most {_percent(high)}")
        return _bounded(f"{_percent(value)} start saturated", f"at most {_percent(high)}")
    if claim.invariant == "dead-relu":
        return _says_dead(measure, value, high)
    if claim.invariant == "gradient":
        return _says_gradient(measure, trace, limits, shown)
    if claim.invariant in ("trainable", "symmetry"):
        return _says_tensor(claim.invariant, measure)
    if claim.invariant == "matched-init":
        reach = limits["matched_init"] or 0.0
        return Said(f"weight variance {shown}x the needed one", f"at most {reach:.0%} off")
    if claim.invariant == "reproducible":
        what = f"the signal's size from seed to seed, one standard deviation; {measure.note}"
        return _bounded(f"size differs {shown}x over seeds", f"at most {high:g}x", what)
    return _says_variance(measure, trace, limits, shown)


def _bounded(short: str, bound: str, detail: str = "") -> Said:
    """Put a bound behind what was seen where there is room for it, and else into the detail."""
    line = f"{short}, {bound}"
    if columns(line) <= LONGEST_MESSAGE:
        return Said(line, detail)
    return Said(short, "; ".join(part for part in (bound, detail) if part))


def _says_dead(measure: Measure, value: float | None, high: float | None) -> Said:
    if measure.claim == "network" and measure.fatal:
        return Said("the network is dead", "no weight can make its output depend on the input")
    if measure.claim == "layer" and measure.fatal:
        return Said("every unit is dead", "a dead unit is inactive on every input")
    note = f"dead is inactive on every input; {measure.note}"
    return _bounded(f"{_percent(value)} of its units are dead", f"at most {_percent(high)}", note)


def _says_gradient(measure: Measure, trace: Trace, limits: Limits, shown: str) -> Said:
    if measure.claim == "noise":
        grows = growth_per_layer(trace)
        each = f", amplified {grows:.3g}x per layer" if math.isfinite(grows) else ""
        return Said(
            f"hash of its input: noise moves it {shown}",
            f"1 % of noise moves the output {shown} times as far as another input does, at most 0.5"
            f"{each}",
        )
    verb = "grows past" if measure.direction == "exploding" else "falls below"
    limit = f"limit {limits['gradient']:g}x"
    return _bounded(f"gradient {shown}x the matched", limit, f"backwards it {verb} the matched map")


def parameter_of(measure: Measure, trace: Trace) -> Parameter | None:
    """Return the tensor that a claim of `trainable` or `symmetry` is about."""
    name = measure.tensor
    return next((p for p in trace.parameters if p.name == name), None)


def _says_tensor(invariant: str, measure: Measure) -> Said:
    name = measure.tensor
    leaf = shortened(plain(owner_and_leaf(name)[1]), _LONGEST_LEAF)
    if invariant == "trainable":
        if measure.note == "cut off":
            reason = f"{name}: no gradient has a path from the output to it"
            return Said(f"no gradient reaches {leaf}", reason)
        return Said(f"gradient of {leaf} stays zero", f"{name}: exactly zero in each of {STEPS} steps")
    if measure.claim.startswith("copies/"):
        return Said(f"{leaf} is {measure.note or 'copies'} of one block", name)
    if measure.note is not None:
        stay = f"{name} and {measure.note} are equal, and stay so over {STEPS} steps of training"
        return Said(f"{leaf} is a copy and stays one", stay)
    return Said(
        f"all units of {leaf} stay equal",
        f"{name}: they start equal and still are after {STEPS} steps of training",
    )


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.0f} %"


def _says_inputs(measure: Measure, shown: str, high: float | None) -> Said:
    kind = measure.claim.rpartition("/")[2]
    if kind == "scale":
        return _bounded(f"E[x^2] is {shown}", f"at most {high:g}")
    if kind == "columns":
        return _bounded(f"columns differ by {shown}x", f"at most {high:g}x", measure.note or "")
    low, top = measure.limit
    return _bounded(f"the {kind} is {shown}", f"wanted {low:.3g} to {top:.3g}")


def _says_variance(measure: Measure, trace: Trace, limits: Limits, shown: str) -> Said:
    factor, layers = signal_per_layer(trace)
    over = f"over {layers} layers"
    if measure.claim == "ignored-input":
        return Said("output ignores the input", "no weight can make it depend on the input")
    if measure.claim == "vanishing":
        steps = 2.0 ** (-(measure.value or 0.0) / 2)
        slow = f"gradient descent separates inputs {steps:.2g} times too slowly (limit 256)"
        if factor < 0.9:
            return Said(f"signal falls {1 / factor:.3g}x per layer", f"{over}; {slow}")
        return Said(f"inputs are told apart {steps:.2g}x too slowly", slow)
    if measure.claim.startswith("exploding"):
        if factor > 1.1:
            logits = f"the logits' variance is {shown}, at most 46"
            return Said(f"signal grows {factor:.3g}x per layer", f"{over}; {logits}")
        return _bounded(f"logits' variance is {shown}", "at most 46")
    if measure.claim == "growth":
        return _bounded(f"signal grows {shown}x", "at most 100x", "since the last normalisation")
    verb = "grows past" if measure.direction == "exploding" else "falls below"
    layer = trace.sites[measure.site].name if measure.site >= 0 else "the output"
    limit = f"limit {limits['variance']:g}x"
    detail = f"it {verb} the matched length map by layer {layer}"
    return _bounded(f"signal {shown}x the matched", limit, detail)


def allowable(measures: Iterable[Measure], trace: Trace) -> str:
    """Return the sites at which an allowance covers all these claims, as a glob.

    ``"*"`` where one of them is about the whole model, or where the names have no module in common.
    """
    sites = {measure.site for measure in measures}
    if min(sites, default=-1) < 0:
        return "*"
    names = sorted({trace.sites[site].name for site in sites})
    if len(names) == 1:
        return glob.escape(names[0])
    paths = [re.split(r"(?<=[./])", name) for name in names]
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    shared = "".join(parts[0] for parts in same)
    return f"{glob.escape(shared)}*" if shared and shared[:-1] not in names else "*"
