"""Expectations under one and two Gaussians, by Gauss-Legendre panels split where functions turn.

Plain Gauss-Hermite is off by up to 0.1 at kinks (principles.md 1.1).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from pytest_initcheck.activations import Array

Function = Callable[[Array], Array]

_ORDER = 16
_LEVELS = 48
_CLOSE = 1e-13
"""A panel is halved until that changes the integral by less than this share of the integral of
the absolute value."""
_MOST_PANELS = 8192
_REACH = 38.0
"""The normal density is zero in float64 beyond it."""
_NEGLIGIBLE = 16.0
"""Deviations beyond which a phi that overflows, as exp(u) / (1 + exp(u)) does, counts as nothing."""
_PAIR_REACH = 12.0
_TINY = 1e-6
_LEAST = 1e-280
"""A variance below it is 0: its reciprocal would overflow."""
_DEVIATIONS = (1.5, 3.0, 5.0, 7.0, 9.0, 12.0, 20.0, _REACH)
_INNER = np.array([-12, -8, -5, -3, -1.5, 0, 1.5, 3, 5, 8, 12])
_NEAR_A_KINK = np.array([0, 0.5, 1.5, 4, 9, 20])


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    return (np.asarray(nodes) + 1) / 2, np.asarray(weights) / 2


def _sums(function: Function, low: Array, high: Array) -> tuple[Array, Array]:
    """The integrals of the function and of its absolute value over each panel [low, high]."""
    nodes, weights = _legendre()
    width = high - low
    values = function(low[:, None] + width[:, None] * nodes)
    return np.asarray(values @ weights * width), np.asarray(np.abs(values) @ weights * width)


def integral(function: Function, edges: Array) -> float:
    """Return the integral of ``function`` from the first to the last edge; panels halve where needed.

    * ``edges`` are ascending; ``function`` is smooth between them, or turns out not to be.

    >>> round(integral(np.abs, np.array([-1.0, 2.0])), 12)
    2.5
    """
    low, high = edges[:-1], edges[1:]
    whole, sizes = _sums(function, low, high)
    done, size = 0.0, float(sizes.sum())
    for _ in range(_LEVELS):
        middle = (low + high) / 2
        left, right = _sums(function, low, middle)[0], _sums(function, middle, high)[0]
        halves = left + right
        # what overflows does so however fine the panels are
        close = (np.abs(halves - whole) <= _CLOSE * size) | ~np.isfinite(halves)
        done += float(halves[close].sum())
        far = ~close
        if not far.any():
            return done
        low, high = np.concatenate([low[far], middle[far]]), np.concatenate([middle[far], high[far]])
        whole = np.concatenate([left[far], right[far]])
        if len(low) > _MOST_PANELS:
            break
    return done + float(whole.sum())


def _around(centres: Iterable[float], furthest: float) -> list[float]:
    """Each centre, and points whose distances from it double from 1 on.

    An activation turns within a few units of 0 and of its kinks, and is near its asymptotes beyond.
    """
    distances = [2.0**k for k in range(max(0, math.ceil(math.log2(max(2 * furthest, 1)))))]
    return [centre + side * d for centre in centres for d in (0.0, *distances) for side in (-1, 1)]


@lru_cache(maxsize=1024)
def _edges(q: float, kinks: tuple[float, ...], reach: float) -> Array:
    sigma = math.sqrt(q)
    furthest = reach * sigma
    cuts = [side * d * sigma for d in _DEVIATIONS if d <= reach for side in (-1, 1)]
    cuts += _around((0.0, *kinks), furthest)
    return np.unique([cut for cut in cuts if abs(cut) <= furthest])


def gaussian_mean(function: Function, q: float = 1.0, kinks: Iterable[float] = ()) -> float:
    """Return E[function(u)] for u ~ N(0, q); relative accuracy about 1e-12.

    * ``kinks`` are the arguments of ``function`` at which it or its slope jumps; one that is not
      told costs time.

    >>> round(gaussian_mean(lambda u: u**2, q=3.0), 12)
    3.0
    """
    if not q >= 0:
        raise ValueError(f"a variance is not negative, got q={q:g}; give E[z^2]")
    if q < _LEAST:
        return float(function(np.zeros(1))[0])
    scale = 1 / math.sqrt(2 * math.pi * q)

    def weighted(u: Array) -> Array:
        values = function(u) * (scale * np.exp(-u * u / (2 * q)))
        lost = ~np.isfinite(values) & (u * u > _NEGLIGIBLE**2 * q)
        return np.asarray(np.where(lost, 0.0, values))

    with np.errstate(all="ignore"):
        return integral(weighted, _edges(float(q), tuple(kinks), _REACH))


def gaussian_pair_mean(
    first: Function,
    second: Function,
    q: float,
    c: float,
    kinks: Iterable[float] = (),
) -> float:
    """Return E[first(u1) second(u2)] for Gaussians of variance q that correlate by c.

    * ``kinks`` are those of both functions.

    The mean of ``second`` given u1 is taken on panels split at its kinks; over u1 it turns within
    sqrt(q (1 - c^2)) of them, where the outer panels are refined.

    >>> round(gaussian_pair_mean(np.sign, np.sign, 1.0, 0.5, (0.0,)), 12)  # (2/pi) asin(c)
    0.333333333333
    """
    if not -1 <= c <= 1:
        raise ValueError(f"a correlation lies between -1 and 1, got {c:g}; clip it")
    kinks = tuple(kinks)
    if c == 0:
        left = gaussian_mean(first, q, kinks)
        return left * (left if first is second else gaussian_mean(second, q, kinks))
    if abs(c) == 1 or q < _LEAST:
        sides = (*kinks, *(-kink for kink in kinks))
        return gaussian_mean(lambda u: np.asarray(first(u) * second(c * u)), q, sides)
    noise = math.sqrt(q * (1 - c) * (1 + c))
    turns = [point + side * d * noise for point in kinks for d in _NEAR_A_KINK for side in (-1, 1)]
    outer = _edges(float(q), kinks, _PAIR_REACH)
    # u1 comes as far as kink / c only where c is not tiny
    here = turns + [turn / c for turn in turns if abs(c) > _TINY]
    edges = np.unique(np.concatenate([outer, [cut for cut in here if abs(cut) < outer[-1]]]))
    fixed = np.unique(_around((0.0, *kinks), _PAIR_REACH * math.sqrt(q)))
    scale = 1 / math.sqrt(2 * math.pi * q)

    def weighted(u: Array) -> Array:
        density = scale * np.exp(-u * u / (2 * q))
        return np.asarray(first(u) * density * _smoothed(second, c * u, noise, fixed))

    with np.errstate(all="ignore"):
        return integral(weighted, edges)


def _smoothed(function: Function, centres: Array, noise: float, fixed: Array) -> Array:
    """E[function(m + noise z)] for each centre m; panels are split at the points ``fixed``."""
    m = centres.ravel()
    reach = _INNER[-1] * noise
    inside = fixed[(fixed > m.min() - reach) & (fixed < m.max() + reach)]
    cuts = np.concatenate(
        [m[:, None] + noise * _INNER, np.broadcast_to(inside, (len(m), len(inside)))], axis=1
    )
    cuts = np.sort(np.clip(cuts, (m - reach)[:, None], (m + reach)[:, None]), axis=1)
    rows, columns = np.nonzero(np.diff(cuts, axis=1) > 0)
    low, width = cuts[rows, columns], cuts[rows, columns + 1] - cuts[rows, columns]
    nodes, weights = _legendre()
    points = low[:, None] + width[:, None] * nodes
    z = (points - m[rows, None]) / noise
    values = function(points) * np.exp(-0.5 * z * z)
    parts = values @ weights * width / (noise * math.sqrt(2 * math.pi))
    sums: Array = np.bincount(rows, weights=parts, minlength=len(m)).astype(np.float64)
    return sums.reshape(centres.shape)
