"""The schemes of torch.nn.init, keras.initializers and jax.nn.initializers, by their own names.

They take the fans that their library reads off the shape, right or wrong.  Read off torch 2.13,
keras 3.15 and jax 0.10.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.layers import Library
from pytest_initcheck.schemes import Draw, Mode, Scheme
from pytest_initcheck.textbook import TEXTBOOK, named

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}
_DRAWS: Mapping[str, Draw] = {
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "normal": "normal",
    "uniform": "uniform",
}
_KERAS_MODES = ("fan_in", "fan_out", "fan_avg")
_JAX_MODES = (*_KERAS_MODES, "fan_geo_avg")


def torch_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return what torch.nn.init.calculate_gain returns.

    Raises ConfigError for a nonlinearity that it does not know.

    >>> torch_gain("selu")
    0.75
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    return _GAINS[_one_of("nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))]


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"unknown {name} {value!r}{did_you_mean(str(value), known)}")
    return value


def _mode(mode: str, known: tuple[str, ...]) -> Mode:
    return _one_of("mode", mode, known)  # type: ignore[return-value]  # a checked member


def _changed(make: Callable[..., Scheme], given: Mapping[str, Any]) -> dict[str, object]:
    """The parameters that are not at their defaults, for the name."""
    defaults = inspect.signature(make).parameters
    return {key: value for key, value in given.items() if value != defaults[key].default}


def _bounded(name: str, library: Library, mean: float, std: float, low: float, high: float) -> Scheme:
    if not (low < high and std > 0):
        raise ConfigError(f"{name} needs std > 0 and low < high, got {std:g}, {low:g} and {high:g}")
    return Scheme(
        name, "bounded_normal", std, "absolute", library=library, mean=mean, bounds=(low, high)
    )


def _between(name: str, library: Library, low: float, high: float) -> Scheme:
    if low > high:
        raise ConfigError(f"{name} needs a lower bound below the upper, got {low:g} and {high:g}")
    gain = (high - low) / math.sqrt(12)
    return Scheme(name, "uniform", gain, "absolute", library=library, mean=(low + high) / 2)


def _constant(name: str, library: Library, value: float) -> Scheme:
    return Scheme(name, "constant", value, "absolute", library=library)


# -- torch.nn.init -------------------------------------------------------------------------------


def _uniform_(name: str, a: float = 0.0, b: float = 1.0) -> Scheme:
    return _between(name, "torch", a, b)


def _normal_(name: str, mean: float = 0.0, std: float = 1.0) -> Scheme:
    return Scheme(name, "normal", std, "absolute", library="torch", mean=mean)


def _trunc_normal_(
    name: str, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Scheme:
    return _bounded(name, "torch", mean, std, a, b)


def _constant_(name: str, val: float) -> Scheme:
    return _constant(name, "torch", val)


def _eye_(name: str) -> Scheme:
    return Scheme(name, "identity", 1.0, "absolute", library="torch")


def _dirac_(name: str, groups: int = 1) -> Scheme:
    return Scheme(name, "dirac", 1.0, "absolute", library="torch", groups=groups)


def _xavier(draw: Draw, name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, draw, gain, "fan_avg", library="torch")


def _kaiming(
    draw: Draw,
    name: str,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Scheme:
    gain = torch_gain(nonlinearity, a)
    return Scheme(name, draw, gain, _mode(mode, ("fan_in", "fan_out")), library="torch")


def _torch_orthogonal(name: str, gain: float = 1.0) -> Scheme:
    return Scheme(name, "orthogonal", gain, "long_side", library="torch")


def _sparse_(name: str, sparsity: float, std: float = 0.01) -> Scheme:
    if not 0 <= sparsity <= 1:
        raise ConfigError(f"{name} needs a sparsity from 0 to 1, got {sparsity:g}")
    return Scheme(name, "sparse", std, "absolute", library="torch", sparsity=sparsity)


# -- keras and jax -------------------------------------------------------------------------------


def _keras_normal(name: str, mean: float = 0.0, stddev: float = 0.05) -> Scheme:
    return Scheme(name, "normal", stddev, "absolute", library="keras", mean=mean)


def _keras_uniform(name: str, minval: float = -0.05, maxval: float = 0.05) -> Scheme:
    return _between(name, "keras", minval, maxval)


def _keras_truncated(name: str, mean: float = 0.0, stddev: float = 0.05) -> Scheme:
    # cut at two standard deviations and not corrected: its variance is 0.774 stddev^2
    return _bounded(name, "keras", mean, stddev, mean - 2 * stddev, mean + 2 * stddev)


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
    draw = _DRAWS[_one_of("distribution", distribution, known)]
    chosen = _mode(mode, _KERAS_MODES if keras else _JAX_MODES)
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


def _valued(library: Library, name: str, value: float = 0.0) -> Scheme:
    return _constant(name, library, value)


def _fixed(library: Library, value: float, name: str) -> Scheme:
    return _constant(name, library, value)


def _jax_normal(name: str, stddev: float = 0.01) -> Scheme:
    return Scheme(name, "normal", stddev, "absolute", library="jax")


def _jax_uniform(name: str, scale: float = 0.01) -> Scheme:
    return _between(name, "jax", 0.0, scale)


def _jax_truncated(name: str, stddev: float = 0.01, lower: float = -2.0, upper: float = 2.0) -> Scheme:
    # the bounds count in standard deviations, unlike torch's
    return _bounded(name, "jax", 0.0, stddev, lower * stddev, upper * stddev)


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


LIBRARY: Mapping[str, Callable[..., Scheme]] = MappingProxyType(
    {
        "torch.uniform_": _uniform_,
        "torch.normal_": _normal_,
        "torch.trunc_normal_": _trunc_normal_,
        "torch.constant_": _constant_,
        "torch.ones_": partial(_fixed, "torch", 1.0),
        "torch.zeros_": partial(_fixed, "torch", 0.0),
        "torch.eye_": _eye_,
        "torch.dirac_": _dirac_,
        "torch.xavier_uniform_": partial(_xavier, "uniform"),
        "torch.xavier_normal_": partial(_xavier, "normal"),
        "torch.kaiming_uniform_": partial(_kaiming, "uniform"),
        "torch.kaiming_normal_": partial(_kaiming, "normal"),
        "torch.orthogonal_": _torch_orthogonal,
        "torch.sparse_": _sparse_,
        "keras.random_normal": _keras_normal,
        "keras.random_uniform": _keras_uniform,
        "keras.truncated_normal": _keras_truncated,
        "keras.variance_scaling": partial(_variance_scaling, "keras"),
        **_families("keras"),
        "keras.orthogonal": partial(_orthogonal, "keras"),
        "keras.identity": _identity,
        "keras.zeros": partial(_fixed, "keras", 0.0),
        "keras.ones": partial(_fixed, "keras", 1.0),
        "keras.constant": partial(_valued, "keras"),
        "jax.normal": _jax_normal,
        "jax.uniform": _jax_uniform,
        "jax.truncated_normal": _jax_truncated,
        "jax.variance_scaling": partial(_variance_scaling, "jax"),
        **_families("jax"),
        "jax.orthogonal": _jax_orthogonal,
        "jax.delta_orthogonal": _delta_orthogonal,
        "jax.constant": partial(_valued, "jax"),
        "jax.zeros": partial(_fixed, "jax", 0.0),
        "jax.ones": partial(_fixed, "jax", 1.0),
    }
)
"""Each makes a scheme from its name and its library's own parameters."""


