"""Five initialisation bugs that raise no error; each fails its check, at its first wrong layer.

Run ``pytest --initcheck examples/broken/torch_models.py`` to see the reports: the name of this file is
none that is collected by itself.
"""

from torch import nn

import pytest_initcheck as ic

WIDTH, CLASSES = 256, 10


def mlp(depth, activation, init):
    """Return ``depth`` hidden layers and a head; ``init`` is called on every Linear but the head."""
    layers = []
    for _ in range(depth):
        layer = nn.Linear(WIDTH, WIDTH)
        init(layer)
        layers += [layer, activation()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))


def he(layer):
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)


@ic.model(inputs=ic.normal(WIDTH))
def default_init():
    """PyTorch's default: weights of variance 1 / (3 n), where ReLU needs 2 / n.
    The signal shrinks sixfold per layer, so 20 layers later all inputs look the same.
    """
    return mlp(20, nn.ReLU, init=lambda layer: None)


@ic.model(inputs=ic.normal(WIDTH))
def saturated_tanh():
    """Weights of standard deviation 3 / sqrt(n), where tanh needs 1 to 5/3.
    The activations keep their size, but half of the units sit where tanh has no slope.
    """

    def three_times_too_large(layer):
        nn.init.normal_(layer.weight, std=3 / WIDTH**0.5)
        nn.init.zeros_(layer.bias)

    return mlp(20, nn.Tanh, init=three_times_too_large)


@ic.model(inputs=ic.normal(WIDTH))
def dead_relu():
    """He weights with a bias of -3, as after a wrong constant in a config file.
    The first layer still fires now and then; behind it no unit is ever active.
    """

    def biased(layer):
        he(layer)
        nn.init.constant_(layer.bias, -3.0)

    return mlp(5, nn.ReLU, init=biased)


@ic.model(inputs=ic.normal(WIDTH))
def zero_layer():
    """He weights, but a layer in the middle is all zero, as after a zero-init meant for a branch.
    Nothing passes it in either direction: no weight of the network can learn.
    """
    model = mlp(5, nn.ReLU, init=he)
    nn.init.zeros_(model[4].weight)
    return model


@ic.model(inputs=ic.normal(WIDTH))
def saturated_sigmoid():
    """Weights drawn from N(0, 1), without the division by sqrt(n).
    Pre-activations have standard deviation 16, so four units in five are stuck at 0 or 1.
    """

    def unscaled(layer):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)

    return mlp(8, nn.Sigmoid, init=unscaled)
