"""The schemes of papers, under their textbook names: true fans, every kind of layer.

Weights have mean 0 and variance gain^2 / fan; the gain that an activation needs comes from
:mod:`pytest_initcheck.theory`.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pytest_initcheck.activations import Activation
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.schemes import Draw, Mode, Scheme


def named(name: str, **parameters: object) -> str:
    """Return a scheme's name with its parameters, as it is looked up.

    >>> named("he_normal", a=0.2)
    'he_normal(a=0.2)'
    """
    shown = ", ".join(
        f"{key}={value:g}" if isinstance(value, (int, float)) else f"{key}={value}"
        for key, value in parameters.items()
    )
    return f"{name}({shown})" if shown else name


def _he(draw: Draw, a: float, mode: Mode) -> Scheme:
    name = named(f"he_{draw}", **({"a": a} if a else {}))
    name = name if mode == "fan_in" else f"{name}[{mode}]"
    return Scheme(name, draw, math.sqrt(2 / (1 + a * a)), mode)


def he_normal(a: float = 0.0, *, mode: Mode = "fan_in") -> Scheme:
    """Return N(0, 2 / ((1 + a^2) fan)), for (leaky) ReLU with slope ``a`` (He et al. 2015, eq. 10, 15).

    >>> he_normal(0.2).name
    'he_normal(a=0.2)'
    >>> from pytest_initcheck.initializers.layer_kinds import conv
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
    return Scheme(named(name, **({"gain": gain} if gain != 1 else {})), draw, gain, mode)


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

    >>> from pytest_initcheck.initializers.layer_kinds import dense
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
    return Scheme(named("normal", std=std), "normal", std, "absolute")


def constant(value: float) -> Scheme:
    """Return weights that all have this value.

    >>> constant(0.0).name
    'zeros'
    """
    name = "zeros" if value == 0 else f"constant({value:g})"
    return Scheme(name, "constant", value, "absolute")


def zeros() -> Scheme:
    """Return weights that are all zero."""
    return constant(0.0)


def ones() -> Scheme:
    """Return weights that are all one."""
    return constant(1.0)


def delta_orthogonal(gain: float = 1.0) -> Scheme:
    """Return a kernel that is orthogonal at its centre and zero around it (Xiao et al. 2018)."""
    name = named("delta_orthogonal", **({"gain": gain} if gain != 1 else {}))
    return Scheme(name, "delta_orthogonal", gain, "long_side")


def uniform(bound: float) -> Scheme:
    """Return U(-bound, bound), whatever the fans."""
    return Scheme(named("uniform", bound=bound), "uniform", bound / math.sqrt(3), "absolute")


def mup_input() -> Scheme:
    """Return N(0, 1): muP's input weight (Yang et al. 2022, table 8)."""
    return Scheme("mup_input", "normal", 1.0, "absolute")


def mup_hidden(gain: float = 1.0) -> Scheme:
    """Return N(0, gain^2 / fan_in): muP's hidden weight (Yang et al. 2022, table 8)."""
    return Scheme(named("mup_hidden", **({"gain": gain} if gain != 1 else {})), "normal", gain)


def mup_output(gain: float = 1.0) -> Scheme:
    """Return N(0, gain^2 / fan_in^2): muP's output weight; gain 0 is its other choice, zeros.

    >>> from pytest_initcheck.initializers.layer_kinds import dense
    >>> mup_output().layer_variance(dense(100, 10))
    0.0001
    """
    name = named("mup_output", **({"gain": gain} if gain != 1 else {}))
    return Scheme(name, "normal", gain, "fan_in_squared")


def siren_first() -> Scheme:
    """Return U(-1/n, 1/n) over n = fan_in: SIREN's first layer (Sitzmann et al. 2020)."""
    return Scheme("siren_first", "uniform", math.sqrt(1 / 3), "fan_in_squared")


def siren_hidden(omega: float = 30.0) -> Scheme:
    """Return U(-b, b), b = sqrt(6 / fan_in) / omega: SIREN's other layers (Sitzmann et al. 2020)."""
    return Scheme(named("siren_hidden", omega=omega), "uniform", math.sqrt(2) / omega)


def fixup(branches: int, layers: int = 2) -> Scheme:
    """Return He's scheme times L^(-1 / (2 m - 2)), for a residual branch (Zhang et al. 2019).

    * ``branches`` is L, ``layers`` m per branch; the last layer of each is zeros.

    Raises ConfigError for no branch or fewer than 2 layers.

    >>> round(fixup(16).gain, 6)  # sqrt(2) / sqrt(16)
    0.353553
    """
    if branches < 1 or layers < 2:
        raise ConfigError(f"fixup needs branches >= 1 and layers >= 2, got {branches} and {layers}")
    gain = math.sqrt(2) * branches ** (-1 / (2 * layers - 2))
    return Scheme(named("fixup", branches=branches, layers=layers), "normal", gain)


def gpt2(layers: int | None = None) -> Scheme:
    """Return GPT-2's N(0, 0.02^2), or with ``layers`` its residual projections: 0.02 / sqrt(2 layers).

    Radford et al. 2019, section 2.3; two residual projections per layer.
    """
    if layers is None:
        return Scheme("gpt2", "normal", 0.02, "absolute")
    if layers < 1:
        raise ConfigError(f"gpt2 needs layers >= 1, got {layers}")
    return Scheme(named("gpt2", layers=layers), "normal", 0.02 / math.sqrt(2 * layers), "absolute")


def spread(act: Activation, gain: float, mode: Mode) -> tuple[Scheme, ...]:
    """Return the three independent draws of one variance, under the name that textbooks give them."""
    draws: tuple[Draw, ...] = ("normal", "uniform", "truncated_normal")
    slope = float(act.derivative(np.array(-1.0)))
    if act.family == "rectifier" and math.isclose(gain, math.sqrt(2 / (1 + slope**2)), rel_tol=1e-9):
        return tuple(_he(draw, slope, mode) for draw in draws)
    if mode == "fan_out":
        return tuple(Scheme(f"{named(draw, gain=gain)}[fan_out]", draw, gain, mode) for draw in draws)
    family = "lecun" if mode == "fan_in" else "xavier"
    return tuple(_gained(f"{family}_{draw}", draw, gain, mode) for draw in draws)


def named_schemes() -> tuple[Scheme, ...]:
    """Return the textbook schemes without a free parameter, the likeliest first."""
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


TEXTBOOK: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {
        make.__name__: make
        for make in (
            he_normal,
            he_uniform,
            he_truncated_normal,
            xavier_normal,
            xavier_uniform,
            lecun_normal,
            lecun_uniform,
            lecun_truncated_normal,
            orthogonal,
            delta_orthogonal,
            pytorch_default,
            normal,
            uniform,
            constant,
            zeros,
            ones,
            mup_input,
            mup_hidden,
            mup_output,
            siren_first,
            siren_hidden,
            fixup,
            gpt2,
        )
    }
)
"""The constructors by name; library schemes are in :mod:`.library_schemes`."""
