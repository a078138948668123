"""Gradients of a function that no trace follows, from how its output changes along directions.

The function reads arrays that are written to for a while. Along v the output changes by (g . v), and
(g . v) v is a step downhill for every v, g on average for v ~ N(0, I) (Baydin et al. 2022, 3.1).
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes import steps
from pytest_initcheck.probes.readouts import readouts, standard_normal
from pytest_initcheck.trace import GradientEvidence, Training

Array = NDArray[Any]
_DIRECTIONS = 8
_OF_TWINS = 4
_COMPARED = 3
_ALIKE = 0.01
"""Changes that differ by less than this share are one change: sums round differently."""


def directional(
    forward: Callable[[], Array],
    weights: list[Array],
    biases: list[Array],
    output: Array,
    seed: int,
) -> GradientEvidence:
    """Estimate both squared gradients from random directions: E_v (g . v)^2 = |g|^2, v ~ N(0, I)."""
    difference, common, positions = readouts(output.shape, seed)
    rng = np.random.default_rng(seed + 1)
    squared = np.zeros((2, 2))
    for row, group in enumerate((weights, biases)):
        for _ in range(_DIRECTIONS if group else 0):
            slope = _slope(forward, group, rng)
            squared[row] += np.array([np.sum(slope * difference), np.sum(slope * common)]) ** 2
    squared /= _DIRECTIONS
    bad = () if np.isfinite(squared).all() else ("output",)
    alive = int(squared[0, 0] > 0) * len(weights)
    common_total = float(squared[:, 1].sum()) / positions
    return GradientEvidence(float(squared[0, 0]), common_total, alive, len(weights), bad, math.nan)


def training(forward: Callable[[], Array], arrays: Mapping[str, Array], seed: int) -> Training | None:
    """Take normalised steps down a random linear loss, a direction at a time (principles.md R2, R3).

    * ``arrays`` are what the function reads: they hold the values tried while it runs, and afterwards
      what they held before.
    """
    twins = {name for pair in steps.twins(arrays) for name in pair}
    exchangeable = any(map(steps.equal_rows, arrays.values()))
    original = {name: array.copy() for name, array in arrays.items()}

    def gradients(at: Mapping[str, Array]) -> dict[str, Array]:
        with _holding(arrays, at):
            start = np.asarray(forward(), dtype=np.float64)
            readout = standard_normal(np.random.default_rng(seed), start.shape) / math.sqrt(start.size)
            found = {}
            for name, array in arrays.items():
                along = _Along(forward, array, start)
                step = _of_equal_rows(along, readout, seed) if exchangeable else None
                found[name] = _estimate(along, readout, seed, name in twins) if step is None else step
            return found

    return steps.training(original, frozenset(), gradients)


@dataclass(frozen=True)
class _Along:
    """How the output changes where one array is moved."""

    forward: Callable[[], Array]
    array: Array
    start: Array

    def change(self, direction: Array) -> Array:
        before = self.array.copy()
        try:
            self.array[...] = before + _step([before]) * direction
            return np.asarray(self.forward(), dtype=np.float64) - self.start
        finally:
            self.array[...] = before


def _estimate(along: _Along, readout: Array, seed: int, twin: bool) -> Array:
    """Return a step uphill: zero where the output does not change."""
    # tensors of one shape move along the same directions: twins with equal gradients stay twins
    rng = np.random.default_rng([seed, *along.array.shape])
    found = np.zeros(along.array.shape)
    for _ in range(_OF_TWINS if twin else 1):
        direction = rng.standard_normal(along.array.shape)
        found += float(np.sum(along.change(direction) * readout)) * direction
    return found


def _of_equal_rows(along: _Along, readout: Array, seed: int) -> Array | None:
    """Return a step of equal rows, columns or entries where moving one has the effect of moving another.

    Then any loss has equal gradients for them.  A few stand for all.
    """
    shape = along.array.shape
    for turned in (False, True) if shape else ():
        rows = along.array.reshape(shape[0], -1)
        rows = rows.T if turned else rows
        if len(rows) < 2 or not bool((rows == rows[:1]).all()):
            continue
        line = np.random.default_rng([seed, turned]).standard_normal(rows.shape[1])
        chosen = np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows))).astype(int)
        changes = (along.change(_in_row(line, row, len(rows), turned, shape)) for row in chosen)
        first = next(changes)
        size = float(np.linalg.norm(first))
        if size > 0 and all(np.linalg.norm(change - first) <= _ALIKE * size for change in changes):
            every = np.broadcast_to(float(np.sum(first * readout)) * line, rows.shape)
            return np.array(every.T if turned else every).reshape(shape)
    return None


def _in_row(line: Array, row: int, rows: int, turned: bool, shape: tuple[int, ...]) -> Array:
    direction = np.zeros((rows, len(line)))
    direction[row] = line
    return (direction.T if turned else direction).reshape(shape)


def _slope(forward: Callable[[], Array], group: list[Array], rng: np.random.Generator) -> Array:
    """Return dy along a random direction in these arrays, by a central difference."""
    names = {str(index): array for index, array in enumerate(group)}
    saved = {name: array.copy() for name, array in names.items()}
    step = _step(group)
    direction = {name: rng.standard_normal(array.shape) for name, array in names.items()}
    outputs = []
    for sign in (1, -1):
        moved = {name: saved[name] + sign * step * direction[name] for name in names}
        with _holding(names, moved):
            outputs.append(np.asarray(forward(), dtype=np.float64))
    return np.asarray((outputs[0] - outputs[1]) / (2 * step))


def _step(group: Sequence[Array]) -> float:
    """Return the size of a difference, by the arrays' scale and precision."""
    single = any(array.dtype.itemsize < 8 for array in group)
    scale = math.sqrt(np.mean([float(np.mean(array.astype(np.float64) ** 2)) for array in group])) or 1.0
    return scale * (1e-2 if single else 1e-4)


@contextmanager
def _holding(arrays: Mapping[str, Array], values: Mapping[str, Array]) -> Iterator[None]:
    saved = {name: array.copy() for name, array in arrays.items()}
    try:
        for name, array in arrays.items():
            array[...] = values[name]
        yield
    finally:
        for name, array in arrays.items():
            array[...] = saved[name]
