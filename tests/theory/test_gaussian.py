"""Expectations under one and two Gaussians against closed forms and mpmath."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory
from pytest_initcheck.activations import activation, from_callable
from pytest_initcheck.theory.moments import moment, pair_moment, pair_slope_moment, weighted_moment
from pytest_initcheck.theory.roots import root_between

LENGTHS = (1e-6, 1e-3, 0.3, 1.0, 12.0, 1e3, 1e5)
CORRELATIONS = (-1.0, -0.9, -0.3, 0.0, 1e-3, 0.5, 0.99, 1 - 1e-6, 1.0)


def anonymous(name: str):
    """The same function without its closed forms."""
    act = activation(name)
    return from_callable(act.phi, name="anonymous", kinks=act.kinks, derivative=act.derivative)


def kappa_1(c: float) -> float:
    return (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi


def leaky_pair(slope: float, q: float, c: float) -> float:
    return q * ((1 - slope) ** 2 * kappa_1(c) + 2 * slope * c) / 2


def sin_pair(q: float, c: float) -> float:
    with mp.workdps(40):
        return float(mp.exp(-mp.mpf(q)) * mp.sinh(mp.mpf(q) * mp.mpf(c)))


PAIRS = {
    "relu": lambda q, c: q / 2 * kappa_1(c),
    "leaky_relu(0.2)": lambda q, c: leaky_pair(0.2, q, c),
    "identity": lambda q, c: q * c,
    "erf": lambda q, c: 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q)),
    "sin": sin_pair,
}
PAIR_SLOPES = {
    "relu": lambda q, c: (math.pi - math.acos(c)) / (2 * math.pi),
    "erf": lambda q, c: 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2),
    "sin": lambda q, c: (math.exp(-q * (1 - c)) + math.exp(-q * (1 + c))) / 2,
}


@pytest.mark.parametrize("q", LENGTHS)
@pytest.mark.parametrize("name", PAIRS)
def test_closed_forms_of_the_correlation_map(name, q):
    act = activation(name)
    size = moment(act, q, 2)
    for c in CORRELATIONS:
        assert pair_moment(act, q, c) == pytest.approx(PAIRS[name](q, c), rel=1e-11, abs=1e-12 * size)


def countable(names, lengths):
    """sin oscillates hundreds of times at a large length; its closed form is there for that."""
    return [(name, q) for name in names for q in lengths if name != "sin" or q < 20]


@pytest.mark.parametrize(("name", "q"), countable(PAIRS, LENGTHS))
def test_quadrature_agrees_with_the_closed_forms_of_pairs(name, q):
    act = anonymous(name)
    size = moment(act, q, 2)
    for c in CORRELATIONS:
        got = theory.gaussian_pair_mean(act.phi, act.phi, q, c, act.kinks)
        assert got == pytest.approx(PAIRS[name](q, c), rel=1e-10, abs=1e-13 * size)


@pytest.mark.parametrize(("name", "q"), countable(PAIR_SLOPES, (1e-6, 0.3, 12.0, 1e5)))
def test_quadrature_agrees_with_the_closed_forms_of_slopes(name, q):
    act = anonymous(name)
    for c in CORRELATIONS:
        wanted = PAIR_SLOPES[name](q, c)
        got = theory.gaussian_pair_mean(act.derivative, act.derivative, q, c, act.kinks)
        assert got == pytest.approx(wanted, rel=1e-10, abs=1e-14)
        assert pair_slope_moment(activation(name), q, c) == pytest.approx(wanted, rel=1e-11, abs=1e-16)


@pytest.mark.parametrize("q", LENGTHS)
@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.2)", "identity", "erf", "sin", "gelu"])
def test_quadrature_agrees_with_the_closed_forms_of_lengths(name, q):
    act = anonymous(name)
    assert moment(act, q, 2) == pytest.approx(theory.second_moment(name, q), rel=1e-11)
    assert theory.mean(act, q) == pytest.approx(theory.mean(name, q), rel=1e-11, abs=1e-13)
    assert theory.chi_1(act, 1.0, q=q) == pytest.approx(theory.chi_1(name, 1.0, q=q), rel=1e-11)


@pytest.mark.parametrize("q", [0.01, 1.0, 25.0, 1000.0])
@pytest.mark.parametrize("c", [-0.5, 0.6, 0.999])
def test_pairs_of_a_kinked_function_agree_with_mpmath(q, c):
    # E[clip(m + s z)] in closed form, then one integral
    scale, s = mp.sqrt(q), mp.sqrt(mp.mpf(q) * (1 - mp.mpf(c) ** 2))

    def clip(z):
        return min(max(z, mp.mpf(-1)), mp.mpf(1))

    def smoothed(m):
        a, b = (-1 - m) / s, (1 - m) / s
        inside = m * (mp.ncdf(b) - mp.ncdf(a)) + s * (mp.npdf(a) - mp.npdf(b))
        return inside - mp.ncdf(a) + mp.ncdf(-b)

    def integrand(z):
        return clip(scale * z) * smoothed(c * scale * z) * mp.npdf(z)

    turns = [side / scale for side in (-1, 1)] + [
        (side + reach * s) / (c * scale) for side in (-1, 1) for reach in (-6, -2, 0, 2, 6)
    ]
    cuts = sorted({mp.mpf(k) for k in (-12, -6, -3, 0, 3, 6, 12)} | {t for t in turns if abs(t) < 12})
    wanted = float(mp.quad(integrand, cuts))
    assert pair_moment(activation("hardtanh"), q, c) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("c", [-0.5, 0.6, 0.95])
@pytest.mark.parametrize("q", [0.01, 1.0, 25.0])
@pytest.mark.parametrize("name", ["tanh", "gelu", "mish", "tanhshrink"])
def test_pairs_of_a_smooth_function_agree_with_a_dense_product_rule(name, q, c):
    nodes, weights = np.polynomial.legendre.leggauss(700)
    z, w = 11 * nodes, 11 * weights * np.exp(-60.5 * nodes**2) / math.sqrt(2 * math.pi)
    phi, scale = activation(name).phi, math.sqrt(q)
    second = scale * (c * z[:, None] + math.sqrt(1 - c * c) * z[None, :])
    wanted = float((w * phi(scale * z)) @ (phi(second) @ w))
    assert pair_moment(activation(name), q, c) == pytest.approx(wanted, rel=1e-10)


@settings(deadline=None)
@given(st.sampled_from(["tanh", "gelu", "hardtanh", "softsign", "elu"]), st.floats(1e-4, 1e3))
def test_equal_inputs_are_one_input_and_independent_ones_factorise(name, q):
    act = activation(name)
    assert pair_moment(act, q, 1.0) == moment(act, q, 2)
    assert pair_moment(act, q, 0.0) == pytest.approx(moment(act, q, 1) ** 2, rel=1e-12, abs=1e-30)
    near = pair_moment(act, q, 1 - 1e-9)
    assert near <= moment(act, q, 2) * (1 + 1e-12)
    slope = q * theory.chi_1(act, 1.0, q=q)
    assert moment(act, q, 2) - near == pytest.approx(
        1e-9 * slope, rel=1e-2, abs=1e-13 * moment(act, q, 2)
    )


@settings(deadline=None)
@given(st.sampled_from(["relu", "tanh", "softplus", "softshrink"]), st.floats(-0.95, 0.95))
def test_the_slope_of_a_pair_is_its_derivative(name, c):
    act, h = activation(name), 1e-4
    rise = pair_moment(act, 1.7, c + h) - pair_moment(act, 1.7, c - h)
    assert rise / (2 * h) == pytest.approx(1.7 * pair_slope_moment(act, 1.7, c), rel=1e-5)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "hardshrink", "hardtanh", "swiglu"])
def test_hermite_weights_are_derivatives_by_the_length(name):
    act, q, h = activation(name), 0.8, 1e-4
    if act.gate is None:
        below, here, above = (moment(act, q + side * h, 2) for side in (-1, 0, 1))
        assert weighted_moment(act, q, 2, 2) / (2 * q) == pytest.approx(
            (above - below) / (2 * h), rel=1e-6
        )
        second = (above - 2 * here + below) / h**2
        assert weighted_moment(act, q, 2, 4) / (4 * q * q) == pytest.approx(second, rel=1e-4, abs=1e-7)
    ratio = theory.second_moment(name, q * (1 + h)) / theory.second_moment(name, q * (1 - h))
    point = theory.length_fixed_points(name, q / theory.second_moment(name, q))
    slope = next(p.slope for p in point if p.q == pytest.approx(q)) if act.slopes is None else 1.0
    assert slope == pytest.approx(math.log(ratio) / (2 * h), rel=1e-6)


def test_a_variance_is_not_negative_and_a_correlation_is_one():
    with pytest.raises(ValueError, match=r"a variance is not negative, got q=-1; give E\[z\^2\]"):
        theory.gaussian_mean(np.tanh, -1.0)
    with pytest.raises(ValueError, match="a variance is not negative"):
        theory.second_moment("relu", -1.0)
    with pytest.raises(ValueError, match=r"a correlation lies between -1 and 1, got 1\.1"):
        theory.gaussian_pair_mean(np.tanh, np.tanh, 1.0, 1.1)


def test_a_hidden_discontinuity_and_a_steep_wall_are_resolved():
    step = theory.gaussian_mean(lambda u: (u > 0.1234567) * 1.0)
    assert step == pytest.approx(math.erfc(0.1234567 / math.sqrt(2)) / 2, rel=1e-11)
    wall = theory.gaussian_mean(lambda u: np.tanh(1e4 * (u - 0.3)))
    assert wall == pytest.approx(-math.erf(0.3 / math.sqrt(2)), rel=1e-7)


def test_what_overflows_far_out_counts_as_nothing():
    def silu(z):
        return z * np.exp(z) / (1 + np.exp(z))

    got = theory.gaussian_mean(lambda u: silu(u) ** 2, 900.0)
    assert got == pytest.approx(theory.second_moment("silu", 900.0), rel=1e-11)
    assert theory.gaussian_mean(np.exp, 400.0) == pytest.approx(math.exp(200), rel=1e-11)


def test_what_overflows_is_infinite_and_warns_nobody():
    assert theory.gaussian_mean(lambda u: np.exp(u * u), 10.0) == math.inf


@pytest.mark.parametrize("root", [0.0, 1e-9, 0.3, 2.0])
def test_a_root_is_found_between_two_signs(root):
    assert root_between(lambda x: (x - root) ** 3 + (x - root), -1.0, 2.0) == pytest.approx(
        root, abs=1e-15
    )
    with pytest.raises(ValueError, match="no sign change between 0 and 1; widen the bracket"):
        root_between(lambda x: x + 1, 0.0, 1.0)
