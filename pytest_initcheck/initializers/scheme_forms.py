"""What the schemes of several libraries share: ranges, cut normals, constants, checked words.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers.layers import Library
from pytest_initcheck.initializers.schemes import Mode, Scheme


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return the value.

    Raises ConfigError with a suggestion if it is not known.
    """
    if value not in known:
        raise ConfigError(f"unknown {name} {value!r}{did_you_mean(str(value), known)}")
    return value


def fan_mode(mode: str, known: tuple[str, ...]) -> Mode:
    return one_of("mode", mode, known)  # type: ignore[return-value]  # a checked member


def bounded(name: str, library: Library, mean: float, std: float, low: float, high: float) -> Scheme:
    if not (low < high and std > 0):
        raise ConfigError(f"{name} needs std > 0 and low < high, got {std:g}, {low:g} and {high:g}")
    return Scheme(
        name, "bounded_normal", std, "absolute", library=library, mean=mean, bounds=(low, high)
    )


def between(name: str, library: Library, low: float, high: float) -> Scheme:
    if low > high:
        raise ConfigError(f"{name} needs a lower bound below the upper, got {low:g} and {high:g}")
    gain = (high - low) / math.sqrt(12)
    return Scheme(name, "uniform", gain, "absolute", library=library, mean=(low + high) / 2)


def constant(name: str, library: Library, value: float) -> Scheme:
    return Scheme(name, "constant", value, "absolute", library=library)


def valued(library: Library, name: str, value: float = 0.0) -> Scheme:
    return constant(name, library, value)


def fixed(library: Library, value: float, name: str) -> Scheme:
    return constant(name, library, value)
