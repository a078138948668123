"""The random readouts of the output, and noise: one draw for one seed, whatever the framework.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def standard_normal(rng: np.random.Generator, shape: tuple[int, ...], units: int = -1) -> Array:
    """Draw N(0, 1) in float32; channel-first and channel-last layouts get the same numbers.

    * ``units`` is the axis of the units or channels.

    >>> last = standard_normal(np.random.default_rng(0), (2, 4, 4, 3))
    >>> first = standard_normal(np.random.default_rng(0), (2, 3, 4, 4), units=1)
    >>> bool((np.moveaxis(first, 1, -1) == last).all())
    True
    """
    if len(shape) < 2:
        return rng.standard_normal(shape, dtype=np.float32)
    axis = units % len(shape)
    last = (*shape[:axis], *shape[axis + 1 :], shape[axis])
    return np.moveaxis(rng.standard_normal(last, dtype=np.float32), -1, axis)


def readouts(shape: tuple[int, ...], seed: int, units: int = -1) -> tuple[Array, Array, int]:
    """Return the cotangents of principles.md R8 (difference, common) and samples * positions.

    Both have norm 1 and the shape of the logits, samples first.
    """
    rng = np.random.default_rng(seed)
    difference = standard_normal(rng, shape, units).astype(np.float64)
    difference -= difference.mean(0, keepdims=True)
    difference /= np.linalg.norm(difference)
    if len(shape) < 2:
        return difference, np.full(shape, 1 / math.sqrt(math.prod(shape))), math.prod(shape)
    axis = units % len(shape)
    alone = [1] * len(shape)
    alone[axis] = shape[axis]
    direction = rng.standard_normal(shape[axis], dtype=np.float32).astype(np.float64)
    positions = math.prod(shape) // shape[axis]
    direction /= math.sqrt(positions) * np.linalg.norm(direction)
    return difference, np.broadcast_to(direction.reshape(alone), shape), positions
