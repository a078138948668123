"""Correlations and gradients through depth: the correlation map, chi_1, phases, depth scales.

Two inputs whose pre-activations correlate by c do so by c' one layer later; the same slopes carry
the gradient back.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.theory.gains import variance
from pytest_initcheck.theory.lengths import length_fixed_point, working_length
from pytest_initcheck.theory.moments import (
    Phi,
    moment,
    pair_moment,
    pair_slope_moment,
    slope_moment,
)
from pytest_initcheck.theory.roots import root_between, sign_changes

Phase = Literal["ordered", "critical", "chaotic"]

_LENGTHS = np.geomspace(1e-8, 1e8, 129)
_ROUNDING = 1e-11
_NOISE = 1e-13
_NEUTRAL = 1e-6


@dataclass(frozen=True, slots=True)
class DepthScales:
    """Over how many layers something changes by a factor e; infinity where it is kept.

    * ``length``: the distance from the length fixed point; ``correlation``: that from c*;
    * ``gradient``: the squared gradient, which grows or decays.
    """

    length: float
    correlation: float
    gradient: float


def correlation_map(
    phi: Phi, c: float, sigma_w2: float, sigma_b2: float = 0.0, *, q: float | None = None
) -> float:
    """Return the next layer's correlation of two pre-activations that correlate by c.

    * ``q`` is the length of both, by default the length fixed point (Poole et al. 2016, eq. 5); at
      another length the result is normalised by the next length.

    Raises ValueError for a c outside [-1, 1], negative variances, or a signal that is zero.

    >>> round(correlation_map("relu", 0.0, 2.0), 6)  # 1 / pi
    0.31831
    """
    _check_correlation(c)
    act = activation(phi)
    return _next(act, float(c), sigma_w2, sigma_b2, working_length(act, sigma_w2, sigma_b2, q))


def _check_correlation(c: float) -> None:
    if not -1 <= c <= 1:
        raise ValueError(f"a correlation lies between -1 and 1, got {c:g}; clip it")


def _next(act: Activation, c: float, sigma_w2: float, sigma_b2: float, q: float) -> float:
    length = sigma_w2 * moment(act, q, 2) + sigma_b2
    if not length > 0:
        raise ValueError(
            f"the signal under {act.name} is zero at length {q:.3g}, it has no correlation; pass q="
        )
    return (sigma_w2 * pair_moment(act, q, c) + sigma_b2) / length


def correlation_fixed_point(
    phi: Phi, sigma_w2: float, sigma_b2: float = 0.0, *, q: float | None = None
) -> float:
    """Return c*, the correlation that any two inputs come to.

    1 where chi_1 <= 1; below it otherwise, since the map is a power series in c with coefficients
    that are not negative, hence convex on [0, 1] (Daniely et al. 2016).  Where the map keeps every
    correlation (a linear net; tanh in the limit of length 0) it is 1 as well.

    Raises ValueError as :func:`correlation_map` does.

    >>> round(correlation_fixed_point("tanh", 2.5**2, 0.3**2), 5)  # Poole et al. 2016
    0.1221
    """
    act = activation(phi)
    length = working_length(act, sigma_w2, sigma_b2, q)

    def excess(c: float) -> float:
        value = _next(act, c, sigma_w2, sigma_b2, length) - c
        return 0.0 if abs(value) < 1e-15 else value

    if excess(0.0) == 0:
        slope = _next(act, 1e-3, sigma_w2, sigma_b2, length) / 1e-3
        if slope < 1 - _NEUTRAL:
            return 0.0
    for gap in 10.0 ** -np.arange(1.0, 8.0):
        if excess(1 - gap) < -max(_ROUNDING * gap, _NOISE):
            return root_between(excess, 0.0, float(1 - gap))
    return 1.0


def chi_1(phi: Phi, sigma_w2: float, sigma_b2: float = 0.0, *, q: float | None = None) -> float:
    """Return sigma_w2 E[phi'(z)^2], z ~ N(0, q): the gradient's factor per layer.

    * ``q`` is by default the length fixed point, in the limit where that is 0 or infinity.

    It is the correlation map's slope at c = 1 too, unless phi itself jumps (Schoenholz et al. 2017,
    section 3).  A gated unit has sigma_w2 (E[gate^2] + q E[gate'^2]) (principles.md 1.8).

    Raises ValueError for negative variances or a negative q.

    >>> round(chi_1("relu", 2.0), 12), round(chi_1("tanh", 1.0, q=1.0), 6)
    (1.0, 0.464403)
    """
    act = activation(phi)
    return sigma_w2 * slope_moment(act, working_length(act, sigma_w2, sigma_b2, q))


def chi_c(
    phi: Phi, c: float, sigma_w2: float, sigma_b2: float = 0.0, *, q: float | None = None
) -> float:
    """Return sigma_w2 E[phi'(z1) phi'(z2)] at correlation c: the slope of the correlation map there.

    Raises ValueError as :func:`correlation_map` does.

    >>> round(chi_c("relu", 0.0, 2.0), 12)
    0.5
    """
    _check_correlation(c)
    act = activation(phi)
    return sigma_w2 * pair_slope_moment(act, working_length(act, sigma_w2, sigma_b2, q), float(c))


def depth_scale(phi: Phi, sigma_w2: float, sigma_b2: float = 0.0) -> DepthScales:
    """Return over how many layers length, correlation and gradient change by e (Schoenholz 2017).

    -1 / ln J, -1 / ln chi at c*, and 1 / abs(ln chi_1).

    Raises ValueError as :func:`correlation_map` and :func:`length_fixed_point` do.

    >>> scales = depth_scale("tanh", 1.3, 0.05)
    >>> round(scales.correlation, 3), round(scales.gradient, 3)
    (7.834, 7.834)
    """
    act = activation(phi)
    point = length_fixed_point(act, sigma_w2, sigma_b2)
    c = correlation_fixed_point(act, sigma_w2, sigma_b2)
    return DepthScales(
        _scale(point.slope),
        _scale(chi_c(act, c, sigma_w2, sigma_b2)),
        _scale(chi_1(act, sigma_w2, sigma_b2)),
    )


def _scale(factor: float) -> float:
    factor = abs(factor)
    if factor == 0:
        return 0.0
    return math.inf if abs(factor - 1) < 1e-9 else 1 / abs(math.log(factor))


def critical_at_length(phi: Phi, q: float) -> tuple[float, float]:
    """Return (sigma_w2, sigma_b2) for which q is a length fixed point and chi_1 = 1.

    sigma_w2 = 1 / E[phi'^2], sigma_b2 = q - sigma_w2 E[phi^2] (Schoenholz et al. 2017; Hayou et al.
    2019, whose edge of chaos it is).

    Raises ValueError where that asks for a negative variance of the biases.

    >>> tuple(round(v, 6) for v in critical_at_length("tanh", 0.570048))
    (1.760955, 0.05)
    """
    act = activation(phi)
    sigma_w2, sigma_b2 = _critical(act, q)
    if sigma_b2 < -1e-12 * q:
        raise ValueError(
            f"{act.name} is not critical at length {q:g}: sigma_b2 would be {sigma_b2:.3g}; "
            "take another length"
        )
    return sigma_w2, max(sigma_b2, 0.0)


def _critical(act: Activation, q: float) -> tuple[float, float]:
    slope = slope_moment(act, float(q))
    if not slope > 0:
        raise ValueError(f"{act.name} passes no gradient at length {q:g}; take a larger one")
    return 1 / slope, q - moment(act, float(q), 2) / slope


def critical_sigma_w2(phi: Phi, sigma_b2: float = 0.0) -> float:
    """Return the sigma_w2 at which chi_1 = 1 at a length fixed point, the smallest if there are more.

    With sigma_b2 = 0 and phi(0) = 0 the length is 0 in the limit, and sigma_w2 = 1 / phi'(0)^2.  The
    length need not be stable there: :func:`length_fixed_points` tells.

    Raises ValueError where there is none, with the reason.

    >>> round(critical_sigma_w2("tanh", 0.05), 6)  # Schoenholz et al. 2017: 1.76
    1.760955
    >>> critical_sigma_w2("relu")
    2.0
    """
    act = activation(phi)
    if not 0 <= sigma_b2 < math.inf:
        raise ValueError(f"sigma_b2 is a variance, got {sigma_b2:g}; give Var b, at least 0")
    if act.slopes is not None and sigma_b2 > 0:
        raise ValueError(
            f"{act.name} has no critical sigma_w2 with sigma_b2={sigma_b2:g}: chi_1 = 1 keeps every "
            "length, and the biases add to it at each layer; set sigma_b2 to 0"
        )
    if sigma_b2 == 0 and moment(act, 0.0, 2) == 0:
        limit = slope_moment(act, float(_LENGTHS[0]) ** 3)
        if limit > _NEUTRAL:
            return 1 / limit
    lengths = np.array([q for q in _LENGTHS if slope_moment(act, float(q)) > 0])
    if not len(lengths):
        raise ValueError(f"{act.name} has no critical sigma_w2: it passes no gradient; choose another")
    biases = np.array([_critical(act, float(q))[1] - sigma_b2 for q in lengths])
    for low, high in sign_changes(lengths, biases):
        root = root_between(lambda q: _critical(act, q)[1] - sigma_b2, low, high)
        return _critical(act, root)[0]
    raise ValueError(
        f"{act.name} has no critical sigma_w2 with sigma_b2={sigma_b2:g}: no length from "
        f"{lengths[0]:.0e} to {lengths[-1]:.0e} is a fixed point with chi_1 = 1; change sigma_b2"
    )


def phase(phi: Phi, sigma_w2: float, sigma_b2: float = 0.0, *, tolerance: float = 1e-6) -> Phase:
    """Return whether gradients vanish (ordered), explode (chaotic) or are kept (critical) with depth.

    * ``tolerance`` is how near to 1 chi_1 counts as critical.

    Raises ValueError as :func:`length_fixed_point` does.

    >>> phase("tanh", 1.5, 0.05), phase("relu", 2.0), phase("tanh", 2.0, 0.05)
    ('ordered', 'critical', 'chaotic')
    """
    factor = chi_1(phi, sigma_w2, sigma_b2)
    if abs(factor - 1) <= tolerance:
        return "critical"
    return "ordered" if factor < 1 else "chaotic"


def gradient_factor(phi: Phi, sigma_w2: float, q: float = 1.0, *, fan_in: int, fan_out: int) -> float:
    """Return E[delta^2] per unit of a layer over that of the next one, backwards.

    * the next layer has ``fan_out`` units and weights of variance sigma_w2 / ``fan_in``.

    sigma_w2 (fan_out / fan_in) E[phi'^2] (Glorot and Bengio 2010, eq. 6; He et al. 2015, eq. 13).

    Raises ValueError for fans below 1.

    >>> gradient_factor("relu", 2.0, fan_in=256, fan_out=512)
    2.0
    """
    if fan_in < 1 or fan_out < 1:
        raise ValueError(f"fans count units, got fan_in={fan_in}, fan_out={fan_out}; give at least 1")
    return chi_1(phi, sigma_w2, q=q) * fan_out / fan_in


def batchnorm_gradient_factor(phi: Phi, batch: int | None = None) -> float:
    """Return the squared gradient's factor per layer of a deep net with batch norm, backwards.

    * ``batch`` None is the limit of large batches, E[phi'^2] / Var phi (Yang et al. 2019): pi/(pi - 1)
      for ReLU; a linear net at a finite batch B has (B - 2) / (B - 3).

    Raises ValueError for a finite batch under another activation, or one below 4.

    >>> round(batchnorm_gradient_factor("relu"), 5), batchnorm_gradient_factor("identity", 8)
    (1.46694, 1.2)
    """
    act = activation(phi)
    if batch is None:
        return slope_moment(act, 1.0) / variance(act)
    if act.family != "linear":
        raise ValueError(f"a finite batch is known for the identity only, not {act.name}; leave it out")
    if batch < 4:
        raise ValueError(f"batch norm over {batch} samples has no finite factor; give at least 4")
    return (batch - 2) / (batch - 3)


def relu_correlation(c: float) -> float:
    """Return the correlation after a ReLU layer of pre-activations correlated by c (Cho and Saul).

    >>> round(relu_correlation(0.0), 6)
    0.31831
    """
    c = min(1.0, max(-1.0, c))
    return (math.sqrt((1 - c) * (1 + c)) + (math.pi - math.acos(c)) * c) / math.pi
