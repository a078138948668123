"""Statistics of a tensor, with the fast reductions and nothing retained. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_initcheck.trace import Moments


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
    if x.dim() == 0:
        return x.reshape(1, 1)
    if x.shape[0] != batch:
        if x.dim() > 1 and x.shape[1] == batch:
            x = x.transpose(0, 1)
        elif x.shape[0] % batch == 0 and x.shape[0] > 0:
            return x.reshape(batch, -1)
    return x.reshape(x.shape[0], -1)


def moments(x: Tensor, batch: int) -> Moments:
    """Return the moments of a floating tensor; the mean over the batch is taken out first.

    So a large common mean does not destroy the variance (principles.md 5).
    """
    if x.layout != torch.strided:
        # only the stored values are looked at: a graph's dense matrix would not fit
        x = x.detach().coalesce().values() if x.is_sparse else x.detach().values()
        batch = max(len(x), 1)
    rows = samples_first(plain(x), batch)
    count = rows.numel()
    if count == 0:
        return Moments(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    unit_mean = rows.sum(0) / rows.shape[0]
    deviation = (rows - unit_mean).reshape(-1)
    centred = float(torch.dot(deviation, deviation)) / count
    common = float(torch.dot(unit_mean, unit_mean)) / unit_mean.numel()
    low, high = (float(value) for value in torch.aminmax(rows))
    if not math.isfinite(centred + common + low + high):
        return _exact(rows)
    return Moments(count, float(unit_mean.mean()), centred + common, centred, low, high, 0)


def _exact(rows: Tensor) -> Moments:
    """Count what is not finite; squares that overflow float32 alone are no such thing."""
    finite = torch.isfinite(rows)
    bad = int((~finite).sum())
    wide = rows.double()
    if bad:
        wide = wide[finite]
        if wide.numel() == 0:
            return Moments(rows.numel(), math.nan, math.nan, math.nan, math.nan, math.nan, bad)
        second = float((wide * wide).mean())
        low, high = float(wide.min()), float(wide.max())
        return Moments(rows.numel(), float(wide.mean()), second, math.nan, low, high, bad)
    second = float((wide * wide).mean())
    variance = float(wide.var(0, correction=0).mean())
    return Moments(
        rows.numel(), float(wide.mean()), second, variance, float(wide.min()), float(wide.max()), 0
    )


def saturated_share(z: Tensor, beyond: float) -> float:
    """Return the share of pre-activations with abs(z) > beyond."""
    return float((plain(z).abs() > beyond).to(torch.float32).mean())


def dead_units(y: Tensor, unit_axis: int) -> tuple[int, int]:
    """Return (dead, units): units along the axis whose output is zero everywhere else."""
    if y.dim() < 2 or y.layout != torch.strided:
        return 0, 0
    values = plain(y)
    others = [axis for axis in range(values.dim()) if axis != unit_axis % values.dim()]
    alive = (values.amax(others) != 0) | (values.amin(others) != 0)
    return int(alive.numel()) - int(alive.sum()), int(alive.numel())
