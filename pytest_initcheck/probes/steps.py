"""Normalised gradient steps on copies of parameters, and what moved alike (principles.md R2, R3).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.trace import STEP, STEPS, Training

Array = NDArray[Any]
_FEWEST_ENTRIES = 16
"""Smaller tensors may be equal by luck where weights are quantised, or on purpose."""
_COMPARED = 8
_ALIKE = 0.01
"""Rows whose changes differ by less than this share have moved alike: sums round differently."""


def training(
    parameters: Mapping[str, Array],
    moved: frozenset[str],
    gradients: Callable[[Mapping[str, Array]], Mapping[str, Array] | None],
) -> Training | None:
    """Take normalised gradient steps until every parameter has moved and nothing equal is left.

    * ``parameters`` are those that the forward pass used and that are trained; ``moved`` are known to
      receive a gradient already.
    * ``gradients`` are those of a loss at other values of the parameters; what the loss does not depend
      on is left out.  None if there are none, and then nothing is known of steps either.
    """
    equal = {name for name, value in parameters.items() if equal_rows(value)}
    pairs = twins(parameters)
    moved_now, reached, stepped, steps = set(moved), set(moved), set[str](), 0
    now = dict(parameters)
    while steps < STEPS and (equal or pairs or moved_now != set(parameters)):
        given = gradients(now)
        if given is None:
            return None
        found = {name: g for name, g in given.items() if name in parameters}
        steps += 1
        reached |= set(found)
        for name, gradient in found.items():
            if not np.any(gradient):
                continue
            moved_now.add(name)
            after = stepped_by(now[name], gradient)
            if after is not None:
                now[name] = after
                stepped.add(name)
    return Training(
        steps,
        stuck=tuple(name for name in parameters if name in reached and name not in moved_now),
        cut_off=tuple(name for name in parameters if name not in reached),
        equal=tuple(
            name
            for name in parameters
            if name in equal & stepped and stays_equal(parameters[name], now[name])
        ),
        twins=tuple(
            (one, other)
            for one, other in pairs
            if {one, other} <= stepped and _stay_alike(parameters[one], now[one], now[other])
        ),
    )


def equal_rows(parameter: Array) -> bool:
    """Tell whether a matrix has more than one row, or column, and all of them are equal.

    >>> equal_rows(np.ones((3, 2))), equal_rows(np.ones(3)), equal_rows(np.eye(2))
    (True, False, False)
    """
    return any(bool((rows == rows[:1]).all()) for rows in _rows_and_columns(parameter))


def stays_equal(before: Array, after: Array) -> bool:
    """Tell whether rows (or columns) that were equal have moved alike, but for rounding."""
    changes = _wide(after) - _wide(before)
    return any(
        bool((rows == rows[:1]).all())
        and _mean_square(moved - moved.mean(0)) <= _ALIKE**2 * _mean_square(moved)
        for rows, moved in zip(_rows_and_columns(before), _rows_and_columns(changes), strict=True)
    )


def stepped_by(parameter: Array, gradient: Array) -> Array | None:
    """Return the parameter moved by a root mean square of STEP, however small its gradient is.

    None where the gradient is not finite: then there is no step.
    """
    wide = np.asarray(gradient, dtype=np.complex128 if gradient.dtype.kind == "c" else np.float64)
    largest = float(np.max(np.abs(wide)))
    if not math.isfinite(largest):
        return None
    unit = wide / largest  # squares of small gradients would be zero
    step = (STEP / math.sqrt(_mean_square(unit))) * unit
    return np.asarray(parameter - step.astype(parameter.dtype), dtype=parameter.dtype)


def twins(parameters: Mapping[str, Array]) -> list[tuple[str, str]]:
    """Return the tensors that hold the numbers of an earlier one, each with that.

    A tensor of at most two values, as constants and identities are, was drawn by nobody.
    """
    first: dict[tuple[Any, ...], list[str]] = {}
    found = []
    for name, parameter in parameters.items():
        flat = np.ravel(parameter)
        if flat.size < _FEWEST_ENTRIES:
            continue
        alike = first.setdefault((parameter.shape, *flat[:_COMPARED].tolist()), [])
        twin = next((n for n in alike if np.array_equal(parameters[n], parameter)), None)
        if twin is None:
            alike.append(name)
        elif not bool(((flat == flat.min()) | (flat == flat.max())).all()):
            found.append((twin, name))
    return found


def _stay_alike(before: Array, one: Array, other: Array) -> bool:
    """Tell whether two tensors that were equal have moved alike, but for rounding."""
    moved, apart = _wide(one) - _wide(before), _wide(one) - _wide(other)
    return _mean_square(apart) <= _ALIKE**2 * _mean_square(moved)


def _rows_and_columns(array: Array) -> tuple[Array, ...]:
    if array.ndim < 2 or array.size == 0:
        return ()
    matrix = array.reshape(array.shape[0], -1)
    return tuple(rows for rows in (matrix, matrix.T) if min(matrix.shape) > 1)


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _mean_square(array: Array) -> float:
    return float(np.mean(np.abs(array) ** 2))
