"""Correlations, chi, phases and depth scales: published laws, edges and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory
from pytest_initcheck.activations import NAMES, activation, from_callable

SMOOTH = ("tanh", "gelu", "elu", "sigmoid", "softplus", "selu", "hardtanh", "swiglu")
JUMPING = ("hardshrink",)


@settings(deadline=None)
@given(st.sampled_from(SMOOTH), st.floats(0.2, 6), st.floats(0, 1), st.floats(0, 1))
def test_the_map_is_increasing_convex_and_keeps_1(name, sigma_w2, sigma_b2, c):
    image = lambda x: theory.correlation_map(name, x, sigma_w2, sigma_b2, q=1.3)  # noqa: E731
    assert image(1.0) == pytest.approx(1.0, rel=1e-12)
    low, high = min(c, 0.7), max(c, 0.7)
    assert -1e-12 <= image(low) <= image(high) + 1e-10 <= 1 + 2e-10
    middle = (low + high) / 2
    assert image(middle) <= (image(low) + image(high)) / 2 + 1e-10


@settings(deadline=None)
@given(st.sampled_from(["tanh", "elu", "sigmoid", "selu", "erf"]), st.floats(0.3, 5), st.floats(0.01, 1))
def test_c_star_is_kept_and_attracts(name, sigma_w2, sigma_b2):
    if theory.length_fixed_point(name, sigma_w2, sigma_b2).q == math.inf:
        return
    c = theory.correlation_fixed_point(name, sigma_w2, sigma_b2)
    assert theory.correlation_map(name, c, sigma_w2, sigma_b2) == pytest.approx(c, abs=1e-9)
    assert theory.chi_c(name, c, sigma_w2, sigma_b2) <= 1 + 1e-6
    chi = theory.chi_1(name, sigma_w2, sigma_b2)
    if abs(chi - 1) > 1e-3:
        assert (c == 1) == (chi < 1)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in JUMPING])
def test_chi_1_is_the_slope_of_the_map_at_1(name):
    q = 1.7
    ratio = theory.second_moment(name, q)
    slope = (1 - theory.correlation_map(name, 1 - 1e-7, 1.0, q=q)) / 1e-7
    # kinks of phi' leave a term in the square root of the step
    assert slope * ratio / q == pytest.approx(theory.chi_1(name, 1.0, q=q), rel=2e-3)


def test_where_phi_jumps_close_inputs_part_faster_than_any_slope():
    gap = 1e-6
    slope = (1 - theory.correlation_map("hardshrink", 1 - gap, 1.0, q=1.0)) / gap
    assert slope > 50 * theory.chi_1("hardshrink", 1.0, q=1.0)
    assert theory.correlation_fixed_point("hardshrink", 1.0, q=1.0) < 0.9


@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.2)", "identity"])
def test_a_homogeneous_map_has_one_correlation_at_every_length(name):
    values = [theory.correlation_map(name, 0.3, 1.5, q=q) for q in (1e-8, 1.0, 1e8)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-13)
    vanishing, growing = 1.0, 3.0
    assert theory.correlation_map(name, 0.3, vanishing) == pytest.approx(values[0], rel=1e-12)
    assert theory.correlation_map(name, 0.3, growing) == pytest.approx(values[0], rel=1e-12)
    assert theory.correlation_fixed_point(name, 2.0) == 1.0


def test_biases_correlate_what_weights_tell_apart():
    without = theory.correlation_map("tanh", 0.0, 2.0, q=1.0)
    assert without == pytest.approx(0.0, abs=1e-30)
    assert theory.correlation_map("tanh", 0.0, 2.0, 0.5, q=1.0) == pytest.approx(
        0.5 / theory.length_map("tanh", 1.0, 2.0, 0.5)
    )


def test_odd_chaotic_networks_without_biases_make_inputs_orthogonal():
    assert theory.correlation_fixed_point("tanh", 2.0) == 0.0
    assert theory.correlation_fixed_point("sin", 3.0) == 0.0
    # at length 0 tanh is linear and keeps every correlation
    assert theory.correlation_fixed_point("tanh", 0.9) == 1.0


def test_negative_correlations():
    assert theory.correlation_map("tanh", -0.4, 2.0, q=1.0) == pytest.approx(
        -theory.correlation_map("tanh", 0.4, 2.0, q=1.0), rel=1e-12
    )
    assert theory.correlation_map("relu", -1.0, 2.0) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("tanh", 1.0), "critical"),
        (("tanh", 0.99), "ordered"),
        (("tanh", 1.05), "chaotic"),
        (("tanh", 1.760955), "chaotic"),
        (("tanh", 1.76, 0.05), "ordered"),
        (("tanh", 1.77, 0.05), "chaotic"),
        (("relu", 2.0), "critical"),
        (("relu", 1.99), "ordered"),
        (("relu", 2.01), "chaotic"),
        (("identity", 1.0), "critical"),
        (("sigmoid", 1.0), "ordered"),
        (("selu", 1.0), "chaotic"),
    ],
    ids=str,
)
def test_phases(arguments, expected):
    assert theory.phase(*arguments) == expected


@pytest.mark.parametrize("sigma_b2", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("name", ["tanh", "erf", "elu", "sigmoid", "sin", "softsign", "gelu"])
def test_on_the_critical_line_the_gradient_is_kept(name, sigma_b2):
    sigma_w2 = theory.critical_sigma_w2(name, sigma_b2)
    if sigma_b2:
        points = theory.length_fixed_points(name, sigma_w2, sigma_b2)
        kept = [theory.chi_1(name, sigma_w2, sigma_b2, q=point.q) for point in points]
        assert min(abs(factor - 1) for factor in kept) < 1e-8
    elif activation(name).phi(np.zeros(1))[0] == 0:
        slope = float(activation(name).derivative(np.zeros(1))[0])
        assert sigma_w2 == pytest.approx(slope**-2, rel=1e-6)


@pytest.mark.parametrize("q", [0.01, 0.5, 3.0])
def test_critical_at_length_is_a_fixed_point_with_chi_1(q):
    sigma_w2, sigma_b2 = theory.critical_at_length("tanh", q)
    assert theory.length_map("tanh", q, sigma_w2, sigma_b2) == pytest.approx(q, rel=1e-12)
    assert theory.chi_1("tanh", sigma_w2, q=q) == pytest.approx(1, rel=1e-12)
    assert theory.critical_sigma_w2("tanh", sigma_b2) == pytest.approx(sigma_w2, rel=1e-9)
    assert theory.critical_at_length("relu", q) == pytest.approx((2.0, 0.0), abs=1e-12)


@settings(deadline=None)
@given(st.floats(0.3, 5), st.floats(0.01, 1))
def test_depth_scales_are_those_of_the_slopes(sigma_w2, sigma_b2):
    scales = theory.depth_scale("tanh", sigma_w2, sigma_b2)
    chi = theory.chi_1("tanh", sigma_w2, sigma_b2)
    if abs(chi - 1) > 1e-3:
        assert scales.gradient == pytest.approx(1 / abs(math.log(chi)), rel=1e-9)
    if chi < 1:
        assert scales.correlation == pytest.approx(scales.gradient, rel=1e-9)
    else:
        assert scales.correlation > scales.gradient * 0.999
    assert 0 < scales.length < 10


def test_a_critical_network_keeps_everything():
    scales = theory.depth_scale("relu", 2.0)
    assert scales == theory.DepthScales(math.inf, math.inf, math.inf)
    assert theory.depth_scale("tanh", 1.0).gradient == math.inf


def test_the_gradient_of_a_layer_follows_its_fans():
    assert theory.gradient_factor("tanh", 1.0, fan_in=10, fan_out=30) == pytest.approx(
        3 * 0.464403, abs=2e-6
    )
    assert theory.gradient_factor("relu", 2.0, 9.0, fan_in=64, fan_out=64) == 1.0


def test_batch_norm_multiplies_the_gradient():
    for name in ("tanh", "selu", "gelu"):
        wanted = theory.chi_1(name, 1.0, q=1.0) / theory.variance(name)
        assert theory.batchnorm_gradient_factor(name) == pytest.approx(wanted)
        assert wanted > 1  # Poincare's inequality
    assert theory.batchnorm_gradient_factor("identity") == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: theory.critical_sigma_w2("relu", 0.1),
            r"relu has no critical sigma_w2 with sigma_b2=0\.1",
        ),
        (
            lambda: theory.critical_sigma_w2("softplus"),
            "no length from .* is a fixed point with chi_1 = 1",
        ),
        (lambda: theory.critical_sigma_w2("tanh", -1.0), "sigma_b2 is a variance, got -1; give Var b"),
        (
            lambda: theory.critical_at_length("softplus", 1.0),
            "softplus is not critical at length 1: sigma_b2",
        ),
        (
            lambda: theory.correlation_map("relu", 1.5, 2.0),
            r"a correlation lies between -1 and 1, got 1\.5",
        ),
        (lambda: theory.chi_c("relu", -2.0, 2.0), "a correlation lies between"),
        (lambda: theory.correlation_map("softshrink", 0.5, 1.0), "the signal under softshrink is zero"),
        (lambda: theory.batchnorm_gradient_factor("relu", 8), "known for the identity only, not relu"),
        (
            lambda: theory.batchnorm_gradient_factor("identity", 3),
            "batch norm over 3 samples has no finite",
        ),
        (lambda: theory.gradient_factor("relu", 2.0, fan_in=0, fan_out=1), "fans count units"),
    ],
    ids=range(10),
)
def test_refusals_say_why(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "; " in str(caught.value)


def test_a_function_without_slope_is_nowhere_critical():
    flat = from_callable(lambda z: np.full_like(z, 0.5), name="flat")
    with pytest.raises(ValueError, match="flat passes no gradient at length 1; take a larger one"):
        theory.critical_at_length(flat, 1.0)
    with pytest.raises(ValueError, match="flat has no critical sigma_w2"):
        theory.critical_sigma_w2(flat)
