"""What a claim says: short enough for a first line, with its figures, and the rest in the detail."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.config import NAMES, resolve
from pytest_initcheck.evidence import Claim, start
from pytest_initcheck.invariants import Measure, event
from pytest_initcheck.replicates import evidence_of
from pytest_initcheck.report.first_line import LONGEST_MESSAGE
from pytest_initcheck.report.prose import columns
from pytest_initcheck.sentences import Said, says
from pytest_initcheck.subject import Subject
from pytest_initcheck.trace import Sensitivity, Trace

LIMITS = resolve(("call", {"variance": 12.5, "gradient": 12.5}))
LONG = "encoder.layers.11.self_attention.relative_position_bias_table"


@pytest.fixture(scope="module")
def trace() -> Trace:
    def net(rng):
        hidden = [(rng.normal(0, 0.18, (16, 16)), np.zeros(16), "tanh") for _ in range(4)]
        return [*hidden, (rng.normal(0, 0.2, (16, 4)), None, None)]

    seen = evidence_of(Subject(net, "net", ic.normal(16), only=("finite",))).trace
    return dataclasses.replace(seen, sensitivity=Sensitivity(0.934, 1e9))


def flat(trace: Trace, factor: float) -> Trace:
    """The trace with a signal that grows by this factor per site."""
    sites = tuple(
        dataclasses.replace(
            site, value=dataclasses.replace(site.value, batch_variance=factor**site.index)
        )
        for site in trace.sites
    )
    return dataclasses.replace(trace, sites=sites)


def said(trace: Trace, invariant: str, measure: Measure) -> Said:
    return says(Claim(invariant, measure, start(measure)), measure, trace, LIMITS)


def ln(value: float) -> float:
    return math.log(value)


def measure(claim: str, value: float, high: float = 46.0, low: float = 0.0, **more: object) -> Measure:
    return Measure(claim, 1, value, limit=(low, high), **more)  # type: ignore[arg-type]


def dead(claim: str) -> Measure:
    return event(claim, 1, True, p0=0.001, p1=0.1)


MESSAGES = {
    "finite": ("finite", event("parameters", 1, True, p0=0.001, p1=0.1, note=LONG), "parameters hold NaN or infinity", LONG),
    "input scale": ("inputs", measure("x/scale", 21700.0), "E[x^2] is 2.17e+04, at most 46", ""),
    "input columns": (
        "inputs", measure("x/columns", 12300.0, 1000.0, note="column 3 against column 0"),
        "columns differ by 1.23e+04x, at most 1000x", "column 3 against column 0",
    ),
    "input mean": ("inputs", measure("x/mean", 0.53, 0.25, -0.25), "the mean is 0.53, wanted -0.25 to 0.25", ""),
    "input std": ("inputs", measure("x/std", -12345.678, 1.2345e-5, -1.2345e-5), "the std is -1.23e+04", "wanted -1.23e-05 to 1.23e-05"),
    "saturation": ("saturation", measure("fc", 0.93, 0.25), "93 % start saturated, at most 25 %", ""),
    "a dead network": ("dead-relu", dead("network"), "the network is dead", "no weight can make its output depend on the input"),
    "a dead layer": ("dead-relu", dead("layer"), "every unit is dead", "a dead unit is inactive on every input"),
    "dead units": (
        "dead-relu", measure("fc", 1.0, 0.51, note="a matched init shows 2 % at this depth and batch"),
        "100 % of its units are dead, at most 51 %",
        "dead is inactive on every input; a matched init shows 2 % at this depth and batch",
    ),
    "a hash": (
        "gradient", measure("noise", 0.934, 0.5), "hash of its input: noise moves it 0.934",
        "1 % of noise moves the output 0.934 times as far as another input does, at most 0.5, "
        "amplified 178x per layer",
    ),
    "a gradient off the map": (
        "gradient", measure("fc/exploding", ln(12345.0), direction="exploding"),
        "gradient 1.23e+04x the matched", "limit 12.5x; backwards it grows past the matched map",
    ),
    "cut off": (
        "trainable", measure(LONG, 1.0, note="cut off"), "no gradient reaches relati..._table",
        f"{LONG}: no gradient has a path from the output to it",
    ),
    "stuck": (
        "trainable", measure(LONG, 1.0), "gradient of relati..._table stays zero",
        f"{LONG}: exactly zero in each of 3 steps",
    ),
    "copies": ("symmetry", measure(f"copies/{LONG}", 1.0, note="128 copies"), "relati..._table is 128 copies of one block", LONG),
    "twins": (
        "symmetry", measure(f"equal/{LONG}", 1.0, note="twin.weight"), "relati..._table is a copy and stays one",
        f"{LONG} and twin.weight are equal, and stay so over 3 steps of training",
    ),
    "equal units": (
        "symmetry", measure(f"equal/{LONG}", 1.0), "all units of relati..._table stay equal",
        f"{LONG}: they start equal and still are after 3 steps of training",
    ),
    "unmatched": ("matched-init", measure("fc", ln(12345.0)), "weight variance 1.23e+04x the needed one", "at most 5% off"),
    "spread": (
        "reproducible", measure("spread", ln(3.4), 2.0, note="a matched init of these widths shows 1.1x"),
        "size differs 3.4x over seeds, at most 2x",
        "the signal's size from seed to seed, one standard deviation; a matched init of these widths shows 1.1x",
    ),
    "ignored input": ("variance", event("ignored-input", -1, True, p0=0.001, p1=0.1), "output ignores the input", "no weight can make it depend on the input"),
    "by the map": (
        "variance", measure("fc/total/vanishing", ln(0.0123), direction="vanishing"),
        "signal 0.0123x the matched, limit 12.5x", "it falls below the matched length map by layer 0",
    ),
    "growth": ("variance", measure("growth", 16.0), "signal grows 6.55e+04x, at most 100x", "since the last normalisation"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_the_words(trace, name):
    invariant, seen, short, detail = MESSAGES[name]
    found = said(trace, invariant, seen)
    assert (found.short, found.detail) == (short, detail)
    assert columns(found.short) <= LONGEST_MESSAGE


def test_every_invariant_has_a_message():
    assert {invariant for invariant, *_ in MESSAGES.values()} == set(NAMES)


def test_one_hot_rows(trace):
    softmax = dataclasses.replace(trace.sites[1], kind="softmax")
    seen = dataclasses.replace(trace, sites=(trace.sites[0], softmax, *trace.sites[2:]))
    assert said(seen, "saturation", measure("softmax", 0.93, 0.25)) == Said(
        "93 % of its rows start one-hot", "at most 25 %"
    )


def test_a_signal_that_vanishes_and_one_that_does_not(trace):
    vanishing = measure("vanishing", -27.1, direction="vanishing")
    slow = "gradient descent separates inputs 1.2e+04 times too slowly (limit 256)"
    assert said(flat(trace, 0.4), "variance", vanishing) == Said(
        "signal falls 6.25x per layer", f"over 4 layers; {slow}"
    )
    assert said(flat(trace, 1.0), "variance", vanishing) == Said(
        "inputs are told apart 1.2e+04x too slowly", slow
    )


def test_a_signal_that_explodes_and_logits_that_do(trace):
    exploding = measure("exploding", 13.6, direction="exploding")
    assert said(flat(trace, 2.0), "variance", exploding) == Said(
        "signal grows 4x per layer", "over 4 layers; the logits' variance is 1.24e+04, at most 46"
    )
    assert said(flat(trace, 1.0), "variance", exploding) == Said(
        "logits' variance is 1.24e+04, at most 46"
    )


@pytest.mark.parametrize("value", [1e-300, 1.234e-5, 0.5, 1.0, 12345.678, 1.23e300, math.inf, math.nan])
@pytest.mark.parametrize("name", MESSAGES)
def test_no_figure_makes_a_message_too_long(trace, name, value):
    invariant, seen, *_ = MESSAGES[name]
    if seen.fatal is None and not (value == math.inf and invariant == "variance"):
        wide = dataclasses.replace(seen, value=value if value < 1e300 else 300.0)
        assert columns(said(trace, invariant, wide).short) <= LONGEST_MESSAGE
