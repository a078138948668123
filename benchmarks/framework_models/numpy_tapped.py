"""The nine models of ``benchmarks/frameworks.py`` as forward functions that show their layers."""

import numpy as np
from scipy.special import expit

from pytest_initcheck.numpy import tap

WIDTH, CLASSES, RANK = 256, 10, 16
HE = (2 / WIDTH) ** 0.5
FUNCTIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": expit}


def dense(name, x, layer, activation=None):
    weight, bias = layer
    z = tap(name, x @ weight + bias, weight=weight, bias=bias, activation=activation)
    return FUNCTIONS[activation](z) if activation else z


def drawn(rng, std, units=WIDTH, bias=0.0):
    return rng.normal(0, std, (WIDTH, units)), np.full(units, bias)


def mlp(rng, hidden, activation, std, bias=0.0):
    """Return the forward function of hidden layers and a head of N(0, 1 / n)."""
    return network([drawn(rng, std, bias=bias) for _ in range(hidden)], head(rng), activation)


def head(rng):
    return drawn(rng, WIDTH**-0.5, CLASSES)


def network(layers, head, activation):
    def forward(x):
        for index, layer in enumerate(layers):
            x = dense(f"layer{index}", x, layer, activation)
        return dense("head", x, head)

    return forward


def good(rng):
    return mlp(rng, 20, "relu", HE)


def default_init(rng):
    """As ``torch.nn.Linear`` does it: U(-b, b) with b = 1 / sqrt(n), weights and biases."""

    def uniform(units):
        return [rng.uniform(-(WIDTH**-0.5), WIDTH**-0.5, shape) for shape in ((WIDTH, units), units)]

    return network([uniform(WIDTH) for _ in range(20)], uniform(CLASSES), "relu")


def saturated_tanh(rng):
    return mlp(rng, 20, "tanh", 3 / WIDTH**0.5)


def dead_relu(rng):
    return mlp(rng, 5, "relu", HE, bias=-3.0)


def zero_layer(rng):
    layers = [drawn(rng, HE) for _ in range(5)]
    layers[2][0][:] = 0
    return network(layers, head(rng), "relu")


def saturated_sigmoid(rng):
    return mlp(rng, 8, "sigmoid", 1.0)


def zero_gate(rng):
    blocks = [(drawn(rng, HE), drawn(rng, HE), np.zeros(1)) for _ in range(4)]
    last = head(rng)

    def forward(x):
        for index, (up, down, gate) in enumerate(blocks):
            branch = dense(f"{index}.down", dense(f"{index}.up", x, up, "relu"), down)
            x = x + tap(f"{index}.gate", gate * branch, weight=gate)
        return dense("head", x, last)

    return forward


def zero_factors(rng):
    a, b = np.zeros((WIDTH, RANK)), np.zeros((RANK, WIDTH))
    behind = mlp(rng, 2, "relu", HE)

    def forward(x):
        low = tap("a", x @ a, weight=a)
        return behind(x + tap("b", low @ b, weight=b))

    return forward


def constant(rng):
    layers = [(np.full((WIDTH, WIDTH), 1 / WIDTH), np.zeros(WIDTH)) for _ in range(2)]
    return network(layers, head(rng), "relu")
