"""The length map of a matched init along a run of layers (principles.md 1.1, 1.4).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_initcheck import theory
from pytest_initcheck.invariants import SLACK
from pytest_initcheck.runs import Layer, Run

_NOTHING_LEFT = 1000.0
"""ln of the fall that stands for a layer which puts out exactly zero."""


def matched_range(layer: Layer) -> tuple[float, float]:
    """Return the smallest and largest sigma_w^2 that a textbook gives this layer.

    The gain of the activation that it reads through, or of the one that follows it (He's formula is
    used for first layers too, which read no activation).
    """
    gains = (*theory.matched_gains(layer.reads_through), *theory.matched_gains(layer.followed_by))
    return min(gains) ** 2, max(gains) ** 2


def step_logs(layer: Layer) -> tuple[float, float]:
    """Return ln of the layer's length over the largest and the smallest that a matched one gives.

    Both compare with what a matched layer does to the very input that this one read.
    """
    read, length = layer.read.value.second_moment, layer.site.value.second_moment
    if not read > 0:
        return 0.0, 0.0  # nothing came in: the loss is another layer's
    if not length > 0:
        return -_NOTHING_LEFT, -_NOTHING_LEFT
    low, high = matched_range(layer)
    ratio = length / read
    return math.log(ratio / high), math.log(ratio / (low * layer.site.coverage))


def step_spread(layer: Layer) -> tuple[float, float]:
    """Return (b, V) that this layer alone adds to ln q by luck (principles.md 1.4)."""
    n = max(layer.site.units, 8)
    c = theory.fluctuation(layer.reads_through) if layer.reads_through != "identity" else 2.0
    return c / (2 * n) * (1 + 4 / n), c / n * (1 + 8 / n)


@dataclass(frozen=True, slots=True)
class MatchedLength:
    """The length of a layer under a matched init, iterated from what its run reads.

    * ``low`` and ``high`` belong to the smallest and largest gain that a textbook gives each layer.
    * ``b`` and ``v`` are the mean fall and the variance of its logarithm by luck.
    """

    layer: Layer
    low: float
    high: float
    b: float
    v: float

    @property
    def bounds(self) -> tuple[float, float]:
        """Both lengths, widened by two standard deviations of the luck of one initialisation."""
        spread = SLACK * math.sqrt(self.v)
        return self.low * math.exp(-self.b - spread), self.high * math.exp(spread)


def matched_lengths(run: Run, passed: Sequence[float] | None = None) -> tuple[MatchedLength, ...]:
    """Return the matched length of each layer of a run, as far as the map can be followed.

    * ``passed`` has, for each layer, the factor by which what lies between the activation before it
      and the layer itself (a pool, say) changes the second moment; 1 by default. The map ends with it.

    An activation whose length fixed point is unstable (GELU, SiLU, Mish) is matched only if the first
    pre-activation has length 1, so its map starts there.
    """
    lengths: list[tuple[float, float]] = []
    factors = (1.0,) * len(run.layers) if passed is None else passed
    for layer, factor in zip(run.layers, factors, strict=False):
        smallest, largest = matched_range(layer)
        if lengths:
            low, high = (theory.second_moment(layer.reads_through, q) for q in lengths[-1])
        else:
            low = high = layer.read.value.second_moment
        low, high = low * factor * smallest * layer.site.coverage, high * factor * largest
        if not lengths and theory.length_slope(layer.followed_by) > 1 + 1e-9:
            low = high = 1.0
        if not (low > 0 and high < math.inf):
            break  # nothing comes in, or what does is not finite
        lengths.append((min(low, high), max(low, high)))
    layers = run.layers[: len(lengths)]
    luck = theory.length_spreads(
        tuple(layer.site.units for layer in layers),
        tuple(layer.followed_by for layer in layers),
        tuple(math.sqrt(low) * math.sqrt(high) for low, high in lengths),
    )
    return tuple(
        MatchedLength(layer, low, high, b, v)
        for layer, (low, high), (b, v) in zip(layers, lengths, luck, strict=True)
    )
