"""The schemes of torch.nn.init (torch 2.13), with the fans that it reads off the shape.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.scheme_forms import (
    between,
    bounded,
    constant,
    fan_mode,
    fixed,
    one_of,
)
from pytest_initcheck.initializers.schemes import Draw, Scheme

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def torch_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return what torch.nn.init.calculate_gain returns.

    Raises ConfigError for a nonlinearity that it does not know.

    >>> torch_gain("selu")
    0.75
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    return _GAINS[one_of("nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))]


def _uniform_(name: str, a: float = 0.0, b: float = 1.0) -> Scheme:
    return between(name, "torch", a, b)


def _normal_(name: str, mean: float = 0.0, std: float = 1.0) -> Scheme:
    return Scheme(name, "normal", std, "absolute", library="torch", mean=mean)


def _trunc_normal_(
    name: str, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Scheme:
    return bounded(name, "torch", mean, std, a, b)


def _constant_(name: str, val: float) -> Scheme:
    return constant(name, "torch", val)


def _eye_(name: str) -> Scheme:
    return Scheme(name, "identity", 1.0, "absolute", library="torch")


def _dirac_(name: str, groups: int = 1) -> Scheme:
    return Scheme(name, "dirac", 1.0, "absolute", library="torch", groups=groups)


def _xavier(draw: Draw, name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, draw, gain, "fan_avg", library="torch")


def _kaiming(
    draw: Draw,
    name: str,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Scheme:
    gain = torch_gain(nonlinearity, a)
    return Scheme(name, draw, gain, fan_mode(mode, ("fan_in", "fan_out")), library="torch")


def _torch_orthogonal(name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, "orthogonal", gain, "long_side", library="torch")


def _sparse_(name: str, sparsity: float, std: float = 0.01) -> Scheme:
    if not 0 <= sparsity <= 1:
        raise ConfigError(f"{name} needs a sparsity from 0 to 1, got {sparsity:g}")
    return Scheme(name, "sparse", std, "absolute", library="torch", sparsity=sparsity)


TORCH: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {
        "torch.uniform_": _uniform_,
        "torch.normal_": _normal_,
        "torch.trunc_normal_": _trunc_normal_,
        "torch.constant_": _constant_,
        "torch.ones_": partial(fixed, "torch", 1.0),
        "torch.zeros_": partial(fixed, "torch", 0.0),
        "torch.eye_": _eye_,
        "torch.dirac_": _dirac_,
        "torch.xavier_uniform_": partial(_xavier, "uniform"),
        "torch.xavier_normal_": partial(_xavier, "normal"),
        "torch.kaiming_uniform_": partial(_kaiming, "uniform"),
        "torch.kaiming_normal_": partial(_kaiming, "normal"),
        "torch.orthogonal_": _torch_orthogonal,
        "torch.sparse_": _sparse_,
    }
)
"""Each makes a scheme from its name and torch's own parameters."""
