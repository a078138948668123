"""The models of ``benchmarks/frameworks.py`` as lists of layers, which have no branches."""

import numpy as np

WIDTH, CLASSES = 256, 10
HE = (2 / WIDTH) ** 0.5


def mlp(rng, hidden, activation, std, bias=0.0):
    """Return hidden layers and a head of N(0, 1 / n)."""
    layers = [
        (rng.normal(0, std, (WIDTH, WIDTH)), np.full(WIDTH, bias), activation) for _ in range(hidden)
    ]
    return [*layers, (rng.normal(0, WIDTH**-0.5, (WIDTH, CLASSES)), np.zeros(CLASSES), None)]


def good(rng):
    return mlp(rng, 20, "relu", HE)


def default_init(rng):
    """As ``torch.nn.Linear`` does it: U(-b, b) with b = 1 / sqrt(n), weights and biases."""

    def uniform(*shape):
        return rng.uniform(-(WIDTH**-0.5), WIDTH**-0.5, shape)

    hidden = [(uniform(WIDTH, WIDTH), uniform(WIDTH), "relu") for _ in range(20)]
    return [*hidden, (uniform(WIDTH, CLASSES), uniform(CLASSES), None)]


def saturated_tanh(rng):
    return mlp(rng, 20, "tanh", 3 / WIDTH**0.5)


def dead_relu(rng):
    return mlp(rng, 5, "relu", HE, bias=-3.0)


def zero_layer(rng):
    layers = mlp(rng, 5, "relu", HE)
    layers[2][0][:] = 0
    return layers


def saturated_sigmoid(rng):
    return mlp(rng, 8, "sigmoid", 1.0)


def constant(rng):
    layers = mlp(rng, 2, "relu", HE)
    for weight, _, _ in layers[:2]:
        weight[:] = 1 / WIDTH
    return layers
