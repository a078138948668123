"""The axes of one value: which of them are the samples and the units. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SAMPLES = 0
"""The atom that the samples are."""

Atom = tuple[int, int]
"""Which, and how long."""
Axis = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The atoms of each axis, and which axes together are the units."""

    axes: tuple[Axis, ...]
    units: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size_of(axis) for axis in self.axes)

    @property
    def samples(self) -> int | None:
        """The axis that is the samples and nothing else, or None."""
        found = [k for k, axis in enumerate(self.axes) if [atom for atom, _ in axis] == [SAMPLES]]
        return found[0] if found else None

    @property
    def has_samples(self) -> bool:
        return any(atom == SAMPLES for axis in self.axes for atom, _ in axis)

    def told(self) -> Layout:
        """Return the layout with its units said, where nothing told: the last axis that is no sample."""
        rest = [k for k, axis in enumerate(self.axes) if axis and k != self.samples]
        if self.units or not rest:
            return self
        return Layout(self.axes, (rest[-1],))

    @property
    def width(self) -> int:
        """How many units there are."""
        return math.prod(size_of(self.axes[k]) for k in self.units)

    def rows(self, value: Array, batch: int) -> Array:
        """Return the values as (batch, everything else)."""
        atoms = [atom for axis in self.axes for atom in axis]
        sizes = [size for _, size in atoms]
        if (SAMPLES, batch) in atoms and math.prod(sizes) == value.size:
            at = [atom for atom, _ in atoms].index(SAMPLES)
            return np.moveaxis(value.reshape(sizes), at, 0).reshape(batch, -1)
        return _rows(value, batch)

    def first(self, value: Array) -> Array:
        """Return the value with its samples on the first axis, where they have an axis of their own."""
        return value if self.samples is None else np.moveaxis(value, self.samples, 0)

    def back(self, value: Array) -> Array:
        """Undo :meth:`first`."""
        return value if self.samples is None else np.moveaxis(value, 0, self.samples)

    @property
    def first_shape(self) -> tuple[int, ...]:
        order = [self.samples] if self.samples is not None else []
        order += [k for k in range(len(self.axes)) if k not in order]
        return tuple(self.shape[k] for k in order)

    @property
    def first_units(self) -> int:
        """The axis of the units once the samples are first, the last one of several."""
        if not self.units:
            return -1
        unit = self.units[-1]
        return unit + 1 if self.samples is not None and unit < self.samples else unit


def _rows(value: Array, batch: int) -> Array:
    """Tell the samples by their number alone: first, or second, or flattened with what follows."""
    if value.ndim == 0 or value.size == 0:
        return value.reshape(1, -1)
    if value.shape[0] != batch:
        if value.ndim > 1 and value.shape[1] == batch:
            value = np.moveaxis(value, 1, 0)
        elif value.shape[0] % batch == 0:
            return value.reshape(batch, -1)
    return value.reshape(value.shape[0], -1)


def size_of(axis: Axis) -> int:
    return math.prod(size for _, size in axis)
