"""Two measurements compared, with a message that says which and where. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_initcheck.trace import Moments

TOLERANCE = 1e-5
"""Relative: float32 sums of a few hundred terms are off by 1e-6 or so."""
NOTHING = 1e-10
"""What float32 leaves of a gradient that is zero, squared and relative to the whole."""


class Disagreement(AssertionError):
    """A probe does not say what the reference says."""


def require(holds: object, message: str) -> None:
    """Raise Disagreement unless it holds."""
    if not holds:
        raise Disagreement(message)


def same(where: str, found: object, wanted: object) -> None:
    """Require equality."""
    require(found == wanted, f"{where}: {found!r}, the reference has {wanted!r}")


def close(
    where: str, found: float, wanted: float, scale: float = 0.0, tolerance: float = TOLERANCE
) -> None:
    """Require agreement relative to the wanted number, or to a larger scale."""
    allowed = tolerance * max(abs(wanted), scale)
    near = abs(found - wanted) <= allowed or (math.isnan(found) and math.isnan(wanted))
    require(near, f"{where}: {found:.9g}, the reference has {wanted:.9g}")


def same_moments(where: str, found: Moments | None, wanted: Moments) -> None:
    """Require the moments to agree, means and extremes relative to the values' size."""
    if found is None:
        raise Disagreement(f"{where}: nothing was measured")
    size = math.sqrt(wanted.second_moment)
    same(f"{where}, count", found.count, wanted.count)
    same(f"{where}, non-finite values", found.non_finite, wanted.non_finite)
    close(f"{where}, second moment", found.second_moment, wanted.second_moment)
    close(f"{where}, mean", found.mean, wanted.mean, size)
    variance = found.batch_variance, wanted.batch_variance
    close(f"{where}, variance over the batch", *variance, wanted.second_moment)
    close(f"{where}, smallest value", found.low, wanted.low, size)
    close(f"{where}, largest value", found.high, wanted.high, size)


def equal(one: Any, other: Any) -> bool:
    """Tell whether two measurements are equal to the last bit, NaN being equal to NaN.

    >>> equal((1, float("nan")), (1, float("nan")))
    True
    """
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(equal, one, other))
    if hasattr(one, "__dataclass_fields__") and type(one) is type(other):
        return all(equal(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (np.isnan(one) and np.isnan(other))
    return bool(one == other)
