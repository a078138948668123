"""Torch layers drawn as a scheme says; torch is imported when one is built.

The weights come from torch's global generator, not from numpy's, so that seeding torch is enough to
repeat them.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from typing import Any

from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ModelError
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import TRUNCATED_STD, Scheme


def torch_nn() -> Any:
    """Return ``torch.nn``.

    Raises ModelError with the install command where torch is missing.
    """
    try:
        from torch import nn
    except ModuleNotFoundError:
        raise ModelError(
            "torch is not installed; run: python -m pip install 'pytest-initcheck[torch]', or draw "
            "networks(framework='numpy')"
        ) from None
    return nn


def linear(layer: Layer, scheme: Scheme, *, bias: bool = True) -> Any:
    """Return an ``nn.Linear`` of a dense layer's shape, drawn as the scheme says."""
    module = torch_nn().Linear(layer.inputs, layer.units, bias=bias)
    fill(module, scheme, layer)
    return module


def convolution(layer: Layer, scheme: Scheme, kernel: int) -> Any:
    """Return an ``nn.Conv2d`` that keeps the image's size, drawn as the scheme says."""
    module = torch_nn().Conv2d(layer.inputs, layer.units, kernel, padding=kernel // 2)
    fill(module, scheme, layer)
    return module


def fill(module: Any, scheme: Scheme, layer: Layer) -> None:
    """Draw a torch layer, whose weight is ``[out, in, *kernel]``, as the scheme says."""
    from torch.nn import init

    std = math.sqrt(scheme.layer_variance(layer))
    bound = scheme.bias_bound / math.sqrt(layer.fan_in)
    match scheme.draw:
        case "normal":
            init.normal_(module.weight, 0.0, std)
        case "uniform":
            init.uniform_(module.weight, -math.sqrt(3) * std, math.sqrt(3) * std)
        case "truncated_normal":
            wide = std / TRUNCATED_STD
            init.trunc_normal_(module.weight, 0.0, wide, -2 * wide, 2 * wide)
        case "orthogonal":
            init.orthogonal_(module.weight, gain=std * math.sqrt(max(layer.units, layer.fan_in)))
        case "constant":
            init.constant_(module.weight, scheme.gain)
    if module.bias is not None:
        init.uniform_(module.bias, -bound, bound)


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


def torch_activation(which: str) -> Any:
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
