"""Blocks of a matrix that are copies of each other. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEWEST_ENTRIES = 16
"""Smaller blocks may be equal by luck where weights are quantised, or on purpose."""
_COMPARED = 8


def copies(matrix: NDArray[Any]) -> int:
    """Return into how many equal, contiguous blocks of rows or of columns a matrix falls, 1 if none.

    A block has at least two rows that differ from each other, so constants, zeros and channels that
    are repeated one by one (Aitken et al. 2017, sub-pixel convolutions) are no copies.  Nor is a block
    of two values, as identities are: nobody drew it, so no seed was used twice.

    >>> shard = np.random.default_rng(0).normal(size=(8, 4))
    >>> copies(np.concatenate([shard, shard])), copies(np.repeat(shard, 2, axis=0)), copies(shard)
    (2, 1, 1)
    >>> copies(np.concatenate([np.eye(8), np.eye(8)]))
    1
    """
    rows = matrix.reshape(len(matrix), -1) if matrix.ndim > 1 else matrix.reshape(1, -1)
    return max(_along(rows), _along(rows.T))


def _along(rows: NDArray[Any]) -> int:
    count = len(rows)
    if count < 4:
        return 1
    like_first = np.flatnonzero((rows[1:, :_COMPARED] == rows[0, :_COMPARED]).all(axis=1)) + 1
    for size in like_first:
        block = rows[:size]
        if count % size or size < 2 or block.size < _FEWEST_ENTRIES or (block == block[0]).all():
            continue
        if (rows.reshape(count // size, size, -1) == block).all():
            return 1 if _of_two_values(block) else int(count // size)
    return 1


def _of_two_values(block: NDArray[Any]) -> bool:
    return bool(((block == block.min()) | (block == block.max())).all())