def _key(name: str) -> str:
    """The table's key; keras' class names (``keras.HeNormal``) are those of its functions."""
    library, dot, rest = name.partition(".")
    if library == "keras" and rest[:1].isupper():
        words = "".join(f"_{c.lower()}" if c.isupper() else c for c in rest)
        return f"keras.{words.lstrip('_').removesuffix('_initializer')}"
    return f"{library}{dot}{rest}"


def scheme(name: str, /, **parameters: Any) -> Scheme:
    """Return a scheme by name: textbook ones bare, library ones with their library in front.

    * ``parameters`` are those of the library's own function, or of the textbook constructor.

    Raises ConfigError for a name, a parameter or a value that nobody knows.

    >>> scheme("torch.kaiming_normal_", mode="fan_out").name
    'torch.kaiming_normal_(mode=fan_out)'
    >>> scheme("keras.HeNormal").draw  # truncated at two standard deviations, as jax's is
    'truncated_normal'
    >>> scheme("he_normal").draw
    'normal'
    """
    if not isinstance(name, str):
        raise ConfigError(f"a scheme is looked up by name, got {name!r}")
    key = _key(name)
    known = (*TEXTBOOK, *LIBRARY)
    if key not in known:
        raise ConfigError(f"unknown scheme {name!r}{did_you_mean(name, known)}")
    make = LIBRARY[key] if key in LIBRARY else TEXTBOOK[key]
    accepted = [p for p in inspect.signature(make).parameters.values() if p.name != "name"]
    for parameter in parameters:
        if parameter not in [p.name for p in accepted]:
            hint = did_you_mean(parameter, [p.name for p in accepted]) if accepted else "; it takes none"
            raise ConfigError(f"{key} has no parameter {parameter!r}{hint}")
    for each in accepted:
        if each.default is each.empty and each.name not in parameters:
            raise ConfigError(f"{key} needs {each.name}, for example {each.name}=0.1")
    try:
        if key in TEXTBOOK:
            return make(**parameters)
        return make(named(key, **_changed(make, parameters)), **parameters)
    except TypeError as error:
        raise ConfigError(f"{key} cannot take these parameters: {error}") from None


