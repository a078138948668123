"""The table of activations: phi, phi', kinks, family, and where each stops responding.

Everything is plain numpy in float64, elementwise over arrays of any shape.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, did_you_mean

Array = NDArray[np.float64]
Family = Literal["linear", "rectifier", "smooth_rectifier", "self_normalising", "bounded", "periodic"]

SELU_SCALE = 1.0507009873554805  # Klambauer et al. 2017, eq. 14
SELU_ALPHA = 1.6732632423543772


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation function.

    * ``kinks`` are the points where phi' jumps: quadrature is split there.
    * ``inactive_below``: phi' = 0 for every z at or below it; None if there is no such z.
    * ``saturated_beyond``: abs(phi') is under 5 % of its maximum where abs(z) exceeds it, for
      activations that are bounded on both sides; None for the others.
    * ``textbook_gains``: gains in use besides 1/sqrt(E phi^2), for example 5/3 for tanh.
    """

    name: str
    phi: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    family: Family
    kinks: tuple[float, ...] = ()
    inactive_below: float | None = None
    saturated_beyond: float | None = None
    textbook_gains: tuple[float, ...] = ()


def _erf(z: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(z))


def _normal_cdf(z: Array) -> Array:
    return 0.5 * (1 + _erf(z / math.sqrt(2)))


def _normal_pdf(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * z))


def _softplus(z: Array) -> Array:
    return np.asarray(np.logaddexp(0.0, z))


def _step(condition: NDArray[np.bool_]) -> Array:
    return condition.astype(np.float64)


def _gelu_tanh_inner(z: Array) -> Array:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def _gelu_tanh_derivative(z: Array) -> Array:
    t = np.tanh(_gelu_tanh_inner(z))
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
    return np.asarray(0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner_slope)


def _mish_derivative(z: Array) -> Array:
    t = np.tanh(_softplus(z))
    return np.asarray(t + z * (1 - t * t) * _sigmoid(z))


@lru_cache(maxsize=256)  # theory caches by activation: one slope must be one object
def leaky_relu(slope: float) -> Activation:
    """Return the leaky ReLU with this negative slope.

    >>> leaky_relu(0.2).name
    'leaky_relu(0.2)'
    """
    return Activation(
        f"leaky_relu({slope:g})",
        lambda z: np.where(z > 0, z, slope * z),
        lambda z: np.where(z > 0, 1.0, slope),
        "rectifier",
        kinks=(0.0,),
        inactive_below=0.0 if slope == 0 else None,
    )


@lru_cache(maxsize=256)
def elu(alpha: float = 1.0, scale: float = 1.0, name: str | None = None) -> Activation:
    """Return scale * (z if z > 0 else alpha * (exp(z) - 1)); SELU is of this form."""
    return Activation(
        name or ("elu" if alpha == scale == 1 else f"elu({alpha:g})"),
        lambda z: scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0))),
        lambda z: scale * np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        "self_normalising" if name == "selu" else "smooth_rectifier",
        kinks=(0.0,),
    )


@lru_cache(maxsize=256)
def celu(alpha: float) -> Activation:
    """Return z if z > 0 else alpha * (exp(z / alpha) - 1), whose slope is continuous at 0.

    >>> round(float(celu(2.0).phi(np.array(-2.0))), 6)
    -1.264241
    """
    return Activation(
        f"celu({alpha:g})",
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0) / alpha)),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0.0) / alpha)),
        "smooth_rectifier",
        kinks=(0.0,),
    )


