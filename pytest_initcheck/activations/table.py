"""The activations without a free number, as torch.nn and the papers define them.

Everything is plain numpy in float64, elementwise over arrays of any shape.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

import numpy as np

from pytest_initcheck.activations.error_function import erf, normal_cdf, normal_pdf
from pytest_initcheck.activations.form import Activation, Array, step
from pytest_initcheck.activations.parametrised import elu, hardtanh, logistic, softplus

SELU_SCALE = 1.0507009873554805  # Klambauer et al. 2017, eq. 14
SELU_ALPHA = 1.6732632423543772
_SMALL = 0.1


def _sech2(z: Array) -> Array:
    """1 - tanh(z)^2 without its cancellation."""
    decay = np.exp(-2 * np.abs(z))
    return np.asarray(4 * decay / (1 + decay) ** 2)


def _gelu_tanh_inner(z: Array) -> Array:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def _gelu_tanh_derivative(z: Array) -> Array:
    t = np.tanh(_gelu_tanh_inner(z))
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
    return np.asarray(0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner_slope)


def _mish_derivative(z: Array) -> Array:
    t = np.tanh(np.logaddexp(0.0, z))
    return np.asarray(t + z * (1 - t * t) * logistic(z))


def _tanhshrink(z: Array) -> Array:
    # z - tanh z loses its digits near 0: there its Taylor series
    w = np.where(np.abs(z) < _SMALL, z, 0.0) ** 2
    series = z * w * (1 / 3 - w * (2 / 15 - w * (17 / 315 - w * (62 / 2835 - w * 1382 / 155925))))
    return np.where(np.abs(z) < _SMALL, series, z - np.tanh(z))


def _smooth_rectifiers() -> tuple[Activation, ...]:
    return (
        Activation(
            "gelu",
            lambda z: z * normal_cdf(z),
            lambda z: normal_cdf(z) + z * normal_pdf(z),
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
            lambda z: z * logistic(z),
            lambda z: logistic(z) * (1 + z * logistic(-z)),
            "smooth_rectifier",
        ),
        Activation(
            "mish",
            lambda z: z * np.tanh(np.logaddexp(0.0, z)),
            _mish_derivative,
            "smooth_rectifier",
        ),
        Activation(
            "hardswish",
            lambda z: z * np.clip(z / 6 + 0.5, 0.0, 1.0),
            lambda z: np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, z / 3 + 0.5)),
            "smooth_rectifier",
            kinks=(-3.0, 3.0),
            inactive_below=-3.0,
        ),
        Activation(
            "log_sigmoid",
            lambda z: -np.logaddexp(0.0, -z),
            lambda z: logistic(-z),
            "smooth_rectifier",
        ),
    )


def _bounded() -> tuple[Activation, ...]:
    tanh_limit = math.atanh(math.sqrt(0.95))
    return (
        Activation(
            "tanh",
            np.tanh,
            _sech2,
            "bounded",
            saturated_beyond=tanh_limit,
            textbook_gains=(1.0, 5 / 3),
        ),
        Activation(
            "sigmoid",
            logistic,
            lambda z: logistic(z) * logistic(-z),
            "bounded",
            saturated_beyond=2 * tanh_limit,
            textbook_gains=(4.0,),
        ),
        Activation(
            "hardsigmoid",
            lambda z: np.clip(z / 6 + 0.5, 0.0, 1.0),
            lambda z: step(np.abs(z) < 3) / 6,
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
            erf,
            lambda z: 2 / math.sqrt(math.pi) * np.exp(-z * z),
            "bounded",
            saturated_beyond=math.sqrt(math.log(20)),
            textbook_gains=(math.sqrt(math.pi) / 2,),
        ),
    )


def fixed_activations() -> dict[str, Activation]:
    """Return the activations that need no number, by name."""
    rows = (
        Activation("identity", lambda z: z, np.ones_like, "linear", slopes=(1.0, 1.0)),
        Activation(
            "relu",
            lambda z: np.maximum(z, 0.0),
            lambda z: step(z > 0),
            "rectifier",
            kinks=(0.0,),
            inactive_below=0.0,
            slopes=(0.0, 1.0),
        ),
        Activation(
            "relu6",
            lambda z: np.clip(z, 0.0, 6.0),
            lambda z: step((z > 0) & (z < 6)),
            "rectifier",
            kinks=(0.0, 6.0),
            inactive_below=0.0,
        ),
        elu(),
        elu(SELU_ALPHA, SELU_SCALE, "selu"),
        softplus(),
        hardtanh(),
        *_smooth_rectifiers(),
        *_bounded(),
        Activation("sin", np.sin, np.cos, "periodic", textbook_gains=(1.0,)),
        Activation("tanhshrink", _tanhshrink, lambda z: np.tanh(z) ** 2, "shrink"),
    )
    return {row.name: row for row in rows}
