"""Network specifications and the numpy networks that they build."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck import theory
from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.networks import TEXTBOOK_ACTIVATIONS, NetworkSpec, textbook_depth

SPEC = NetworkSpec((8, 16, 16, 4), "relu", init.he_normal())


def build(spec: NetworkSpec, seed: int = 0) -> list:
    return spec.factory("numpy")(np.random.default_rng(seed))


def test_a_specification_knows_its_layers():
    assert (SPEC.features, SPEC.depth) == (8, 3)
    assert SPEC.layers == (init.dense(8, 16), init.dense(16, 16), init.dense(16, 4))
    assert SPEC.schemes == (init.he_normal(),) * 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "numpy(8-16x2-4, relu, he_normal)"),
        ({"bias": False}, "numpy(8-16x2-4, relu, he_normal, no bias)"),
        ({"framework": "torch", "batch_norm": True}, "torch(8-16x2-4, relu, he_normal, batch_norm)"),
        ({"widths": (4, 4)}, "numpy(4x2, relu, he_normal)"),
        ({"first_gain": 1.0}, "numpy(8-16x2-4, relu, he_normal, first_gain=1)"),
    ],
)
def test_the_text_tells_specifications_apart(change, text):
    fields = {"widths": SPEC.widths, "activation": "relu", "scheme": SPEC.scheme, **change}
    spec = NetworkSpec(**fields)
    assert spec.text == text
    assert spec.factory().__name__ == text


def test_a_numpy_network_is_a_list_of_layers():
    layers = build(SPEC)
    assert [(w.shape, b.shape, name) for w, b, name in layers] == [
        ((8, 16), (16,), "relu"),
        ((16, 16), (16,), "relu"),
        ((16, 4), (4,), None),
    ]
    assert not any(b.any() for _, b, _ in layers)


def test_a_network_without_bias_has_none():
    layers = build(NetworkSpec((8, 4, 2), "tanh", init.xavier_normal(), bias=False))
    assert [b for _, b, _ in layers] == [None, None]


def test_pytorchs_default_draws_biases():
    layers = build(NetworkSpec((64, 64, 64), "relu", init.pytorch_default()))
    assert all(0 < np.abs(b).max() <= 1 / 8 for _, b, _ in layers)


def test_a_network_is_a_function_of_its_generator():
    first, again, other = (build(SPEC, seed)[0][0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", [n for n in TEXTBOOK_ACTIVATIONS if n not in ("tanh",)])
def test_a_matched_network_keeps_its_length_for_inputs_of_any_scale(name):
    rng = np.random.default_rng(0)
    x = 3.0 * rng.standard_normal((64, 500))
    spec = NetworkSpec((500, *[500] * 5, 10), name, init.matched(name)[0]).for_inputs(9.0)
    for weight, bias, phi in spec.factory("numpy")(rng)[:-1]:
        z = x @ weight + bias
        assert (z**2).mean() == pytest.approx(1, rel=0.35)
        x = activation(phi).phi(z)


def test_only_the_first_layer_takes_the_scale_of_the_inputs():
    spec = SPEC.for_inputs(4.0)
    assert spec.first_gain == 0.5
    assert spec.schemes == (init.lecun_normal(0.5), init.he_normal(), init.he_normal())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (4,)}, "widths run from features to outputs"),
        ({"widths": (4, 0, 2)}, "each at least 1"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"framework": "trch"}, "unknown framework 'trch'; did you mean 'torch'"),
        ({"batch_norm": True}, "batch_norm needs framework='torch'"),
    ],
)
def test_what_cannot_be_built_is_refused(change, message):
    fields = {"widths": (4, 4, 2), "activation": "relu", "scheme": init.he_normal(), **change}
    with pytest.raises(ConfigError, match=message):
        NetworkSpec(**fields)


def test_another_framework_must_be_able_to_build_it():
    spec = NetworkSpec((4, 4, 2), "relu", init.he_normal(), batch_norm=True, framework="torch")
    with pytest.raises(ConfigError, match="batch_norm needs"):
        spec.factory("numpy")
    with pytest.raises(ConfigError, match="unknown framework 'numpi'; did you mean 'numpy'"):
        spec.factory("numpi")  # type: ignore[arg-type]


def test_unstable_lengths_bound_the_depth_and_stable_ones_do_not():
    for name in ("relu", "leaky_relu(0.2)", "tanh", "selu", "elu", "identity"):
        assert textbook_depth(name, 16) == math.inf
    # GELU at width 256: 1.1441^14 sqrt(c / 256) is about 1
    assert textbook_depth("gelu", 256) == pytest.approx(14, abs=0.5)
    assert textbook_depth("silu", 256) < textbook_depth("gelu", 256) < textbook_depth("mish", 256)
    assert textbook_depth("gelu", 4) == 0
    for width in (64, 512):
        depth = textbook_depth("silu", width)
        growth = theory.length_slope("silu") ** depth * math.sqrt(theory.fluctuation("silu") / width)
        assert growth == pytest.approx(1)
