"""Keras layers drawn as a scheme says, for whichever backend Keras runs on.

The weights come from the generator that a factory's ``rng`` is given.  keras is imported when a network
is built.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_initcheck.errors import ModelError
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks.frameworks import activation_of


def keras_module() -> Any:
    """Return ``keras``.

    Raises ModelError with the install command where Keras is missing.
    """
    try:
        import keras
    except ModuleNotFoundError:
        raise ModelError(
            "keras is not installed; run: python -m pip install 'pytest-initcheck[keras]', or draw "
            "networks(framework='numpy')"
        ) from None
    return keras


def initializers(
    rng: np.random.Generator, layer: Layer, scheme: Scheme, *, scale: float = 1.0
) -> dict[str, Callable[..., Any]]:
    """Return the keyword arguments that make a Keras layer draw as the scheme says."""
    ops = keras_module().ops

    def kernel(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.convert_to_tensor(scale * scheme.sample(rng, layer), dtype=dtype)

    def bias(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.convert_to_tensor(scheme.sample_bias(rng, layer), dtype=dtype)

    return {"kernel_initializer": kernel, "bias_initializer": bias}


def linear(
    rng: np.random.Generator,
    layer: Layer,
    scheme: Scheme,
    *,
    name: str,
    activation: Callable[[Any], Any] | None = None,
    bias: bool = True,
    scale: float = 1.0,
) -> Any:
    """Return a ``Dense`` layer, drawn as the scheme says, its kernel times ``scale``."""
    drawn = initializers(rng, layer, scheme, scale=scale)
    dense = keras_module().layers.Dense
    return dense(layer.units, activation=activation, use_bias=bias, name=name, **drawn)


def draw_attention(
    mixer: Any, rng: np.random.Generator, layer: Layer, scheme: Scheme, *, scale: float
) -> None:
    """Draw a built ``MultiHeadAttention``: its kernels are the layer's, split into heads.

    * ``scale`` multiplies the kernel of its output.
    """
    for weight in mixer.weights:
        if weight.path.endswith("bias"):
            weight.assign(scheme.sample_bias(rng, layer).reshape(weight.shape))
        else:
            factor = scale if "attention_output" in weight.path else 1.0
            weight.assign(factor * scheme.sample(rng, layer).reshape(weight.shape))


def convolution(rng: np.random.Generator, layer: Layer, scheme: Scheme, *, name: str) -> Any:
    """Return a ``Conv2D`` that keeps the image's size, drawn as the scheme says."""
    drawn = initializers(rng, layer, scheme)
    conv = keras_module().layers.Conv2D
    return conv(
        layer.units, layer.kernel, padding="same", data_format="channels_last", name=name, **drawn
    )


_KERAS_FUNCTIONS = {
    "identity": "linear",
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
    "hardswish": "hard_silu",
    "softplus": "softplus",
    "log_sigmoid": "log_sigmoid",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "softsign": "softsign",
    "threshold": "threshold",
    "tanhshrink": "tanh_shrink",
    "softshrink": "soft_shrink",
    "hardshrink": "hard_shrink",
}


def keras_activation(which: str) -> Callable[[Any], Any]:
    """Return the function of ``keras.activations`` for an activation.

    Raises ConfigError for one that it does not have.
    """
    return activation_of(which, _KERAS_FUNCTIONS, keras_module().activations, "keras")
