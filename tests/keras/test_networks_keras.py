"""Networks of every kind in Keras, on the backend of this run: built as specified, correct as they should."""

from __future__ import annotations

import keras
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
from pytest_initcheck.networks.keras_layers import keras_activation
from pytest_initcheck.numpy import forward

HE = init.he_normal()
SPECS = (
    NetworkSpec((8, 32, 32, 4), "relu", HE, framework="keras"),
    NetworkSpec((8, 32, 4), "tanh", init.xavier_normal(), batch_norm=True, framework="keras"),
    ConvnetSpec((3, 16, 16, 16), 16, "relu", HE, framework="keras"),
    ConvnetSpec((1, 16, 16), 8, "tanh", init.xavier_normal(), batch_norm=True, framework="keras"),
    *(ResidualSpec(8, 32, 5, "relu", HE, branch, framework="keras") for branch in BRANCHES),
    TransformerSpec(16, 2, 3, 6, "gelu", init.lecun_normal(1.5), framework="keras"),
    RecurrentSpec(8, 24, 6, "tanh", init.xavier_normal(), framework="keras"),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_network_takes_its_inputs_and_puts_out_what_it_says(spec):
    model = spec.factory()(np.random.default_rng(0))
    x = spec.inputs.sample(np.random.default_rng(1), 4).astype(np.float32)
    rows = (4, spec.tokens) if isinstance(spec, TransformerSpec) else (4,)
    outputs = spec.widths[-1] if isinstance(spec, NetworkSpec) else spec.outputs
    assert isinstance(model, keras.Model)
    assert tuple(model(x).shape) == (*rows, outputs)
    assert spec.factory().__name__ == spec.text


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_matched_network_passes(spec):
    report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text)
    assert (report.framework, report.verdict) == ("keras", "pass"), str(report)


def test_a_network_is_that_of_numpy_from_the_same_generator():
    spec = NetworkSpec((8, 16, 16, 4), "gelu", init.pytorch_default())
    x = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    model = spec.factory("keras")(np.random.default_rng(3))
    layers = spec.factory("numpy")(np.random.default_rng(3))
    assert np.allclose(keras.ops.convert_to_numpy(model(x)), forward(layers, x), atol=1e-5)


@pytest.mark.parametrize(
    "name", [*TEXTBOOK_ACTIVATIONS, "gelu_tanh", "elu(0.5)", "hardtanh", "softsign"]
)
def test_an_activation_is_that_of_the_table(name):
    x = np.linspace(-3, 3, 61, dtype=np.float32)
    y = keras.ops.convert_to_numpy(keras_activation(name)(keras.ops.convert_to_tensor(x)))
    assert np.allclose(y, activation(name).phi(x), atol=1e-5)


def test_an_activation_that_keras_lacks_is_one_line():
    with pytest.raises(ConfigError, match=r"keras has no prelu; choose one of identity, relu"):
        NetworkSpec((4, 4, 2), "prelu(0.1)", HE, framework="keras").factory()(np.random.default_rng(0))


def test_an_attentions_weights_are_drawn_as_the_scheme_says():
    spec = TransformerSpec(64, 4, 8, 4, "gelu", init.lecun_normal(), framework="keras")
    model = spec.factory()(np.random.default_rng(0))
    spread = {
        w.path.split("/", 1)[-1]: float(np.std(keras.ops.convert_to_numpy(w))) for w in model.weights
    }
    found = {path: value for path, value in spread.items() if path.endswith("kernel")}
    assert found["query/kernel"] == pytest.approx(1 / 8, rel=0.05)
    assert found["attention_output/kernel"] == pytest.approx(1 / 32, rel=0.05)


@pytest.mark.parametrize("kind", ["mlp", "convnet", "residual", "transformer", "rnn"])
def test_every_kind_is_drawn_for_keras(kind):
    @settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ist.networks(framework="keras", kinds=(kind,), max_width=32, max_depth=4))
    def drawn(spec):
        model = spec.factory()(np.random.default_rng(0))
        x = spec.inputs.sample(np.random.default_rng(1), 2).astype(np.float32)
        assert spec.framework == "keras"
        assert np.isfinite(keras.ops.convert_to_numpy(model(x))).all()

    drawn()
