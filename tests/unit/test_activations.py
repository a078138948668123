"""The table of activations against mpmath, and what it says about kinks, dead and flat ranges."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from pytest_initcheck.activations import (
    GATED,
    NAMES,
    Activation,
    activation,
    celu,
    elu,
    erf,
    erfc,
    hardtanh,
    leaky_relu,
    normal_cdf,
)
from pytest_initcheck.errors import ConfigError

SELU_SCALE = mp.mpf("1.0507009873554804934193349852946")
SELU_ALPHA = mp.mpf("1.6732632423543772848170429916717")


def clip(z, low, high):
    return min(max(z, mp.mpf(low)), mp.mpf(high))


def elu_mp(z, alpha, scale=1):
    return scale * (z if z > 0 else alpha * mp.expm1(z))


EXACT = {
    "identity": lambda z: z,
    "relu": lambda z: max(z, mp.mpf(0)),
    "relu6": lambda z: clip(z, 0, 6),
    "leaky_relu": lambda z: z if z > 0 else mp.mpf("0.01") * z,
    "leaky_relu(0.2)": lambda z: z if z > 0 else mp.mpf("0.2") * z,
    "elu": lambda z: elu_mp(z, 1),
    "elu(0.5)": lambda z: elu_mp(z, mp.mpf("0.5")),
    "celu(2)": lambda z: z if z > 0 else 2 * mp.expm1(z / 2),
    "selu": lambda z: elu_mp(z, SELU_ALPHA, SELU_SCALE),
    "gelu": lambda z: z * mp.ncdf(z),
    "gelu_tanh": lambda z: z / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3))),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "mish": lambda z: z * mp.tanh(mp.log1p(mp.exp(z))),
    "hardswish": lambda z: z * clip(z + 3, 0, 6) / 6,
    "softplus": lambda z: mp.log1p(mp.exp(z)),
    "log_sigmoid": lambda z: -mp.log1p(mp.exp(-z)),
    "tanh": mp.tanh,
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "hardtanh": lambda z: clip(z, -1, 1),
    "hardsigmoid": lambda z: clip(z + 3, 0, 6) / 6,
    "softsign": lambda z: z / (1 + abs(z)),
    "erf": mp.erf,
    "sin": mp.sin,
    "prelu": lambda z: z if z > 0 else z / 4,
    "rrelu": lambda z: z if z > 0 else z * (mp.mpf(1) / 8 + mp.mpf(1) / 3) / 2,
    "rrelu(0.1,0.3)": lambda z: z if z > 0 else z * mp.mpf("0.2"),
    "softplus(5)": lambda z: mp.log1p(mp.exp(5 * z)) / 5,
    "hardtanh(-2,0.5)": lambda z: clip(z, -2, 0.5),
    "hardtanh(0,1.5)": lambda z: clip(z, 0, 1.5),
    "threshold(0.5,-0.25)": lambda z: z if z > 0.5 else mp.mpf(-0.25),
    "tanhshrink": lambda z: z - mp.tanh(z),
    "softshrink": lambda z: z - clip(z, -0.5, 0.5),
    "softshrink(2)": lambda z: z - clip(z, -2, 2),
    "hardshrink": lambda z: z if abs(z) > 0.5 else mp.mpf(0),
    "hardshrink(1.25)": lambda z: z if abs(z) > 1.25 else mp.mpf(0),
}
POINTS = (-9.3, -3.7, -2.1, -0.6, -0.011, 0.013, 0.4, 1.7, 2.9, 4.2, 7.7)


def value(function, z: float) -> float:
    return float(function(np.array([z]))[0])


def test_the_exact_table_covers_every_activation():
    assert set(NAMES) <= set(EXACT)


@pytest.mark.parametrize("z", POINTS)
@pytest.mark.parametrize("name", EXACT)
def test_phi_and_its_derivative_are_exact(name, z):
    act = activation(name)
    with mp.workdps(40):
        exact = EXACT[name](mp.mpf(z))
        slope = mp.diff(EXACT[name], mp.mpf(z))
    assert value(act.phi, z) == pytest.approx(float(exact), rel=1e-10, abs=1e-14)
    assert value(act.derivative, z) == pytest.approx(float(slope), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("name", EXACT)
def test_extreme_arguments_neither_overflow_nor_warn(name):
    act = activation(name)
    z = np.array([-1e4, -50.0, 0.0, 50.0, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(act.phi(z)).all()
        assert np.isfinite(act.derivative(z)).all()


@pytest.mark.parametrize("name", EXACT)
def test_the_derivative_is_smooth_away_from_the_declared_kinks(name):
    act = activation(name)
    z = np.arange(-12, 12, 1e-3) + 5e-4
    far = np.min([np.abs(z - kink) for kink in act.kinks] or [np.full_like(z, np.inf)], axis=0) > 2e-3
    jumps = np.abs(np.diff(act.derivative(z)))
    assert jumps[far[:-1] & far[1:]].max(initial=0.0) < 5e-3
    jumps = np.abs(np.diff(act.phi(z)))
    assert jumps[far[:-1] & far[1:]].max(initial=0.0) < 5e-3


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish"])
def test_a_forgotten_kink_would_be_seen(name):
    act = activation(name)
    for kink in act.kinks:
        slopes = [value(act.derivative, kink + side) for side in (-1e-3, 1e-3)]
        second = [
            (value(act.derivative, kink + 2 * side) - value(act.derivative, kink + side)) / side
            for side in (-1e-3, 1e-3)
        ]
        assert abs(slopes[0] - slopes[1]) > 5e-3 or abs(second[0] - second[1]) > 5e-3


@pytest.mark.parametrize("name", EXACT)
def test_inactive_below_is_where_the_slope_starts(name):
    act = activation(name)
    if act.inactive_below is None:
        assert (act.derivative(np.linspace(-18, -6, 30)) != 0).any() or act.family == "bounded"
    else:
        below = np.linspace(act.inactive_below - 9, act.inactive_below, 50)
        assert (act.derivative(below) == 0).all()
        assert value(act.derivative, act.inactive_below + 1e-6) != 0


SATURATING = [name for name in EXACT if activation(name).saturated_beyond is not None]
CENTRED = [name for name in SATURATING if name != "hardtanh(-2,0.5)"]


@pytest.mark.parametrize("name", CENTRED)
def test_saturated_beyond_is_where_the_slope_falls_under_5_percent(name):
    act = activation(name)
    z = np.linspace(-20, 20, 400_001)
    slope = np.abs(act.derivative(z))
    flat = slope < 0.05 * slope.max()
    assert act.saturated_beyond is not None
    far = np.abs(np.abs(z) - act.saturated_beyond) > 1e-3
    assert (flat == (np.abs(z) > act.saturated_beyond))[far].all()


def test_an_asymmetric_hardtanh_is_saturated_beyond_its_further_end():
    act = activation("hardtanh(-2,0.5)")
    assert act.saturated_beyond == 2.0
    assert (act.derivative(np.array([-2.01, 2.01])) == 0).all()
    assert value(act.derivative, -1.99) == 1
    # one that is flat at 0 rests like a rectifier
    assert activation("hardtanh(0,6)").family == "rectifier"
    assert activation("hardtanh(0,6)").inactive_below == 0
    assert activation("hardtanh(0,6)").saturated_beyond is None


@pytest.mark.parametrize("name", EXACT)
def test_only_activations_bounded_on_both_sides_can_saturate(name):
    act = activation(name)
    bounded = np.abs(act.phi(np.array([-1e3, 1e3]))).max() <= 2
    resting = act.inactive_below is not None
    assert (act.saturated_beyond is not None) == (bounded and act.family != "periodic" and not resting)
    assert (act.family == "bounded") == (act.saturated_beyond is not None)


def test_selu_has_the_constants_of_its_paper():
    # Klambauer et al. 2017, eq. 14
    assert value(activation("selu").phi, 1.0) == pytest.approx(float(SELU_SCALE), rel=1e-15)
    assert value(activation("selu").derivative, -1e-300) == pytest.approx(float(SELU_SCALE * SELU_ALPHA))


def test_names_have_aliases_cases_and_parameters():
    assert activation(" ReLU ").name == "relu"
    assert activation("swish") is activation("silu")
    assert activation("linear").name == activation("none").name == "identity"
    assert activation("celu") is activation("elu")
    assert activation("celu(1)").name == "elu"
    assert activation("leaky_relu").name == "leaky_relu(0.01)"
    assert activation("leaky_relu(1e-1)").name == "leaky_relu(0.1)"
    assert activation("elu(0.5)").name == "elu(0.5)"
    assert activation("hardtanh( -2, 2.5 )").name == "hardtanh(-2,2.5)"
    assert activation("hardtanh(-1,1)") is activation("hardtanh")
    assert activation("prelu(0.25)") is activation("prelu")
    assert activation("threshold(0,0)").slopes == activation("relu").slopes


@pytest.mark.parametrize("name", EXACT)
def test_the_name_of_an_activation_reads_back_as_the_same_object(name):
    act = activation(name)
    assert activation(act.name) is act
    assert activation(act) is act


def test_equal_parameters_share_one_object_so_that_theory_can_cache_it():
    assert leaky_relu(0.3) is leaky_relu(0.3)
    assert elu(0.7) is elu(0.7)
    assert celu(0.7) is celu(0.7)
    assert leaky_relu() is leaky_relu(0.01) is leaky_relu(slope=0.01)
    assert hardtanh(-1, 2) is hardtanh(high=2.0, low=-1.0)
    assert activation(leaky_relu(1 / 3).name) is leaky_relu(1 / 3)


def test_celu_and_elu_differ_unless_alpha_is_one():
    # torch.nn.CELU: max(0, x) + min(0, alpha (exp(x / alpha) - 1))
    assert value(celu(2.0).phi, -1.0) == pytest.approx(2 * math.expm1(-0.5))
    assert value(elu(2.0).phi, -1.0) == pytest.approx(2 * math.expm1(-1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rleu", "unknown activation 'rleu'; did you mean 'relu'?"),
        ("zzzz", "unknown activation 'zzzz'; known: bilinear, celu, elu, erf"),
        ("relu(3)", "unknown activation 'relu(3)'"),
        ("leaky_relu(--)", "activation 'leaky_relu(--)' needs a number, for example leaky_relu(0.2)"),
        ("elu(-1)", "activation 'elu(-1)' needs a positive alpha, for example elu(0.5)"),
        ("celu(0)", "activation 'celu(0)' needs a positive alpha"),
        ("softshrink(-1)", "activation 'softshrink(-1)' needs a positive number, for example softsh"),
        ("threshold", "activation 'threshold' needs its numbers, for example threshold(0,0)"),
        ("threshold(1)", "activation 'threshold(1)' needs 2 numbers, for example threshold(0,0)"),
        ("hardtanh(1)", "activation 'hardtanh(1)' needs 2 numbers, for example hardtanh(-1,1)"),
        ("hardtanh(1,-1)", "hardtanh(1,-1) needs low < high; swap them"),
        ("rrelu(.3,.1)", "rrelu(0.3,0.1) needs lower <= upper; swap them"),
        ("elu(1,2)", "activation 'elu(1,2)' needs a number"),
        ("elu(nan)", "activation 'elu(nan)' needs a number"),
        ("swigul", "unknown activation 'swigul'; did you mean 'swiglu'?"),
        ("", "unknown activation ''"),
    ],
)
def test_an_unknown_name_says_what_is_known(name, message):
    with pytest.raises(ConfigError) as caught:
        activation(name)
    assert str(caught.value).startswith(message)


def test_an_own_activation_is_taken_as_it_is():
    own = Activation("square", np.square, lambda z: 2 * z, "periodic")
    assert activation(own) is own


def test_erf_and_erfc_have_the_digits_of_the_standard_library():
    z = np.concatenate([np.linspace(-27, 27, 5401), np.array([1.0, -1.0, 8.0, 1e-300, 0.0, 1e4])])
    for ours, exact in ((erf, math.erf), (erfc, math.erfc)):
        wanted = np.array([exact(value) for value in z])
        normal = np.abs(wanted) > 1e-300
        np.testing.assert_allclose(ours(z)[normal], wanted[normal], rtol=2e-15)
        assert np.abs(ours(z)[~normal]).max() < 1e-300
    assert np.isnan(erf(np.array(np.nan)))


def test_the_normal_law_keeps_its_digits_far_below_the_mean():
    for z in (-30.0, -12.3, -1.0, 0.4):
        assert float(normal_cdf(np.array(z))) == pytest.approx(float(mp.ncdf(z)), rel=1e-13)


GATES = {
    "glu": "sigmoid",
    "reglu": "relu",
    "geglu": "gelu",
    "swiglu": "silu",
    "bilinear": "identity",
}


@pytest.mark.parametrize("name", GATED)
def test_a_gated_activation_multiplies_one_half_by_the_gate_of_the_other(name):
    act, gate = activation(name), activation(GATES[name])
    assert act.family == "gated"
    assert act.gate is gate
    z = np.random.default_rng(0).normal(size=(5, 3, 8))
    u, v = z[..., :4], z[..., 4:]
    np.testing.assert_allclose(act.phi(z), u * gate.phi(v))
    step = 1e-6
    for index in range(8):
        moved = z.copy()
        moved[..., index] += step
        slope = (act.phi(moved) - act.phi(z))[..., index % 4] / step
        np.testing.assert_allclose(act.derivative(z)[..., index], slope, atol=1e-5)


def test_a_gated_activation_needs_two_halves():
    with pytest.raises(ConfigError, match=r"glu reads two halves of the last axis, got shape \(2, 3\)"):
        activation("glu").phi(np.ones((2, 3)))


def test_gates_are_not_among_the_elementwise_names():
    assert not set(GATED) & set(NAMES)
    assert all(activation(name).gate is None for name in NAMES)
