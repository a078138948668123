"""Matrices with orthonormal rows or columns: draws, and telling them from others. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import numpy as np

from pytest_initcheck.activations import Array

_ROUNDING = 1e-3
"""Largest error of a Gram matrix, relative to its diagonal, that single or half precision explains."""


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Return a Haar-distributed matrix with orthonormal rows or columns, whichever are the fewer.

    QR with the signs of R's diagonal taken out (Mezzadri 2007): without it the draw is biased.

    >>> q = orthonormal(np.random.default_rng(0), 2, 4)
    >>> np.allclose(q @ q.T, np.eye(2))
    True
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(q if rows >= columns else q.T)


def is_orthogonal(matrix: Array) -> bool:
    """Tell whether the rows or columns, whichever are the fewer, are orthogonal and equally long."""
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    # a sample of rows decides it as surely, at a bounded cost
    gram = (rows := short[:512]) @ rows.T
    length = float(np.trace(gram)) / len(gram)
    return length > 0 and bool(np.abs(gram - length * np.eye(len(gram))).max() < _ROUNDING * length)
