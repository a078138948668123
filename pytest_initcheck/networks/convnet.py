"""Plain convolutional networks, built for torch, JAX and Keras.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_initcheck.activations import activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import conv, dense
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks import jax_layers, keras_layers
from pytest_initcheck.networks.frameworks import (
    Framework,
    checked_framework,
    factory_of,
    not_numpy,
)
from pytest_initcheck.networks.torch_layers import convolution, linear, torch_activation, torch_nn

_SMALLEST_IMAGE = 4


@dataclass(frozen=True)
class ConvnetSpec:
    """Convolutions of 3x3 taps that keep the image's size, a global average, a linear head.

    * ``channels`` run from the image's to the last convolution's.
    * ``size`` is the side of the square image; it is halved by average pooling after every second
      convolution, down to 4.
    * ``first_gain``: the first convolution is N(0, first_gain^2 / fan_in) instead of ``scheme``.

    Raises ConfigError for what cannot be built.
    """

    channels: tuple[int, ...]
    size: int
    activation: str
    scheme: Scheme
    batch_norm: bool = False
    outputs: int = 10
    first_gain: float | None = None
    framework: Framework = "torch"

    def __post_init__(self) -> None:
        activation(self.activation)
        not_numpy("a convolutional network", checked_framework(self.framework))
        if len(self.channels) < 2 or any(count < 1 for count in self.channels):
            raise ConfigError(f"channels run from image to last layer, each >= 1; got {self.channels}")
        if self.size < _SMALLEST_IMAGE:
            raise ConfigError(f"an image has at least {_SMALLEST_IMAGE} pixels a side, got {self.size}")

    @property
    def depth(self) -> int:
        """How many convolutions the network has."""
        return len(self.channels) - 1

    @property
    def inputs(self) -> Normal:
        """N(0, 1) images of the right shape, the channels first in torch and last elsewhere."""
        side = (self.size, self.size)
        return Normal(
            (self.channels[0], *side) if self.framework == "torch" else (*side, self.channels[0])
        )

    def layers(self, layout: str) -> tuple[tuple[Layer, Scheme], ...]:
        """Return every convolution and its scheme, first to last."""
        first = self.scheme if self.first_gain is None else lecun_normal(self.first_gain)
        return tuple(
            (conv(inputs, units, 3, 3, layout=layout), self.scheme if index else first)
            for index, (inputs, units) in enumerate(pairwise(self.channels))
        )

    @property
    def pools(self) -> tuple[int, ...]:
        """The convolutions that average pooling follows."""
        times = int(math.log2(self.size / _SMALLEST_IMAGE))
        return tuple(range(1, self.depth, 2))[:times]

    @property
    def text(self) -> str:
        """The canonical text.

        >>> ConvnetSpec((3, 16, 16), 8, "relu", lecun_normal()).text
        'torch(convnet 3-16-16 at 8x8, relu, lecun_normal)'
        """
        widths = "-".join(map(str, self.channels))
        parts = [f"convnet {widths} at {self.size}x{self.size}", self.activation, self.scheme.text]
        parts += [f"first_gain={self.first_gain:g}"] if self.first_gain is not None else []
        parts += ["batch_norm"] if self.batch_norm else []
        parts += [f"{self.outputs} outputs"] if self.outputs != 10 else []
        return f"{self.framework}({', '.join(parts)})"

    def factory(self, framework: Framework | None = None) -> Callable[..., Any]:
        """Return a factory of freshly initialised networks."""
        spec = replace(self, framework=checked_framework(framework or self.framework))
        return factory_of(spec, torch=build_torch, jax=build_jax, keras=build_keras)


def build_torch(spec: ConvnetSpec) -> Any:
    """Return the ``nn.Sequential`` of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    modules: list[Any] = []
    for index, (layer, scheme) in enumerate(spec.layers("torch")):
        modules.append(convolution(layer, scheme, 3))
        modules += [nn.BatchNorm2d(layer.units)] if spec.batch_norm else []
        modules.append(torch_activation(spec.activation))
        modules += [nn.AvgPool2d(2)] if index in spec.pools else []
    head = linear(dense(spec.channels[-1], spec.outputs), lecun_normal())
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def build_jax(spec: ConvnetSpec, rng: np.random.Generator) -> tuple[Callable[..., Any], Any]:
    """Return (apply, params) of a fresh draw.

    Raises ModelError where JAX is not installed.
    """
    phi = jax_layers.jax_activation(spec.activation)
    params = {}
    for index, (layer, scheme) in enumerate(spec.layers("keras")):
        params[f"conv{index}"] = jax_layers.drawn(rng, layer, scheme)
        params |= {f"norm{index}": jax_layers.norm(layer.units)} if spec.batch_norm else {}
    params["head"] = jax_layers.drawn(rng, dense(spec.channels[-1], spec.outputs), lecun_normal())

    def apply(params: Any, x: Any) -> Any:
        for index in range(spec.depth):
            x = jax_layers.convolution(params[f"conv{index}"], x)
            x = jax_layers.batch_norm(params[f"norm{index}"], x) if spec.batch_norm else x
            x = phi(x)
            x = jax_layers.halved(x) if index in spec.pools else x
        return jax_layers.dense(params["head"], x.mean((1, 2)))

    return apply, params


def build_keras(spec: ConvnetSpec, rng: np.random.Generator) -> Any:
    """Return a ``keras.Sequential`` of a fresh draw.

    Raises ModelError where Keras is not installed.
    """
    keras = keras_layers.keras_module()
    phi, layers = keras_layers.keras_activation(spec.activation), keras.layers
    last = {"data_format": "channels_last"}
    parts: list[Any] = [keras.Input((spec.size, spec.size, spec.channels[0]))]
    for index, (layer, scheme) in enumerate(spec.layers("keras")):
        parts.append(keras_layers.convolution(rng, layer, scheme, name=f"conv{index}"))
        parts += [layers.BatchNormalization(name=f"norm{index}")] if spec.batch_norm else []
        parts.append(layers.Activation(phi, name=f"phi{index}"))
        parts += [layers.AveragePooling2D(2, name=f"pool{index}", **last)] if index in spec.pools else []
    head = keras_layers.linear(rng, dense(spec.channels[-1], spec.outputs), lecun_normal(), name="head")
    return keras.Sequential([*parts, layers.GlobalAveragePooling2D(**last), head])
