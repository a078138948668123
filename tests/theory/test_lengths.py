"""Signal propagation against closed forms, mpmath and published figures."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory
from pytest_initcheck.activations import activation, leaky_relu

LENGTHS = (0.01, 0.3, 1.0, 2.7, 25.0, 400.0)

# phi: E phi, E phi^2, gain, E phi'^2, chi_1 at q = 1 under the gain, kurtosis
TABLE = {
    "identity": (0, 1, 1, 1, 1, 3),
    "relu": (0.398942, 0.5, 1.414214, 0.5, 1, 6),
    "leaky_relu(0.01)": (0.394953, 0.500050, 1.414143, 0.500050, 1, 5.9988),
    "leaky_relu(0.2)": (0.319154, 0.52, 1.386750, 0.52, 1, 5.5562),
    "elu": (0.160521, 0.644945, 1.245198, 0.668102, 1.035905, 3.7760),
    "selu": (0, 1, 1, 1.071575, 1.071575, 2.5031),
    "gelu": (0.282095, 0.425221, 1.533530, 0.455851, 1.072032, 7.2156),
    "silu": (0.206621, 0.355776, 1.676532, 0.379482, 1.066634, 7.2617),
    "mish": (0.240404, 0.452342, 1.486848, 0.479084, 1.059118, 6.3494),
    "hardswish": (0.166217, 0.331567, 1.736657, 0.358532, 1.081323, 7.6710),
    "softplus": (0.806059, 0.921246, 1.041867, 0.293379, 0.318459, 2.7545),
    "tanh": (0, 0.394294, 1.592537, 0.464403, 1.177807, 1.6273),
    "hardtanh": (0, 0.516059, 1.392036, 0.682689, 1.322892, 1.6132),
    "sigmoid": (0.5, 0.293379, 1.846229, 0.044836, 0.152827, 1.5289),
    "hardsigmoid": (0.5, 0.277639, 1.897840, 0.027703, 0.099780, 1.3776),
    "softsign": (0, 0.183014, 2.337533, 0.227671, 1.244010, 1.5878),
    "erf": (0, 0.464559, 1.467167, 0.569410, 1.225700, 1.5598),
    "sin": (0, 0.432332, 1.520867, 0.567668, 1.313035, 1.6445),
    "log_sigmoid": (-0.806059, 0.921246, 1.041867, 0.293379, 0.318459, 2.7545),
}


@pytest.mark.parametrize("name", TABLE)
def test_gaussian_moments_at_length_one(name):
    mean, second, gain, slope, chi, kurtosis = TABLE[name]
    act = activation(name)
    assert theory.gaussian_mean(act.phi, 1.0, act.kinks) == pytest.approx(mean, abs=6e-7)
    assert theory.second_moment(name) == pytest.approx(second, abs=6e-7)
    assert theory.gain(name) == pytest.approx(gain, abs=6e-7)
    assert theory.chi_1(name, 1.0, q=1.0) == pytest.approx(slope, abs=6e-7)
    assert theory.chi_1(name, theory.gain(name) ** 2, q=1.0) == pytest.approx(chi, abs=1e-6)
    fourth = theory.gaussian_mean(lambda z: act.phi(z) ** 4, 1.0, act.kinks)
    assert fourth / theory.second_moment(name) ** 2 == pytest.approx(kurtosis, abs=6e-5)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("identity", 1),
        ("relu", 1),
        ("leaky_relu(0.2)", 1),
        ("elu", 0.8910),
        ("selu", 0.7826),
        ("gelu", 1.1441),
        ("silu", 1.1726),
        ("mish", 1.0763),
        ("hardswish", 1.2239),
        ("tanh", 0.4611),
        ("hardtanh", 0.3851),
        ("erf", 0.4086),
        ("softsign", 0.4767),
        ("sin", 0.3130),
        ("softplus", 0.4921),
        ("sigmoid", 0.1063),
    ],
)
def test_the_slope_of_the_length_map(name, slope):
    assert theory.length_slope(name) == pytest.approx(slope, abs=6e-5)
    ratio = theory.second_moment(name, 1 + 1e-4) / theory.second_moment(name, 1 - 1e-4)
    assert theory.length_slope(name) == pytest.approx(math.log(ratio) / 2e-4, rel=1e-5)
    assert theory.log_slope(name, 1.0) == pytest.approx(theory.length_slope(name), rel=1e-9)


def gelu_length(q: float) -> float:
    return (
        q / 4
        + q / (2 * math.pi) * math.asin(q / (1 + q))
        + q * q / (math.pi * (1 + q) * math.sqrt(1 + 2 * q))
    )


CLOSED = {
    "relu": lambda q: q / 2,
    "leaky_relu(0.2)": lambda q: q * (1 + 0.2**2) / 2,
    "identity": lambda q: q,
    "erf": lambda q: 2 / math.pi * math.asin(2 * q / (1 + 2 * q)),
    "sin": lambda q: -math.expm1(-2 * q) / 2,
    "gelu": gelu_length,
}


@pytest.mark.parametrize("q", LENGTHS)
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_of_the_length_map(name, q):
    assert theory.second_moment(name, q) == pytest.approx(CLOSED[name](q), rel=1e-11)


MP_PHI = {
    "tanh": mp.tanh,
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "hardtanh": lambda z: min(max(z, mp.mpf(-1)), mp.mpf(1)),
    "selu": lambda z: (
        mp.mpf("1.0507009873554805") * (z if z > 0 else mp.mpf("1.6732632423543772") * mp.expm1(z))
    ),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "relu6": lambda z: min(max(z, mp.mpf(0)), mp.mpf(6)),
    "softsign": lambda z: z / (1 + abs(z)),
}


@pytest.mark.parametrize("q", [1e-6, 0.01, 1.0, 25.0, 21675.0, 1e5])
@pytest.mark.parametrize("name", MP_PHI)
def test_quadrature_agrees_with_mpmath(name, q):
    scale = mp.sqrt(q)
    cuts = {mp.mpf(side) * reach / scale for reach in (0, 1, 6, 12) for side in (-1, 1)}
    cuts = sorted({-15, -5, -1, 0, 1, 5, 15} | {cut for cut in cuts if abs(cut) < 15})
    exact = mp.quad(lambda z: MP_PHI[name](scale * z) ** 2 * mp.npdf(z), cuts)
    assert theory.second_moment(name, q) == pytest.approx(float(exact), rel=1e-10)


def test_the_moment_of_softplus_slope_is_that_of_sigmoid():
    for q in LENGTHS:
        assert theory.chi_1("softplus", 1.0, q=q) == pytest.approx(theory.second_moment("sigmoid", q))


def test_length_zero_is_the_value_at_zero():
    assert theory.second_moment("relu", 0.0) == 0
    assert theory.second_moment("sigmoid", 0.0) == 0.25


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(0.0, 0.9))
def test_leaky_relu_scales_every_length_alike(q, slope):
    act = leaky_relu(round(slope, 2))
    assert theory.second_moment(act, q) == pytest.approx(q * (1 + round(slope, 2) ** 2) / 2, rel=1e-10)


def critical_tanh(layers: int) -> float:
    q = 1.0
    for _ in range(layers):
        q = theory.second_moment("tanh", q)
    return q


@pytest.mark.parametrize(
    ("layers", "length"),
    [(1, 0.39429), (5, 0.10344), (10, 0.05220), (20, 0.02590), (50, 0.01022), (100, 0.00507)],
)
def test_critical_tanh_decays_as_1_over_2l(layers, length):
    assert critical_tanh(layers) == pytest.approx(length, abs=1e-5)
    if layers >= 20:
        assert critical_tanh(layers) == pytest.approx(1 / (2 * layers), rel=0.05)


@pytest.mark.parametrize(
    ("name", "length"), [("gelu", 27.69), ("silu", 445.8), ("mish", 7.772), ("hardswish", 2597)]
)
def test_an_unstable_length_explodes_from_2(name, length):
    q = 2.0
    for _ in range(20):
        q = theory.gain(name) ** 2 * theory.second_moment(name, q)
    assert q == pytest.approx(length, rel=2e-3)


@pytest.mark.parametrize(
    ("sigma_w", "length", "chi"),
    [(1.3, 0.60705, 0.93981), (2.5, 4.07912, 1.58522), (4.0, 12.60415, 2.36726)],
)
def test_tanh_fixed_points_of_poole_2016(sigma_w, length, chi):
    q = 1.0
    for _ in range(300):
        q = sigma_w**2 * theory.second_moment("tanh", q) + 0.3**2
    assert q == pytest.approx(length, abs=1e-5)
    assert theory.chi_1("tanh", sigma_w**2, q=q) == pytest.approx(chi, abs=1e-5)


@pytest.mark.parametrize(
    ("layer", "correlation"),
    [
        (1, 0.318310),
        (2, 0.493731),
        (3, 0.604826),
        (5, 0.735946),
        (10, 0.871536),
        (50, 0.987862),
        (100, 0.996423),
    ],
)
def test_relu_correlations_of_cho_and_saul(layer, correlation):
    c = 0.0
    for _ in range(layer):
        c = theory.relu_correlation(c)
    assert c == pytest.approx(correlation, abs=1e-6)


def test_relu_correlation_is_clipped_to_its_domain():
    assert theory.relu_correlation(1 + 1e-9) == theory.relu_correlation(1.0) == 1.0
    assert (
        theory.relu_correlation(-1 - 1e-9)
        == theory.relu_correlation(-1.0)
        == pytest.approx(0.0, abs=1e-15)
    )


@pytest.mark.parametrize(
    ("correlation", "batch", "shares"),
    [
        (0.0, 32, {1: 0, 2: 0.0055, 3: 0.0290, 5: 0.0892, 10: 0.2016, 20: 0.3092}),
        (0.0, 256, {1: 0, 2: 0.0001, 3: 0.0036, 5: 0.0305, 10: 0.1250, 20: 0.2476}),
        (0.75, 32, {1: 0.1250, 2: 0.1491, 3: 0.1705, 5: 0.2067, 10: 0.2704, 20: 0.3398}),
        (0.75, 256, {1: 0.0555, 2: 0.0752, 3: 0.0945, 5: 0.1303, 10: 0.2008, 20: 0.2860}),
    ],
)
def test_dead_units_of_a_healthy_relu_network(correlation, batch, shares):
    for depth, share in shares.items():
        assert theory.dead_fraction(depth, batch, correlation) == pytest.approx(share, abs=6e-5)


@pytest.mark.parametrize("batch", [1, 2, 7, 64, 500])
def test_dead_units_where_a_closed_form_exists(batch):
    assert theory.dead_fraction(1, batch) == 0.5**batch
    assert theory.dead_fraction(1, batch, 0.5) == pytest.approx(1 / (batch + 1), rel=1e-11)
    assert theory.dead_fraction(1, batch, 1.0) == 0.5
    for rho in (0.1, 0.4, 0.9):
        assert theory.dead_fraction(1, 2, rho) == pytest.approx(
            0.25 + math.asin(rho) / (2 * math.pi), rel=1e-11
        )


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 300), st.floats(0, 1))
def test_dead_units_grow_with_depth_and_correlation_and_fall_with_the_batch(depth, batch, rho):
    share = theory.dead_fraction(depth, batch, rho)
    assert 0 <= share <= 0.5 + 1e-12
    assert theory.dead_fraction(depth + 1, batch, rho) >= share - 1e-12
    assert theory.dead_fraction(depth, batch + 1, rho) <= share + 1e-12
    assert theory.dead_fraction(depth, batch, min(1.0, rho + 0.1)) >= share - 1e-12


@pytest.mark.parametrize(
    ("widths", "chance"), [((2,) * 5, 0.762695), ((3,) * 10, 0.736924), ((4,) * 10, 0.475540)]
)
def test_a_dead_layer_at_one_point(widths, chance):
    assert theory.dead_layer_probability(widths) == pytest.approx(chance, abs=1e-6)


def test_wide_layers_hardly_die_and_no_layer_never_does():
    assert theory.dead_layer_probability((64,) * 50) == pytest.approx(50 * 2.0**-64, rel=1e-9)
    assert theory.dead_layer_probability((5000,)) < 1e-300
    assert theory.dead_layer_probability(()) == 0
    assert theory.dead_layer_probability((1,)) == 0.5


@pytest.mark.parametrize(
    ("name", "c"),
    [
        ("identity", 2.0),
        ("relu", 5.0),
        ("leaky_relu(0.2)", 4.56),
        ("tanh", 2.0),
        ("hardtanh", 2.0),
        ("sigmoid", 1.02),
        ("silu", 6.34),
        ("gelu", 6.48),
    ],
)
def test_the_fluctuation_of_one_layer(name, c):
    # the widest over all lengths; the probe's nine lengths come within 5 % of it
    assert theory.fluctuation(name) == pytest.approx(c, rel=0.05)


def test_matched_gains_span_what_textbooks_use():
    assert theory.matched_gains("tanh") == pytest.approx((1, 5 / 3))
    assert theory.matched_gains("relu") == pytest.approx((math.sqrt(2),) * 2)
    low, high = theory.matched_gains("sigmoid")
    assert low <= theory.gain("sigmoid") <= high == 4


def test_the_spread_of_a_relu_network_is_the_finite_width_law():
    # Hanin and Rolnick 2018: Var ln m = 5 sum 1/n in leading order; the exact law at (32, 10) is 1.775,
    # and the mean fall .825
    fall, variance = theory.length_spread((32,) * 10, ("relu",) * 10)
    assert variance == pytest.approx(1.775, rel=0.15)
    assert fall == pytest.approx(0.825, rel=0.15)
    assert variance > 5 * 10 / 32


def test_the_spread_forgets_where_the_length_is_stable_and_grows_where_it_is_not():
    def variance(name: str) -> float:
        return theory.length_spread((64,) * 60, (name,) * 60)[1]

    one = {name: theory.length_spread((64,), (name,))[1] for name in ("tanh", "relu", "gelu")}
    assert variance("tanh") < 2 * one["tanh"]
    assert variance("relu") == pytest.approx(60 * one["relu"])
    # beyond J^depth sqrt(c / n) = 1 the length does explode, which is no luck
    assert variance("gelu") == pytest.approx(1 / (1 - theory.length_slope("gelu") ** -2), rel=1e-3)
    assert theory.length_spread((64,) * 4, ("gelu",) * 4)[1] > 4 * one["gelu"]


def test_a_narrow_layer_counts_as_eight_wide():
    assert theory.length_spread((1,), ("relu",)) == theory.length_spread((8,), ("relu",))
    assert theory.length_spread((), ()) == (0.0, 0.0)


def test_the_spread_takes_the_length_at_which_each_layer_works():
    near_zero = theory.length_spread((64,) * 20, ("tanh",) * 20, (1e-4,) * 20)[1]
    near_one = theory.length_spread((64,) * 20, ("tanh",) * 20, (1.0,) * 20)[1]
    assert near_zero > 10 * near_one
    with pytest.raises(ValueError, match="shorter"):
        theory.length_spread((64,) * 3, ("tanh",) * 3, (1.0,) * 2)


def test_quadrature_finds_a_kink_that_it_is_not_told():
    exact = math.erf(0.5 / math.sqrt(2))
    for kinks in ((-1.0, 1.0), ()):
        got = theory.gaussian_mean(activation("hardtanh").derivative, 4.0, kinks)
        assert got == pytest.approx(exact, rel=1e-12)


def test_gauss_hermite_would_be_wrong_where_phi_has_kinks():
    exact = math.erf(1 / math.sqrt(2))
    assert theory.chi_1("hardtanh", 1.0, q=1.0) == pytest.approx(exact, rel=1e-13)
    errors = []
    for order in (16, 64, 100, 200):
        nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        slopes = activation("hardtanh").derivative(nodes)
        errors.append(abs(slopes @ weights / math.sqrt(2 * math.pi) - exact))
    assert min(errors) > 0.02


def test_the_saturated_share_of_a_tanh_layer_in_the_seed_question():
    # P(abs(tanh z) > .97) = erfc(atanh(.97) / sqrt(2 q)) under N(0,1), U(0,5) and raw pixels
    for q, share in ((1.0, 0.0364), (25 / 3, 0.4686), (255**2 / 3, 0.9887)):
        edge = math.atanh(0.97)
        got = theory.gaussian_mean(lambda z, edge=edge: (np.abs(z) > edge) * 1.0, q, (-edge, edge))
        assert got == pytest.approx(share, abs=1e-4)
        assert theory.saturated_share("tanh", q, beyond=edge) == pytest.approx(got, rel=1e-11)
