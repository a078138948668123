"""Schemes by name: those of torch, keras and jax with their library in front, textbook ones bare.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers.keras_schemes import KERAS_AND_JAX
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.initializers.textbook import TEXTBOOK, named
from pytest_initcheck.initializers.torch_schemes import TORCH

LIBRARY: Mapping[str, Callable[..., Scheme]] = MappingProxyType({**TORCH, **KERAS_AND_JAX})
"""The constructors of library schemes by name."""


def _changed(make: Callable[..., Scheme], given: Mapping[str, Any]) -> dict[str, object]:
    """The parameters that are not at their defaults, for the name."""
    defaults = inspect.signature(make).parameters
    return {key: value for key, value in given.items() if value != defaults[key].default}


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
