"""The table of activations: phi, phi', kinks, family, and where each stops responding.

Any callable over arrays is an activation too: see :func:`activation` and :func:`from_callable`.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.activations.callables import from_callable, recognised
from pytest_initcheck.activations.error_function import erf, erfc, normal_cdf, normal_pdf
from pytest_initcheck.activations.form import Activation, Array, Family
from pytest_initcheck.activations.parametrised import (
    celu,
    elu,
    gated,
    hardshrink,
    hardtanh,
    leaky_relu,
    prelu,
    rrelu,
    softplus,
    softshrink,
    threshold,
)
from pytest_initcheck.activations.table import SELU_ALPHA, SELU_SCALE, fixed_activations
from pytest_initcheck.errors import ConfigError, did_you_mean

__all__ = [
    "GATED",
    "NAMES",
    "SELU_ALPHA",
    "SELU_SCALE",
    "Activation",
    "Array",
    "Family",
    "activation",
    "celu",
    "elu",
    "erf",
    "erfc",
    "from_callable",
    "hardshrink",
    "hardtanh",
    "leaky_relu",
    "normal_cdf",
    "normal_pdf",
    "prelu",
    "rrelu",
    "softplus",
    "softshrink",
    "threshold",
]


@dataclass(frozen=True, slots=True)
class _Numbered:
    """An activation that takes numbers: how it is made, how it is written."""

    make: Callable[..., Activation]
    example: str
    optional: bool = True
    positive: bool = False

    @property
    def most(self) -> int:
        return self.example.count(",") + 1


_FIXED = fixed_activations()
_NUMBERED = {
    "leaky_relu": _Numbered(leaky_relu, "leaky_relu(0.2)"),
    "prelu": _Numbered(prelu, "prelu(0.25)"),
    "rrelu": _Numbered(rrelu, "rrelu(0.1,0.3)"),
    "elu": _Numbered(elu, "elu(0.5)", positive=True),
    "celu": _Numbered(celu, "celu(0.5)", positive=True),
    "softplus": _Numbered(softplus, "softplus(2)", positive=True),
    "softshrink": _Numbered(softshrink, "softshrink(0.5)", positive=True),
    "hardshrink": _Numbered(hardshrink, "hardshrink(0.5)", positive=True),
    "hardtanh": _Numbered(hardtanh, "hardtanh(-1,1)"),
    "threshold": _Numbered(threshold, "threshold(0,0)", optional=False),
}
_GATES = {
    "glu": "sigmoid",
    "reglu": "relu",
    "geglu": "gelu",
    "swiglu": "silu",
    "bilinear": "identity",
}
_GATED = {name: gated(name, _FIXED[gate]) for name, gate in _GATES.items()}
_ALIASES = {"linear": "identity", "none": "identity", "swish": "silu", "logsigmoid": "log_sigmoid"}

NAMES: tuple[str, ...] = (*_FIXED, "leaky_relu", "prelu", "rrelu", "softshrink", "hardshrink")
"""The elementwise activations that need no number."""
GATED: tuple[str, ...] = tuple(_GATED)
"""The activations that multiply one half of their input by a gate of the other."""


def activation(which: str | Activation | Callable[..., Any]) -> Activation:
    """Return the activation of this name, or of this callable; an :class:`Activation` stays as it is.

    Numbers go in brackets: ``"leaky_relu(0.2)"``, ``"elu(0.5)"``, ``"hardtanh(-2,2)"``.  A callable
    is a numpy function or, when torch is loaded, a torch function or module; if it agrees with the
    row of the table that bears its name, that row is returned, otherwise :func:`from_callable`
    finds its kinks and its derivative.

    Raises ConfigError for an unknown name, or a callable that is not elementwise over arrays.

    >>> import numpy as np
    >>> activation("swish").name
    'silu'
    >>> float(activation("relu").phi(np.array(-1.0)))
    0.0
    >>> activation(np.tanh) is activation("tanh")
    True
    """
    if isinstance(which, Activation):
        return which
    if isinstance(which, str):
        return _named(which)
    if not callable(which):
        raise ConfigError(
            f"an activation is a name or a callable, got {which!r}; for example 'relu' or numpy.tanh"
        )
    if isinstance(which, type):
        raise ConfigError(
            f"{which.__name__} is a class, an activation is what it makes; write {which.__name__}()"
        )
    return recognised(which, _candidate(which)) or from_callable(which)


def _named(text: str) -> Activation:
    name = "".join(text.lower().split())
    name = _ALIASES.get(name, name)
    if (row := _FIXED.get(name) or _GATED.get(name)) is not None:
        return row
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", name)
    form = _NUMBERED.get(match[1]) if match else None
    if match is None or form is None:
        raise ConfigError(f"unknown activation {text!r}{did_you_mean(text, _known())}")
    if match[2] is None:
        if form.optional:
            return form.make()
        raise ConfigError(f"activation {text!r} needs its numbers, for example {form.example}")
    try:
        numbers = [float(part) for part in match[2].split(",")]
    except ValueError:
        numbers = []
    fewest = 1 if form.optional and form.most == 1 else form.most
    if not fewest <= len(numbers) <= form.most or not all(math.isfinite(n) for n in numbers):
        count = "a number" if form.most == 1 else f"{form.most} numbers"
        raise ConfigError(f"activation {text!r} needs {count}, for example {form.example}")
    if form.positive and numbers[0] <= 0:
        wanted = "alpha" if match[1] in ("elu", "celu") else "number"
        raise ConfigError(f"activation {text!r} needs a positive {wanted}, for example {form.example}")
    return form.make(*numbers)


def _known() -> list[str]:
    return sorted({*_FIXED, *_NUMBERED, *_GATED, *_ALIASES})


def _candidate(function: Callable[..., Any]) -> Activation | None:
    """The row that bears the callable's own name; whether it is that row is for numbers to say."""
    own = getattr(function, "__name__", type(function).__name__).lower().replace("_", "")
    for name in (*NAMES, "celu", *_ALIASES):
        if name.replace("_", "") == own:
            return _named(name)
    return None
