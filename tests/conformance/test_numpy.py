"""The numpy probe conforms: lists of layers, functions that tap, functions that are traced."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck import conformance
from pytest_initcheck.numpy import tap
from pytest_initcheck.probes import numpy as probe


def relu(z):
    return np.maximum(z, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(z):
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def windows(x, height, width):
    return np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))


def squares(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c)


class Model:
    """A network's arrays, and what its formula needs."""

    def __init__(self, weights):
        self.weights = {name: value.copy() for name, value in weights.items()}

    def dense(self, layer, x):
        return x @ self.weights[f"{layer}.kernel"] + self.weights[f"{layer}.bias"]

    def conv(self, layer, x):
        kernel = self.weights[f"{layer}.kernel"]
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return np.einsum("nyxcij,ijco->nyxo", windows(x, 3, 3), kernel) + self.weights[f"{layer}.bias"]


class MLP(Model):
    def __call__(self, x):
        return self.dense("head", relu(self.dense("second", relu(self.dense("first", x)))))


class Tanh(Model):
    def __call__(self, x):
        return self.dense("head", np.tanh(self.dense("second", np.tanh(self.dense("first", x)))))


class Convnet(Model):
    def __call__(self, x):
        x = squares(relu(self.conv("first", x))).max((2, 4))
        x = squares(relu(self.conv("second", x))).mean((2, 4))
        return self.dense("head", x.mean((1, 2)))


class Residual(Model):
    def norm(self, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + conformance.EPSILON)
        return scaled * self.weights["norm.scale"] + self.weights["norm.offset"]

    def __call__(self, x):
        x = self.dense("stem", x)
        return self.dense("head", x + self.dense("down", gelu(self.dense("up", self.norm(x)))))


class Attention(Model):
    def __call__(self, x):
        def split(layer):
            heads = self.dense(layer, x).reshape(*x.shape[:2], conformance.HEADS, -1)
            return heads.transpose(0, 2, 1, 3)

        q, k, v = map(split, ("query", "key", "value"))
        shares = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
        mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.dense("head", (x + self.dense("out", mixed)).mean(1))


class LSTM(Model):
    def __call__(self, x):
        h = c = np.zeros((len(x), self.weights["head.kernel"].shape[0]), x.dtype)
        for step in range(x.shape[1]):
            z = self.dense("cell", np.concatenate([x[:, step], h], 1))
            i, f, g, o = np.split(z, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        return self.dense("head", h)


MODELS = {
    "mlp": MLP, "tanh": Tanh, "convnet": Convnet, "residual": Residual, "attention": Attention, "lstm": LSTM,
}  # fmt: skip
PHI = {"mlp": "relu", "tanh": "tanh"}


def traced(network, weights):
    return MODELS[network.name](weights)


def layers(network, weights):
    """Lists of layers are dense networks alone."""
    phi = PHI[network.name]
    return [
        (weights[f"{layer}.kernel"].copy(), weights[f"{layer}.bias"].copy(), which)
        for layer, which in (("first", phi), ("second", phi), ("head", None))
    ]


def tapped(network, weights):
    w = {name: value.copy() for name, value in weights.items()}
    phi = {"relu": relu, "tanh": np.tanh}[PHI[network.name]]

    def dense(layer, x, which=None):
        kernel, bias = w[f"{layer}.kernel"], w[f"{layer}.bias"]
        return tap(layer, x @ kernel + bias, weight=kernel, bias=bias, activation=which)

    def forward(x):
        x = phi(dense("first", x, PHI[network.name]))
        x = phi(dense("second", x, PHI[network.name]))
        return dense("head", x)

    return forward


PLAIN = tuple(PHI)


@pytest.mark.parametrize("claim", conformance.claims(probe, layers, only=PLAIN), ids=str)
def test_lists_of_layers_conform(claim):
    claim()


@pytest.mark.parametrize(
    "claim", conformance.claims(probe, tapped, only=PLAIN, gradients=False), ids=str
)
def test_functions_that_tap_conform(claim):
    """Their gradients are taken along a few directions, which tell zero from not."""
    claim()


@pytest.mark.parametrize("claim", conformance.claims(probe, traced), ids=str)
def test_traced_functions_conform(claim):
    claim()
