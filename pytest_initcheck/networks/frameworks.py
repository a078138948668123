"""Which frameworks networks are built for, and how a specification becomes a factory.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np

from pytest_initcheck.errors import ConfigError, did_you_mean

Framework = Literal["numpy", "torch"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)


class Specification(Protocol):
    """What every specification offers besides its fields."""

    @property
    def framework(self) -> Framework: ...
    @property
    def text(self) -> str: ...


Spec = TypeVar("Spec", bound=Specification)


def checked_framework(framework: str) -> Framework:
    """Return the framework.

    Raises ConfigError for an unknown one.
    """
    for known in FRAMEWORKS:
        if framework == known:
            return known
    raise ConfigError(f"unknown framework {framework!r}{did_you_mean(framework, FRAMEWORKS)}")


def factory_of(
    spec: Spec,
    build_torch: Callable[[Spec], Any],
    build_numpy: Callable[[Spec, np.random.Generator], Any],
) -> Callable[..., Any]:
    """Return a factory that bears the specification's text as its name."""

    def numpy_network(rng: np.random.Generator) -> Any:
        return build_numpy(spec, rng)

    def torch_network() -> Any:
        return build_torch(spec)

    chosen: Callable[..., Any] = numpy_network if spec.framework == "numpy" else torch_network
    chosen.__name__ = chosen.__qualname__ = spec.text
    return chosen
