"""Networks of every kind in plain JAX: built as they are specified, and correct as the textbook says."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import strategies as ist
from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.networks import (
    BRANCHES,
    TEXTBOOK_ACTIVATIONS,
    ConvnetSpec,
    NetworkSpec,
    RecurrentSpec,
    ResidualSpec,
    TransformerSpec,
)
from pytest_initcheck.networks.jax_layers import jax_activation
from pytest_initcheck.numpy import forward

HE = init.he_normal()
SPECS = (
    NetworkSpec((8, 32, 32, 4), "relu", HE, framework="jax"),
    NetworkSpec((8, 32, 4), "tanh", init.xavier_normal(), batch_norm=True, framework="jax"),
    ConvnetSpec((3, 16, 16, 16), 16, "relu", HE, framework="jax"),
    ConvnetSpec((1, 16, 16), 8, "tanh", init.xavier_normal(), batch_norm=True, framework="jax"),
    *(ResidualSpec(8, 32, 5, "relu", HE, branch, framework="jax") for branch in BRANCHES),
    TransformerSpec(16, 2, 3, 6, "gelu", init.lecun_normal(1.5), framework="jax"),
    RecurrentSpec(8, 24, 6, "tanh", init.xavier_normal(), framework="jax"),
)


def run(spec, batch=4):
    apply, params = spec.factory()(np.random.default_rng(0))
    return apply(params, spec.inputs.sample(np.random.default_rng(1), batch).astype(np.float32))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_network_takes_its_inputs_and_puts_out_what_it_says(spec):
    rows = (4, spec.tokens) if isinstance(spec, TransformerSpec) else (4,)
    outputs = spec.widths[-1] if isinstance(spec, NetworkSpec) else spec.outputs
    assert run(spec).shape == (*rows, outputs)
    assert spec.text.startswith("jax(")
    assert spec.factory().__name__ == spec.text


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_matched_network_passes(spec):
    report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text)
    assert (report.framework, report.verdict) == ("jax", "pass"), str(report)


def test_a_network_is_that_of_numpy_from_the_same_generator():
    spec = NetworkSpec((8, 16, 16, 4), "gelu", init.pytorch_default())
    x = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    apply, params = spec.factory("jax")(np.random.default_rng(3))
    layers = spec.factory("numpy")(np.random.default_rng(3))
    # jax draws a kernel and its bias, layer by layer, as numpy does
    assert np.allclose(apply(params, x), forward(layers, x), atol=1e-5)


@pytest.mark.parametrize(
    "name", [*TEXTBOOK_ACTIVATIONS, "gelu_tanh", "elu(0.5)", "hardtanh", "softsign"]
)
def test_an_activation_is_that_of_the_table(name):
    x = np.linspace(-3, 3, 61)
    assert np.allclose(jax_activation(name)(x), activation(name).phi(x), atol=1e-5)


def test_an_activation_that_jax_lacks_is_one_line():
    with pytest.raises(ConfigError, match=r"jax.nn has no tanhshrink; choose one of identity, relu"):
        NetworkSpec((4, 4, 2), "tanhshrink", HE, framework="jax").factory()(np.random.default_rng(0))


def test_a_network_runs_under_jit_and_grad():
    apply, params = SPECS[0].factory()(np.random.default_rng(0))
    x = np.ones((4, 8), np.float32)
    gradient = jax.jit(jax.grad(lambda p: apply(p, x).sum()))(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ist.networks(framework="jax", max_width=32, max_depth=4))
def test_drawn_networks_pass(spec):
    report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text)
    assert report.verdict == "pass", str(report)


@pytest.mark.parametrize("kind", ["convnet", "residual", "transformer", "rnn"])
def test_every_kind_is_drawn_for_jax(kind):
    @settings(max_examples=5, deadline=None)
    @given(ist.networks(framework="jax", kinds=(kind,), max_width=32, max_depth=4))
    def drawn(spec):
        assert spec.framework == "jax"
        assert np.isfinite(run(spec, 2)).all()

    drawn()
