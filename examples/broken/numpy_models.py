"""The bugs of ``torch_models.py`` as layer lists; (W, b, activation) is activation(x @ W + b).

Run ``pytest --initcheck examples/broken/numpy_models.py`` to see the reports.
"""

import numpy as np

import pytest_initcheck as ic

WIDTH, CLASSES = 256, 10


def mlp(rng, depth, activation, std, bias=0.0):
    """Return ``depth`` hidden layers with N(0, std^2) weights, and a linear head."""
    layers = [
        (rng.normal(0, std, (WIDTH, WIDTH)), np.full(WIDTH, bias), activation) for _ in range(depth)
    ]
    return [*layers, (rng.normal(0, 1 / WIDTH**0.5, (WIDTH, CLASSES)), None, None)]


@ic.model(inputs=ic.normal(WIDTH))
def default_init(rng):
    """torch's default: U(-1, 1) / sqrt(n), of variance 1 / (3 n), where ReLU needs 2 / n.
    The signal shrinks sixfold per layer, so 20 layers later all inputs look the same.
    """

    def draw(*shape):
        return rng.uniform(-1, 1, shape) / WIDTH**0.5

    hidden = [(draw(WIDTH, WIDTH), draw(WIDTH), "relu") for _ in range(20)]
    return [*hidden, (draw(WIDTH, CLASSES), draw(CLASSES), None)]


@ic.model(inputs=ic.normal(WIDTH))
def saturated_tanh(rng):
    """Weights of standard deviation 3 / sqrt(n), where tanh needs 1 to 5/3.
    The activations keep their size, but half of the units sit where tanh has no slope.
    """
    return mlp(rng, 20, "tanh", std=3 / WIDTH**0.5)


@ic.model(inputs=ic.normal(WIDTH))
def dead_relu(rng):
    """He weights with a bias of -3, as after a wrong constant in a config file.
    The first layer still fires now and then; behind it no unit is ever active.
    """
    return mlp(rng, 5, "relu", std=(2 / WIDTH) ** 0.5, bias=-3.0)


@ic.model(inputs=ic.normal(WIDTH))
def zero_layer(rng):
    """He weights, but a layer in the middle is all zero, as after a zero-init meant for a branch.
    Nothing passes it in either direction: no weight of the network can learn.
    """
    layers = mlp(rng, 5, "relu", std=(2 / WIDTH) ** 0.5)
    layers[2] = (np.zeros((WIDTH, WIDTH)), np.zeros(WIDTH), "relu")
    return layers


@ic.model(inputs=ic.normal(WIDTH))
def saturated_sigmoid(rng):
    """Weights drawn from N(0, 1), without the division by sqrt(n).
    Pre-activations have standard deviation 16, so four units in five are stuck at 0 or 1.
    """
    return mlp(rng, 8, "sigmoid", std=1.0)
