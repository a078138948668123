"""The Keras probe conforms, on the backend of this run: functional and subclassed models."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from pytest_initcheck import conformance
from pytest_initcheck.probes import keras as probe

LAST = {"data_format": "channels_last"}
FIRST = {"data_format": "channels_first"}


def made(network, images=LAST):
    """Return the layers of a network by name, not built yet."""
    found = {}
    for layer in dict.fromkeys(name.partition(".")[0] for name in network.shapes):
        if layer == "norm":
            found[layer] = layers.LayerNormalization(epsilon=conformance.EPSILON, name=layer)
            continue
        *kernel, _, units = network.shapes[f"{layer}.kernel"]
        if kernel:
            found[layer] = layers.Conv2D(units, kernel, padding="same", name=layer, **images)
        else:
            found[layer] = layers.Dense(units, name=layer)
    return found


def filled(of, weights):
    for name, value in weights.items():
        layer, _, which = name.partition(".")
        variable = {"kernel": "kernel", "bias": "bias", "scale": "gamma", "offset": "beta"}[which]
        getattr(of[layer], variable).assign(value)


# -- functional models -----------------------------------------------------------------------------


def mlp(of, x):
    return of["head"](ops.relu(of["second"](ops.relu(of["first"](x)))))


def tanh(of, x):
    return of["head"](ops.tanh(of["second"](ops.tanh(of["first"](x)))))


def convnet(of, x, images=LAST):
    x = layers.MaxPooling2D(2, **images)(ops.relu(of["first"](x)))
    x = layers.AveragePooling2D(2, **images)(ops.relu(of["second"](x)))
    return of["head"](layers.GlobalAveragePooling2D(**images)(x))


def residual(of, x):
    x = of["stem"](x)
    return of["head"](x + of["down"](ops.gelu(of["up"](of["norm"](x)), approximate=True)))


def attention(of, x):
    width = x.shape[-1]

    def split(layer):
        return ops.reshape(of[layer](x), (-1, x.shape[1], conformance.HEADS, width // conformance.HEADS))

    # a functional model runs what is deepest first: with a transpose, the key would run before the query
    q, k = ops.transpose(split("query"), (0, 2, 1, 3)), split("key")
    v = ops.transpose(split("value"), (0, 2, 1, 3))
    scores = ops.einsum("bhqd,bkhd->bhqk", q, k) / math.sqrt(width // conformance.HEADS)
    mixed = ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3))
    return of["head"](ops.mean(x + of["out"](ops.reshape(mixed, (-1, x.shape[1], width))), 1))


def lstm(of, x):
    h = c = ops.zeros((ops.shape(x)[0], of["cell"].units // 4), dtype=x.dtype)
    for step in range(x.shape[1]):
        z = of["cell"](ops.concatenate([x[:, step], h], 1))
        i, f, g, o = ops.split(z, 4, 1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
    return of["head"](h)


FORMULAS = {
    "mlp": mlp, "tanh": tanh, "convnet": convnet, "residual": residual, "attention": attention, "lstm": lstm,
}  # fmt: skip


FUNCTIONAL = tuple(name for name in FORMULAS if name != "lstm")
"""A functional model runs by depth: of a cell, every gate before the first product."""


def functional(network, weights):
    of, x = made(network), keras.Input(network.inputs, name="x")
    model = keras.Model(x, FORMULAS[network.name](of, x))
    filled(of, weights)
    return model


@pytest.mark.parametrize("claim", conformance.claims(probe, functional, only=FUNCTIONAL), ids=str)
def test_functional_models_conform(claim):
    claim()


# -- subclassed models -----------------------------------------------------------------------------


class Subclassed(keras.Model):
    """A network whose call is its formula."""

    def __init__(self, network):
        super().__init__(name="subclassed")
        self.formula = FORMULAS[network.name]
        self.of = made(network)
        for name, layer in self.of.items():
            setattr(self, name, layer)

    def call(self, x):
        return self.formula(self.of, x)


def subclassed(network, weights):
    model = Subclassed(network)
    model(np.zeros((1, *network.inputs), np.float32))
    filled(model.of, weights)
    return model


@pytest.mark.parametrize("claim", conformance.claims(probe, subclassed), ids=str)
def test_subclassed_models_conform(claim):
    claim()


# -- activations that are a part of their layers ---------------------------------------------------


def fused(network, weights):
    phi = {"mlp": "relu", "tanh": "tanh"}[network.name]
    units = [network.shapes[f"{layer}.bias"][0] for layer in ("first", "second", "head")]
    of = {
        layer: layers.Dense(n, None if layer == "head" else phi, name=layer)
        for layer, n in zip(("first", "second", "head"), units, strict=True)
    }
    model = keras.Sequential([keras.Input(network.inputs), *of.values()])
    filled(of, weights)
    return model


@pytest.mark.parametrize("claim", conformance.claims(probe, fused, only=("tanh",)), ids=str)
def test_sequential_models_with_fused_activations_conform(claim):
    claim()


# -- channels first, where the backend has it on a CPU ---------------------------------------------


def channels_first(network, weights):
    height, width, channels = network.inputs
    of, x = made(network, FIRST), keras.Input((channels, height, width), name="x")
    model = keras.Model(x, convnet(of, x, FIRST))
    filled(of, weights)
    return model


FIRST_CLAIMS = conformance.claims(probe, channels_first, only=("convnet",), channels="first")


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow convolves channels first on GPUs alone"
)
@pytest.mark.parametrize("claim", FIRST_CLAIMS, ids=str)
def test_models_with_channels_first_conform(claim):
    claim()


def test_the_builders_compute_what_the_networks_are():
    """Otherwise a claim would blame the probe."""
    for network in conformance.NETWORKS:
        x, weights = network.batch(), network.weights()
        double = {name: value.astype(np.float64) for name, value in weights.items()}
        wanted = network.read(double, x.astype(np.float64)).steps[-1].value
        found = ops.convert_to_numpy(subclassed(network, weights)(x))
        assert np.allclose(found, wanted, atol=1e-5)
