"""The nine models of ``benchmarks/frameworks.py`` as plain NumPy code that knows of no check."""

import numpy as np

WIDTH, CLASSES, RANK = 256, 10, 16
HE = (2 / WIDTH) ** 0.5


def relu(z):
    return np.maximum(z, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def drawn(rng, std, units=WIDTH, bias=0.0):
    return {"w": rng.normal(0, std, (WIDTH, units)), "b": np.full(units, bias)}


def head(rng):
    return drawn(rng, WIDTH**-0.5, CLASSES)


class Network:
    """Hidden layers and a head."""

    def __init__(self, layers, head, activation):
        self.layers, self.head, self.activation = layers, head, activation

    def forward(self, x):
        for layer in self.layers:
            x = self.activation(x @ layer["w"] + layer["b"])
        return x @ self.head["w"] + self.head["b"]


def mlp(rng, hidden, activation, std, bias=0.0):
    layers = [drawn(rng, std, bias=bias) for _ in range(hidden)]
    return Network(layers, head(rng), activation).forward


def good(rng):
    return mlp(rng, 20, relu, HE)


def default_init(rng):
    """As ``torch.nn.Linear`` does it: U(-b, b) with b = 1 / sqrt(n), weights and biases."""

    def uniform(units):
        bound = WIDTH**-0.5
        return {
            "w": rng.uniform(-bound, bound, (WIDTH, units)),
            "b": rng.uniform(-bound, bound, units),
        }

    return Network([uniform(WIDTH) for _ in range(20)], uniform(CLASSES), relu).forward


def saturated_tanh(rng):
    return mlp(rng, 20, np.tanh, 3 / WIDTH**0.5)


def dead_relu(rng):
    return mlp(rng, 5, relu, HE, bias=-3.0)


def zero_layer(rng):
    layers = [drawn(rng, HE) for _ in range(5)]
    layers[2]["w"][:] = 0
    return Network(layers, head(rng), relu).forward


def saturated_sigmoid(rng):
    return mlp(rng, 8, sigmoid, 1.0)


class Gated:
    """x + gate * W2 relu(W1 x), four times, the gates at zero; then a head."""

    def __init__(self, rng):
        self.blocks = [
            {"up": drawn(rng, HE), "down": drawn(rng, HE), "gate": np.zeros(())} for _ in range(4)
        ]
        self.head = head(rng)

    def forward(self, x):
        for block in self.blocks:
            up, down = block["up"], block["down"]
            branch = relu(x @ up["w"] + up["b"]) @ down["w"] + down["b"]
            x = x + block["gate"] * branch
        return x @ self.head["w"] + self.head["b"]


def zero_gate(rng):
    return Gated(rng).forward


class LowRank:
    """x + B (A x), a low-rank branch whose factors are both zero; then a network."""

    def __init__(self, rng):
        self.a, self.b = np.zeros((WIDTH, RANK)), np.zeros((RANK, WIDTH))
        self.layers, self.head = [drawn(rng, HE) for _ in range(2)], head(rng)

    def forward(self, x):
        x = x + x @ self.a @ self.b
        for layer in self.layers:
            x = relu(x @ layer["w"] + layer["b"])
        return x @ self.head["w"] + self.head["b"]


def zero_factors(rng):
    return LowRank(rng).forward


def constant(rng):
    layers = [{"w": np.full((WIDTH, WIDTH), 1 / WIDTH), "b": np.zeros(WIDTH)} for _ in range(2)]
    return Network(layers, head(rng), relu).forward
