"""Where a function of one variable jumps, and its derivative between the jumps.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from pytest_initcheck.activations.form import Array

REACH = 20.0
"""A function is searched for kinks, and interpolated, on [-REACH, REACH]."""
_CELLS = 6400
_SUSPICIOUS = 4.0
_BISECTIONS = 44
_JUMP = 1e-5
_DEGREE = 24
_NARROWEST = 1e-6
_CONVERGED = 1e-13
_NOISE = 4e-16
_ROUNDING = 2e-15
_MOST_PANELS = 4000
_STENCIL = 0.05


def find_kinks(phi: Callable[[Array], Array]) -> tuple[float, ...]:
    """Return the points of [-20, 20] where phi or its slope jumps, to about 1e-10.

    Across a cell of width h a smooth function bends by h^2, a kink by h and a jump by 1: cells that
    bend more than their neighbours are bisected, and what still bends like a kink is one.

    >>> [round(kink, 9) for kink in find_kinks(lambda z: np.clip(z, -0.3, np.pi))]
    [-0.3, 3.141592654]
    """
    # an odd offset keeps the usual kinks (0, 1, 3) off the grid
    z = np.linspace(-REACH - 0.00317, REACH + 0.00291, _CELLS + 1)
    bend = np.abs(np.diff(phi(z), 2))
    scale = max(float(np.abs(phi(z)).max()), 1e-300)
    neighbours = np.lib.stride_tricks.sliding_window_view(np.pad(bend, 6, mode="reflect"), 13)
    usual = np.median(neighbours, axis=1)
    width = z[1] - z[0]
    suspects = np.flatnonzero(bend > _SUSPICIOUS * usual + 1e-9 * width * scale)
    found: list[float] = []
    for group in np.split(suspects, np.flatnonzero(np.diff(suspects) > 1) + 1):
        if len(group):
            found.extend(_bisected(phi, float(z[group[0]]), float(z[group[-1] + 2]), scale))
    kept: list[float] = []
    for kink in sorted(found):
        if not kept or kink - kept[-1] > 1e-7:
            kept.append(kink)
    return tuple(kept)


def _bisected(phi: Callable[[Array], Array], low: float, high: float, scale: float) -> list[float]:
    """The kink within (low, high) if there is one: the half that bends more holds it."""
    for _ in range(_BISECTIONS):
        width = high - low
        if width < 1e-11:
            break
        # halves that overlap, so that a kink on an edge is inside one of them
        starts = low + width * np.array([0.0, 0.25, 0.5])
        points = starts[:, None] + width * np.array([0.0, 0.25, 0.5])
        values = phi(points)
        bends = np.abs(values[:, 0] - 2 * values[:, 1] + values[:, 2])
        chosen = int(np.argmax(bends))
        if not bends[chosen] > 16 * np.finfo(float).eps * scale:
            break
        low, high = float(points[chosen, 0]), float(points[chosen, 2])
    return _judged(phi, (low + high) / 2, scale)


def _judged(phi: Callable[[Array], Array], point: float, scale: float) -> list[float]:
    h = 1e-6
    z = point + h * np.array([-1, -0.5, 0.0, 0.5, 1.0])
    values = phi(z)
    # a kink bends twice as much over twice the width, a smooth function four times as much
    wide = abs(values[0] - 2 * values[2] + values[4])
    slope = max(abs(values[1] - values[0]), abs(values[4] - values[3])) / (h / 2)
    if wide > max(_JUMP * h * max(slope, 1e-3 * scale), 64 * np.finfo(float).eps * scale):
        half = abs(values[1] - 2 * values[2] + values[3])
        if half > 0.35 * wide:
            return [_tidied(point)]
    return []


def _tidied(point: float) -> float:
    """A decimal of up to six places that the search can only have meant."""
    near = round(point, 6)
    return near + 0.0 if abs(point - near) < 2e-10 else point


def interpolated_derivative(
    phi: Callable[[Array], Array], kinks: tuple[float, ...]
) -> Callable[[Array], Array]:
    """Return phi' as the derivative of phi's Chebyshev interpolants on panels between the kinks.

    A panel of width 1 is halved until its last coefficients vanish; beyond +-20, where activations
    are near their asymptotes, central differences of sixth order take over (principles.md 1.9).

    >>> slope = interpolated_derivative(np.tanh, ())
    >>> abs(float(slope(np.array(0.3)) - (1 - np.tanh(0.3) ** 2))) < 1e-13
    True
    """
    inside = sorted(kink for kink in kinks if abs(kink) < REACH)
    marks = sorted({-REACH, REACH, *inside, *np.arange(-REACH, REACH + 1)})
    panels = _panels(phi, list(pairwise(marks)))
    edges = np.array([panel[0] for panel in panels] + [REACH])
    coefficients = np.array([panel[1] for panel in panels])
    widths = np.diff(edges)

    def derivative(z: Array) -> Array:
        z = np.asarray(z, dtype=np.float64)
        flat = z.ravel()
        slopes = np.empty_like(flat)
        inner = np.abs(flat) <= REACH
        point = flat[inner]
        index = np.clip(np.searchsorted(edges, point, side="right") - 1, 0, len(widths) - 1)
        t = 2 * (point - edges[index]) / widths[index] - 1
        slopes[inner] = _clenshaw(coefficients, index, t)
        outer = flat[~inner]
        if len(outer):
            rises = [phi(outer + k * _STENCIL) - phi(outer - k * _STENCIL) for k in (1, 2, 3)]
            slopes[~inner] = (45 * rises[0] - 9 * rises[1] + rises[2]) / (60 * _STENCIL)
        return slopes.reshape(z.shape)

    return derivative


def _panels(
    phi: Callable[[Array], Array], waiting: list[tuple[float, float]]
) -> list[tuple[float, Array]]:
    """(left edge, Chebyshev coefficients of phi') of panels fine enough, in their order."""
    count = _DEGREE + 1
    odd = 2 * np.arange(count) + 1
    nodes = (np.cos(np.pi / (2 * count) * odd) + 1) / 2
    # reduced to one turn first, since cos(k angle) rounds by k
    turns = np.outer(np.arange(count), odd) % (4 * count)
    transform = 2 / count * np.cos(np.pi / (2 * count) * turns)
    transform[0] /= 2
    waiting = waiting[::-1]
    noise = _NOISE * float(np.abs(phi(np.linspace(-REACH, REACH, 101))).max())
    panels: list[tuple[float, Array]] = []
    while waiting:
        low, high = waiting.pop()
        width = high - low
        series = transform @ phi(low + width * nodes)
        size = float(np.abs(series).max())
        rough = np.abs(series[-3:]).max() > max(_CONVERGED * size, noise)
        if rough and width > _NARROWEST and len(panels) + len(waiting) < _MOST_PANELS:
            middle = (low + high) / 2
            waiting += [(middle, high), (low, middle)]
            continue
        # differentiation would raise coefficients at the level of rounding by their order squared
        significant = np.flatnonzero(np.abs(series) > _ROUNDING * size)
        series[significant[-1] + 1 if len(significant) else 0 :] = 0.0
        panels.append((low, np.polynomial.chebyshev.chebder(series) * (2 / width)))
    return panels


def _clenshaw(
    coefficients: Array, index: np.ndarray[tuple[int, ...], np.dtype[np.intp]], t: Array
) -> Array:
    last = np.zeros_like(t)
    one = np.zeros_like(t)
    for column in range(coefficients.shape[1] - 1, 0, -1):
        one, last = coefficients[index, column] + 2 * t * one - last, one
    return np.asarray(coefficients[index, 0] + t * one - last)
