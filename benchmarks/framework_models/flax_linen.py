"""The nine models of ``benchmarks/frameworks.py`` in Flax Linen."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import random
from jax.nn import initializers

WIDTH, CLASSES, RANK = 256, 10, 16
HE = initializers.he_normal()
LECUN = initializers.lecun_normal()
ZEROS = initializers.zeros


def uniform(key, shape, dtype=jnp.float32):
    """Draw U(-b, b) with b = 1 / sqrt(n), as ``torch.nn.Linear`` does weights and biases."""
    return random.uniform(key, shape, dtype, -(WIDTH**-0.5), WIDTH**-0.5)


class MLP(nn.Module):
    """Hidden layers that ``kernel`` and ``bias`` draw, and a head."""

    hidden: int
    activation: Callable
    kernel: Callable = HE
    bias: Callable = ZEROS
    head: Callable = LECUN

    @nn.compact
    def __call__(self, x):
        for _ in range(self.hidden):
            x = self.activation(nn.Dense(WIDTH, kernel_init=self.kernel, bias_init=self.bias)(x))
        return nn.Dense(CLASSES, kernel_init=self.head)(x)


def initialised(module, key):
    """Return (apply, variables)."""
    return module.apply, module.init(key, jnp.ones((1, WIDTH)))


def good(key):
    return initialised(MLP(20, nn.relu), key)


def default_init(key):
    return initialised(MLP(20, nn.relu, uniform, uniform, uniform), key)


def saturated_tanh(key):
    return initialised(MLP(20, nn.tanh, initializers.normal(3 / WIDTH**0.5)), key)


def dead_relu(key):
    return initialised(MLP(5, nn.relu, bias=initializers.constant(-3.0)), key)


def zero_layer(key):
    apply, variables = initialised(MLP(5, nn.relu), key)
    variables["params"]["Dense_2"]["kernel"] = jnp.zeros((WIDTH, WIDTH))
    return apply, variables


def saturated_sigmoid(key):
    return initialised(MLP(8, nn.sigmoid, initializers.normal(1.0)), key)


class Gated(nn.Module):
    """x + gate * W2 relu(W1 x), the gate at zero."""

    @nn.compact
    def __call__(self, x):
        gate = self.param("gate", ZEROS, ())
        z = nn.relu(nn.Dense(WIDTH, kernel_init=HE)(x))
        return x + gate * nn.Dense(WIDTH, kernel_init=HE)(z)


def zero_gate(key):
    return initialised(nn.Sequential([*(Gated() for _ in range(4)), nn.Dense(CLASSES)]), key)


class LowRank(nn.Module):
    """x + B (A x), a low-rank branch whose factors are both zero."""

    @nn.compact
    def __call__(self, x):
        low = nn.Dense(RANK, use_bias=False, kernel_init=ZEROS, name="a")(x)
        return x + nn.Dense(WIDTH, use_bias=False, kernel_init=ZEROS, name="b")(low)


def zero_factors(key):
    return initialised(nn.Sequential([LowRank(), MLP(2, nn.relu)]), key)


def constant(key):
    return initialised(MLP(2, nn.relu, initializers.constant(1 / WIDTH)), key)
