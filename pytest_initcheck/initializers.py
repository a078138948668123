"""Initialisation schemes by name: which match an activation, and which a given weight looks like.

Weights have mean 0 and variance gain^2 / fan; the gain that an activation needs comes from
:mod:`pytest_initcheck.theory`.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from pytest_initcheck import theory
from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.schemes import Draw, Layer, Mode, Scheme, conv, dense

__all__ = [
    "Criterion",
    "Layer",
    "Scheme",
    "constant",
    "conv",
    "dense",
    "describe",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "matched",
    "named_schemes",
    "needed_variance",
    "normal",
    "orthogonal",
    "pytorch_default",
    "xavier_normal",
    "xavier_uniform",
]

Criterion = Literal["forward", "backward", "compromise"]

_LARGEST_Z = 3.0
_ROUNDING = 1e-6
"""Relative error of a second moment that was summed in single precision."""


def _named(name: str, **parameters: float) -> str:
    shown = ", ".join(f"{key}={value:g}" for key, value in parameters.items())
    return f"{name}({shown})" if shown else name


def _he(draw: Draw, a: float, mode: Mode) -> Scheme:
    name = _named(f"he_{draw}", **({"a": a} if a else {}))
    name = name if mode == "fan_in" else f"{name}[{mode}]"
    return Scheme(name, draw, math.sqrt(2 / (1 + a * a)), mode)


def he_normal(a: float = 0.0, *, mode: Mode = "fan_in") -> Scheme:
    """Return N(0, 2 / ((1 + a^2) fan)), for (leaky) ReLU with slope ``a`` (He et al. 2015, eq. 10, 15).

    >>> he_normal(0.2).name
    'he_normal(a=0.2)'
    >>> round(math.sqrt(he_normal().layer_variance(conv(64, 64, 3, 3))), 3)  # their section 2.2
    0.059
    """
    return _he("normal", a, mode)


def he_uniform(a: float = 0.0, *, mode: Mode = "fan_in") -> Scheme:
    """Return the uniform draw of the variance of :func:`he_normal`."""
    return _he("uniform", a, mode)


def he_truncated_normal(a: float = 0.0, *, mode: Mode = "fan_in") -> Scheme:
    """Return the draw truncated at two standard deviations, of the variance of :func:`he_normal`."""
    return _he("truncated_normal", a, mode)


def _gained(name: str, draw: Draw, gain: float, mode: Mode) -> Scheme:
    gain = 1.0 if math.isclose(gain, 1.0, rel_tol=1e-9) else gain  # quadrature rounds
    return Scheme(_named(name, **({"gain": gain} if gain != 1 else {})), draw, gain, mode)


def xavier_normal(gain: float = 1.0) -> Scheme:
    """Return N(0, 2 gain^2 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 12).

    >>> round(xavier_normal().variance(300, 100), 6)
    0.005
    """
    return _gained("xavier_normal", "normal", gain, "fan_avg")


def xavier_uniform(gain: float = 1.0) -> Scheme:
    """Return the uniform draw of the variance of :func:`xavier_normal` (eq. 16)."""
    return _gained("xavier_uniform", "uniform", gain, "fan_avg")


def lecun_normal(gain: float = 1.0) -> Scheme:
    """Return N(0, gain^2 / fan_in) (LeCun et al. 1998; gain 1 is SELU's, Klambauer et al. 2017)."""
    return _gained("lecun_normal", "normal", gain, "fan_in")


def lecun_uniform(gain: float = 1.0) -> Scheme:
    """Return the uniform draw of the variance of :func:`lecun_normal`."""
    return _gained("lecun_uniform", "uniform", gain, "fan_in")


def lecun_truncated_normal(gain: float = 1.0) -> Scheme:
    """Return the draw truncated at two standard deviations, of the variance of :func:`lecun_normal`."""
    return _gained("lecun_truncated_normal", "truncated_normal", gain, "fan_in")


def orthogonal(gain: float = 1.0) -> Scheme:
    """Return gain times a matrix that is orthonormal along its longer side (Saxe et al. 2014).

    >>> w = orthogonal().sample(np.random.default_rng(0), dense(4, 2))
    >>> np.allclose(w.T @ w, np.eye(2))
    True
    """
    return _gained("orthogonal", "orthogonal", gain, "long_side")


def pytorch_default() -> Scheme:
    """Return what nn.Linear and nn.Conv2d do unasked: kaiming_uniform(a=sqrt(5)), uniform biases.

    >>> round(pytorch_default().variance(256, 256) * 256, 6)
    0.333333
    """
    return Scheme("kaiming_uniform(a=sqrt(5))", "uniform", math.sqrt(1 / 3), "fan_in", bias_bound=1.0)


def normal(std: float) -> Scheme:
    """Return N(0, std^2), whatever the fans."""
    return Scheme(_named("normal", std=std), "normal", std, "absolute")


def constant(value: float) -> Scheme:
    """Return weights that all have this value.

    >>> constant(0.0).name
    'zeros'
    """
    name = "zeros" if value == 0 else f"constant({value:g})"
    return Scheme(name, "constant", value, "absolute")


def named_schemes() -> tuple[Scheme, ...]:
    """Return the schemes without a free parameter that libraries and papers name."""
    return (
        pytorch_default(),
        he_normal(),
        he_uniform(),
        xavier_uniform(),
        xavier_normal(),
        lecun_normal(),
        lecun_uniform(),
        lecun_truncated_normal(),
        orthogonal(),
        orthogonal(math.sqrt(2)),
        he_truncated_normal(),
        he_normal(mode="fan_out"),
        he_uniform(mode="fan_out"),
        xavier_uniform(5 / 3),
        xavier_normal(5 / 3),
        normal(0.01),
        normal(0.02),
        normal(1.0),
    )


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
    if criterion not in get_args(Criterion):
        raise ConfigError(
            f"unknown criterion {criterion!r}{did_you_mean(criterion, get_args(Criterion))}"
        )
    forward = theory.gain(act)
    backward = 1 / math.sqrt(theory.chi_1(act, 1.0, q=1.0))
    if criterion == "backward":
        return _spread(act, backward, "fan_out")
    if criterion == "compromise":
        return _spread(act, math.sqrt(2 / (forward**-2 + backward**-2)), "fan_avg")
    if act.textbook_gains:
        draws = (xavier_normal, xavier_uniform, orthogonal)
        return tuple(make(gain) for gain in act.textbook_gains for make in draws)
    return (*_spread(act, forward, "fan_in"), orthogonal(forward))


def _spread(act: Activation, gain: float, mode: Mode) -> tuple[Scheme, ...]:
    """The three independent draws of one variance, under the name that textbooks give them."""
    draws: tuple[Draw, ...] = ("normal", "uniform", "truncated_normal")
    slope = float(act.derivative(np.array(-1.0)))
    if act.family == "rectifier" and math.isclose(gain, math.sqrt(2 / (1 + slope**2)), rel_tol=1e-9):
        return tuple(_he(draw, slope, mode) for draw in draws)
    if mode == "fan_out":
        return tuple(Scheme(f"{_named(draw, gain=gain)}[fan_out]", draw, gain, mode) for draw in draws)
    family = "lecun" if mode == "fan_in" else "xavier"
    return tuple(_gained(f"{family}_{draw}", draw, gain, mode) for draw in draws)


def needed_variance(which: str | Activation, fan_in: int) -> float:
    """Return the weight variance that keeps E[z^2] = 1: 1 / (fan_in E[phi^2]).

    >>> round(needed_variance("relu", 512), 12)
    0.00390625
    """
    return theory.gain(which) ** 2 / fan_in


def describe(
    fan_in: int,
    fan_out: int,
    second_moment: float,
    count: int,
    *,
    units: int | None = None,
    mean: float | None = None,
) -> tuple[Scheme, ...]:
    """Return the named schemes whose variance a weight's second moment agrees with, likeliest first.

    * ``second_moment`` is E[w^2] over the ``count`` entries; agreement is within 3 standard
      deviations of each scheme's own sampling error.
    * ``mean`` tells a constant from a draw.

    >>> describe(256, 256, 1 / (3 * 256), 256 * 256)[0].name
    'kaiming_uniform(a=sqrt(5))'
    >>> describe(256, 256, 0.0, 256 * 256)[0].name
    'zeros'
    """
    if second_moment == 0:
        return (constant(0.0),)
    if mean is not None and count > 1 and abs(mean * mean - second_moment) <= _ROUNDING * second_moment:
        return (constant(mean),)
    likelihoods: list[tuple[float, Scheme]] = []
    for scheme in named_schemes():
        error = max(scheme.relative_error(count), _ROUNDING)
        z = (second_moment / scheme.variance(fan_in, fan_out, units=units) - 1) / error
        if abs(z) <= _LARGEST_Z:
            likelihoods.append((-math.log(error) - z * z / 2, scheme))
    # the sort is stable: among equals the order of the table decides
    return tuple(scheme for _, scheme in sorted(likelihoods, key=lambda pair: -pair[0]))
