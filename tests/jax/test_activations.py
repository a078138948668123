"""Every activation of jax.nn is one site of its name, in a plain function and under jit and vmap."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import jax as probe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype(np.float32)
PARAMETERS = {
    "fc": {"kernel": RNG.normal(size=(8, 16)).astype(np.float32), "bias": np.zeros(16, np.float32)},
    "out": {"kernel": RNG.normal(size=(16, 3)).astype(np.float32)},
}

ACTIVATIONS = {
    "relu": (jax.nn.relu, "relu"),
    "relu6": (jax.nn.relu6, "relu6"),
    "gelu": (jax.nn.gelu, "gelu_tanh"),
    "gelu exact": (lambda z: jax.nn.gelu(z, approximate=False), "gelu"),
    "silu": (jax.nn.silu, "silu"),
    "elu": (jax.nn.elu, "elu"),
    "elu of alpha": (lambda z: jax.nn.elu(z, 0.5), "elu(0.5)"),
    "selu": (jax.nn.selu, "selu"),
    "celu": (jax.nn.celu, "elu"),
    "celu of alpha": (lambda z: jax.nn.celu(z, 2.0), "celu(2)"),
    "softplus": (jax.nn.softplus, "softplus"),
    "mish": (jax.nn.mish, "mish"),
    "leaky_relu": (jax.nn.leaky_relu, "leaky_relu(0.01)"),
    "leaky_relu of a slope": (lambda z: jax.nn.leaky_relu(z, 0.2), "leaky_relu(0.2)"),
    "hard_tanh": (jax.nn.hard_tanh, "hardtanh"),
    "hard_sigmoid": (jax.nn.hard_sigmoid, "hardsigmoid"),
    "hard_silu": (jax.nn.hard_silu, "hardswish"),
    "log_sigmoid": (jax.nn.log_sigmoid, "log_sigmoid"),
    "soft_sign": (jax.nn.soft_sign, "softsign"),
    "sigmoid": (jax.nn.sigmoid, "sigmoid"),
    "tanh": (jnp.tanh, "tanh"),
    "erf": (jax.scipy.special.erf, "erf"),
    "sin": (jnp.sin, "sin"),
    "maximum": (lambda z: jnp.maximum(z, 0), "relu"),
    "where": (lambda z: jnp.where(z > 0, z, 0), "relu"),
    "mask": (lambda z: z * (z > 0), "relu"),
    "clip": (lambda z: jnp.clip(z, 0), "relu"),
    "clip to 6": (lambda z: jnp.clip(z, 0, 6), "relu6"),
    "exp": (lambda z: 1 / (1 + jnp.exp(-z)), "sigmoid"),
    "logaddexp": (lambda z: jnp.logaddexp(z, 0.0), "softplus"),
}


def traced(phi, wrap=lambda f: f):
    def apply(p, x):
        return wrap(phi)(x @ p["fc"]["kernel"] + p["fc"]["bias"]) @ p["out"]["kernel"]

    return probe.trace((apply, PARAMETERS), Call((X,), {}), mode="train", seed=0)


@pytest.mark.parametrize("how", ["plain", "jit", "vmap", "remat"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_jax(name, how):
    phi, expected = ACTIVATIONS[name]
    wrap = {"plain": lambda f: f, "jit": jax.jit, "vmap": jax.vmap, "remat": jax.checkpoint}[how]
    found = traced(phi, wrap)
    assert [(s.kind, s.activation) for s in found.sites[2:-1]] == [("activation", expected)]
    z = X @ PARAMETERS["fc"]["kernel"]
    assert found.sites[2].value.mean == pytest.approx(float(np.mean(phi(z))), rel=1e-4, abs=1e-5)


def test_squareplus_is_no_activation_of_the_table():
    assert all(site.activation is None for site in traced(jax.nn.squareplus).sites)