def _table() -> dict[str, Activation]:
    sech2 = lambda z: 1 - np.tanh(z) ** 2  # noqa: E731 - three rows share it
    tanh_limit = math.atanh(math.sqrt(0.95))
    rows = (
        Activation("identity", lambda z: z, np.ones_like, "linear"),
        Activation(
            "relu",
            lambda z: np.maximum(z, 0.0),
            lambda z: _step(z > 0),
            "rectifier",
            kinks=(0.0,),
            inactive_below=0.0,
        ),
        Activation(
            "relu6",
            lambda z: np.clip(z, 0.0, 6.0),
            lambda z: _step((z > 0) & (z < 6)),
            "rectifier",
            kinks=(0.0, 6.0),
            inactive_below=0.0,
        ),
        elu(),
        elu(SELU_ALPHA, SELU_SCALE, "selu"),
        Activation(
            "gelu",
            lambda z: z * _normal_cdf(z),
            lambda z: _normal_cdf(z) + z * _normal_pdf(z),
            "smooth_rectifier",
        ),
        Activation(
            "gelu_tanh",
            lambda z: 0.5 * z * (1 + np.tanh(_gelu_tanh_inner(z))),
            _gelu_tanh_derivative,
            "smooth_rectifier",
        ),
        Activation(
            "silu",
            lambda z: z * _sigmoid(z),
            lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
            "smooth_rectifier",
        ),
        Activation("mish", lambda z: z * np.tanh(_softplus(z)), _mish_derivative, "smooth_rectifier"),
        Activation(
            "hardswish",
            lambda z: z * np.clip(z / 6 + 0.5, 0.0, 1.0),
            lambda z: np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, z / 3 + 0.5)),
            "smooth_rectifier",
            kinks=(-3.0, 3.0),
            inactive_below=-3.0,
        ),
        Activation("softplus", _softplus, _sigmoid, "smooth_rectifier"),
        Activation("log_sigmoid", lambda z: -_softplus(-z), lambda z: _sigmoid(-z), "smooth_rectifier"),
        Activation(
            "tanh",
            np.tanh,
            sech2,
            "bounded",
            saturated_beyond=tanh_limit,
            textbook_gains=(1.0, 5 / 3),
        ),
        Activation(
            "sigmoid",
            _sigmoid,
            lambda z: _sigmoid(z) * _sigmoid(-z),
            "bounded",
            saturated_beyond=2 * tanh_limit,
            textbook_gains=(4.0,),
        ),
        Activation(
            "hardtanh",
            lambda z: np.clip(z, -1.0, 1.0),
            lambda z: _step(np.abs(z) < 1),
            "bounded",
            kinks=(-1.0, 1.0),
            saturated_beyond=1.0,
            textbook_gains=(1.0,),
        ),
        Activation(
            "hardsigmoid",
            lambda z: np.clip(z / 6 + 0.5, 0.0, 1.0),
            lambda z: _step(np.abs(z) < 3) / 6,
            "bounded",
            kinks=(-3.0, 3.0),
            saturated_beyond=3.0,
            textbook_gains=(6.0,),
        ),
        Activation(
            "softsign",
            lambda z: z / (1 + np.abs(z)),
            lambda z: (1 + np.abs(z)) ** -2.0,
            "bounded",
            kinks=(0.0,),
            saturated_beyond=math.sqrt(20) - 1,
            textbook_gains=(1.0,),
        ),
        Activation(
            "erf",
            _erf,
            lambda z: 2 / math.sqrt(math.pi) * np.exp(-z * z),
            "bounded",
            saturated_beyond=math.sqrt(math.log(20)),
            textbook_gains=(math.sqrt(math.pi) / 2,),
        ),
        Activation("sin", np.sin, np.cos, "periodic", textbook_gains=(1.0,)),
    )
    return {row.name: row for row in rows}


_BY_NAME = _table()
_ALIASES = {
    "linear": "identity",
    "none": "identity",
    "swish": "silu",
    "celu": "elu",
    "logsigmoid": "log_sigmoid",
    "leaky_relu": "leaky_relu(0.01)",
}
NAMES: tuple[str, ...] = (*_BY_NAME, "leaky_relu")


def activation(which: str | Activation) -> Activation:
    """Return the activation of this name; an :class:`Activation` is returned as it is.

    A slope or alpha goes in brackets: ``"leaky_relu(0.2)"``, ``"elu(0.5)"``.

    Raises ConfigError for an unknown name.

    >>> activation("swish").name
    'silu'
    >>> float(activation("relu").phi(np.array(-1.0)))
    0.0
    """
    if isinstance(which, Activation):
        return which
    name = _ALIASES.get(which.strip().lower(), which.strip().lower())
    if name in _BY_NAME:
        return _BY_NAME[name]
    match = re.fullmatch(r"(leaky_relu|elu|celu)\(([-+.\deE]+)\)", name)
    if match is None:
        raise ConfigError(f"unknown activation {which!r}{did_you_mean(which, [*NAMES, *_ALIASES])}")
    try:
        value = float(match[2])
    except ValueError:
        raise ConfigError(f"activation {which!r} needs a number, for example {match[1]}(0.2)") from None
    if match[1] == "leaky_relu":
        return leaky_relu(value)
    if value <= 0:
        raise ConfigError(f"activation {which!r} needs a positive alpha, for example {match[1]}(0.5)")
    if value == 1:
        return elu()
    return elu(value) if match[1] == "elu" else celu(value)
