"""The nine models of ``benchmarks/frameworks.py`` in torch."""

import torch
from torch import nn

WIDTH, CLASSES, RANK = 256, 10, 16


def mlp(hidden, activation, init):
    """Return hidden layers and a head of N(0, 1 / n); ``init`` is called on every hidden one."""
    layers = []
    for _ in range(hidden):
        layer = nn.Linear(WIDTH, WIDTH)
        init(layer)
        layers += [layer, activation()]
    return nn.Sequential(*layers, head())


def head():
    layer = nn.Linear(WIDTH, CLASSES)
    nn.init.normal_(layer.weight, std=WIDTH**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


def normal(std, bias=0.0):
    def init(layer):
        nn.init.normal_(layer.weight, std=std)
        nn.init.constant_(layer.bias, bias)

    return init


HE = normal((2 / WIDTH) ** 0.5)


def good():
    return mlp(20, nn.ReLU, HE)


def default_init():
    return mlp(20, nn.ReLU, lambda layer: None)


def saturated_tanh():
    return mlp(20, nn.Tanh, normal(3 / WIDTH**0.5))


def dead_relu():
    return mlp(5, nn.ReLU, normal((2 / WIDTH) ** 0.5, bias=-3.0))


def zero_layer():
    model = mlp(5, nn.ReLU, HE)
    nn.init.zeros_(model[4].weight)
    return model


def saturated_sigmoid():
    return mlp(8, nn.Sigmoid, normal(1.0))


class Gated(nn.Module):
    """x + gate * W2 relu(W1 x), the gate at zero."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        HE(self.up)
        HE(self.down)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.gate * self.down(self.up(x).relu())


def zero_gate():
    return nn.Sequential(*(Gated() for _ in range(4)), head())


class LowRank(nn.Module):
    """x + B (A x), a low-rank branch whose factors are both zero."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(WIDTH, RANK, bias=False), nn.Linear(RANK, WIDTH, bias=False)
        nn.init.zeros_(self.a.weight)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return x + self.b(self.a(x))


def zero_factors():
    return nn.Sequential(LowRank(), *mlp(2, nn.ReLU, HE))


def constant():
    def init(layer):
        nn.init.constant_(layer.weight, 1 / WIDTH)
        nn.init.zeros_(layer.bias)

    return mlp(2, nn.ReLU, init)
