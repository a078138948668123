"""What luck does at finite width: the spread of lengths over draws of the weights.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.theory.gains import fluctuation, log_slope, relative_slope
from pytest_initcheck.theory.moments import Phi, moment, slope_moment, weighted_moment
from pytest_initcheck.theory.relu_lengths import check_widths, log_length_moments

Weights = Literal["normal", "uniform", "rademacher", "orthogonal"] | float
"""How weights are drawn, or the kurtosis E w^4 / E[w^2]^2 of independent ones."""

_KURTOSES = {"normal": 3.0, "uniform": 9 / 5, "rademacher": 1.0}


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and variance of ln q over draws of the weights, against the length map's q."""

    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class JacobianSpectrum:
    """Mean of the squared singular values, and their variance over the square of that mean."""

    mean: float
    relative_variance: float


def _excess_kurtosis(weights: Weights) -> float:
    """E w^4 / E[w^2]^2 - 3 of independent weights."""
    if isinstance(weights, str):
        if weights not in _KURTOSES:
            known = [name for names in get_args(Weights)[:1] for name in get_args(names)]
            raise ConfigError(f"unknown weights {weights!r}{did_you_mean(weights, known)}")
        return _KURTOSES[weights] - 3
    if not weights >= 1:
        raise ConfigError(f"a kurtosis is at least 1, got {weights:g}; 3 is the normal law's")
    return weights - 3


def moment_ratio(
    width: int,
    phi: Phi = "relu",
    weights: Weights = "normal",
    *,
    first: bool = False,
    q: float = 1.0,
) -> float:
    """Return E[m^2] / E[m]^2 of m, the mean of phi(z)^2 over a layer's ``width`` units.

    * ``weights`` are drawn independently, or orthogonal between layers of one width.
    * ``first`` says that the layer reads N(0, 1) inputs, ``width`` of them, and not a layer like
      itself; it matters for weights that are not normal.

    1 + (kappa - 1) / n with the kurtosis kappa of phi(z), to which that of the weights adds
    (principles.md 1.4).  Exact for normal weights, and for ReLU under orthogonal ones: 1 + 3/(n + 2);
    leading order in 1/n otherwise.

    Raises ConfigError for a width below 1 or unknown weights.

    >>> moment_ratio(32), round(moment_ratio(32, weights="orthogonal"), 5)
    (1.15625, 1.08824)
    """
    check_widths(width)
    act = activation(phi)
    if weights == "orthogonal" and act.slopes == (0.0, 1.0):
        return 1 + 3 / (width + 2)
    return 1 + _relative_variance(act, float(q), weights, width, first) / width


def _relative_variance(act: Activation, q: float, weights: Weights, width: int, first: bool) -> float:
    """n times the relative variance of the mean of phi^2 over n units."""
    second, fourth = moment(act, q, 2), moment(act, q, 4)
    if not second > 0:
        return math.inf
    if weights == "orthogonal":
        # sum z^2 is fixed: the part of phi^2 that follows it does not vary
        with_length = 2 * relative_slope(act, q)
        return fourth / second**2 - 1 - with_length**2 / 2
    excess = _excess_kurtosis(weights)
    if excess == 0:
        return fourth / second**2 - 1
    if act.gate is not None:
        raise ConfigError(
            f"{act.name} is a gate: its finite-width law is known for normal weights; "
            "pass weights='normal'"
        )
    # z has the excess kurtosis of w times sum x^4 / (sum x^2)^2 (Edgeworth's first term)
    sparsity = 3 / (width + 2) if first else fourth / second**2 / width
    term = excess * sparsity / 24
    second += term * weighted_moment(act, q, 2, 4)
    fourth += term * weighted_moment(act, q, 4, 4)
    return fourth / second**2 - 1


