"""Which frameworks networks are built for, and how a specification becomes a factory.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np

from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ConfigError, did_you_mean

Framework = Literal["numpy", "torch", "jax", "keras"]
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


def activation_of(
    which: str, names: Mapping[str, str], functions: Any, library: str
) -> Callable[[Any], Any]:
    """Return a library's function for an activation; ``names`` are the library's, by those of the table.

    Raises ConfigError for one that the library does not have.
    """
    name, _, parameter = activation(which).name.partition("(")
    if name not in names:
        raise ConfigError(f"{library} has no {name}; choose one of {', '.join(names)}")
    function: Callable[..., Any] = getattr(functions, names[name])
    numbers = [float(number) for number in parameter.rstrip(")").split(",") if number]
    if name.startswith("gelu"):
        return lambda x: function(x, approximate=name == "gelu_tanh")
    return (lambda x: function(x, *numbers)) if numbers else function


def not_numpy(what: str, framework: Framework) -> None:
    """Raise ConfigError where numpy is asked for what no list of layers has.

    >>> not_numpy("a transformer", "torch")
    """
    if framework == "numpy":
        raise ConfigError(f"{what} needs framework='torch', 'jax' or 'keras'")


def factory_of(
    spec: Spec,
    *,
    torch: Callable[[Spec], Any],
    jax: Callable[[Spec, np.random.Generator], Any],
    keras: Callable[[Spec, np.random.Generator], Any],
    numpy: Callable[[Spec, np.random.Generator], Any] | None = None,
) -> Callable[..., Any]:
    """Return a factory that bears the specification's text as its name.

    torch draws from its own generator, the others from a parameter ``rng``.
    """
    from_rng = {"numpy": numpy, "jax": jax, "keras": keras}

    def network(rng: np.random.Generator) -> Any:
        build = from_rng[spec.framework]
        assert build is not None  # a specification refuses what it cannot be built for
        return build(spec, rng)

    def torch_network() -> Any:
        return torch(spec)

    chosen: Callable[..., Any] = torch_network if spec.framework == "torch" else network
    chosen.__name__ = chosen.__qualname__ = spec.text
    return chosen
