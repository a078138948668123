"""The schemes of keras.initializers (keras 3.15) and jax.nn.initializers (jax 0.10).

The two share their formulas: fans are read off [*kernel, in, out].  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.layers import Library
from pytest_initcheck.initializers.scheme_forms import between, bounded, fan_mode, fixed, one_of, valued
from pytest_initcheck.initializers.schemes import Draw, Mode, Scheme

_DRAWS: Mapping[str, Draw] = {
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "normal": "normal",
    "uniform": "uniform",
}
_KERAS_MODES = ("fan_in", "fan_out", "fan_avg")
_JAX_MODES = (*_KERAS_MODES, "fan_geo_avg")


def _keras_normal(name: str, mean: float = 0.0, stddev: float = 0.05) -> Scheme:
    return Scheme(name, "normal", stddev, "absolute", library="keras", mean=mean)


def _keras_uniform(name: str, minval: float = -0.05, maxval: float = 0.05) -> Scheme:
    return between(name, "keras", minval, maxval)


def _keras_truncated(name: str, mean: float = 0.0, stddev: float = 0.05) -> Scheme:
    # cut at two standard deviations and not corrected: its variance is 0.774 stddev^2
    return bounded(name, "keras", mean, stddev, mean - 2 * stddev, mean + 2 * stddev)


def _variance_scaling(
    library: Library,
    name: str,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
) -> Scheme:
    if scale <= 0:
        raise ConfigError(f"{name} needs a positive scale, got {scale:g}")
    keras = library == "keras"
    known = ("truncated_normal", "untruncated_normal" if keras else "normal", "uniform")
    draw = _DRAWS[one_of("distribution", distribution, known)]
    chosen = fan_mode(mode, _KERAS_MODES if keras else _JAX_MODES)
    return Scheme(name, draw, math.sqrt(scale), chosen, library=library)


def _scaled(library: Library, gain: float, mode: Mode, draw: Draw, name: str) -> Scheme:
    return Scheme(name, draw, gain, mode, library=library)


def _orthogonal(library: Library, name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, "orthogonal", gain, "long_side", library=library)


def _jax_orthogonal(name: str, scale: float = 1.0) -> Scheme:
    return _orthogonal("jax", name, scale)


def _delta_orthogonal(name: str, scale: float = 1.0) -> Scheme:
    return Scheme(name, "delta_orthogonal", scale, "long_side", library="jax")


def _identity(name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, "identity", gain, "absolute", library="keras")


def _jax_normal(name: str, stddev: float = 0.01) -> Scheme:
    return Scheme(name, "normal", stddev, "absolute", library="jax")


def _jax_uniform(name: str, scale: float = 0.01) -> Scheme:
    return between(name, "jax", 0.0, scale)


def _jax_truncated(name: str, stddev: float = 0.01, lower: float = -2.0, upper: float = 2.0) -> Scheme:
    # the bounds count in standard deviations, unlike torch's
    return bounded(name, "jax", 0.0, stddev, lower * stddev, upper * stddev)


def _families(library: Library) -> dict[str, Callable[..., Scheme]]:
    """Glorot's, He's and LeCun's schemes; the normal ones are truncated in keras and jax."""
    rows: tuple[tuple[str, float, Mode], ...] = (
        ("glorot", 1.0, "fan_avg"),
        ("he", math.sqrt(2), "fan_in"),
        ("lecun", 1.0, "fan_in"),
    )
    if library == "jax":
        rows = (*rows, ("xavier", 1.0, "fan_avg"), ("kaiming", math.sqrt(2), "fan_in"))
    draws: tuple[tuple[str, Draw], ...] = (("normal", "truncated_normal"), ("uniform", "uniform"))
    return {
        f"{library}.{family}_{suffix}": partial(_scaled, library, gain, mode, draw)
        for family, gain, mode in rows
        for suffix, draw in draws
    }


KERAS_AND_JAX: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {
        "keras.random_normal": _keras_normal,
        "keras.random_uniform": _keras_uniform,
        "keras.truncated_normal": _keras_truncated,
        "keras.variance_scaling": partial(_variance_scaling, "keras"),
        **_families("keras"),
        "keras.orthogonal": partial(_orthogonal, "keras"),
        "keras.identity": _identity,
        "keras.zeros": partial(fixed, "keras", 0.0),
        "keras.ones": partial(fixed, "keras", 1.0),
        "keras.constant": partial(valued, "keras"),
        "jax.normal": _jax_normal,
        "jax.uniform": _jax_uniform,
        "jax.truncated_normal": _jax_truncated,
        "jax.variance_scaling": partial(_variance_scaling, "jax"),
        **_families("jax"),
        "jax.orthogonal": _jax_orthogonal,
        "jax.delta_orthogonal": _delta_orthogonal,
        "jax.constant": partial(valued, "jax"),
        "jax.zeros": partial(fixed, "jax", 0.0),
        "jax.ones": partial(fixed, "jax", 1.0),
    }
)
"""Each makes a scheme from its name and its library's own parameters."""