def finite_width_spread(
    widths: Sequence[int],
    phi: Phi = "relu",
    weights: Weights = "normal",
    *,
    q: float = 1.0,
) -> Spread:
    """Return mean and variance of ln of the last layer's mean phi(z)^2, for one input.

    * ``widths`` are the units of each layer; ``q`` is the length that all layers work at.
    * ``weights`` are drawn independently with the matched variance, or orthogonal.

    The exact law for ReLU under normal weights, given that no layer is dead (principles.md 1.10).
    Otherwise leading order in 1/n (Hanin and Rolnick 2018): a layer adds c/n to the variance and
    -c/2n to the mean, c = n (moment_ratio - 1), and passes on what it read by the slope and the
    curvature of ln E[phi^2] in ln q.

    Raises ConfigError for widths below 1 or unknown weights.

    >>> spread = finite_width_spread((32,) * 10)
    >>> round(spread.mean, 3), round(spread.variance, 3)
    (-0.825, 1.775)
    """
    check_widths(*widths)
    act = activation(phi)
    if weights == "normal" and act.slopes == (0.0, 1.0):
        layers = [log_length_moments(int(width)) for width in widths]
        return Spread(sum(mean for mean, _ in layers), sum(variance for _, variance in layers))
    slope, curvature = relative_slope(act, float(q)), _curvature(act, float(q))
    mean = variance = 0.0
    for index, width in enumerate(widths):
        luck = moment_ratio(width, act, weights, first=index == 0, q=q) - 1
        mean = slope * mean + curvature * variance / 2 - luck / 2
        variance = slope**2 * variance + luck
    return Spread(mean, variance)


def _curvature(act: Activation, q: float) -> float:
    """d^2 ln E[phi^2] / d (ln q)^2, by Stein's lemma."""
    if act.gate is not None:
        return _curvature(act.gate, q)
    size = moment(act, q, 2)
    slope = relative_slope(act, q)
    return slope + weighted_moment(act, q, 2, 4) / (4 * size) - slope**2 if size > 0 else 0.0


@lru_cache(maxsize=1024)
def length_spreads(
    widths: tuple[int, ...],
    activations: tuple[str, ...],
    lengths: tuple[float, ...] | None = None,
) -> tuple[tuple[float, float], ...]:
    """Return (b, V) behind each layer: the mean fall and the variance of ln q in a correct net.

    * ``widths`` are the units of each layer, ``activations`` what follows the layer.
    * ``lengths`` are the second moments at which each activation works, 1 by default.

    V <- J^2 V + (c/n)(1 + 8/n) and b <- b + (c/2n)(1 + 4/n), with n at least 8 and J the slope of
    the length map; c/n is the law of Hanin and Rolnick 2018, the factors fit its next order.
    Where J > 1 the spread is luck only while J^depth sqrt(c/n) < 1; V stops growing there, at
    1 / (1 - J^-2), for beyond it the length does explode.

    >>> [(round(b, 3), round(v, 3)) for b, v in length_spreads((64, 64), ("relu", "relu"))]
    [(0.042, 0.088), (0.083, 0.176)]
    """
    found = []
    b = v = 0.0
    for width, name, q in zip(widths, activations, lengths or (1.0,) * len(widths), strict=True):
        n = max(width, 8)
        c, j = fluctuation(name), log_slope(name, q)
        v = j * j * v + c / n * (1 + 8 / n)
        if j > 1 + 1e-6:
            v = min(v, 1 / (1 - j**-2))
        b += c / (2 * n) * (1 + 4 / n)
        found.append((b, v))
    return tuple(found)


def length_spread(
    widths: tuple[int, ...],
    activations: tuple[str, ...],
    lengths: tuple[float, ...] | None = None,
) -> tuple[float, float]:
    """Return (b, V) of :func:`length_spreads` behind the last layer.

    >>> b, v = length_spread((64,) * 10, ("relu",) * 10)
    >>> round(b, 3), round(v, 3)
    (0.415, 0.879)
    """
    return next(reversed(length_spreads(widths, activations, lengths)), (0.0, 0.0))


def jacobian_spectrum(
    phi: Phi,
    depth: int,
    sigma_w2: float = 1.0,
    *,
    q: float = 1.0,
    weights: Literal["normal", "orthogonal"] = "normal",
) -> JacobianSpectrum:
    """Return the moments of the squared singular values of the input-output Jacobian at large width.

    * ``q`` is the length of every layer's pre-activations.

    Mean chi_1^L, relative variance L (mu_2 / mu_1^2 - 1 - s_1) with mu_k = E[phi'^2k] and s_1 = -1
    for normal weights, 0 for orthogonal ones (Pennington et al. 2017, eq. 18 to 20).

    Raises ConfigError for other weights.

    >>> jacobian_spectrum("identity", 10)
    JacobianSpectrum(mean=1.0, relative_variance=10.0)
    """
    if weights not in ("normal", "orthogonal"):
        raise ConfigError(
            f"unknown weights {weights!r}{did_you_mean(weights, ('normal', 'orthogonal'))}"
        )
    act = activation(phi)
    squared, fourth = slope_moment(act, q), slope_moment(act, q, 4)
    spread = fourth / squared**2 - 1 + (weights == "normal")
    return JacobianSpectrum((sigma_w2 * squared) ** depth, depth * spread)
