"""The nine models of ``benchmarks/frameworks.py`` in Keras 3, for any backend."""

import keras
from keras import initializers, layers

WIDTH, CLASSES, RANK = 256, 10, 16


def uniform():
    """Return U(-b, b) with b = 1 / sqrt(n), as ``torch.nn.Linear`` draws weights and biases."""
    return initializers.RandomUniform(-(WIDTH**-0.5), WIDTH**-0.5)


def mlp(hidden, activation, kernel=initializers.HeNormal, bias=initializers.Zeros, head=None):
    """Return hidden layers, drawn by what ``kernel()`` and ``bias()`` return, and a head."""
    parts = [keras.Input((WIDTH,))]
    for _ in range(hidden):
        parts.append(
            layers.Dense(WIDTH, activation, kernel_initializer=kernel(), bias_initializer=bias())
        )
    last = initializers.LecunNormal() if head is None else head()
    return keras.Sequential([*parts, layers.Dense(CLASSES, kernel_initializer=last)])


def normal(std):
    return lambda: initializers.RandomNormal(stddev=std)


def good():
    return mlp(20, "relu")


def default_init():
    return mlp(20, "relu", uniform, uniform, uniform)


def saturated_tanh():
    return mlp(20, "tanh", normal(3 / WIDTH**0.5))


def dead_relu():
    return mlp(5, "relu", bias=lambda: initializers.Constant(-3.0))


def zero_layer():
    model = mlp(5, "relu")
    model.layers[2].kernel.assign(keras.ops.zeros((WIDTH, WIDTH)))
    return model


def saturated_sigmoid():
    return mlp(8, "sigmoid", normal(1.0))


class Gated(layers.Layer):
    """x + gate * W2 relu(W1 x), the gate at zero."""

    def __init__(self):
        super().__init__()
        self.up = layers.Dense(WIDTH, "relu", kernel_initializer="he_normal")
        self.down = layers.Dense(WIDTH, kernel_initializer="he_normal")

    def build(self, shape):
        self.up.build(shape)
        self.down.build(shape)
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")

    def call(self, x):
        return x + self.gate * self.down(self.up(x))


def zero_gate():
    blocks = [Gated() for _ in range(4)]
    return keras.Sequential([keras.Input((WIDTH,)), *blocks, layers.Dense(CLASSES)])


def zero_factors():
    """x + B (A x), a low-rank branch whose factors are both zero; then a network."""
    x = keras.Input((WIDTH,))
    low = layers.Dense(RANK, use_bias=False, kernel_initializer="zeros", name="a")(x)
    branch = layers.Dense(WIDTH, use_bias=False, kernel_initializer="zeros", name="b")(low)
    return keras.Model(x, mlp(2, "relu")(x + branch))


def constant():
    return mlp(2, "relu", lambda: initializers.Constant(1 / WIDTH))
