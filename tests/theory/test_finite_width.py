"""The spread of lengths over draws: exact laws, leading orders, and draws of the same."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory
from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ConfigError


@pytest.mark.parametrize("width", [1, 2, 3, 8, 33])
def test_the_exact_law_of_relu_agrees_with_mpmath(width):
    weights = [mp.binomial(width, k) for k in range(1, width + 1)]
    logs = [mp.digamma(mp.mpf(k) / 2) + mp.log(mp.mpf(4) / width) for k in range(1, width + 1)]
    total = sum(weights)
    mean = sum(w * x for w, x in zip(weights, logs, strict=True)) / total
    spreads = [
        mp.polygamma(1, mp.mpf(k) / 2) + x**2 for k, x in zip(range(1, width + 1), logs, strict=True)
    ]
    variance = sum(w * x for w, x in zip(weights, spreads, strict=True)) / total - mean**2
    spread = theory.finite_width_spread((width,))
    assert spread.mean == pytest.approx(float(mean), rel=1e-12)
    assert spread.variance == pytest.approx(float(variance), rel=1e-12)


@pytest.mark.parametrize("width", [1, 2, 7, 40])
@pytest.mark.parametrize("x", [1e-4, 0.3, 1.0, 2.7, 9.0])
def test_the_cdf_of_relu_lengths_agrees_with_mpmath(width, x):
    exact = mp.mpf(1)
    for k in range(1, width + 1):
        below = mp.gammainc(mp.mpf(k) / 2, 0, mp.mpf(width) * x / 4, regularized=True)
        exact += mp.binomial(width, k) * below
    assert theory.relu_length_cdf(x, width) == pytest.approx(
        float(exact / 2**width), rel=1e-12, abs=1e-15
    )


@settings(deadline=None)
@given(st.integers(1, 600), st.floats(1e-6, 1 - 1e-6))
def test_a_quantile_is_where_the_cdf_is(width, p):
    x = theory.relu_length_quantile(p, width)
    if p <= 2.0**-width:
        assert x == 0
    else:
        assert theory.relu_length_cdf(x, width) == pytest.approx(p, abs=1e-12)


def test_the_cdf_starts_with_the_dead_layers():
    assert theory.relu_length_cdf(-1.0, 4) == 0
    assert theory.relu_length_cdf(0.0, 4) == pytest.approx(2.0**-4)
    assert theory.relu_length_cdf(1e9, 4) == pytest.approx(1.0)
    assert theory.relu_length_quantile(1 / 16, 4) == 0


def test_wide_layers_have_hanin_and_rolnicks_law():
    for width in (1000, 20_000):
        spread = theory.finite_width_spread((width,))
        assert spread.mean == pytest.approx(-2.5 / width, rel=0.01)
        assert spread.variance == pytest.approx(5 / width, rel=0.01)
    both = theory.finite_width_spread((10, 70))
    one, other = (theory.finite_width_spread((width,)) for width in (10, 70))
    assert both == theory.Spread(one.mean + other.mean, one.variance + other.variance)
    assert theory.finite_width_spread(()) == theory.Spread(0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "depth"), [("tanh", 64, 10), ("elu", 256, 10), ("selu", 64, 5), ("gelu", 256, 2)]
)
def test_the_leading_order_agrees_with_drawn_layers(name, width, depth):
    # given its input a layer's units are independent N(0, q), so the units themselves can be drawn
    rng = np.random.default_rng(7)
    phi, sigma_w2 = activation(name).phi, theory.gain(name) ** 2
    q = np.ones(20_000)
    for _ in range(depth):
        q = sigma_w2 * (phi(np.sqrt(q)[:, None] * rng.normal(size=(len(q), width))) ** 2).mean(1)
    spread = theory.finite_width_spread((width,) * depth, name)
    error = math.sqrt(np.log(q).var() / len(q))
    assert np.log(q).mean() == pytest.approx(spread.mean, abs=4 * error + 10 / width**1.5)
    assert np.log(q).var() == pytest.approx(spread.variance, rel=0.08)


def test_a_contracting_map_forgets_luck_and_an_expanding_one_multiplies_it():
    deep = theory.finite_width_spread((100,) * 60, "tanh")
    deeper = theory.finite_width_spread((100,) * 120, "tanh")
    assert deep.variance == pytest.approx(deeper.variance, rel=1e-9)
    grown = theory.finite_width_spread((100,) * 12, "gelu").variance
    assert grown > 12 * theory.finite_width_spread((100,), "gelu").variance


@pytest.mark.parametrize(
    ("weights", "first", "ratio"),
    [
        ("normal", False, 1 + 5 / 8),
        ("normal", True, 1 + 5 / 8),
        ("uniform", True, 1 + (5 - 7.2 / 10) / 8),
        ("rademacher", True, 1 + (5 - 12 / 10) / 8),
        ("uniform", False, 1 + (5 - 14.4 / 8) / 8),
        (9 / 5, False, 1 + (5 - 14.4 / 8) / 8),
        (3.0, False, 1 + 5 / 8),
        ("orthogonal", False, 1.3),
    ],
)
def test_the_moment_ratio_of_relu(weights, first, ratio):
    assert theory.moment_ratio(8, "relu", weights, first=first) == pytest.approx(ratio, rel=1e-12)


def test_other_activations_under_other_weights():
    assert theory.moment_ratio(50, "identity") == pytest.approx(1 + 2 / 50)
    # an orthogonal linear net keeps the length exactly, a leaky one nearly
    assert theory.moment_ratio(50, "identity", "orthogonal") == pytest.approx(1, abs=1e-15)
    assert 1 < theory.moment_ratio(50, "leaky_relu(0.5)", "orthogonal") < theory.moment_ratio(50)
    leading = theory.moment_ratio(1000, "threshold(0,0.0)", "orthogonal") - 1
    assert leading == pytest.approx(3 / 1002, rel=1e-12)
    assert theory.moment_ratio(1000, "tanh") == pytest.approx(1 + 0.6273 / 1000, abs=1e-7)
    assert theory.moment_ratio(8, "softshrink(40)") == math.inf


def test_orthogonal_tanh_agrees_with_a_draw():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(200_000, 64))
    z *= math.sqrt(64) / np.linalg.norm(z, axis=1, keepdims=True)
    m = (np.tanh(z) ** 2).mean(1)
    drawn = (m**2).mean() / m.mean() ** 2 - 1
    assert theory.moment_ratio(64, "tanh", "orthogonal") - 1 == pytest.approx(drawn, rel=0.05)


@pytest.mark.parametrize("phi", ["relu", "tanh"])
def test_orthogonal_jacobians_are_better_conditioned(phi):
    normal, orthogonal = (theory.jacobian_spectrum(phi, 7, weights=w) for w in ("normal", "orthogonal"))
    assert normal.mean == orthogonal.mean == pytest.approx(theory.chi_1(phi, 1.0, q=1.0) ** 7)
    assert normal.relative_variance - orthogonal.relative_variance == pytest.approx(7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.moment_ratio(0), "widths count units, each at least 1; got 0"),
        (lambda: theory.finite_width_spread((4, 0)), "widths count units, each at least 1; got 4, 0"),
        (
            lambda: theory.moment_ratio(4, weights="normel"),
            "unknown weights 'normel'; did you mean 'normal'",
        ),
        (
            lambda: theory.moment_ratio(4, weights=0.5),
            r"a kurtosis is at least 1, got 0\.5; 3 is the normal",
        ),
        (lambda: theory.moment_ratio(4, "swiglu", "uniform"), "swiglu is a gate: its finite-width law"),
        (lambda: theory.relu_length_quantile(1.0, 4), "a probability lies between 0 and 1, got p=1"),
        (lambda: theory.relu_length_cdf(1.0, 0), "widths count units"),
        (lambda: theory.jacobian_spectrum("relu", 3, weights="uniform"), "unknown weights 'uniform'"),
    ],
    ids=range(8),
)
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