def library_schemes() -> tuple[Scheme, ...]:
    """Return the library schemes with the parameters that are in use, for recognising weights."""
    rows: tuple[tuple[str, dict[str, Any]], ...] = (
        ("torch.kaiming_uniform_", {"a": math.sqrt(5)}),
        ("torch.kaiming_normal_", {}),
        ("torch.kaiming_uniform_", {}),
        ("torch.kaiming_normal_", {"mode": "fan_out"}),
        ("torch.kaiming_uniform_", {"mode": "fan_out"}),
        ("torch.kaiming_normal_", {"nonlinearity": "linear"}),
        ("torch.kaiming_uniform_", {"nonlinearity": "linear"}),
        ("torch.kaiming_normal_", {"nonlinearity": "selu"}),
        ("torch.kaiming_uniform_", {"nonlinearity": "selu"}),
        ("torch.kaiming_normal_", {"nonlinearity": "tanh"}),
        ("torch.kaiming_uniform_", {"nonlinearity": "tanh"}),
        ("torch.xavier_uniform_", {}),
        ("torch.xavier_normal_", {}),
        ("torch.xavier_uniform_", {"gain": 5 / 3}),
        ("torch.xavier_normal_", {"gain": 5 / 3}),
        ("torch.xavier_uniform_", {"gain": math.sqrt(2)}),
        ("torch.xavier_normal_", {"gain": math.sqrt(2)}),
        ("torch.orthogonal_", {}),
        ("torch.orthogonal_", {"gain": math.sqrt(2)}),
        ("torch.orthogonal_", {"gain": 5 / 3}),
        ("torch.uniform_", {}),
        ("torch.normal_", {}),
        ("torch.trunc_normal_", {}),
        ("torch.trunc_normal_", {"std": 0.02}),
        ("torch.zeros_", {}),
        ("torch.ones_", {}),
        ("torch.eye_", {}),
        ("torch.dirac_", {}),
        *((name, {}) for name in LIBRARY if name.startswith(("keras.", "jax."))),
    )
    optional = ("variance_scaling", "constant")
    return tuple(scheme(name, **parameters) for name, parameters in rows if not name.endswith(optional))
