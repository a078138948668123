"""The nine models of ``benchmarks/frameworks.py`` in Flax NNX."""

import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers

WIDTH, CLASSES, RANK = 256, 10, 16
HE = initializers.he_normal()
LECUN = initializers.lecun_normal()


def uniform(key, shape, dtype=jnp.float32, out_sharding=None):
    """Draw U(-b, b) with b = 1 / sqrt(n), as ``torch.nn.Linear`` does weights and biases."""
    return nnx.initializers.uniform(2 * WIDTH**-0.5)(key, shape, dtype) - WIDTH**-0.5


class MLP(nnx.Module):
    """Hidden layers that ``kernel`` and ``bias`` draw, and a head."""

    def __init__(self, rngs, hidden, activation, kernel=HE, bias=initializers.zeros, head=LECUN):
        how = {"kernel_init": kernel, "bias_init": bias, "rngs": rngs}
        self.layers = nnx.List([nnx.Linear(WIDTH, WIDTH, **how) for _ in range(hidden)])
        self.activation = activation
        self.head = nnx.Linear(WIDTH, CLASSES, kernel_init=head, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = self.activation(layer(x))
        return self.head(x)


def good(key):
    return MLP(nnx.Rngs(key), 20, nnx.relu)


def default_init(key):
    return MLP(nnx.Rngs(key), 20, nnx.relu, uniform, uniform, uniform)


def saturated_tanh(key):
    return MLP(nnx.Rngs(key), 20, nnx.tanh, initializers.normal(3 / WIDTH**0.5))


def dead_relu(key):
    return MLP(nnx.Rngs(key), 5, nnx.relu, bias=initializers.constant(-3.0))


def zero_layer(key):
    model = MLP(nnx.Rngs(key), 5, nnx.relu)
    model.layers[2].kernel[...] = jnp.zeros((WIDTH, WIDTH))
    return model


def saturated_sigmoid(key):
    return MLP(nnx.Rngs(key), 8, nnx.sigmoid, initializers.normal(1.0))


class Gated(nnx.Module):
    """x + gate * W2 relu(W1 x), the gate at zero."""

    def __init__(self, rngs):
        self.up = nnx.Linear(WIDTH, WIDTH, kernel_init=HE, rngs=rngs)
        self.down = nnx.Linear(WIDTH, WIDTH, kernel_init=HE, rngs=rngs)
        self.gate = nnx.Param(jnp.zeros(()))

    def __call__(self, x):
        return x + self.gate * self.down(nnx.relu(self.up(x)))


def zero_gate(key):
    rngs = nnx.Rngs(key)
    return nnx.Sequential(*(Gated(rngs) for _ in range(4)), nnx.Linear(WIDTH, CLASSES, rngs=rngs))


class LowRank(nnx.Module):
    """x + B (A x), a low-rank branch whose factors are both zero."""

    def __init__(self, rngs):
        zero = {"use_bias": False, "kernel_init": initializers.zeros, "rngs": rngs}
        self.a, self.b = nnx.Linear(WIDTH, RANK, **zero), nnx.Linear(RANK, WIDTH, **zero)

    def __call__(self, x):
        return x + self.b(self.a(x))


def zero_factors(key):
    rngs = nnx.Rngs(key)
    return nnx.Sequential(LowRank(rngs), MLP(rngs, 2, nnx.relu))


def constant(key):
    return MLP(nnx.Rngs(key), 2, nnx.relu, initializers.constant(1 / WIDTH))
