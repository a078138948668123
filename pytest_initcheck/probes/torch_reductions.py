"""Statistics of a tensor, with the fast reductions and nothing retained. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_initcheck.trace import HISTOGRAM_BINS, HISTOGRAM_VALUES, Histogram, Moments

_ROW = 2**12
"""Squares summed at once: sums of many more lose digits (of 2^24 in float32 three or four)."""
_COMMON = 1 - 2**-5
"""The share of the second moment, common to all samples, from which rounding shows in the rest."""
_PART = 2**18
_TINY = 1e-30
"""Squares below this are rounded to few digits in float32."""
_POSITIONS = 64
"""Fewer in a row are reduced slowly."""


def plain(x: Tensor) -> Tensor:
    """Return the tensor detached, real, and in a precision whose squares do not overflow."""
    x = x.detach()
    if x.is_sparse:
        x = x.coalesce().values()  # a sparse gradient: what is not stored is zero
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    return x.float() if x.is_floating_point() and x.dtype.itemsize < 4 else x


def samples_first(x: Tensor, batch: int) -> Tensor:
    """Return the values as (batch, everything else).

    Time-first and flattened (batch * time, features) layouts are brought back to it.
    """
    if x.dim() == 0 or x.numel() == 0:
        return x.reshape(1, -1)
    if x.shape[0] != batch:
        if x.dim() > 1 and x.shape[1] == batch:
            x = x.transpose(0, 1)
        elif x.shape[0] % batch == 0 and x.shape[0] > 0:
            return x.reshape(batch, -1)
    return x.reshape(x.shape[0], -1)


def moments(x: Tensor, batch: int) -> Moments:
    """Return the moments of a floating tensor, with the fewest passes over it that keep their digits.

    Where the common mean is large it is taken out before squares are summed, so that it does not
    destroy the variance (principles.md 5).
    """
    if x.layout != torch.strided:
        # only the stored values are looked at: a graph's dense matrix would not fit
        x = x.detach().coalesce().values() if x.is_sparse else x.detach().values()
        batch = max(len(x), 1)
    rows = samples_first(plain(x), batch)
    if rows.numel() == 0:
        return Moments(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    found = _reduced(rows)
    if math.isfinite(found.second_moment) and (found.second_moment > _TINY or found.low == found.high):
        return found
    return _exact(rows)


def sum_of_squares(flat: Tensor) -> float:
    """Return the sum of squares of a flat tensor."""
    whole = flat.numel() // _ROW * _ROW
    if not whole:
        return float(torch.dot(flat, flat))
    norms = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1)
    rest = flat[whole:]
    return float(torch.dot(norms, norms)) + (float(torch.dot(rest, rest)) if len(rest) else 0.0)


def mean_square(y: Tensor) -> float:
    """Return the mean of abs(y)^2; it is not finite where a value is not."""
    flat = plain(y).reshape(-1)
    total = sum_of_squares(flat)
    if not _TINY * y.numel() < total < math.inf:
        total = float((flat.double() ** 2).sum())
    return total / y.numel() if y.numel() else math.nan


def _reduced(rows: Tensor) -> Moments:
    """Return the moments of what is finite; the second moment of anything else is not finite."""
    flat = rows.reshape(-1)
    rows = flat.view(rows.shape)  # the copy, where one had to be made
    samples, count = rows.shape[0], flat.numel()
    second = sum_of_squares(flat) / count
    low, high = float(flat.amin()), float(flat.amax())  # both at once are slower
    sums = rows.sum(0)
    mean = float(sums.sum()) / count
    if samples == 1:
        return Moments(count, mean, second, 0.0, low, high, 0)
    common = sum_of_squares(sums) / (count * samples)
    if common <= _COMMON * second:
        return Moments(count, mean, second, second - common, low, high, 0)
    centred = sum_of_squares((rows - sums / samples).reshape(-1)) / count
    return Moments(count, mean, centred + common, centred, low, high, 0)


def _exact(rows: Tensor) -> Moments:
    """Count what is not finite; squares that overflow float32 alone are no such thing."""
    wide = rows.double()
    finite = torch.isfinite(wide)
    bad = int((~finite).sum())
    if not bad:
        return _reduced(wide)
    wide = wide[finite]
    if wide.numel() == 0:
        return Moments(rows.numel(), math.nan, math.nan, math.nan, math.nan, math.nan, bad)
    second, low, high = float((wide * wide).mean()), float(wide.min()), float(wide.max())
    return Moments(rows.numel(), float(wide.mean()), second, math.nan, low, high, bad)


def saturated_share(z: Tensor, beyond: float) -> float:
    """Return the share of pre-activations with abs(z) > beyond."""
    flat = plain(z).reshape(-1)
    # compared in place: a tensor of bools is far slower to sum; and by parts, which stay in the cache
    past = sum(float(part.abs().gt_(beyond).sum()) for part in flat.split(_PART))
    return past / flat.numel() if flat.numel() else math.nan


def histogram(z: Tensor) -> Histogram | None:
    """Return the histogram of what is finite, None where nothing is."""
    if z.layout != torch.strided:
        return None
    flat = plain(z).reshape(-1)
    # on the CPU: a device's own histogram is not deterministic
    flat = flat[:: math.ceil(flat.numel() / HISTOGRAM_VALUES) or 1].cpu().double()
    flat = flat[torch.isfinite(flat)]
    if flat.numel() == 0:
        return None
    low, high = float(flat.amin()), float(flat.amax())
    # where all values are equal histc widens the range as numpy does
    counts = torch.histc(flat, HISTOGRAM_BINS, low - 0.5 * (low == high), high + 0.5 * (low == high))
    return Histogram(tuple(int(count) for count in counts.tolist()), low, high)


@dataclass(frozen=True, slots=True)
class PreActivations:
    """What is measured of an activation's argument, before the activation may write over it."""

    saturated: float | None = None
    histogram: Histogram | None = None


def pre_activations(z: Tensor, beyond: float | None, *, histograms: bool) -> PreActivations:
    """Measure the share with abs(z) > beyond, unless that is None, and the histogram if asked for."""
    return PreActivations(
        None if beyond is None else saturated_share(z, beyond), histogram(z) if histograms else None
    )


def dead_units(y: Tensor, unit_axis: int, *, non_negative: bool) -> tuple[int, int]:
    """Return (dead, units): units along the axis whose output is zero everywhere else."""
    if y.dim() < 2 or y.layout != torch.strided or y.numel() == 0:
        return 0, 0
    values = plain(y)
    alive = _over_others(values, unit_axis, torch.amax) != 0
    if not non_negative:
        alive |= _over_others(values, unit_axis, torch.amin) != 0
    return int(alive.numel()) - int(alive.sum()), int(alive.numel())


def _over_others(values: Tensor, axis: int, extreme: Callable[..., Tensor]) -> Tensor:
    axis %= values.dim()
    if 0 < axis < values.dim() - 1 and math.prod(values.shape[axis + 1 :]) < _POSITIONS:
        # along a few positions reductions are slow, over the samples they are not
        values = extreme(values, 0, keepdim=True)
    return extreme(values, [other for other in range(values.dim()) if other != axis])


def wholly_zero(y: Tensor) -> bool:
    """Tell whether all units are dead; the first sample mostly shows that they are not."""
    if y.dim() < 2 or y.layout != torch.strided or y.numel() == 0:
        return False
    values = plain(y)
    return all(float(part.amax()) == 0 and float(part.amin()) == 0 for part in (values[:1], values))
