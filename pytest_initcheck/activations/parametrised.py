"""The activations with numbers, made by a function each; equal numbers give one object.

Theory caches by activation, so one slope must be one object.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import numpy as np

from pytest_initcheck.activations.form import Activation, Array, Family, number_text, step
from pytest_initcheck.errors import ConfigError

RRELU_LOWER, RRELU_UPPER = 1 / 8, 1 / 3
_Numbers = ParamSpec("_Numbers")


def _one_object(make: Callable[_Numbers, Activation]) -> Callable[_Numbers, Activation]:
    """Give equal numbers the same object, however they were passed."""
    cached = lru_cache(maxsize=256)(make)
    signature = inspect.signature(make)

    @wraps(make)
    def made(*args: _Numbers.args, **kwargs: _Numbers.kwargs) -> Activation:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return cached(*bound.args)

    return made


def logistic(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), elementwise, with its relative accuracy kept in the lower tail."""
    decay = np.exp(-np.abs(z))
    return np.asarray(np.where(z < 0, decay, 1.0) / (1 + decay))


def _named(name: str, *numbers: float) -> str:
    return f"{name}({','.join(number_text(number) for number in numbers)})"


def _two_slopes(name: str, slope: float) -> Activation:
    return Activation(
        name,
        lambda z: np.where(z > 0, z, slope * z),
        lambda z: np.where(z > 0, 1.0, slope),
        "rectifier",
        kinks=(0.0,),
        inactive_below=0.0 if slope == 0 else None,
        slopes=(slope, 1.0),
    )


@_one_object
def leaky_relu(slope: float = 0.01) -> Activation:
    """Return the leaky ReLU with this negative slope.

    >>> leaky_relu(0.2).name
    'leaky_relu(0.2)'
    """
    return _two_slopes(_named("leaky_relu", slope), slope)


@_one_object
def prelu(slope: float = 0.25) -> Activation:
    """Return the PReLU as it starts: a leaky ReLU of slope 1/4 (He et al. 2015; torch.nn.PReLU).

    >>> prelu().name
    'prelu'
    """
    return _two_slopes("prelu" if slope == 0.25 else _named("prelu", slope), slope)


@_one_object
def rrelu(lower: float = RRELU_LOWER, upper: float = RRELU_UPPER) -> Activation:
    """Return the randomised leaky ReLU at its mean slope, as torch.nn.RReLU evaluates it.

    Raises ConfigError if ``lower`` is above ``upper``.

    >>> rrelu().slopes
    (0.22916666666666666, 1.0)
    """
    if lower > upper:
        raise ConfigError(f"rrelu({lower:g},{upper:g}) needs lower <= upper; swap them")
    usual = (lower, upper) == (RRELU_LOWER, RRELU_UPPER)
    return _two_slopes("rrelu" if usual else _named("rrelu", lower, upper), (lower + upper) / 2)


@_one_object
def elu(alpha: float = 1.0, scale: float = 1.0, name: str | None = None) -> Activation:
    """Return scale * (z if z > 0 else alpha * (exp(z) - 1)); SELU is of this form."""
    return Activation(
        name or ("elu" if alpha == scale == 1 else _named("elu", alpha)),
        lambda z: scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0))),
        lambda z: scale * np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        "self_normalising" if name == "selu" else "smooth_rectifier",
        kinks=(0.0,),
    )


@_one_object
def celu(alpha: float = 1.0) -> Activation:
    """Return z if z > 0 else alpha * (exp(z / alpha) - 1), whose slope is continuous at 0.

    >>> round(float(celu(2.0).phi(np.array(-2.0))), 6)
    -1.264241
    """
    if alpha == 1:
        return elu()
    return Activation(
        _named("celu", alpha),
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0) / alpha)),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0.0) / alpha)),
        "smooth_rectifier",
        kinks=(0.0,),
    )


@_one_object
def softplus(beta: float = 1.0) -> Activation:
    """Return ln(1 + exp(beta z)) / beta.

    >>> softplus(2.0).name
    'softplus(2)'
    """
    return Activation(
        "softplus" if beta == 1 else _named("softplus", beta),
        lambda z: np.asarray(np.logaddexp(0.0, beta * z) / beta),
        lambda z: logistic(beta * z),
        "smooth_rectifier",
    )


