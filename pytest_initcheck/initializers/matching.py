"""Which weight variance, and which schemes, an activation needs on a layer.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pytest_initcheck import theory
from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.initializers.textbook import orthogonal, spread, xavier_normal, xavier_uniform

Criterion = Literal["forward", "backward", "compromise"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


def checked_criterion(criterion: str) -> Criterion:
    """Return the criterion.

    Raises ConfigError with a suggestion for an unknown one.
    """
    for known in CRITERIA:
        if criterion == known:
            return known
    raise ConfigError(f"unknown criterion {criterion!r}{did_you_mean(str(criterion), CRITERIA)}")


def matched(which: str | Activation, criterion: Criterion = "forward") -> tuple[Scheme, ...]:
    """Return the schemes that match this activation, the most usual first.

    * "forward" keeps E[z^2]: He under (leaky) ReLU, LeCun with gain 1/sqrt(E phi^2) elsewhere (1 under
      SELU); for activations with textbook gains (tanh: 1 and 5/3) Xavier with each, which is the
      forward rule between layers of one width.
    * "backward" keeps the gradient's second moment at q = 1: fan_out, gain 1/sqrt(E phi'^2).
    * "compromise" is the harmonic mean of the two, over fan_avg (Glorot and Bengio 2010, eq. 12).

    Raises ConfigError for an unknown activation or criterion.

    >>> [scheme.name for scheme in matched("relu")][:2]
    ['he_normal', 'he_uniform']
    >>> matched("selu")[0].name
    'lecun_normal'
    """
    act = activation(which)
    checked_criterion(criterion)
    forward = theory.gain(act)
    backward = 1 / math.sqrt(theory.chi_1(act, 1.0, q=1.0))
    if criterion == "backward":
        return spread(act, backward, "fan_out")
    if criterion == "compromise":
        return spread(act, math.sqrt(2 / (forward**-2 + backward**-2)), "fan_avg")
    if act.textbook_gains:
        draws = (xavier_normal, xavier_uniform, orthogonal)
        return tuple(make(gain) for gain in act.textbook_gains for make in draws)
    return (*spread(act, forward, "fan_in"), orthogonal(forward))


def needed_variance(which: str | Activation, fan_in: int) -> float:
    """Return the weight variance that keeps E[z^2] = 1: 1 / (fan_in E[phi^2]).

    >>> round(needed_variance("relu", 512), 12)
    0.00390625
    """
    return theory.gain(which) ** 2 / fan_in


@dataclass(frozen=True, slots=True)
class Need:
    """The weight variances that one criterion allows a layer: gain^2 / fan over a range of gains."""

    criterion: Criterion | Literal["scheme"]
    fan: float
    low_gain: float
    high_gain: float

    @property
    def low(self) -> float:
        """The smallest variance."""
        return self.low_gain**2 / self.fan

    @property
    def high(self) -> float:
        """The largest variance."""
        return self.high_gain**2 / self.fan

    def distance(self, variance: float) -> float:
        """Return ln of the factor by which a variance is outside; negative below, 0 inside."""
        if self.high == 0:
            return math.inf if variance > 0 else 0.0
        if variance <= 0:
            return -math.inf
        return min(0.0, math.log(variance / self.low)) + max(0.0, math.log(variance / self.high))


def needs(which: str | Activation, layer: Layer, criterion: str | None = None) -> tuple[Need, ...]:
    """Return what each criterion, or this one, needs on this layer (principles.md 6.4).

    * Gains run over 1/sqrt(E phi^2) (forward), 1/sqrt(E phi'^2) (backward), and the activation's
      textbook gains; "compromise", and each of several criteria, allows both.

    Raises ConfigError for an unknown activation or criterion.

    >>> from pytest_initcheck.initializers.layer_kinds import depthwise_conv
    >>> [need] = needs("relu", depthwise_conv(64, 3, 3), "backward")
    >>> round(need.low, 6), need.fan
    (0.222222, 9)
    """
    act = activation(which)
    forward = theory.gain(act)
    backward = 1 / math.sqrt(theory.chi_1(act, 1.0, q=1.0))
    fans = {"forward": layer.fan_in, "backward": layer.fan_out, "compromise": layer.fan_avg}
    own: Mapping[str, float] = {"forward": forward, "backward": backward}
    found = []
    for each in CRITERIA if criterion is None else (checked_criterion(criterion),):
        gains = (forward, backward) if criterion is None or each not in own else (own[each],)
        low, high = (_rounded(pick((*gains, *act.textbook_gains))) for pick in (min, max))
        found.append(Need(each, fans[each], low, high))
    return tuple(found)


def _rounded(gain: float) -> float:
    return 1.0 if math.isclose(gain, 1.0, rel_tol=1e-9) else gain  # quadrature rounds
