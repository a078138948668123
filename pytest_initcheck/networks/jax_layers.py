"""Layers of plain JAX, (apply, params) by hand: weights drawn as a scheme says, channels last.

The weights come from the generator that a factory's ``rng`` is given.  jax is imported when a network is
built.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pytest_initcheck.errors import ModelError
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks.frameworks import activation_of

EPSILON = 1e-5


def jax_numpy() -> Any:
    """Return ``jax.numpy``.

    Raises ModelError with the install command where JAX is missing.
    """
    try:
        import jax.numpy
    except ModuleNotFoundError:
        raise ModelError(
            "jax is not installed; run: python -m pip install 'pytest-initcheck[jax]', or draw "
            "networks(framework='numpy')"
        ) from None
    return jax.numpy


def drawn(
    rng: np.random.Generator, layer: Layer, scheme: Scheme, *, bias: bool = True, scale: float = 1.0
) -> dict[str, Any]:
    """Return the parameters of a dense layer or a convolution, its kernel times ``scale``."""
    jnp = jax_numpy()
    kernel = scale * scheme.sample(rng, layer)
    offset = {"bias": jnp.asarray(scheme.sample_bias(rng, layer), jnp.float32)} if bias else {}
    return {"kernel": jnp.asarray(kernel, jnp.float32), **offset}


def dense(p: Mapping[str, Any], x: Any) -> Any:
    z = x @ p["kernel"]
    return z + p["bias"] if "bias" in p else z


def convolution(p: Mapping[str, Any], x: Any) -> Any:
    """Convolve images (batch, height, width, channels) with zeros around them."""
    from jax import lax

    layout = ("NHWC", "HWIO", "NHWC")
    z = lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=layout)
    return z + p["bias"]


def halved(x: Any) -> Any:
    """Average over squares of 2x2 pixels."""
    from jax import lax

    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def norm(units: int) -> dict[str, Any]:
    """Return the parameters of a normalisation."""
    jnp = jax_numpy()
    return {"scale": jnp.ones(units), "bias": jnp.zeros(units)}


def layer_norm(p: Mapping[str, Any], x: Any) -> Any:
    return _normalised(p, x, (-1,))


def batch_norm(p: Mapping[str, Any], x: Any) -> Any:
    """Normalise with the batch's own statistics, as in training."""
    return _normalised(p, x, tuple(range(x.ndim - 1)))


def _normalised(p: Mapping[str, Any], x: Any, axes: tuple[int, ...]) -> Any:
    from jax import lax

    centred = x - x.mean(axes, keepdims=True)
    variance = (centred**2).mean(axes, keepdims=True)
    return centred * lax.rsqrt(variance + EPSILON) * p["scale"] + p["bias"]


_JAX_FUNCTIONS = {
    "identity": "identity",
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "celu": "celu",
    "selu": "selu",
    "gelu": "gelu",
    "gelu_tanh": "gelu",
    "silu": "silu",
    "mish": "mish",
    "hardswish": "hard_swish",
    "softplus": "softplus",
    "log_sigmoid": "log_sigmoid",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "softsign": "soft_sign",
}


def jax_activation(which: str) -> Callable[[Any], Any]:
    """Return the function of ``jax.nn`` for an activation.

    Raises ConfigError for one that it does not have.
    """
    from jax import nn

    return activation_of(which, _JAX_FUNCTIONS, nn, "jax.nn")
