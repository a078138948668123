"""Rows of a report: what was measured for plots, and the band of what a matched init does."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import theory
from pytest_initcheck.engine import Subject, judge
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.numpy import trace
from pytest_initcheck.probes.numpy_sites import histogram
from pytest_initcheck.report.ledger import pack, unpack
from pytest_initcheck.report.result import Report, SiteRow
from pytest_initcheck.site_rows import expected_lengths, linear_range
from pytest_initcheck.trace import HISTOGRAM_BINS, HISTOGRAM_VALUES

WIDTH = 64
DRAWS = 200


def network(gain: float, activation: str = "relu", depth: int = 8, bias: float | None = None):
    """A factory of ``depth`` hidden layers with weights of standard deviation gain / sqrt(width)."""

    def factory(rng):
        def draw(units):
            return rng.normal(0, gain / WIDTH**0.5, (WIDTH, units))

        offset = None if bias is None else np.full(WIDTH, bias)
        return [*((draw(WIDTH), offset, activation) for _ in range(depth)), (draw(10), None, None)]

    return factory


def checked(factory, **changes) -> Report:
    return ic.check(factory, inputs=ic.normal(WIDTH), **changes)


def hidden(report: Report) -> list[SiteRow]:
    """The rows of the hidden weight layers."""
    return [row for row in report.sites if row.kind == "linear"][:-1]


def share_inside(factory) -> float:
    """The share of hidden layers that lie in their bands, over fresh initialisations."""
    inside = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        call = Call((rng.normal(size=(64, WIDTH)),), {})
        seen = trace(factory(rng), call, mode="train", seed=seed)
        bands = expected_lengths(seen)
        layers = [site for site in seen.sites if site.kind == "linear"][:-1]
        for site in layers:
            low, high = bands[site.index]
            inside.append(low <= site.value.second_moment <= high)
    return sum(inside) / len(inside)


MATCHED = {
    "relu": theory.gain("relu"),
    "tanh": 1.0,
    "selu": theory.gain("selu"),
    "elu": theory.gain("elu"),
    "leaky_relu(0.2)": theory.gain("leaky_relu(0.2)"),
}


@pytest.mark.parametrize("activation", MATCHED)
def test_a_matched_network_lies_inside_its_band(activation):
    # two standard deviations of luck leave out one in twenty, and the band is wider than one gain
    assert share_inside(network(MATCHED[activation], activation)) > 0.93


@pytest.mark.parametrize("gain", [3**-0.5, 3.0], ids=["default", "too large"])
def test_an_unmatched_network_leaves_its_band_for_good(gain):
    rows = hidden(checked(network(gain)))
    outside = [not row.expected[0] <= row.second_moment <= row.expected[1] for row in rows]
    assert all(outside[3:])
    assert [row.second_moment < row.expected[0] for row in rows[3:]] == [gain < 1] * 5


def test_the_band_is_the_length_map_widened_by_luck():
    rows = hidden(checked(network(2**0.5)))
    start = checked(network(2**0.5)).sites[0].second_moment
    spreads = theory.length_spreads((WIDTH,) * 8, ("relu",) * 8)
    for row, (fall, variance) in zip(rows, spreads, strict=True):
        # the first layer reads no activation: its textbook gain is He's, or 1
        assert row.expected[1] == pytest.approx(2 * start * math.exp(2 * variance**0.5), rel=1e-6)
        assert row.expected[0] == pytest.approx(start * math.exp(-fall - 2 * variance**0.5), rel=1e-6)


def test_the_band_goes_through_the_activation():
    report = checked(network(2**0.5))
    layer, activation = report.sites[1:3]
    assert activation.expected == pytest.approx(tuple(bound / 2 for bound in layer.expected))


def test_theory_says_nothing_of_inputs_and_heads():
    sites = checked(network(2**0.5)).sites
    assert sites[0].expected is None
    assert sites[-1].expected is None


def test_what_is_dead_has_a_band_and_no_value_in_it():
    rows = hidden(checked(network(2**0.5, bias=-20.0)))
    assert all(math.isfinite(bound) for row in rows for bound in row.expected or ())


def test_the_spread_holds_every_replicate():
    report = checked(network(2**0.5))
    for row in report.sites:
        assert row.spread[0] <= row.second_moment <= row.spread[1]
    assert report.sites[-1].spread[0] < report.sites[-1].spread[1]


def test_rows_know_what_they_read():
    sites = checked(network(2**0.5)).sites
    assert [row.index for row in sites] == list(range(len(sites)))
    assert [row.reads for row in sites[:3]] == [(), (0,), (1,)]
    assert [row.kind for row in sites[:3]] == ["input", "linear", "activation"]


def test_gradients_are_there():
    rows = hidden(checked(network(3**-0.5, depth=5)))
    gradients = [row.gradient for row in rows]
    assert gradients == sorted(gradients)


# -- histograms ------------------------------------------------------------------------------------


def test_a_histogram_counts_what_the_activation_reads():
    report = checked(network(2**0.5, depth=2))
    layer, activation = report.sites[1:3]
    assert layer.pre_activations is None
    seen = activation.pre_activations
    assert sum(seen.counts) == 64 * WIDTH
    assert len(seen.counts) == HISTOGRAM_BINS
    assert (seen.linear_from, seen.linear_to) == (0.0, None)
    width = (seen.high - seen.low) / HISTOGRAM_BINS
    centres = [seen.low + width * (bin + 0.5) for bin in range(HISTOGRAM_BINS)]
    moment = sum(n * z * z for n, z in zip(seen.counts, centres, strict=True)) / sum(seen.counts)
    assert moment == pytest.approx(layer.second_moment, rel=0.02)


def test_what_is_not_finite_is_left_out():
    values = np.array([math.nan, math.inf, -math.inf, 1.0, 3.0])
    seen = histogram(values)
    assert (sum(seen.counts), seen.low, seen.high) == (2, 1.0, 3.0)
    assert histogram(np.array([math.nan])) is None
    assert histogram(np.zeros((0, 3))) is None


def test_equal_values_are_one_bin():
    seen = histogram(np.full(10, 2.0))
    assert sorted(seen.counts)[-2:] == [0, 10]
    assert (seen.low, seen.high) == (2.0, 2.0)


def test_of_very_many_values_some_are_enough():
    assert sum(histogram(np.zeros(2 * HISTOGRAM_VALUES + 1)).counts) < HISTOGRAM_VALUES


def test_linear_ranges():
    low, high = linear_range("tanh")
    assert (low, high) == (-high, pytest.approx(math.atanh(math.sqrt(0.95))))
    assert linear_range("hardswish") == (-3.0, None)
    assert linear_range("silu") == (None, None)


# -- only where plots are asked for ----------------------------------------------------------------


def test_without_plots_nothing_is_measured_for_them():
    report = judge(Subject(network(2**0.5), "m", ic.normal(WIDTH)))
    for row in report.sites:
        assert row.kind
        assert (row.gradient, row.expected, row.spread, row.pre_activations) == (None,) * 4


def test_plots_change_no_verdict_and_no_other_number():
    subject = Subject(network(0.9), "m", ic.normal(WIDTH))
    without, with_plots = judge(subject), judge(dataclasses.replace(subject, plots=True))
    assert [row.second_moment for row in without.sites] == [
        row.second_moment for row in with_plots.sites
    ]
    assert (without.verdict, without.findings) == (with_plots.verdict, with_plots.findings)


def test_rows_survive_the_journey():
    report = checked(network(2**0.5, "tanh"))
    assert unpack(json.loads(json.dumps(pack(report)))) == report


def test_a_run_without_plots_sends_no_more_than_the_figures():
    report = judge(Subject(network(2**0.5), "m", ic.normal(WIDTH)))
    columns = ("name", "op", "second_moment", "batch_variance", "saturated", "dead", "gain")
    bare = [
        {name: getattr(row, name) for name in (*columns, "non_finite", "first_wrong")}
        for row in report.sites
    ]
    assert len(json.dumps(pack(report.sites))) <= len(json.dumps(bare))
    with_plots = checked(network(2**0.5))
    assert len(json.dumps(pack(with_plots.sites))) > len(json.dumps(bare))
