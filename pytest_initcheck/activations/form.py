"""What an activation is: phi, phi', where they jump, and where phi stops responding.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Family = Literal[
    "linear", "rectifier", "smooth_rectifier", "self_normalising", "bounded", "periodic", "shrink"
]
"""The families of elementwise activations."""


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation function.

    * ``kinks`` are the points where phi or phi' jumps: quadrature is split there.
    * ``inactive_below``: phi' = 0 for every z at or below it; None if there is no such z.
    * ``saturated_beyond``: abs(phi') is under 5 % of its maximum where abs(z) exceeds it, for
      activations that are bounded on both sides; None for the others.
    * ``textbook_gains``: gains in use besides 1/sqrt(E phi^2), for example 5/3 for tanh.
    * ``slopes`` (below, above) of an activation that is linear on either side of 0 and 0 there.
    * ``gate``: phi(u, v) = u * gate(v) over the two halves u, v of the last axis, which it halves;
      ``derivative`` is then by both halves, in the shape of z.
    """

    name: str
    phi: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    family: Family | Literal["gated"]
    kinks: tuple[float, ...] = ()
    inactive_below: float | None = None
    saturated_beyond: float | None = None
    textbook_gains: tuple[float, ...] = ()
    slopes: tuple[float, float] | None = None
    gate: Activation | None = None


def number_text(value: float) -> str:
    """Return the shortest text that reads back as this number.

    >>> number_text(0.5), number_text(1 / 3)
    ('0.5', '0.3333333333333333')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def step(condition: NDArray[np.bool_]) -> Array:
    """Return 1.0 where the condition holds, 0.0 elsewhere."""
    return condition.astype(np.float64)
