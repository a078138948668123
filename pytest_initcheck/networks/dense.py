"""Dense networks: their specification, built for every framework.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_initcheck import theory
from pytest_initcheck.activations import Array, activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import dense
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks import jax_layers, keras_layers
from pytest_initcheck.networks.frameworks import (
    Framework,
    checked_framework,
    factory_of,
    not_numpy,
)
from pytest_initcheck.networks.torch_layers import linear, torch_activation, torch_nn

NumpyLayer = tuple[Array, Array | None, str | None]

TEXTBOOK_ACTIVATIONS = (
    "relu",
    "leaky_relu(0.01)",
    "leaky_relu(0.2)",
    "tanh",
    "selu",
    "elu",
    "gelu",
    "silu",
    "mish",
)
"""Activations for which theory gives an initialisation that trains at depth."""


@dataclass(frozen=True)
class NetworkSpec:
    """A dense network: widths from features to outputs, no activation after the last layer.

    * ``first_gain``: the first layer is N(0, first_gain^2 / fan_in) instead of ``scheme``; see
      :meth:`for_inputs`.
    * ``batch_norm`` normalises every hidden layer before its activation; numpy has none.

    Raises ConfigError for what cannot be built.
    """

    widths: tuple[int, ...]
    activation: str
    scheme: Scheme
    batch_norm: bool = False
    bias: bool = True
    first_gain: float | None = None
    framework: Framework = "numpy"

    def __post_init__(self) -> None:
        checked_framework(self.framework)
        if activation(self.activation).gate is not None:
            raise ConfigError(f"{self.activation} halves its input; choose an elementwise activation")
        if len(self.widths) < 2 or any(width < 1 for width in self.widths):
            raise ConfigError(f"widths run from features to outputs, each at least 1; got {self.widths}")
        if self.batch_norm:
            not_numpy("batch_norm", self.framework)

    @property
    def features(self) -> int:
        return self.widths[0]

    @property
    def inputs(self) -> Normal:
        """N(0, 1) inputs of the right shape."""
        return Normal((self.features,))

    @property
    def depth(self) -> int:
        """How many weights the network has."""
        return len(self.widths) - 1

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The shape of every weight, first to last."""
        return tuple(dense(fan_in, units) for fan_in, units in pairwise(self.widths))

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The scheme of every weight, first to last."""
        first = self.scheme if self.first_gain is None else lecun_normal(self.first_gain)
        return (first, *[self.scheme] * (self.depth - 1))

    @property
    def text(self) -> str:
        """The canonical text: two networks that differ have different texts.

        >>> NetworkSpec((8, 16, 16, 4), "relu", lecun_normal()).text
        'numpy(8-16x2-4, relu, lecun_normal)'
        """
        parts = [_widths_text(self.widths), self.activation, self.scheme.text]
        parts += [f"first_gain={self.first_gain:g}"] if self.first_gain is not None else []
        parts += ["batch_norm"] if self.batch_norm else []
        parts += [] if self.bias else ["no bias"]
        return f"{self.framework}({', '.join(parts)})"

    def for_inputs(self, second_moment: float) -> NetworkSpec:
        """Return the network whose first layer brings inputs with this E[x^2] to length 1.

        An activation whose matched length is unstable (GELU, SiLU, Mish) needs it; the others forget
        the length of their inputs, or keep it.
        """
        return replace(self, first_gain=1 / math.sqrt(second_moment))

    def factory(self, framework: Framework | None = None) -> Callable[..., Any]:
        """Return a factory of freshly initialised networks.

        * numpy: ``factory(rng)`` returns the list of layers ``(W, b, activation)``.
        * torch: ``factory()`` returns an ``nn.Sequential`` drawn from torch's global generator.
        * jax: ``factory(rng)`` returns (apply, params), keras a ``keras.Sequential``.

        Raises ConfigError for an unknown framework.

        >>> layers = NetworkSpec((8, 16, 4), "relu", lecun_normal()).factory()(np.random.default_rng(0))
        >>> [(w.shape, name) for w, b, name in layers]
        [((8, 16), 'relu'), ((16, 4), None)]
        """
        spec = replace(self, framework=checked_framework(framework or self.framework))
        return factory_of(spec, numpy=build_numpy, torch=build_torch, jax=build_jax, keras=build_keras)


def _widths_text(widths: tuple[int, ...]) -> str:
    runs: list[list[int]] = []
    for width in widths:
        if runs and runs[-1][0] == width:
            runs[-1][1] += 1
        else:
            runs.append([width, 1])
    return "-".join(f"{width}x{times}" if times > 1 else str(width) for width, times in runs)


def textbook_depth(which: str, width: int) -> float:
    """Return how many layers of this width keep the length in a matched network; infinity if any.

    Where the matched length is unstable (J > 1), luck of relative size sqrt(c / width) in one layer
    grows by J per layer, so that depth is bounded by J^depth sqrt(c / width) < 1.

    >>> textbook_depth("relu", 64)
    inf
    >>> int(textbook_depth("gelu", 256))
    13
    """
    growth = theory.length_slope(which)
    if growth <= 1 + 1e-9:
        return math.inf
    return max(0.0, math.log(width / theory.fluctuation(which)) / (2 * math.log(growth)))


def build_numpy(spec: NetworkSpec, rng: np.random.Generator) -> list[NumpyLayer]:
    """Return the layers ``(W, b, activation)`` of a fresh draw; W is used as ``x @ W + b``."""
    layers: list[NumpyLayer] = []
    for index, (layer, scheme) in enumerate(zip(spec.layers, spec.schemes, strict=True)):
        weight = scheme.sample(rng, layer)
        bias = scheme.sample_bias(rng, layer) if spec.bias else None
        layers.append((weight, bias, None if index == spec.depth - 1 else spec.activation))
    return layers


def build_torch(spec: NetworkSpec) -> Any:
    """Return an ``nn.Sequential`` of a fresh draw from torch's global generator.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    modules: list[Any] = []
    for index, (layer, scheme) in enumerate(zip(spec.layers, spec.schemes, strict=True)):
        modules.append(linear(layer, scheme, bias=spec.bias))
        if index < spec.depth - 1:
            modules += [nn.BatchNorm1d(layer.units)] if spec.batch_norm else []
            modules.append(torch_activation(spec.activation))
    return nn.Sequential(*modules)


