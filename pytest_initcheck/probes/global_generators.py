"""Python's and NumPy's global generators, which a forward pass of any framework may draw from.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def seed(value: int) -> None:
    """Seed both, so that one pass of a model draws what the next draws."""
    random.seed(value)
    np.random.seed(value % 2**32)


@contextmanager
def kept() -> Iterator[None]:
    """Put the states of both back afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
