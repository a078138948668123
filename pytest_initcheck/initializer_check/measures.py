"""What drawn weights say about each claim: a value, and a limit widened by what luck does.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializer_check.dependence import copies, shared_directions
from pytest_initcheck.initializers import significance
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.matching import Need
from pytest_initcheck.initializers.recogniser import fits_exactly
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.invariants import SLACK, Measure

_LOWEST_KURTOSIS, _HIGHEST_KURTOSIS = 3.0, 30.0
_SHAPE_LEVEL = 0.02
_SHAPE_TESTS = 3
_ENTRIES = 4096
_MOST_SEEDS = 1024


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The limits before luck: relative to the needed variance, to E[w^2], and to independent rows."""

    variance: float = 0.05
    mean: float = 0.05
    directions: float = 2.0

    def __post_init__(self) -> None:
        for name, least in (("variance", 0.0), ("mean", 0.0), ("directions", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > least:
                raise ConfigError(f"{name} is a number above {least:g}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an initialiser: the variances that would do, and a scheme if one is named.

    ``native`` is the layer as the scheme's library would store it.
    """

    layer: Layer
    needs: tuple[Need, ...]
    tolerances: Tolerances
    scheme: Scheme | None = None
    native: Layer | None = None


def seeds_wanted(layer: Layer) -> int:
    """Return over how many inits one replicate is averaged: 4096 entries know E[w^2] to 2 %."""
    return min(_MOST_SEEDS, math.ceil(_ENTRIES / layer.count))


def measures(
    weights: Sequence[Array], asked: Asked, *, deterministic: bool = False
) -> dict[str, tuple[Measure, ...]]:
    """Return the measures of one replicate, by invariant."""
    found = {
        "variance": (variance(weights, asked, deterministic),),
        "mean": (mean(weights, asked, deterministic),),
        "independence": independence(weights, asked, deterministic),
    }
    if asked.scheme is not None:
        native = asked.native or asked.layer
        moved = [native.from_rows(asked.layer.rows(w)) for w in weights]
        found["shape"] = (shape(moved, asked.scheme, native),)
    return found


def second_moment(weights: Sequence[Array]) -> float:
    """Return the mean of w^2 over all inits."""
    return float(np.mean([np.dot(w.ravel(), w.ravel()) / w.size for w in weights]))


def spread(weights: Sequence[Array], moment: float) -> float:
    """Return the relative standard deviation of :func:`second_moment` by luck (principles.md 6.6)."""
    fourth = float(np.mean([np.mean(w**4) for w in weights]))
    kurtosis = fourth / moment**2 if moment else _LOWEST_KURTOSIS
    kurtosis = min(max(kurtosis, _LOWEST_KURTOSIS), _HIGHEST_KURTOSIS)
    return math.sqrt((kurtosis - 1) / sum(w.size for w in weights))


def nearest(needs: tuple[Need, ...], moment: float) -> Need:
    """Return the need that this variance comes nearest to; the first among equals."""
    return min(needs, key=lambda need: abs(need.distance(moment)))


def variance(weights: Sequence[Array], asked: Asked, deterministic: bool) -> Measure:
    moment = second_moment(weights)
    luck = 0.0 if deterministic else SLACK * spread(weights, moment)
    allowed = asked.tolerances.variance
    factor = math.exp(min(nearest(asked.needs, moment).distance(moment), 700.0))
    return Measure(
        "variance",
        -1,
        factor,
        low=(1 - allowed) * (1 - luck),
        high=(1 + allowed) * (1 + luck),
        limit=(1 - allowed, 1 + allowed),
        direction="too small" if factor < 1 else "too large",
        fact=deterministic,
    )


def mean(weights: Sequence[Array], asked: Asked, deterministic: bool) -> Measure:
    """The share of a unit's second moment that the mean adds, fan_in mean^2 / E[w^2]."""
    layer, moment = asked.layer, second_moment(weights)
    squared = float(np.mean([w.mean() ** 2 for w in weights]))
    value = layer.fan_in * squared / moment if moment else 0.0
    # by luck it is chi-square with one degree of freedom, times fan_in / N (principles.md 6.6)
    luck = layer.fan_in / layer.count * (1 + SLACK * math.sqrt(2 / len(weights)))
    luck = max(luck, 1.0) if deterministic else luck  # an identity's rows sum to their own length
    limit = asked.tolerances.mean
    return Measure("mean", -1, value, high=limit + luck, limit=(-math.inf, limit), fact=deterministic)


def independence(weights: Sequence[Array], asked: Asked, deterministic: bool) -> tuple[Measure, ...]:
    layer = asked.layer
    found = [copies(w, layer, within=deterministic) for w in weights[:16]]
    share = max((each.share for each in found if each is not None), default=0.0)
    directions = [shared_directions(w, layer, within=deterministic) for w in weights[:64]]
    ratio = float(np.mean([each[0] for each in directions]))
    luck = SLACK * directions[0][1] / math.sqrt(len(directions))
    most = asked.tolerances.directions
    return (
        Measure("copies", -1, share, high=0.0, limit=(-math.inf, 0.0), fact=deterministic),
        Measure(
            "directions",
            -1,
            ratio,
            high=most + luck if math.isfinite(luck) else math.inf,
            limit=(-math.inf, most),
            fact=deterministic,
        ),
    )


def shape(weights: Sequence[Array], scheme: Scheme, layer: Layer) -> Measure:
    """The p-value of the distribution's shape, its scale being the variance's business."""
    p_value = shape_p_value(weights, scheme, layer)
    return Measure("shape", -1, p_value, low=_SHAPE_LEVEL, limit=(_SHAPE_LEVEL, math.inf))


def shape_p_value(weights: Sequence[Array], scheme: Scheme, layer: Layer) -> float:
    """Return how often a draw of the scheme, rescaled, looks as unlikely as these weights."""
    moment = second_moment(weights)
    if scheme.deterministic or scheme.draw in ("orthogonal", "delta_orthogonal", "sparse"):
        return float(all(fits_exactly(scheme, w, layer) for w in weights[:16]))
    if moment == 0:
        return 0.0
    law = scheme.marginal(layer)
    values = np.sort(np.concatenate([w.ravel() for w in weights]))
    count = values.size
    scaled = values * math.sqrt(law.moment(2) / moment)
    low, high = law.support
    if math.isfinite(high):
        error = 3 * scheme.layer_error(layer) / math.sqrt(len(weights)) + 1e-4
        edge = error * max(abs(low), abs(high))
        if scaled[0] < low - edge or scaled[-1] > high + edge:
            return 0.0
    thinned = scaled[:: max(1, count // significance.MOST_VALUES)]
    fit = significance.kolmogorov(thinned, law, count)
    # a cut that is not there shows in the largest entry alone; so does one that should not be there
    reach = float(max(abs(scaled[0] - law.mean), abs(scaled[-1] - law.mean)))
    inside = float(np.diff(law.cdf(np.array([law.mean - reach, law.mean + reach])))[0])
    within = inside**count
    reached = min(within, 1 - within) if math.isinf(high) else 1.0
    return min(1.0, _SHAPE_TESTS * min(fit, reached))
