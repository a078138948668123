"""Profiles: gains and root mean squares over initialisations, and the band of the next one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.engine import judge
from pytest_initcheck.profiles import FEWEST_INITS, INITS, LayerNumbers, Range, numbers, profile
from pytest_initcheck.replicates import one_trace
from pytest_initcheck.subject import Subject


def net(rng, width=64, gains=(2.0, 2.0, 1.0)):
    names = ["relu"] * (len(gains) - 1) + [None]
    return [
        (rng.normal(0, math.sqrt(gain / width), (width, width)), np.full(width, 0.01), name)
        for gain, name in zip(gains, names, strict=True)
    ]


def measured(factory=net, **more):
    found = judge(Subject(factory, "net", inputs=ic.normal(64), profiling=True, **more)).profile
    assert found is not None
    return found


def test_a_profile_has_what_the_draws_are_known_to_be():
    found = measured()
    assert found.inits == INITS
    assert found.inputs == "normal(0,1):64"
    assert found.versions == {"numpy": np.__version__}
    assert [layer.layer for layer in found.layers] == ["linear 64x64"] * 3
    first, second, head = found.layers
    assert first.gain.middle == pytest.approx(2.0, rel=0.05)
    assert second.gain.middle == pytest.approx(1.0, rel=0.15)
    assert head.gain.middle == pytest.approx(0.5, rel=0.2)
    for layer, gain in zip(found.layers, (2.0, 2.0, 1.0), strict=True):
        assert layer.weight.middle == pytest.approx(math.sqrt(gain / 64), rel=0.01)
        # the root mean square of N normal numbers varies by 1 / sqrt(2 N), in log2
        assert layer.weight.spread == pytest.approx(1.4427 / math.sqrt(2 * 64 * 64), rel=0.5)
        assert layer.bias.middle == pytest.approx(0.01)
        assert layer.bias.spread == 0


def test_only_where_it_is_asked_for():
    assert judge(Subject(net, "net", inputs=ic.normal(64))).profile is None


def test_the_verdict_is_the_same_with_a_profile():
    plain = judge(Subject(net, "net", inputs=ic.normal(64)))
    other = judge(Subject(net, "net", inputs=ic.normal(64), profiling=True))
    assert plain.invariants == other.invariants
    assert plain.sites == other.sites


def test_a_built_model_has_no_profile():
    report = judge(Subject(net(np.random.default_rng(0)), "net", inputs=ic.normal(64), profiling=True))
    assert report.profile is None


def test_large_models_are_drawn_less_often(monkeypatch):
    monkeypatch.setattr("pytest_initcheck.replicates._PROFILE_ELEMENTS", 1)
    assert measured(only=("finite", "variance")).inits >= FEWEST_INITS
    assert measured(only=("finite", "variance")).inits < INITS


def of(*values):
    return [{"a": LayerNumbers(0, "linear", {"gain": v, "weight": None, "bias": None})} for v in values]


def gain_of(*values):
    return profile(of(*values), inputs="", spread=None, versions={}).layers[0].gain


def test_middle_and_spread_are_geometric():
    found = gain_of(0.5, 1.0, 2.0)
    assert (found.middle, found.spread) == (1.0, 1.0)


def test_zeros_are_a_middle_of_zero_and_nothing_else_is_in_their_band():
    found = gain_of(0.0, 0.0)
    assert found == Range(0.0, 0.0)
    assert found.band(32) == (-math.inf, -math.inf)


@pytest.mark.parametrize("values", [(1.0, 0.0), (1.0, None), (1.0, math.inf), (1.0, math.nan), (1.0,)])
def test_what_has_no_logarithm_throughout_is_not_kept(values):
    assert gain_of(*values) is None


def test_a_layer_that_is_not_always_there_is_left_out():
    seen = [*of(1.0), {}]
    assert profile(seen, inputs="", spread=None, versions={}).layers == ()


@pytest.mark.parametrize("inits", [8, 13, 32, 64])
def test_the_band_holds_nine_draws_of_ten_whatever_was_seen(inits):
    """Over many profiles of N(0, 1): the share of further draws outside, of the unluckiest in 1000."""
    rng = np.random.default_rng(inits)
    outside = []
    for _ in range(1000):
        drawn = rng.normal(size=inits)
        low, high = Range(2 ** float(drawn.mean()), float(drawn.std(ddof=1))).band(inits)
        outside.append(0.5 * math.erfc(high / math.sqrt(2)) + 0.5 * math.erfc(-low / math.sqrt(2)))
    assert max(outside) < 0.1


def test_chebyshev_leaves_less_than_a_tenth_outside_of_the_widest_profile():
    _, high = Range(1.0, 1.0).band(10**9)
    assert 1 / high**2 < 0.1


def test_numbers_are_of_layers_only():
    trace = one_trace(Subject(net, "net", inputs=ic.normal(64)))
    assert list(numbers(trace)) == ["0", "1", "2"]
