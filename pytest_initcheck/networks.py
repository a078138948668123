"""Specifications of dense networks, and the factories that build them for numpy and torch.

A specification is a small frozen value whose text has no address in it; weights are drawn by the
factory, never stored.  Only the torch factory imports torch.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from pytest_initcheck import theory
from pytest_initcheck.activations import Array, activation
from pytest_initcheck.errors import ConfigError, ModelError, did_you_mean
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import dense
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import TRUNCATED_STD, Scheme

Framework = Literal["numpy", "torch"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
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
    * ``batch_norm`` normalises every hidden layer before its activation; torch only.

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
        _checked_framework(self.framework)
        if activation(self.activation).gate is not None:
            raise ConfigError(f"{self.activation} halves its input; choose an elementwise activation")
        if len(self.widths) < 2 or any(width < 1 for width in self.widths):
            raise ConfigError(f"widths run from features to outputs, each at least 1; got {self.widths}")
        if self.batch_norm and self.framework == "numpy":
            raise ConfigError("batch_norm needs framework='torch': a numpy layer list has no such layer")

    @property
    def features(self) -> int:
        return self.widths[0]

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

        Raises ConfigError for an unknown framework.

        >>> layers = NetworkSpec((8, 16, 4), "relu", lecun_normal()).factory()(np.random.default_rng(0))
        >>> [(w.shape, name) for w, b, name in layers]
        [((8, 16), 'relu'), ((16, 4), None)]
        """
        framework = _checked_framework(framework or self.framework)
        spec = replace(self, framework=framework)

        def numpy_network(rng: np.random.Generator) -> list[NumpyLayer]:
            return build_numpy(spec, rng)

        def torch_network() -> Any:
            return build_torch(spec)

        chosen: Callable[..., Any] = numpy_network if framework == "numpy" else torch_network
        chosen.__name__ = chosen.__qualname__ = spec.text
        return chosen


def _checked_framework(framework: str) -> Framework:
    for known in FRAMEWORKS:
        if framework == known:
            return known
    raise ConfigError(f"unknown framework {framework!r}{did_you_mean(framework, FRAMEWORKS)}")


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

    The weights come from torch, not from numpy, so that seeding torch is enough to repeat them.

    Raises ModelError where torch is not installed.
    """
    try:
        from torch import nn
    except ModuleNotFoundError:
        raise ModelError(
            "torch is not installed; run: python -m pip install 'pytest-initcheck[torch]', or draw "
            "networks(framework='numpy')"
        ) from None

    modules: list[Any] = []
    for index, (layer, scheme) in enumerate(zip(spec.layers, spec.schemes, strict=True)):
        linear = nn.Linear(layer.inputs, layer.units, bias=spec.bias)
        _fill(linear, scheme, layer)
        modules.append(linear)
        if index < spec.depth - 1:
            modules += [nn.BatchNorm1d(layer.units)] if spec.batch_norm else []
            modules.append(_torch_activation(spec.activation))
    return nn.Sequential(*modules)


def _fill(linear: Any, scheme: Scheme, layer: Layer) -> None:
    """Draw a torch linear layer, whose weight is ``[out, in]``, as the scheme says."""
    from torch.nn import init

    std = math.sqrt(scheme.layer_variance(layer))
    bound = scheme.bias_bound / math.sqrt(layer.fan_in)
    match scheme.draw:
        case "normal":
            init.normal_(linear.weight, 0.0, std)
        case "uniform":
            init.uniform_(linear.weight, -math.sqrt(3) * std, math.sqrt(3) * std)
        case "truncated_normal":
            wide = std / TRUNCATED_STD
            init.trunc_normal_(linear.weight, 0.0, wide, -2 * wide, 2 * wide)
        case "orthogonal":
            init.orthogonal_(linear.weight, gain=std * math.sqrt(max(layer.units, layer.fan_in)))
        case "constant":
            init.constant_(linear.weight, scheme.gain)
    if linear.bias is not None:
        init.uniform_(linear.bias, -bound, bound)


_TORCH_MODULES = {
    "identity": "Identity",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "celu": "CELU",
    "selu": "SELU",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "softplus": "Softplus",
    "log_sigmoid": "LogSigmoid",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "hardtanh": "Hardtanh",
    "hardsigmoid": "Hardsigmoid",
    "softsign": "Softsign",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "threshold": "Threshold",
    "tanhshrink": "Tanhshrink",
    "softshrink": "Softshrink",
    "hardshrink": "Hardshrink",
}


def _torch_activation(which: str) -> Any:
    """Return the module of this activation; erf and sin have none in torch.nn."""
    import torch
    from torch import nn

    name, _, parameter = activation(which).name.partition("(")
    if name not in _TORCH_MODULES:

        class Elementwise(nn.Module):
            def forward(self, x: Any) -> Any:
                return getattr(torch, name)(x)

        return Elementwise()
    module = getattr(nn, _TORCH_MODULES[name])
    if name == "gelu_tanh":
        return module(approximate="tanh")
    numbers = [float(number) for number in parameter.rstrip(")").split(",") if number]
    return module(init=numbers[0]) if name == "prelu" and numbers else module(*numbers)
