"""One network of six layers in the form of every library of JAX, with a gain for each layer."""

from __future__ import annotations

import equinox
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

WIDTH = 64
DEPTH = 6


def he(gain):
    return (
        jax.nn.initializers.variance_scaling(gain, "fan_in", "normal")
        if gain
        else jax.nn.initializers.zeros
    )


class Nnx(nnx.Module):
    def __init__(self, rngs, scales, phi):
        made = [nnx.Linear(WIDTH, WIDTH, kernel_init=he(g), rngs=rngs) for g in scales]
        self.layers = nnx.List(made)
        self.phi = phi

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.phi(layer(x))
        return self.layers[-1](x)


class Linen(nn.Module):
    scales: tuple
    phi: object

    @nn.compact
    def __call__(self, x):
        for scale in self.scales[:-1]:
            x = self.phi(nn.Dense(WIDTH, kernel_init=he(scale))(x))
        return nn.Dense(WIDTH, kernel_init=he(self.scales[-1]))(x)


class Equinox(equinox.Module):
    layers: list
    phi: object

    def __init__(self, key, scales, phi):
        self.phi = phi
        self.layers = []
        for each, scale in zip(jax.random.split(key, DEPTH), scales, strict=True):
            layer = equinox.nn.Linear(WIDTH, WIDTH, key=each)
            weight = he(scale)(each, (WIDTH, WIDTH))
            bias = jnp.zeros(WIDTH)
            self.layers.append(equinox.tree_at(lambda m: (m.weight, m.bias), layer, (weight, bias)))

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.phi(layer(x))
        return self.layers[-1](x)


def haiku(scales, phi):
    def forward(x):
        for scale in scales[:-1]:
            x = phi(
                hk.Linear(WIDTH, w_init=lambda s, d, scale=scale: he(scale)(hk.next_rng_key(), s, d))(x)
            )
        last = scales[-1]
        return hk.Linear(WIDTH, w_init=lambda s, d: he(last)(hk.next_rng_key(), s, d))(x)

    return hk.transform(forward)


def plain(key, scales, phi):
    keys = jax.random.split(key, DEPTH)
    params = [
        {"kernel": he(scale)(each, (WIDTH, WIDTH)), "bias": jnp.zeros(WIDTH)}
        for each, scale in zip(keys, scales, strict=True)
    ]

    def apply(params, x):
        for layer in params[:-1]:
            x = phi(x @ layer["kernel"] + layer["bias"])
        return x @ params[-1]["kernel"] + params[-1]["bias"]

    return apply, params


@pytest.fixture(scope="session")
def network():
    """Return a function of the library, the layers' gains and the activation that returns a factory."""

    def factory(library, scales, phi):
        scales = tuple(scales)
        return {
            "nnx": lambda rngs: Nnx(rngs, scales, phi),
            "linen": lambda: Linen(scales, phi),
            "equinox": lambda key: Equinox(key, scales, phi),
            "haiku": lambda: haiku(scales, phi),
            "plain": lambda key: plain(key, scales, phi),
        }[library]

    return factory
