"""Where the units of a tensor are after it was moved or viewed. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def moved_axis(op: str, args: Any, axis: int, dimensions: int) -> int:
    """Return the unit axis after a permute, transpose or t."""
    axis %= max(dimensions, 1)
    if op == "t":
        return 1 - axis if dimensions == 2 else axis
    if op == "permute":
        return [d % dimensions for d in args[1]].index(axis)
    first, second = args[1] % dimensions, args[2] % dimensions
    moved: int = {first: second, second: first}.get(axis, axis)
    return moved


def viewed_axis(before: Tensor, after: Tensor, axis: int) -> int:
    """Return the unit axis after a view: the last stays last, else the axis of the same length."""
    if after.dim() == 0 or before.dim() == 0:
        return -1
    if axis % before.dim() == before.dim() - 1:
        return -1
    units = before.shape[axis]
    if after.dim() > 1 and after.shape[1] == units:
        return 1
    return -1