def build_jax(spec: NetworkSpec, rng: np.random.Generator) -> tuple[Callable[..., Any], Any]:
    """Return (apply, params) of a fresh draw.

    Raises ModelError where JAX is not installed.
    """
    phi = jax_layers.jax_activation(spec.activation)
    params = {
        f"layer{index}": jax_layers.drawn(rng, layer, scheme, bias=spec.bias)
        for index, (layer, scheme) in enumerate(zip(spec.layers, spec.schemes, strict=True))
    }
    for index, units in enumerate(spec.widths[1:-1]):
        params |= {f"norm{index}": jax_layers.norm(units)} if spec.batch_norm else {}

    def apply(params: Any, x: Any) -> Any:
        for index in range(spec.depth - 1):
            x = jax_layers.dense(params[f"layer{index}"], x)
            x = jax_layers.batch_norm(params[f"norm{index}"], x) if spec.batch_norm else x
            x = phi(x)
        return jax_layers.dense(params[f"layer{spec.depth - 1}"], x)

    return apply, params


def build_keras(spec: NetworkSpec, rng: np.random.Generator) -> Any:
    """Return a ``keras.Sequential`` of a fresh draw, the activations a part of its layers.

    Raises ModelError where Keras is not installed.
    """
    keras = keras_layers.keras_module()
    phi = keras_layers.keras_activation(spec.activation)
    parts: list[Any] = [keras.Input((spec.features,))]
    for index, (layer, scheme) in enumerate(zip(spec.layers, spec.schemes, strict=True)):
        name, hidden = f"layer{index}", index < spec.depth - 1
        fused = phi if hidden and not spec.batch_norm else None
        parts.append(
            keras_layers.linear(rng, layer, scheme, name=name, activation=fused, bias=spec.bias)
        )
        if hidden and spec.batch_norm:
            parts += [keras.layers.BatchNormalization(name=f"norm{index}"), keras.layers.Activation(phi)]
    return keras.Sequential(parts)