@_one_object
def hardtanh(low: float = -1.0, high: float = 1.0) -> Activation:
    """Return z clipped to [low, high].

    It is bounded, and saturated beyond the further of its ends, where 0 lies between them; otherwise
    it rests at z = 0 and counts as a rectifier.

    Raises ConfigError unless ``low`` is below ``high``.

    >>> hardtanh(-1.0, 2.0).saturated_beyond
    2.0
    """
    if not low < high:
        raise ConfigError(f"hardtanh({low:g},{high:g}) needs low < high; swap them")
    centred = low < 0 < high
    family: Family = "bounded" if centred else "rectifier"
    usual = (low, high) == (-1, 1)
    return Activation(
        "hardtanh" if usual else _named("hardtanh", low, high),
        lambda z: np.clip(z, low, high),
        lambda z: step((z > low) & (z < high)),
        family,
        kinks=(float(low), float(high)),
        inactive_below=None if centred else float(low),
        saturated_beyond=float(max(-low, high)) if centred else None,
        textbook_gains=(1.0,) if usual else (),
    )


@_one_object
def threshold(threshold: float, value: float) -> Activation:
    """Return z if z > threshold else value (torch.nn.Threshold).

    >>> threshold(0.5, 0.0).inactive_below
    0.5
    """
    return Activation(
        _named("threshold", threshold, value),
        lambda z: np.where(z > threshold, z, value),
        lambda z: step(z > threshold),
        "rectifier",
        kinks=(float(threshold),),
        inactive_below=float(threshold),
        slopes=(0.0, 1.0) if threshold == value == 0 else None,
    )


@_one_object
def softshrink(lambd: float = 0.5) -> Activation:
    """Return z moved towards 0 by lambd, and 0 within it (torch.nn.Softshrink).

    >>> float(softshrink().phi(np.array(2.0)))
    1.5
    """
    return Activation(
        "softshrink" if lambd == 0.5 else _named("softshrink", lambd),
        lambda z: z - np.clip(z, -lambd, lambd),
        lambda z: step(np.abs(z) > lambd),
        "shrink",
        kinks=(-float(lambd), float(lambd)),
    )


@_one_object
def hardshrink(lambd: float = 0.5) -> Activation:
    """Return z where abs(z) > lambd, 0 elsewhere (torch.nn.Hardshrink); it jumps at +-lambd.

    >>> float(hardshrink().phi(np.array(0.4)))
    0.0
    """
    return Activation(
        "hardshrink" if lambd == 0.5 else _named("hardshrink", lambd),
        lambda z: np.where(np.abs(z) > lambd, z, 0.0),
        lambda z: step(np.abs(z) > lambd),
        "shrink",
        kinks=(-float(lambd), float(lambd)),
    )


def gated(name: str, gate: Activation) -> Activation:
    """Return phi(u, v) = u * gate(v), over the halves u and v of the last axis (Shazeer 2020).

    >>> relu_gate = gated("reglu", leaky_relu(0.0))
    >>> relu_gate.phi(np.array([2.0, 3.0, 1.0, 0.5])).tolist()
    [2.0, 1.5]
    """

    def phi(z: Array) -> Array:
        u, v = _halves(name, z)
        return u * gate.phi(v)

    def derivative(z: Array) -> Array:
        u, v = _halves(name, z)
        return np.concatenate([gate.phi(v), u * gate.derivative(v)], axis=-1)

    return Activation(name, phi, derivative, "gated", kinks=gate.kinks, gate=gate)


def _halves(name: str, z: Array) -> tuple[Array, Array]:
    z = np.asarray(z, dtype=np.float64)
    if z.ndim == 0 or z.shape[-1] % 2:
        raise ConfigError(
            f"{name} reads two halves of the last axis, got shape {z.shape}; give it an even last axis"
        )
    half = z.shape[-1] // 2
    return z[..., :half], z[..., half:]
