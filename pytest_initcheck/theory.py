"""Signal propagation at initialisation: length maps, fluctuations, dead units.

Notation: z = W a + b with W_ij independent of variance sigma_w2 / fan_in, a = phi(z),
q = E[z^2].  Gaussian integrals are piecewise Gauss-Legendre, split at the kinks of phi.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np

from pytest_initcheck.activations import Activation, Array, activation

_REACH = 12.0
_NODES = 200
_TURN = 8.0


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return np.asarray(nodes), np.asarray(weights)


@lru_cache(maxsize=64)
def _grid(cuts: tuple[float, ...]) -> tuple[Array, Array]:
    nodes, weights = _legendre()
    edges = sorted({-_REACH, 0.0, _REACH, *(cut for cut in cuts if abs(cut) < _REACH)})
    points, densities = [], []
    for low, high in pairwise(edges):
        half = (high - low) / 2
        z = low + half * (nodes + 1)
        points.append(z)
        densities.append(half * weights * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
    return np.concatenate(points), np.concatenate(densities)


def gaussian_mean(
    function: Callable[[Array], Array], q: float = 1.0, kinks: tuple[float, ...] = ()
) -> float:
    """Return E[function(sqrt(q) z)] for z ~ N(0, 1).

    * ``kinks`` are the arguments of ``function`` at which it or its slope jumps.

    >>> round(gaussian_mean(lambda z: z**2, q=3.0), 12)
    3.0
    """
    if q <= 0:
        return float(function(np.zeros(1))[0])
    scale = math.sqrt(q)
    # a smooth activation turns within a few units of 0, which a large q makes narrow in z
    turns = (-_TURN, _TURN) if scale > 1 else ()
    z, density = _grid(tuple(cut / scale for cut in (*kinks, *turns)))
    return float(np.dot(function(scale * z), density))


@lru_cache(maxsize=4096)
def _moment(phi: Activation, q: float, power: int) -> float:
    return gaussian_mean(lambda z: phi.phi(z) ** power, q, phi.kinks)


def second_moment(phi: str | Activation, q: float = 1.0) -> float:
    """Return E[phi(z)^2] for z ~ N(0, q) (Poole et al. 2016, eq. 3).

    >>> round(second_moment("relu", 2.0), 12)
    1.0
    """
    return _moment(activation(phi), float(q), 2)


def gain(phi: str | Activation) -> float:
    """Return 1 / sqrt(E[phi(z)^2]) for z ~ N(0, 1): the gain that keeps length 1.

    >>> round(gain("relu"), 6)
    1.414214
    """
    return 1 / math.sqrt(second_moment(phi))


def chi_1(phi: str | Activation, sigma_w2: float, q: float = 1.0) -> float:
    """Return sigma_w2 * E[phi'(z)^2], z ~ N(0, q): the gradient factor per layer.

    Schoenholz et al. 2017, section 3.

    >>> round(chi_1("relu", 2.0), 12)
    1.0
    """
    act = activation(phi)
    return sigma_w2 * gaussian_mean(lambda z: act.derivative(z) ** 2, q, act.kinks)


@lru_cache(maxsize=256)
def length_slope(phi: str | Activation) -> float:
    """Return J = dq'/dq at q = 1 under the matched gain.

    Below 1 the matched length is stable; GELU (1.144), SiLU and Mish are above.

    >>> round(length_slope("gelu"), 4)
    1.1441
    """
    act = activation(phi)
    slope = gaussian_mean(lambda z: act.phi(z) * act.derivative(z) * z, 1.0, act.kinks)
    return gain(act) ** 2 * slope


@lru_cache(maxsize=256)
def fluctuation(phi: str | Activation) -> float:
    """Return c, where one layer of n units spreads its second moment by sqrt(c / n), relatively.

    The largest kurtosis E[phi^4] / E[phi^2]^2 - 1 over q from 1/100 to 100.

    >>> round(fluctuation("relu"), 6)
    5.0
    """
    act = activation(phi)
    return max(_moment(act, q, 4) / _moment(act, q, 2) ** 2 - 1 for q in np.geomspace(0.01, 100, 9))


def matched_gains(phi: str | Activation) -> tuple[float, float]:
    """Return the smallest and largest gain that textbooks match to this activation.

    For tanh they run from Xavier's 1 (critical at q = 0) to torch's 5/3.

    >>> tuple(round(g, 4) for g in matched_gains("tanh"))
    (1.0, 1.6667)
    """
    act = activation(phi)
    gains = (gain(act), *act.textbook_gains)
    return min(gains), max(gains)


def relu_correlation(c: float) -> float:
    """Return the correlation after a ReLU layer of pre-activations correlated by c (Cho and Saul).

    >>> round(relu_correlation(0.0), 6)
    0.31831
    """
    c = min(1.0, max(-1.0, c))
    return (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi


def dead_fraction(depth: int, batch: int, input_correlation: float = 0.0) -> float:
    """Return the share of ReLU units of layer ``depth`` (from 1) with no positive pre-activation.

    For a matched bias-free net on ``batch`` inputs whose pairs correlate by ``input_correlation``
    this is the integral of N(t) Phi(-sqrt(rho) t / sqrt(1 - rho))^batch.

    >>> round(dead_fraction(1, 32, 0.75), 4)
    0.125
    """
    rho = input_correlation
    for _ in range(depth - 1):
        rho = relu_correlation(rho)
    if rho <= 0:
        return 0.5**batch
    if rho >= 1 - 1e-12:
        return 0.5
    # the power of batch has a steep edge in t: many panels instead of one
    t = np.linspace(-_REACH, _REACH, 4001)
    slope = math.sqrt(rho / (1 - rho))
    below = 0.5 * np.array([math.erfc(slope * value / math.sqrt(2)) for value in t])
    values = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi) * below**batch
    return float(np.trapezoid(values, t))


def dead_layer_probability(widths: tuple[int, ...]) -> float:
    """Return 1 - prod(1 - 2^-n): the chance that one of these layers is dead at a point.

    Exact for bias-free symmetric weights and one input (Rister and Rubin 2017).

    >>> round(dead_layer_probability((2,) * 5), 6)
    0.762695
    """
    return -math.expm1(sum(math.log1p(-(2.0 ** -min(n, 1000))) for n in widths if n > 0))


@lru_cache(maxsize=4096)
def _log_slope(phi: Activation, log2_q: float) -> float:
    q = 2.0**log2_q
    mean = gaussian_mean(lambda z: phi.phi(z) * phi.derivative(z) * z, q, phi.kinks)
    return mean / _moment(phi, q, 2)


def log_slope(phi: str | Activation, q: float) -> float:
    """Return d ln E[phi^2] / d ln q: how a relative change of the length passes one layer.

    1 for ReLU at every q; it equals J at q = 1, and tends to 1 for tanh as q tends to 0.

    >>> round(log_slope("tanh", 1.0), 2)
    0.46
    """
    return _log_slope(activation(phi), round(8 * math.log2(max(q, 1e-30))) / 8)


def length_spread(
    widths: tuple[int, ...],
    activations: tuple[str, ...],
    lengths: tuple[float, ...] | None = None,
) -> tuple[float, float]:
    """Return (b, V): the mean fall and the variance of ln q over these layers in a correct net.

    * ``widths`` are the units of each layer, ``activations`` what the layer reads through.
    * ``lengths`` are the second moments at which each activation works, 1 by default.

    V <- J^2 V + (c/n)(1 + 8/n) and b <- b + (c/2n)(1 + 4/n), with n at least 8 and J the slope of
    the length map; c/n is the law of Hanin and Rolnick 2018, the factors fit its next order.
    Where J > 1 the spread is luck only while J^depth sqrt(c/n) < 1; V stops growing there, at
    1 / (1 - J^-2), for beyond it the length does explode.

    >>> b, v = length_spread((64,) * 10, ("relu",) * 10)
    >>> round(b, 3), round(v, 3)
    (0.415, 0.879)
    """
    b = v = 0.0
    for width, name, q in zip(widths, activations, lengths or (1.0,) * len(widths), strict=True):
        n = max(width, 8)
        c, j = fluctuation(name), log_slope(name, q)
        v = j * j * v + c / n * (1 + 8 / n)
        if j > 1 + 1e-6:
            v = min(v, 1 / (1 - j**-2))
        b += c / (2 * n) * (1 + 4 / n)
    return b, v
