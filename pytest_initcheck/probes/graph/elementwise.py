"""Elementwise operations as functions of arrays, in double precision. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import activation
from pytest_initcheck.activations.error_function import erf, erfc
from pytest_initcheck.activations.parametrised import logistic
from pytest_initcheck.errors import ConfigError

Array = NDArray[Any]


def _where(condition: Array, chosen: Array, otherwise: Array) -> Array:
    return np.where(np.asarray(condition, dtype=bool), chosen, otherwise)


def _clip(x: Array, low: Array, high: Array) -> Array:
    return np.asarray(np.minimum(np.maximum(x, low), high))


def _power(x: Array, exponent: Array) -> Array:
    return np.asarray(np.power(np.asarray(x, dtype=np.float64), exponent))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "clip": _clip,
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "reciprocal": lambda x: 1 / np.asarray(x, dtype=np.float64),
    "power": _power,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "logaddexp": np.logaddexp,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sigmoid": logistic,
    "erf": erf,
    "erfc": erfc,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "round": np.round,
    "where": _where,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "xor": np.logical_xor,
    "cast": np.asarray,
    "stop_gradient": np.asarray,
}
"""The operations that have no numbers of their own; ``cast`` is to another floating type or to one."""

AFFINE = frozenset({"add", "sub", "mul", "div", "neg"})
COMPARISONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne"})


def named_activation(op: str, settings: Mapping[str, Any]) -> str | None:
    """Return the table's name of an operation that is one framework's own activation, or None.

    >>> named_activation("leaky_relu", {"slope": 0.2}), named_activation("gelu", {"approximate": True})
    ('leaky_relu(0.2)', 'gelu_tanh')
    >>> named_activation("add", {}) is None
    True
    """
    if op in FUNCTIONS and op not in ("tanh", "sigmoid", "erf", "sin"):
        return None
    if op == "gelu":
        return "gelu_tanh" if settings.get("approximate") not in (None, False, "none") else "gelu"
    numbers = [v for v in settings.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return _in_table(f"{op}({','.join(f'{float(number)!r}' for number in numbers)})" if numbers else op)


@functools.lru_cache(maxsize=256)  # most words are none, and the table looks for what was meant
def _in_table(text: str) -> str | None:
    try:
        found = activation(text)
    except ConfigError:
        return None
    return None if found.gate is not None or found.name == "identity" else found.name


def evaluated(op: str, settings: Mapping[str, Any], operands: Sequence[Array]) -> Array | None:
    """Return the operation's value, None where it is not elementwise or its values are not known."""
    function = FUNCTIONS.get(op)
    if function is None:
        name = named_activation(op, settings)
        function = None if name is None else activation(name).phi
    if function is None:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(function(*operands))
