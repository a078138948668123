"""Moments of phi and phi' under N(0, q): in closed form where there is one, by quadrature elsewhere.

A gated activation y = u gate(v) has independent halves, so its moments are products
(principles.md 1.8).  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from pytest_initcheck.activations import Activation, Array, activation
from pytest_initcheck.theory.gaussian import gaussian_mean, gaussian_pair_mean

Phi: TypeAlias = str | Activation | Callable[..., Any]
"""A name, an activation, or a callable over arrays."""

_ERF, _SIN, _GELU = activation("erf"), activation("sin"), activation("gelu")


def _double_factorial(power: int) -> float:
    """E z^power for z ~ N(0, 1) and even power: (power - 1)!!."""
    return float(math.prod(range(power - 1, 0, -2)))


@lru_cache(maxsize=8192)
def moment(phi: Activation, q: float, power: int) -> float:
    """Return E[phi(z)^power] for z ~ N(0, q).

    >>> moment(activation("relu"), 2.0, 4)
    6.0
    """
    if not q >= 0:
        raise ValueError(f"a variance is not negative, got q={q:g}; give E[z^2]")
    if phi.gate is not None:
        even = power % 2 == 0
        return q ** (power / 2) * _double_factorial(power) * moment(phi.gate, q, power) if even else 0.0
    if phi.slopes is not None:
        below, above = phi.slopes
        if power % 2:
            absolute = 2 ** (power / 2) * math.gamma((power + 1) / 2) / math.sqrt(math.pi)
        else:
            absolute = _double_factorial(power)
        return float(q ** (power / 2) * absolute * (above**power + (-below) ** power) / 2)
    if power == 2 and (closed := _closed_second_moment(phi, q)) is not None:
        return closed
    if power == 1 and phi is _GELU:
        return q / math.sqrt(2 * math.pi * (1 + q))
    return gaussian_mean(lambda z: phi.phi(z) ** power, q, phi.kinks)


def _closed_second_moment(phi: Activation, q: float) -> float | None:
    """Williams 1997 for erf; sin by its characteristic function; GELU by parts (principles.md 1.1)."""
    if phi is _ERF:
        return 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    if phi is _SIN:
        return -math.expm1(-2 * q) / 2
    if phi is _GELU:
        arc = q / (2 * math.pi) * math.asin(q / (1 + q))
        return q / 4 + arc + q * q / (math.pi * (1 + q) * math.sqrt(1 + 2 * q))
    return None


@lru_cache(maxsize=8192)
def weighted_moment(phi: Activation, q: float, power: int, order: int) -> float:
    """Return E[phi(sqrt(q) z)^power He_order(z)], with the Hermite polynomial He_2 or He_4.

    By Stein's lemma d^k/dq^k E[g(sqrt(q) z)] = E[g He_2k] / (2 q)^k, whether or not g is smooth.

    >>> weighted_moment(activation("relu"), 2.0, 2, 2)
    2.0
    """
    if phi.slopes is not None and power == 2:
        return moment(phi, q, 2) * {2: 2.0, 4: 0.0}[order]
    scale = math.sqrt(q)
    at_zero = float(phi.phi(np.zeros(1))[0]) ** power  # E He_k = 0: taken out, so that nothing cancels

    def product(u: Array) -> Array:
        z2 = (u / scale) ** 2
        hermite = z2 - 1 if order == 2 else z2 * z2 - 6 * z2 + 3
        return np.asarray((phi.phi(u) ** power - at_zero) * hermite)

    return gaussian_mean(product, q, phi.kinks)


@lru_cache(maxsize=8192)
def slope_moment(phi: Activation, q: float, power: int = 2) -> float:
    """Return E[phi'(z)^power] for z ~ N(0, q); of a gate, the squares of both halves' slopes.

    >>> slope_moment(activation("leaky_relu(0.2)"), 1.0)
    0.52
    """
    if phi.gate is not None:
        if power != 2:
            raise ValueError(f"{phi.name} is a gate: its slope has no power {power}; ask for its gate")
        return moment(phi.gate, q, 2) + q * slope_moment(phi.gate, q)
    if phi.slopes is not None:
        return sum(slope**power for slope in phi.slopes) / 2
    if power == 2 and phi is _ERF:
        return 4 / math.pi / math.sqrt(1 + 4 * q)
    if power == 2 and phi is _SIN:
        return (1 + math.exp(-2 * q)) / 2
    return gaussian_mean(lambda z: phi.derivative(z) ** power, q, phi.kinks)


def _kappa_1(c: float) -> float:
    return (math.sqrt((1 - c) * (1 + c)) + (math.pi - math.acos(c)) * c) / math.pi


def _kappa_0(c: float) -> float:
    return (math.pi - math.acos(c)) / math.pi


@lru_cache(maxsize=8192)
def pair_moment(phi: Activation, q: float, c: float) -> float:
    """Return E[phi(z1) phi(z2)] for Gaussians of variance q that correlate by c.

    Piecewise linear phi by the arc-cosine kernel (Cho and Saul 2009), erf by Williams 1997.

    >>> round(pair_moment(activation("relu"), 2.0, 0.0), 6)  # 1 / pi
    0.31831
    """
    if phi.gate is not None:
        return q * c * pair_moment(phi.gate, q, c)
    if phi.slopes is not None:
        below, above = phi.slopes
        return q * ((above**2 + below**2) / 2 * _kappa_1(c) - above * below * _kappa_1(-c))
    if phi is _ERF:
        return 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))
    if phi is _SIN:
        size = abs(c)  # sin is odd; exp(-q) sinh(q c) without overflow or cancellation
        return math.copysign(math.exp(-q * (1 - size)) * -math.expm1(-2 * q * size) / 2, c)
    if c == 1:
        return moment(phi, q, 2)
    return gaussian_pair_mean(phi.phi, phi.phi, q, c, phi.kinks)


@lru_cache(maxsize=8192)
def pair_slope_moment(phi: Activation, q: float, c: float) -> float:
    """Return d E[phi(z1) phi(z2)] / (q dc), which is E[phi'(z1) phi'(z2)] where phi has no jump.

    >>> round(pair_slope_moment(activation("relu"), 1.0, 0.0), 12)
    0.25
    """
    if phi.gate is not None:
        return pair_moment(phi.gate, q, c) + q * c * pair_slope_moment(phi.gate, q, c)
    if phi.slopes is not None:
        below, above = phi.slopes
        return (above**2 + below**2) / 2 * _kappa_0(c) + above * below * _kappa_0(-c)
    if phi is _ERF:
        return 4 / math.pi / math.sqrt((1 + 2 * q * (1 - c)) * (1 + 2 * q * (1 + c)))
    if phi is _SIN:
        return (math.exp(-q * (1 - c)) + math.exp(-q * (1 + c))) / 2
    if c == 1:
        return slope_moment(phi, q)
    return gaussian_pair_mean(phi.derivative, phi.derivative, q, c, phi.kinks)
