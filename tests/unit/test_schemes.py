"""Every scheme on every kind of layer: the exact moments are those of large samples."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.marginals import Marginal, normal_cdf
from pytest_initcheck.initializers.schemes import Scheme

LAYERS = (
    init.dense(64, 48),
    init.conv(16, 24, 3, 3),
    init.grouped_conv(32, 64, 3, 3, groups=4),
    init.depthwise_conv(64, 3, 3),
    init.conv_transposed(32, 16, 4, 4, stride=2),
    init.conv_transposed(8, 32, 3, groups=4, stride=3),
    init.embedding(100, 32),
    init.tied(100, 32),
    init.fused_qkv(32, layout="torch"),
    init.recurrent(16, 32),
    init.conv(16, 24, 3, 3, layout="keras"),
    init.depthwise_conv(16, 3, 3, multiplier=4, layout="keras"),
)
SCHEMES = (
    *init.named_schemes(),
    *init.library_schemes(),
    init.delta_orthogonal(),
    init.mup_output(),
    init.mup_output(0.0),
    init.mup_input(),
    init.mup_hidden(2.0),
    init.siren_first(),
    init.siren_hidden(),
    init.fixup(16),
    init.gpt2(12),
    init.uniform(0.3),
    init.scheme("torch.sparse_", sparsity=0.9),
    init.scheme("torch.normal_", mean=0.5, std=0.1),
    init.scheme("torch.trunc_normal_", std=3.0),
    init.scheme("torch.trunc_normal_", mean=1.0, std=0.7, a=0.5, b=4.0),
    init.scheme("jax.variance_scaling", mode="fan_geo_avg", distribution="normal"),
)
DRAWS = 8


def draws(scheme: Scheme, layer: init.Layer) -> np.ndarray:
    return np.stack([scheme.sample(np.random.default_rng(k), layer) for k in range(DRAWS)])


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
def test_moments_are_those_of_a_large_sample(layer):
    for scheme in SCHEMES:
        if scheme.misfit(layer):
            continue
        w = draws(scheme, layer)
        assert w.shape[1:] == layer.shape
        wanted, found = scheme.layer_variance(layer), (w**2).mean()
        error = max(scheme.layer_error(layer) / math.sqrt(DRAWS), 1e-9)
        assert abs(found - wanted) <= 4.5 * error * wanted, scheme.name
        spread = math.sqrt(max(wanted - scheme.layer_mean(layer) ** 2, 0) / w.size)
        assert abs(w.mean() - scheme.layer_mean(layer)) <= 4.5 * spread + 1e-12, scheme.name
        if wanted:
            kurtosis = (w**4).mean() / found**2
            assert kurtosis == pytest.approx(scheme.layer_kurtosis(layer), rel=0.2), scheme.name


@pytest.mark.parametrize("shape", [(4, 4), (12, 5), (3, 16)])
def test_the_kurtosis_of_orthogonal_draws_is_exact_at_small_sides(shape):
    layer, scheme = init.dense(*shape), init.orthogonal()
    w = np.stack([scheme.sample(np.random.default_rng(k), layer) for k in range(4000)])
    kurtosis = (w**4).mean() / (w**2).mean() ** 2
    assert kurtosis == pytest.approx(scheme.layer_kurtosis(layer), rel=0.02)
    assert scheme.layer_kurtosis(layer) == 3 * max(shape) / (max(shape) + 2)


def test_textbook_orthogonal_draws_are_orthogonal_in_every_group_and_block():
    layer = init.grouped_conv(32, 16, 3, 3, groups=4)
    rows = layer.rows(init.orthogonal().sample(np.random.default_rng(0), layer)).reshape(4, 4, -1)
    for block in rows:
        assert np.allclose(block @ block.T, np.eye(4))
    layer = init.fused_qkv(8)
    for block in layer.rows(init.orthogonal().sample(np.random.default_rng(0), layer)).reshape(3, 8, 8):
        assert np.allclose(block @ block.T, np.eye(8))


def test_delta_orthogonal_is_orthogonal_at_the_centre_and_zero_around_it():
    layer = init.conv(8, 8, 3, 5)
    w = init.delta_orthogonal().sample(np.random.default_rng(0), layer)
    assert np.allclose(w[:, :, 1, 2] @ w[:, :, 1, 2].T, np.eye(8))
    w[:, :, 1, 2] = 0
    assert not w.any()


@pytest.mark.parametrize(
    ("std", "a", "b", "mean"),
    [(1.0, -2.0, 2.0, 0.0), (1.41, -2, 2, 0), (10.0, -2, 2, 0), (0.02, -2, 2, 0), (0.7, 0.5, 4, 1.0)],
)
def test_moments_of_a_normal_cut_at_absolute_bounds_by_quadrature(std, a, b, mean):
    law = init.scheme("torch.trunc_normal_", mean=mean, std=std, a=a, b=b).marginal(init.dense(2, 2))
    low, high = max(a, mean - 12 * std), min(b, mean + 12 * std)
    points = [low, *(p for p in (mean - std, mean, mean + std) if low < p < high), high]
    mass = mp.quad(lambda x: mp.npdf(x, mean, std), points)
    for power in (1, 2, 4, 6):
        exact = mp.quad(lambda x, p=power: x**p * mp.npdf(x, mean, std), points) / mass
        assert law.moment(power) == pytest.approx(float(exact), rel=1e-11, abs=1e-14)


def test_the_normal_distribution_function():
    z = np.linspace(-9, 9, 997)
    exact = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z])
    assert np.abs(normal_cdf(z) - exact).max() < 2e-8


@pytest.mark.parametrize(
    "law",
    [
        Marginal("normal", 0.5, 2.0),
        Marginal("uniform", -1.0, 0.5),
        Marginal("truncated_normal", 0.0, 1.0, -2.0, 2.0),
        Marginal("truncated_normal", 0.0, 10.0, -2.0, 2.0),
        Marginal("truncated_normal", 0.0, 1.0, 2.5, 3.0),
    ],
)
def test_draws_follow_their_distribution_function(law):
    w = np.sort(law.sample(np.random.default_rng(0), (20000,)))
    low, high = law.support
    assert low <= w[0]
    assert w[-1] <= high
    below = law.cdf(w)
    assert np.abs(below - np.arange(20000) / 20000).max() < 1.63 / math.sqrt(20000)
    assert law.log_likelihood(w) == pytest.approx(
        float(np.log(np.gradient(below, w)[5000:15000]).mean()), abs=2
    )


def test_a_scheme_refuses_a_layer_that_it_cannot_fill():
    rng = np.random.default_rng(0)
    for name, layer in (
        ("torch.eye_", init.conv(3, 3, 3)),
        ("torch.dirac_", init.dense(3, 3)),
        ("jax.delta_orthogonal", init.dense(3, 3)),
    ):
        with pytest.raises(ConfigError, match=f"{name} takes a .*has shape"):
            init.scheme(name).sample(rng, layer)
