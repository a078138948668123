"""What the fresh initialisations of a model look like, layer by layer: gains, weights, their spread.

Everything is kept in log2, for gains multiply: a spread of 0.1 is a factor of 2^0.1 for one standard
deviation.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_initcheck.runs import LINEAR
from pytest_initcheck.trace import Parameter, Site, Trace

QUANTITIES = ("gain", "weight", "bias")
"""Of a layer: its second moment over that of the layer before, the root mean squares of its tensors."""
INITS = 32
"""Initialisations that a profile is made of, fewer for large models."""
FEWEST_INITS = 8
_LEAST_SPREAD = 1e-3
"""Of draws that do not vary, as orthogonal ones: rounding differs between machines."""


@dataclass(frozen=True)
class Range:
    """A quantity over initialisations: its geometric mean, and the standard deviation of its log2.

    A quantity that is zero in all of them has the middle 0.
    """

    middle: float
    spread: float

    def band(self, inits: int) -> tuple[float, float]:
        """Return between which log2 a further initialisation lies, in more than 90 % of draws.

        No less than 3.2 standard deviations: Chebyshev's inequality leaves 9.8 % outside of those for
        any distribution, and a normal one 0.14 %; more, the fewer initialisations the spread is from.

        >>> Range(1.0, 0.1).band(34)
        (-0.42, 0.42)
        """
        if self.middle == 0:
            return -math.inf, -math.inf
        reach = (3.2 + 34 / inits) * max(self.spread, _LEAST_SPREAD)
        return math.log2(self.middle) - reach, math.log2(self.middle) + reach


@dataclass(frozen=True)
class Layer:
    """One layer: its name, its operation with the shape of its weight, and what is kept of it."""

    name: str
    layer: str
    gain: Range | None = None
    weight: Range | None = None
    bias: Range | None = None


@dataclass(frozen=True)
class Profile:
    """A model's layers in the order of execution, and what they were measured with.

    * ``spread`` is the standard deviation of log2 of the output's second moment.
    """

    inits: int
    inputs: str
    spread: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class LayerNumbers:
    """What one initialisation shows of a layer, by quantity; None where there is nothing to see."""

    site: int
    layer: str
    values: Mapping[str, float | None]


def numbers(trace: Trace) -> dict[str, LayerNumbers]:
    """Return what a trace shows of every layer, by name."""
    seen_gains = gains(trace)
    return {
        site.name: LayerNumbers(
            site.index,
            _described(site),
            {
                "gain": seen_gains.get(site.index),
                "weight": _root_mean_square(site.weight),
                "bias": _root_mean_square(site.bias),
            },
        )
        for site in trace.sites
        if site.kind in LINEAR
    }


def gains(trace: Trace) -> dict[int, float]:
    """Return each linear site's second moment over that of the linear site before it."""
    found: dict[int, float] = {}
    before: dict[int, float] = {}
    for site in trace.sites:
        upstream = [before[read] for read in site.reads if read in before]
        moment = site.value.second_moment
        if site.kind in LINEAR:
            if upstream and upstream[0] > 0 and math.isfinite(moment):
                found[site.index] = moment / upstream[0]
            before[site.index] = moment
        elif site.kind == "input":
            before[site.index] = moment
        elif upstream:
            before[site.index] = upstream[0]
    return found


def _described(site: Site) -> str:
    shape = "" if site.weight is None else f" {'x'.join(map(str, site.weight.shape))}"
    return f"{site.op}{shape}"


def _root_mean_square(parameter: Parameter | None) -> float | None:
    return None if parameter is None else math.sqrt(parameter.second_moment)


def profile(
    seen: Sequence[Mapping[str, LayerNumbers]],
    *,
    inputs: str,
    spread: float | None,
    versions: Mapping[str, str],
) -> Profile:
    """Return the profile of these initialisations; a layer that not all of them ran is left out."""
    shared = [name for name in seen[0] if all(name in each for each in seen)]
    layers = []
    for name in shared:
        ranges = {
            quantity: _range([each[name].values[quantity] for each in seen]) for quantity in QUANTITIES
        }
        layers.append(Layer(name, seen[0][name].layer, **ranges))
    return Profile(len(seen), inputs, spread, versions, tuple(layers))


def _range(values: Sequence[float | None]) -> Range | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or len(known) < 2:
        return None
    if not any(known):
        return Range(0.0, 0.0)
    if not all(value > 0 for value in known):
        return None
    logs = [math.log2(value) for value in known]
    return Range(2.0 ** statistics.fmean(logs), statistics.stdev(logs))
