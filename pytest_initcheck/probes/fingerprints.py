"""A parameter reduced to what tells two draws apart, for frameworks whose arrays NumPy reads.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.trace import Fingerprint

_SAMPLED = 4096
"""Entries of an array that go into its fingerprint, besides its sum."""
_FEW_SAMPLED = 64
_MANY = 16


def fingerprint(name: str, array: NDArray[Any]) -> Fingerprint:
    """Return the fingerprint of an array.

    >>> fingerprint("b", np.zeros(3)).constant, fingerprint("w", np.arange(16.0)).constant
    (True, False)
    """
    flat = np.ravel(array)
    digest = hashlib.blake2b(flat[:: max(1, flat.size // _SAMPLED)].tobytes(), digest_size=16)
    wide = np.complex128 if flat.dtype.kind == "c" else np.float64
    digest.update(flat.sum(dtype=wide).tobytes())
    return Fingerprint(name, digest.hexdigest(), _draws_nothing(flat))


def _draws_nothing(flat: NDArray[Any]) -> bool:
    """Tell whether the entries have at most two values, as constants and identities do."""
    values = 2 if flat.size >= _MANY else 1  # two numbers are two values whatever drew them
    if flat.size == 0 or len(np.unique(flat[:_FEW_SAMPLED])) > values:
        return flat.size == 0
    return bool(((flat == flat.min()) | (flat == flat.max())).all())
