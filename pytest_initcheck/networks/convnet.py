"""Plain convolutional networks, built for torch.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_initcheck.activations import activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import conv, dense
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks.frameworks import Framework, factory_of
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
        if self.framework != "torch":
            raise ConfigError("a convolutional network needs framework='torch'")
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
        """N(0, 1) images of the right shape."""
        return Normal((self.channels[0], self.size, self.size))

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

    def factory(self) -> Callable[..., Any]:
        """Return a factory of freshly initialised ``nn.Sequential``, drawn from torch's generator."""
        return factory_of(self, build_torch, _no_numpy)


def _no_numpy(spec: ConvnetSpec, rng: np.random.Generator) -> Any:
    raise ConfigError("a convolutional network needs framework='torch'")


def build_torch(spec: ConvnetSpec) -> Any:
    """Return the ``nn.Sequential`` of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    modules: list[Any] = []
    size = spec.size
    for index, (inputs, units) in enumerate(pairwise(spec.channels)):
        first = index == 0 and spec.first_gain is not None
        scheme = lecun_normal(spec.first_gain or 1.0) if first else spec.scheme
        modules.append(convolution(conv(inputs, units, 3, 3), scheme, 3))
        modules += [nn.BatchNorm2d(units)] if spec.batch_norm else []
        modules.append(torch_activation(spec.activation))
        if index % 2 and size >= 2 * _SMALLEST_IMAGE:
            modules.append(nn.AvgPool2d(2))
            size = math.ceil(size / 2)
    head = linear(dense(spec.channels[-1], spec.outputs), lecun_normal())
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
