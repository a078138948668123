"""The product of the vocabulary, in numpy. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Axes = tuple[tuple[int, ...], tuple[int, ...]]


def contracted(left: Array, right: Array, contract: Axes, batch: Axes = ((), ())) -> Array:
    """Return the product: batch axes, the free axes of the left operand, then those of the right.

    >>> contracted(np.ones((2, 3, 4)), np.ones((5, 2, 4)), ((2,), (2,)), ((0,), (1,))).shape
    (2, 3, 5)
    """
    if batch == ((), ()):
        last = contract == ((left.ndim - 1,), (0,))
        return (
            left @ right
            if last and right.ndim <= 2
            else np.asarray(_paired(left, right, contract, batch))
        )
    return _paired(left, right, contract, batch)


def free_axes(ndim: int, contract: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(ndim) if axis not in contract and axis not in batch)


def _paired(left: Array, right: Array, contract: Axes, batch: Axes) -> Array:
    ours = free_axes(left.ndim, contract[0], batch[0])
    theirs = free_axes(right.ndim, contract[1], batch[1])
    stacked = tuple(left.shape[axis] for axis in batch[0])
    length = math.prod(left.shape[axis] for axis in contract[0])
    rows = left.transpose((*batch[0], *ours, *contract[0]))
    columns = right.transpose((*batch[1], *contract[1], *theirs))
    outer = tuple(left.shape[axis] for axis in ours), tuple(right.shape[axis] for axis in theirs)
    rows = rows.reshape((*stacked, math.prod(outer[0]), length))
    columns = columns.reshape((*stacked, length, math.prod(outer[1])))
    return np.asarray(np.matmul(rows, columns)).reshape((*stacked, *outer[0], *outer[1]))
