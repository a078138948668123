"""Partial derivatives of elementwise operations, for reverse mode. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import activation
from pytest_initcheck.probes.graph.elementwise import named_activation
from pytest_initcheck.probes.graph.nodes import Node

Array = NDArray[Any]
Slope = Any

FLAT = frozenset(
    {
        *(
            "sign",
            "floor",
            "round",
            "ceil",
            "trunc",
            "stop_gradient",
            "gt",
            "ge",
            "lt",
            "le",
            "eq",
            "ne",
        ),
        *("and", "or", "not", "xor", "any", "all", "argmax", "argmin", "positions", "heaviside"),
        *("isfinite", "isnan", "isinf", "signbit", "floor_divide"),
    }
)
"""Constant wherever they have a derivative."""


class Seen(Protocol):
    """An operation with what it read and gave."""

    @property
    def node(self) -> Node: ...

    @property
    def operands(self) -> tuple[Array, ...]: ...

    @property
    def value(self) -> Array: ...

    @property
    def constants(self) -> tuple[bool, ...]: ...

    @property
    def compute(self) -> Callable[..., Any] | None: ...


_ERF = 2 / math.sqrt(math.pi)

_UNARY: Mapping[str, Callable[[Array, Array], Slope]] = {
    "neg": lambda x, y: -1.0,
    "abs": lambda x, y: np.sign(x),
    "square": lambda x, y: 2 * x,
    "sqrt": lambda x, y: 0.5 / y,
    "rsqrt": lambda x, y: -0.5 * y / x,
    "cbrt": lambda x, y: 1 / (3 * y**2),
    "reciprocal": lambda x, y: -(y**2),
    "exp": lambda x, y: y,
    "exp2": lambda x, y: math.log(2) * y,
    "expm1": lambda x, y: y + 1,
    "log": lambda x, y: 1 / x,
    "log1p": lambda x, y: 1 / (1 + x),
    "log2": lambda x, y: 1 / (math.log(2) * x),
    "log10": lambda x, y: 1 / (math.log(10) * x),
    "tanh": lambda x, y: 1 - y**2,
    "sinh": lambda x, y: np.cosh(x),
    "cosh": lambda x, y: np.sinh(x),
    "sigmoid": lambda x, y: y * (1 - y),
    "erf": lambda x, y: _ERF * np.exp(-(x**2)),
    "erfc": lambda x, y: -_ERF * np.exp(-(x**2)),
    "erf_inv": lambda x, y: np.exp(y**2) / _ERF,
    "sin": lambda x, y: np.cos(x),
    "cos": lambda x, y: -np.sin(x),
    "tan": lambda x, y: 1 + y**2,
    "arctan": lambda x, y: 1 / (1 + x**2),
    "arcsin": lambda x, y: 1 / np.sqrt(1 - x**2),
    "arccos": lambda x, y: -1 / np.sqrt(1 - x**2),
    "arcsinh": lambda x, y: 1 / np.sqrt(1 + x**2),
    "arccosh": lambda x, y: 1 / np.sqrt(x**2 - 1),
    "arctanh": lambda x, y: 1 / (1 - x**2),
    "cast": lambda x, y: 1.0,
    "nan_to_num": lambda x, y: np.isfinite(x).astype(np.float64),
    "deg2rad": lambda x, y: math.pi / 180,
    "rad2deg": lambda x, y: 180 / math.pi,
}


def _bound(seen: Seen) -> Sequence[Slope]:
    """The larger or smaller of two: what was chosen; see the module on ties."""
    (a, b), value = seen.operands, seen.value
    first, second = (a == value).astype(np.float64), (b == value).astype(np.float64)
    tie = first * second
    fixed = seen.constants
    if fixed[0] or fixed[1]:
        return first - tie, second - tie
    return first - tie / 2, second - tie / 2


def _clipped(seen: Seen) -> Sequence[Slope]:
    x, low, high = seen.operands
    inside = ((x > low) & (x < high)).astype(np.float64)
    return inside, (x < low).astype(np.float64), (x > high).astype(np.float64)


def _power(seen: Seen) -> Sequence[Slope]:
    base, exponent = (operand.astype(np.float64) for operand in seen.operands)
    with_base = np.where(exponent == 0, 0.0, exponent * np.power(base, exponent - 1))
    if seen.constants[1]:
        return with_base, None
    return with_base, np.where(base > 0, seen.value * np.log(np.where(base > 0, base, 1.0)), 0.0)


def _log_add(seen: Seen) -> Sequence[Slope]:
    return tuple(np.exp(operand - seen.value) for operand in seen.operands)


def _quotient(seen: Seen) -> Sequence[Slope]:
    _, below = seen.operands
    return 1 / below, -seen.value / below


def _hypotenuse(seen: Seen) -> Sequence[Slope]:
    return tuple(operand / seen.value for operand in seen.operands)


def _angle(seen: Seen) -> Sequence[Slope]:
    y, x = seen.operands
    squared = x**2 + y**2
    return x / squared, -y / squared


_MANY: Mapping[str, Callable[[Seen], Sequence[Slope]]] = {
    "add": lambda seen: (1.0, 1.0),
    "sub": lambda seen: (1.0, -1.0),
    "mul": lambda seen: (seen.operands[1], seen.operands[0]),
    "div": _quotient,
    "maximum": _bound,
    "minimum": _bound,
    "clip": _clipped,
    "power": _power,
    "logaddexp": _log_add,
    "hypot": _hypotenuse,
    "arctan2": _angle,
    "where": lambda seen: (None, *_choice(seen.operands[0])),
}


def _choice(condition: Array) -> tuple[Slope, Slope]:
    chosen = condition.astype(bool).astype(np.float64)
    return chosen, 1 - chosen


def partials(seen: Seen) -> Sequence[Slope] | None:
    """Return the slope with respect to each operand, None if the operation is not elementwise."""
    op = seen.node.op
    if op in _MANY:
        return _MANY[op](seen)
    if op in _UNARY and len(seen.operands) == 1:
        x = seen.operands[0].astype(np.float64)
        return (_UNARY[op](x, seen.value.astype(np.float64)),)
    if op == "opaque" and seen.node.settings.get("elementwise"):
        return [_measured(seen, index) for index in range(len(seen.operands))]
    name = named_activation(op, seen.node.settings) if len(seen.operands) == 1 else None
    if name is None:
        return None
    return (activation(name).derivative(seen.operands[0].astype(np.float64)),)


def _measured(seen: Seen, which: int) -> Slope:
    """Return a central difference: the step of least error is about the cube root of the rounding."""
    if seen.compute is None or seen.operands[which].dtype.kind != "f":
        return None
    step = 6e-6 * np.maximum(1.0, np.abs(seen.operands[which]))
    ends = []
    for sign in (1, -1):
        moved = [np.asarray(operand) for operand in seen.operands]
        moved[which] = moved[which].astype(np.float64) + sign * step
        ends.append(np.asarray(seen.compute(*moved), dtype=np.float64))
    return (ends[0] - ends[1]) / (2 * step)
