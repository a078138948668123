"""The schemes: variance and kurtosis of what is drawn, which match an activation, what a weight is."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck import theory
from pytest_initcheck.activations import NAMES, activation
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.schemes import TRUNCATED_STD, Scheme

SCHEMES = {scheme.name: scheme for scheme in init.named_schemes()}
LAYERS = (init.dense(200, 300), init.dense(300, 200), init.conv(20, 40, 3, 5), init.conv(64, 8, 3))


def draw(scheme: Scheme, layer: init.Layer, seed: int = 0) -> np.ndarray:
    return scheme.sample(np.random.default_rng(seed), layer)


def test_names_are_unique():
    assert len(SCHEMES) == len(init.named_schemes())


def test_fans_of_layers():
    layer = init.conv(3, 16, 5, 7)
    assert (layer.fan_in, layer.fan_out, layer.units) == (3 * 35, 16 * 35, 16)
    assert (layer.shape, layer.count, layer.text) == ((16, 3, 5, 7), 16 * 3 * 35, "conv(16x3x5x7)")
    layer = init.dense(30, 20)
    assert (layer.fan_in, layer.fan_out, layer.units, layer.shape) == (30, 20, 20, (30, 20))
    assert layer.text == "dense(30x20)"


def test_impossible_layers_are_refused():
    with pytest.raises(ConfigError, match="dense: sides must be at least 1"):
        init.dense(0, 3)
    with pytest.raises(ConfigError, match="conv: sides must be at least 1"):
        init.conv(3, 3, 0)
    with pytest.raises(ConfigError, match="conv needs the sides of its kernel, for example"):
        init.conv(3, 3)


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        (init.he_normal(), 2 / 300),
        (init.he_uniform(math.sqrt(5)), 1 / 900),
        (init.pytorch_default(), 1 / 900),
        (init.he_normal(0.2), 2 / 1.04 / 300),
        (init.he_normal(mode="fan_out"), 2 / 200),
        (init.he_truncated_normal(), 2 / 300),
        (init.xavier_normal(), 2 / 500),
        (init.xavier_uniform(5 / 3), 25 / 9 * 2 / 500),
        (init.lecun_normal(), 1 / 300),
        (init.lecun_uniform(2.0), 4 / 300),
        (init.lecun_truncated_normal(), 1 / 300),
        (init.orthogonal(), 1 / 300),
        (init.orthogonal(3.0), 9 / 300),
        (init.normal(0.02), 4e-4),
        (init.constant(0.5), 0.25),
        (init.constant(0.0), 0.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_variances_of_a_300_to_200_layer(scheme, variance):
    assert scheme.variance(300, 200) == pytest.approx(variance, rel=1e-14)


def test_standard_deviations_of_he_2015_section_2_2():
    stds = [
        math.sqrt(init.he_normal().layer_variance(init.conv(d, d, 3, 3))) for d in (64, 128, 256, 512)
    ]
    assert stds == pytest.approx([0.059, 0.042, 0.029, 0.021], abs=5e-4)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
@pytest.mark.parametrize("name", SCHEMES)
def test_a_draw_has_the_shape_mean_and_variance_of_its_scheme(name, layer):
    scheme = SCHEMES[name]
    w = draw(scheme, layer)
    assert w.shape == layer.shape
    wanted = scheme.layer_variance(layer)
    error = max(scheme.relative_error(w.size), 1e-12)
    assert abs((w**2).mean() / wanted - 1) < 4.5 * error
    assert abs(w.mean()) < 4.5 * math.sqrt(wanted / w.size)


@pytest.mark.parametrize(
    "name", [name for name, scheme in SCHEMES.items() if scheme.draw != "orthogonal"]
)
def test_a_draw_has_the_kurtosis_of_its_scheme(name):
    scheme = SCHEMES[name]
    w = draw(scheme, init.dense(1000, 500))
    assert (w**4).mean() / (w**2).mean() ** 2 == pytest.approx(scheme.kurtosis, rel=0.02)


def test_the_relative_error_is_the_spread_of_the_second_moment_over_draws():
    layer = init.dense(20, 30)
    for scheme in (init.he_normal(), init.he_uniform(), init.he_truncated_normal()):
        moments = [(draw(scheme, layer, seed) ** 2).mean() for seed in range(800)]
        spread = np.std(moments) / scheme.layer_variance(layer)
        assert spread == pytest.approx(scheme.relative_error(layer.count), rel=0.1)
    for scheme in (init.orthogonal(2.0), init.constant(0.3)):
        assert scheme.relative_error(layer.count) == 0
        assert (draw(scheme, layer) ** 2).mean() == pytest.approx(
            scheme.layer_variance(layer), rel=1e-12
        )


def test_truncation_constants_by_quadrature():
    inside = mp.quad(mp.npdf, [-2, 0, 2])
    second = mp.quad(lambda z: z**2 * mp.npdf(z), [-2, 0, 2]) / inside
    fourth = mp.quad(lambda z: z**4 * mp.npdf(z), [-2, 0, 2]) / inside
    assert pytest.approx(float(mp.sqrt(second)), abs=1e-15) == TRUNCATED_STD
    assert init.he_truncated_normal().kurtosis == pytest.approx(float(fourth / second**2), rel=1e-13)


def test_a_truncated_draw_ends_at_two_of_its_untruncated_standard_deviations():
    w = draw(init.lecun_truncated_normal(), init.dense(400, 400))
    edge = 2 / 20 / TRUNCATED_STD
    assert 0.99 * edge < np.abs(w).max() <= edge


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_orthogonal_draws_are_orthonormal_along_the_longer_side(shape):
    w = draw(init.orthogonal(1.5), init.dense(*shape))
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    assert np.allclose(gram, 1.5**2 * np.eye(min(shape)))


def test_orthogonal_convolutions_are_orthonormal_as_matrices():
    w = draw(init.orthogonal(), init.conv(4, 6, 3, 3)).reshape(6, -1)
    assert np.allclose(w @ w.T, np.eye(6))


def test_orthogonal_draws_have_no_preferred_sign():
    # QR alone makes the diagonal of R, and with it the trace of Q, one-sided
    traces = [np.trace(draw(init.orthogonal(), init.dense(5, 5), seed)) for seed in range(400)]
    assert abs(np.mean(traces)) < 4.5 * np.std(traces) / math.sqrt(400)


def test_only_pytorchs_default_draws_biases():
    layer = init.dense(100, 4000)
    bias = init.pytorch_default().sample_bias(np.random.default_rng(0), layer)
    assert bias.shape == (4000,)
    assert 0.0999 < np.abs(bias).max() <= 0.1
    assert not init.he_normal().sample_bias(np.random.default_rng(0), layer).any()


@pytest.mark.parametrize("name", SCHEMES)
def test_a_draw_is_a_function_of_its_generator(name):
    layer = init.dense(7, 5)
    assert np.array_equal(draw(SCHEMES[name], layer, 3), draw(SCHEMES[name], layer, 3))
    assert not np.array_equal(draw(SCHEMES[name], layer, 3), draw(SCHEMES[name], layer, 4))


@pytest.mark.parametrize(
    ("activation_name", "first", "gains"),
    [
        ("relu", "he_normal", {math.sqrt(2)}),
        ("leaky_relu(0.2)", "he_normal(a=0.2)", {math.sqrt(2 / 1.04)}),
        ("identity", "lecun_normal", {1.0}),
        ("selu", "lecun_normal", {1.0}),
        ("tanh", "xavier_normal", {1.0, 5 / 3}),
        ("elu", "lecun_normal(gain=1.2452)", {1.245198}),
        ("gelu", "lecun_normal(gain=1.53353)", {1.533530}),
        ("silu", "lecun_normal(gain=1.67653)", {1.676532}),
        ("mish", "lecun_normal(gain=1.48685)", {1.486848}),
    ],
)
def test_the_schemes_that_match_an_activation(activation_name, first, gains):
    schemes = init.matched(activation_name)
    assert schemes[0].name == first
    assert {round(scheme.gain, 5) for scheme in schemes} == {round(gain, 5) for gain in gains}
    assert {"normal", "uniform", "orthogonal"} <= {scheme.draw for scheme in schemes}


@pytest.mark.parametrize("name", NAMES)
def test_a_matched_scheme_lies_between_the_textbook_gains_on_a_square_layer(name):
    low, high = theory.matched_gains(name)
    for scheme in init.matched(name):
        sigma_w = math.sqrt(scheme.variance(64, 64) * 64)
        assert low * (1 - 1e-9) <= sigma_w <= high * (1 + 1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if not activation(name).textbook_gains])
def test_the_forward_criterion_keeps_the_length_on_any_layer(name):
    for scheme in init.matched(name):
        fans = (50, 50) if scheme.draw == "orthogonal" else (50, 170)
        assert scheme.variance(*fans) * 50 * theory.second_moment(name) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_backward_criterion_keeps_the_gradient(name):
    for scheme in init.matched(name, "backward"):
        assert theory.chi_1(name, scheme.variance(50, 170) * 170, q=1.0) == pytest.approx(1, rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_the_compromise_lies_between_the_two(name):
    both = sorted(init.matched(name, criterion)[0].gain for criterion in ("forward", "backward"))
    if activation(name).textbook_gains:
        both = sorted([theory.gain(name), init.matched(name, "backward")[0].gain])
    for scheme in init.matched(name, "compromise"):
        assert scheme.mode == "fan_avg"
        assert both[0] * (1 - 1e-9) <= scheme.gain <= both[1] * (1 + 1e-9)


def test_the_compromise_under_a_linear_network_is_xavier():
    assert init.matched("identity", "compromise")[0] == init.xavier_normal()


def test_unknown_criteria_and_activations_are_named():
    with pytest.raises(ConfigError, match="unknown criterion 'foward'; did you mean 'forward'"):
        init.matched("relu", "foward")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown activation 'rleu'; did you mean 'relu'"):
        init.matched("rleu")


def test_needed_variance():
    assert init.needed_variance("relu", 512) == pytest.approx(2 / 512)
    assert init.needed_variance("selu", 100) == pytest.approx(1 / 100)
    assert math.sqrt(init.needed_variance("relu", 256)) == pytest.approx(0.0884, abs=1e-4)


def names(layer: init.Layer, w: np.ndarray, **extra: float) -> list[str]:
    found = init.describe(
        layer.fan_in, layer.fan_out, float((w**2).mean()), w.size, units=layer.units, **extra
    )
    return [scheme.name for scheme in found]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
@pytest.mark.parametrize("name", SCHEMES)
def test_a_drawn_weight_is_recognised(name, layer):
    assert name in names(layer, draw(SCHEMES[name], layer))


@pytest.mark.parametrize("name", SCHEMES)
def test_what_comes_first_has_the_variance_of_the_true_scheme(name):
    layer = init.dense(256, 192)
    first = SCHEMES[names(layer, draw(SCHEMES[name], layer))[0]]
    assert first.layer_variance(layer) == pytest.approx(SCHEMES[name].layer_variance(layer), rel=0.02)


def test_pytorchs_default_is_told_from_xavier_and_he():
    layer = init.dense(256, 256)
    assert names(layer, draw(init.pytorch_default(), layer)) == ["kaiming_uniform(a=sqrt(5))"]


def test_schemes_of_one_variance_are_all_named():
    layer = init.dense(256, 256)
    found = names(layer, draw(init.xavier_normal(), layer))
    assert {"xavier_normal", "xavier_uniform", "lecun_normal"} <= set(found)
    exactly = [scheme.name for scheme in init.describe(256, 256, 1 / 256, 256 * 256)]
    assert exactly[0] == "orthogonal"


def test_a_variance_between_the_schemes_is_nobodys():
    assert init.describe(256, 256, 1.5 / 256, 256 * 256) == ()
    assert init.describe(256, 256, 2 / 256 * 1.05, 256 * 256) == ()


def test_a_small_weight_cannot_be_told_apart_and_says_so():
    assert len(init.describe(4, 4, 1.3 / 4, 16)) > len(init.describe(256, 256, 1.3 / 256, 256 * 256))


def test_constants_are_told_from_draws():
    assert [s.name for s in init.describe(8, 8, 0.0, 64)] == ["zeros"]
    assert [s.name for s in init.describe(8, 8, 0.25, 64, mean=-0.5)] == ["constant(-0.5)"]
    assert "constant" not in init.describe(8, 8, 0.25, 64, mean=0.01)[0].name
