"""TensorFlow's own global seed, which ``tf.random`` draws by. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.eager import context


def seed(value: int) -> None:
    tf.random.set_seed(value)


@contextmanager
def seeds_kept() -> Iterator[None]:
    """Put the global seed back, and how far the seeds of single operations have come.

    How often an operation with a ``seed=`` of its own was drawn is known to its kernel alone: it starts
    anew, as after ``tf.random.set_seed``.
    """
    seed = context.global_seed()
    # TensorFlow shows it to nobody, and has none before a first seed
    operations = getattr(context.context(), "_rng", None)
    reached = None if operations is None else operations.getstate()
    try:
        yield
    finally:
        tf.random.set_seed(seed)
        if reached is not None:
            context.context()._rng.setstate(reached)
