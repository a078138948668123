"""The recogniser: the true scheme is in the set, the set is small, and small samples are honest."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import significance
from pytest_initcheck.initializers.marginals import Marginal

LAYER = init.dense(256, 128)


def names(scheme: init.Scheme, layer: init.Layer = LAYER, seed: int = 0) -> list[str]:
    weight = scheme.sample(np.random.default_rng(seed), layer)
    return [match.scheme.name for match in init.recognise(weight, layer)]


@pytest.mark.parametrize("scheme", init.named_schemes(), ids=lambda scheme: scheme.name)
def test_a_named_scheme_comes_first(scheme):
    assert names(scheme)[0] == scheme.name


@pytest.mark.parametrize(
    ("scheme", "first"),
    [
        (init.normal(0.123), "normal(std=0.123"),
        (init.uniform(0.3), "uniform(low=-0.3, high=0.3"),
        (init.scheme("jax.truncated_normal", stddev=0.3), "truncated_normal(std=0.26"),
        (init.orthogonal(1.7), "orthogonal(gain=1.7)"),
        (init.constant(0.5), "constant(0.5)"),
        (init.scheme("torch.sparse_", sparsity=0.9), "torch.sparse_(sparsity=0.9"),
        (init.scheme("torch.normal_", mean=0.5, std=0.1), "normal(mean=0.5"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_free_parameter_is_fitted(scheme, first):
    found = names(scheme)[0]
    value = first.rstrip("0123456789.)")
    assert found.startswith(value), found


def test_named_schemes_come_before_fitted_ones():
    weight = init.he_normal().sample(np.random.default_rng(0), LAYER)
    fitted = [match.fitted for match in init.recognise(weight, LAYER)]
    assert fitted == sorted(fitted)
    assert fitted[0] is False
    assert fitted[-1] is True


def test_the_notes_say_whose_default_it_is_and_what_is_the_same():
    weight = init.pytorch_default().sample(np.random.default_rng(0), LAYER)
    assert init.recognise(weight, LAYER)[0].note == "PyTorch's default"
    layer = LAYER.laid_out("torch")
    weight = init.he_normal().sample(np.random.default_rng(0), layer)
    assert init.recognise(weight, layer)[0].note == "the same as torch.kaiming_normal_ here"


def test_a_wrong_fan_is_recognised_by_the_library_that_reads_it():
    layer = init.depthwise_conv(64, 3, 3, layout="torch")
    scheme = init.scheme("torch.kaiming_normal_", mode="fan_out")
    assert names(scheme, layer)[0] == scheme.name


def test_shape_tells_schemes_of_one_variance_apart():
    layer = init.dense(64, 64)
    for scheme in (init.he_normal(), init.he_uniform(), init.he_truncated_normal()):
        found = [name for name in names(scheme, layer) if name.startswith("he_")]
        assert [name.split("[")[0] for name in found] == [scheme.name]


def test_orthogonal_rows_are_not_taken_for_independent_ones():
    assert not any("normal" in name for name in names(init.orthogonal(), init.dense(64, 64)))
    found = names(init.xavier_normal(), init.dense(64, 64))
    assert not any("orthogonal" in name for name in found)


def test_identity_and_dirac_come_before_orthogonal():
    assert names(init.scheme("torch.eye_"), init.dense(8, 8))[0] == "torch.eye_"
    assert names(init.scheme("torch.dirac_"), init.conv(8, 8, 3, 3))[0] == "torch.dirac_"


def test_what_no_scheme_draws_is_nobodys():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 8)) @ rng.standard_normal((8, 64))
    assert init.recognise(weight, init.dense(64, 64)) == ()
    weight = rng.standard_t(3, (128, 128))
    assert init.recognise(weight, init.dense(128, 128)) == ()


@pytest.mark.parametrize("layer", [init.dense(4, 4), init.dense(8, 8), init.conv(2, 4, 3)])
def test_the_level_holds_for_small_layers(layer):
    for scheme in (init.he_normal(), init.he_uniform(), init.he_truncated_normal()):
        rejected = sum(scheme.name not in names(scheme, layer, seed) for seed in range(200))
        # 1 % of 200 is 2; 8 would be four standard deviations more
        assert rejected <= 8, (scheme.name, rejected)


def test_a_limit_is_a_level():
    weight = init.he_normal().sample(np.random.default_rng(1), LAYER)
    few, many = (init.recognise(weight, LAYER, limit=limit) for limit in (0.5, 1e-9))
    assert len(few) < len(many)
    assert all(match.p_value > 0.5 for match in few)


def test_p_values_are_uniform_or_conservative_under_the_truth():
    scheme, layer = init.he_uniform(), init.dense(32, 32)
    below = 0
    for seed in range(600):
        weight = scheme.sample(np.random.default_rng(seed), layer)
        law = scheme.marginal(layer)
        below += significance.second_moment(float((weight**2).mean()), weight.size, law) < 0.1
    assert 0.06 < below / 600 < 0.14


@pytest.mark.parametrize("count", [4, 16, 100])
def test_the_second_moment_of_normals_is_tested_by_chi_square(count):
    mp = pytest.importorskip("mpmath")
    for found in (0.2, 0.5, 0.9, 1.3, 2.0):
        below = float(mp.gammainc(count / 2, 0, found * count / 2, regularized=True))
        exact = 2 * min(below, 1 - below)
        p_value = significance.second_moment(found, count, Marginal("normal"))
        assert p_value == pytest.approx(exact, rel=0.15, abs=5e-3)


def test_a_weight_that_does_not_fit_its_layer_is_refused():
    with pytest.raises(ConfigError, match=r"the weight has shape \(3, 2\), dense\(2x3\) has \(2, 3\)"):
        init.recognise(np.zeros((3, 2)), init.dense(2, 3))
    with pytest.raises(ConfigError, match="NaN or infinite"):
        init.recognise(np.full((2, 3), np.nan), init.dense(2, 3))
