"""Moments of phi as gains, slopes and shares: what one layer does to a length.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.theory.moments import Phi, moment, weighted_moment


def second_moment(phi: Phi, q: float = 1.0) -> float:
    """Return E[phi(z)^2] for z ~ N(0, q) (Poole et al. 2016, eq. 3).

    Raises ValueError for a negative length.

    >>> round(second_moment("relu", 2.0), 12)
    1.0
    """
    return moment(activation(phi), float(q), 2)


def mean(phi: Phi, q: float = 1.0) -> float:
    """Return E[phi(z)] for z ~ N(0, q).

    >>> round(mean("relu"), 6)  # 1 / sqrt(2 pi)
    0.398942
    """
    return moment(activation(phi), float(q), 1)


def variance(phi: Phi, q: float = 1.0) -> float:
    """Return Var[phi(z)] for z ~ N(0, q).

    >>> round(variance("relu"), 6)
    0.340845
    """
    act = activation(phi)
    return second_moment(act, q) - mean(act, q) ** 2


def gain(phi: Phi, *, centred: bool = False) -> float:
    """Return 1 / sqrt(E[phi(z)^2]) for z ~ N(0, 1): the gain that keeps length 1.

    * ``centred`` gives 1 / sqrt(Var phi), for weights whose mean is taken out (Brock et al. 2021).

    Raises ValueError where phi puts out nothing at length 1.

    >>> round(gain("relu"), 6), round(gain("relu", centred=True), 6)
    (1.414214, 1.712859)
    """
    act = activation(phi)
    size = variance(act) if centred else second_moment(act)
    if not size > 0:
        raise ValueError(
            f"{act.name} is constant for z ~ N(0, 1), no gain keeps a length; choose another activation"
        )
    return 1 / math.sqrt(size)


def relative_slope(phi: Activation, q: float) -> float:
    """Return d ln E[phi^2] / d ln q, which is E[phi^2 (z^2 - 1)] / (2 E[phi^2]) (principles.md 1.3).

    >>> relative_slope(activation("relu"), 7.0)
    1.0
    """
    if phi.gate is not None:
        return 1 + relative_slope(phi.gate, q)
    size = moment(phi, q, 2)
    return weighted_moment(phi, q, 2, 2) / (2 * size) if size > 0 else 0.0


def length_slope(phi: Phi) -> float:
    """Return J = dq'/dq at q = 1 under the matched gain.

    Below 1 the matched length is stable; GELU (1.144), SiLU and Mish are above.

    >>> round(length_slope("gelu"), 4)
    1.1441
    """
    return relative_slope(activation(phi), 1.0)


def fluctuation(phi: Phi) -> float:
    """Return c, where one layer of n units spreads its second moment by sqrt(c / n), relatively.

    The largest kurtosis E[phi^4] / E[phi^2]^2 - 1 over q from 1/100 to 100.

    >>> round(fluctuation("relu"), 6)
    5.0
    """
    return _fluctuation(activation(phi))


@lru_cache(maxsize=256)
def _fluctuation(phi: Activation) -> float:
    return max(kurtosis(phi, float(q)) - 1 for q in np.geomspace(0.01, 100, 9))


def kurtosis(phi: Phi, q: float = 1.0) -> float:
    """Return E[phi^4] / E[phi^2]^2 for z ~ N(0, q); infinity where phi puts out nothing.

    >>> kurtosis("relu"), kurtosis("identity")
    (6.0, 3.0)
    """
    act = activation(phi)
    size = moment(act, float(q), 2) ** 2
    return moment(act, float(q), 4) / size if size > 0 else math.inf


def matched_gains(phi: Phi) -> tuple[float, float]:
    """Return the smallest and largest gain that textbooks match to this activation.

    For tanh they run from Xavier's 1 (critical at q = 0) to torch's 5/3.

    >>> tuple(round(g, 4) for g in matched_gains("tanh"))
    (1.0, 1.6667)
    """
    act = activation(phi)
    gains = (gain(act), *act.textbook_gains)
    return min(gains), max(gains)


@lru_cache(maxsize=4096)
def _log_slope(phi: Activation, log2_q: float) -> float:
    return relative_slope(phi, 2.0**log2_q)


def log_slope(phi: Phi, q: float) -> float:
    """Return d ln E[phi^2] / d ln q: how a relative change of the length passes one layer.

    1 for ReLU at every q; it equals J at q = 1, and tends to 1 for tanh as q tends to 0.  Lengths
    are taken to the nearest eighth of a power of 2, so that one layer's need no second quadrature.

    >>> round(log_slope("tanh", 1.0), 2)
    0.46
    """
    return _log_slope(activation(phi), round(8 * math.log2(max(q, 1e-30))) / 8)


def saturated_share(phi: Phi, q: float = 1.0, *, beyond: float | None = None) -> float:
    """Return P(abs(z) > beyond) for z ~ N(0, q): the share of saturated units (principles.md 1.6).

    * ``beyond`` is by default where abs(phi') falls under 5 % of its maximum.

    Raises ValueError for an activation that does not saturate, unless ``beyond`` is given.

    >>> round(saturated_share("tanh", 1.0, beyond=math.atanh(0.97)), 4)
    0.0364
    """
    act = activation(phi)
    edge = act.saturated_beyond if beyond is None else beyond
    if edge is None:
        raise ValueError(f"{act.name} does not saturate on both sides; pass beyond=")
    return math.erfc(edge / math.sqrt(2 * q)) if q > 0 else 0.0
