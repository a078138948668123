"""Two numpy models that start well: one as a list of layers, one as a forward function."""

import numpy as np

import pytest_initcheck as ic


# A layer (W, b, activation) computes activation(x @ W + b). The check fills the parameter `rng` with a
# new generator for each initialisation; a factory that drew from one fixed seed would be refused.
@ic.model(inputs=ic.normal(64))
def layers(rng):
    def he(fan_in, fan_out):
        return rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out))

    return [
        (he(64, 128), np.zeros(128), "relu"),
        (he(128, 128), np.zeros(128), "relu"),
        (rng.normal(0, np.sqrt(1 / 128), (128, 10)), np.zeros(10), None),
    ]


# A forward function of your own shows its pre-activations with `tap`, which returns them unchanged and
# does nothing outside of a check. Given the weights too, the check sees how gradients fare.
@ic.model(inputs=ic.uniform(32, low=-1, high=1))
def residual(rng):
    w1 = rng.normal(0, np.sqrt(1 / 32), (32, 64))
    w2 = rng.normal(0, np.sqrt(1 / 64), (64, 64))
    w3 = rng.normal(0, np.sqrt(1 / 64), (64, 4))

    def forward(x):
        h = np.tanh(ic.numpy.tap("stem", x @ w1, activation="tanh", weight=w1))
        h = h + np.tanh(ic.numpy.tap("block", h @ w2, activation="tanh", weight=w2))
        return ic.numpy.tap("head", h @ w3, weight=w3)

    return forward
