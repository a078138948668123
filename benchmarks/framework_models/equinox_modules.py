"""The nine models of ``benchmarks/frameworks.py`` in Equinox, over a batch by ``jax.vmap``."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import random

WIDTH, CLASSES, RANK = 256, 10, 16
HE = (2 / WIDTH) ** 0.5


class Batched(eqx.Module):
    """A module of one sample, over a batch of them."""

    one: eqx.Module

    def __call__(self, x):
        return jax.vmap(self.one)(x)


def linear(key, std=None, bias=0.0, units=WIDTH):
    """Return a layer of N(0, std^2), or Equinox' own U(-b, b), b = 1 / sqrt(n), without one."""
    layer = eqx.nn.Linear(WIDTH, units, key=key)
    if std is None:
        return layer
    drawn = std * random.normal(key, (units, WIDTH)), jnp.full(units, bias)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, drawn)


def head(key):
    return linear(key, WIDTH**-0.5, units=CLASSES)


def mlp(key, hidden, activation, std, bias=0.0):
    """Return hidden layers and a head."""
    *keys, last = random.split(key, hidden + 1)
    layers = [linear(each, std, bias) for each in keys]
    return network(layers, linear(last, units=CLASSES) if std is None else head(last), activation)


def network(layers, head, activation):
    parts = [part for layer in layers for part in (layer, eqx.nn.Lambda(activation))]
    return Batched(eqx.nn.Sequential([*parts, head]))


def good(key):
    return mlp(key, 20, jax.nn.relu, HE)


def default_init(key):
    return mlp(key, 20, jax.nn.relu, None)


def saturated_tanh(key):
    return mlp(key, 20, jnp.tanh, 3 / WIDTH**0.5)


def dead_relu(key):
    return mlp(key, 5, jax.nn.relu, HE, bias=-3.0)


def zero_layer(key):
    model = mlp(key, 5, jax.nn.relu, HE)
    return eqx.tree_at(lambda m: m.one.layers[4].weight, model, jnp.zeros((WIDTH, WIDTH)))


def saturated_sigmoid(key):
    return mlp(key, 8, jax.nn.sigmoid, 1.0)


class Gated(eqx.Module):
    """x + gate * W2 relu(W1 x), the gate at zero."""

    up: eqx.nn.Linear
    down: eqx.nn.Linear
    gate: jax.Array

    def __call__(self, x, *, key=None):
        return x + self.gate * self.down(jax.nn.relu(self.up(x)))


def zero_gate(key):
    *keys, last = random.split(key, 9)
    blocks = [
        Gated(linear(up, HE), linear(down, HE), jnp.zeros(()))
        for up, down in zip(keys[::2], keys[1::2], strict=True)
    ]
    return Batched(eqx.nn.Sequential([*blocks, head(last)]))


class LowRank(eqx.Module):
    """x + B (A x), a low-rank branch whose factors are both zero; then a network."""

    a: jax.Array
    b: jax.Array
    behind: Callable

    def __call__(self, x, *, key=None):
        return self.behind(x + self.b @ (self.a @ x))


def zero_factors(key):
    behind = mlp(key, 2, jax.nn.relu, HE).one
    return Batched(LowRank(jnp.zeros((RANK, WIDTH)), jnp.zeros((WIDTH, RANK)), behind))


def constant(key):
    model = mlp(key, 2, jax.nn.relu, HE)
    equal = jnp.full((WIDTH, WIDTH), 1 / WIDTH)
    return eqx.tree_at(lambda m: [m.one.layers[i].weight for i in (0, 2)], model, [equal, equal])
