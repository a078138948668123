"""Fixed points of the length map: which there are, which one is reached, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory
from pytest_initcheck.activations import GATED, NAMES, activation, from_callable

SIGMA_W2 = st.floats(0.1, 9)
SIGMA_B2 = st.floats(0, 2)


@settings(deadline=None)
@given(st.sampled_from([*NAMES, *GATED]), SIGMA_W2, SIGMA_B2)
def test_every_fixed_point_is_kept_and_its_slope_is_that_of_the_map(name, sigma_w2, sigma_b2):
    for point in theory.length_fixed_points(name, sigma_w2, sigma_b2):
        after = theory.length_map(name, point.q, sigma_w2, sigma_b2)
        assert after == pytest.approx(point.q, rel=1e-9, abs=1e-11)
        if 1e-3 < point.q < 1e3:
            h = 1e-5 * point.q
            rise = theory.length_map(name, point.q + h, sigma_w2, sigma_b2) - theory.length_map(
                name, point.q - h, sigma_w2, sigma_b2
            )
            assert point.slope == pytest.approx(rise / (2 * h), rel=1e-4, abs=1e-6)
            assert point.stable == (abs(point.slope) < 1)


@settings(deadline=None)
@given(st.sampled_from(["tanh", "elu", "gelu", "sigmoid", "sin", "selu"]), SIGMA_W2, SIGMA_B2)
def test_the_iteration_comes_to_the_fixed_point(name, sigma_w2, sigma_b2):
    point = theory.length_fixed_point(name, sigma_w2, sigma_b2)
    if not abs(point.slope) < 0.9 or not 1e-6 < point.q < 1e6:
        return
    q = 1.0
    for _ in range(400):
        q = theory.length_map(name, q, sigma_w2, sigma_b2)
    assert q == pytest.approx(point.q, rel=1e-6)


def test_stable_and_unstable_fixed_points_alternate():
    found = theory.length_fixed_points("gelu", theory.critical_sigma_w2("gelu", 0.04), 0.04)
    assert [point.stable for point in found] == [True, False]
    assert found[0].q == pytest.approx(0.151894, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "q"), [(0.999, 0.0), (1.0, 1.0), (1.001, math.inf), (1e-6, 0.0), (1e6, math.inf)]
)
def test_an_unstable_length_goes_either_way(start, q):
    point = theory.length_fixed_point("gelu", theory.gain("gelu") ** 2, start=start)
    assert point.q == pytest.approx(q, abs=1e-12)
    assert point.stable == (q != 1)


@pytest.mark.parametrize("start", [1e-3, 0.7, 400.0])
def test_relu_keeps_every_length_at_sigma_w2_2(start):
    assert theory.length_fixed_point("relu", 2.0, start=start) == theory.FixedPoint(start, 1.0, False)
    assert theory.length_fixed_points("relu", 2.0) == (theory.FixedPoint(0.0, 1.0, False),)


def test_relu_vanishes_below_explodes_above_and_settles_with_biases():
    assert theory.length_fixed_point("relu", 1.9) == theory.FixedPoint(0.0, 0.95, True)
    grown = theory.length_fixed_point("relu", 2.2)
    assert (grown.q, grown.stable) == (math.inf, True)
    assert grown.slope == pytest.approx(1.1)
    assert theory.length_fixed_point("relu", 1.0, 0.5) == theory.FixedPoint(1.0, 0.5, True)
    assert theory.length_fixed_point("relu", 2.0, 0.1).q == math.inf


def test_critical_tanh_comes_to_zero_though_its_slope_is_1():
    assert theory.length_fixed_point("tanh", 1.0) == theory.FixedPoint(0.0, 1.0, True)
    assert theory.length_fixed_point("tanh", 0.9).slope == pytest.approx(0.9)
    assert theory.length_fixed_point("tanh", 1.21).q > 0.1
    assert theory.length_fixed_point("tanh", 1.0, 1e-190).q == 0


def test_a_map_that_falls_is_iterated():
    point = theory.length_fixed_point(np.cos, 1.0)
    assert point.slope < 0
    assert theory.length_map(np.cos, point.q, 1.0) == pytest.approx(point.q, rel=1e-10)
    bump = from_callable(lambda z: np.exp(-z * z), name="bump")
    for sigma_w2 in (0.1, 5.0, 500.0):
        point = theory.length_fixed_point(bump, sigma_w2)
        assert -0.5 < point.slope < 0
        assert theory.length_map(bump, point.q, sigma_w2) == pytest.approx(point.q, rel=1e-9)


def test_a_constant_phi_has_one_length_and_no_gain():
    flat = from_callable(np.zeros_like, name="flat")
    assert theory.length_fixed_point(flat, 2.0, 0.5).q == pytest.approx(0.5)
    assert theory.length_fixed_point(flat, 2.0).q == 0
    with pytest.raises(ValueError, match=r"flat is constant for z ~ N\(0, 1\), no gain keeps a length"):
        theory.gain(flat)
    assert theory.kurtosis(flat) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.length_map("relu", 1.0, -1.0), "sigma_w2 is a variance, got -1; give fan_in"),
        (lambda: theory.length_fixed_point("relu", 1.0, -0.1), "sigma_b2 is a variance, got -0.1"),
        (lambda: theory.length_fixed_point("relu", math.nan), "sigma_w2 is a variance, got nan"),
        (lambda: theory.length_fixed_points("relu", math.inf), "sigma_w2 is a variance, got inf"),
        (lambda: theory.length_fixed_point("relu", 1.0, start=0.0), "start is a length, got 0; give"),
        (lambda: theory.chi_1("tanh", 1.0, q=-1.0), "a length is not negative, got q=-1"),
        (lambda: theory.saturated_share("relu"), "relu does not saturate on both sides; pass beyond="),
        (lambda: theory.second_moment("rleu"), "unknown activation 'rleu'; did you mean 'relu'"),
    ],
    ids=range(8),
)
def test_what_has_no_length_is_refused(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()


@pytest.mark.parametrize("name", GATED)
def test_a_gated_length_is_a_product_of_independent_halves(name):
    gate = activation(name).gate
    for q in (0.3, 1.0, 4.0):
        assert theory.second_moment(name, q) == pytest.approx(q * theory.second_moment(gate, q))
        assert theory.mean(name, q) == 0
        kurtosis = 3 * theory.kurtosis(gate, q)
        assert theory.kurtosis(name, q) == pytest.approx(kurtosis)


def test_gated_moments_agree_with_a_draw():
    rng = np.random.default_rng(0)
    z = math.sqrt(1.5) * rng.normal(size=(400_000, 2))
    y, slope = activation("swiglu").phi(z), activation("swiglu").derivative(z)
    assert (y**2).mean() == pytest.approx(theory.second_moment("swiglu", 1.5), rel=0.02)
    assert (slope**2).sum(1).mean() == pytest.approx(theory.chi_1("swiglu", 1.0, q=1.5), rel=0.02)
    other = 0.6 * z + 0.8 * math.sqrt(1.5) * rng.normal(size=z.shape)
    product = (y * activation("swiglu").phi(other)).mean() / (y**2).mean()
    assert product == pytest.approx(theory.correlation_map("swiglu", 0.6, 1.0, q=1.5), abs=0.01)


def test_a_torch_like_name_a_row_and_a_callable_are_one():
    assert theory.second_moment("tanh", 2.0) == theory.second_moment(np.tanh, 2.0)
    assert theory.gain(activation("tanh")) == theory.gain("tanh")
    own = theory.second_moment(lambda z: np.tanh(z) * 1.0, 2.0)
    assert own == pytest.approx(theory.second_moment("tanh", 2.0), rel=1e-12)
