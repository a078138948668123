"""Building a fresh model from a derived seed, with every global random state put back.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_initcheck import probes
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.probes.tracebacks import user_traceback

_FILLED = ("rng", "generator", "key", "rngs")


@dataclass(frozen=True)
class Seeds:
    """Derives every seed from the root seed, the model's id and the drawn arguments.

    Never from Hypothesis and never from a global state (principles.md 2.4), so that one example has
    one verdict: alone, in any order, on any worker.
    """

    root: int
    id: str
    example: str = ""

    def of(self, replicate: int) -> tuple[np.random.SeedSequence, np.random.SeedSequence]:
        """Return the seed sequences of this initialisation's weights and of its inputs."""
        digest = hashlib.blake2b(f"{self.id}\x00{self.example}".encode(), digest_size=16).digest()
        words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
        weights, inputs = np.random.SeedSequence([self.root, *words, replicate]).spawn(2)
        return weights, inputs


def number(sequence: np.random.SeedSequence) -> int:
    """Return a 63-bit seed from a sequence."""
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def canonical(example: Mapping[str, Any] | None) -> str:
    """Return the text of drawn arguments, without an address in it.

    >>> canonical({"depth": 13, "width": 16})
    'depth=13, width=16'
    """
    if not example:
        return ""
    return ", ".join(f"{name}={_value_text(value)}" for name, value in example.items())


def _value_text(value: Any) -> str:
    text = getattr(value, "text", None)
    if not isinstance(text, str):
        text = repr(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


@contextmanager
def preserved_global_states() -> Iterator[None]:
    """Put random states, warning filters and the settings of the loaded frameworks back as they were.

    A framework that is imported meanwhile was seeded by nobody before, so it has no state to keep.
    """
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.enter_context(warnings.catch_warnings())
        for probe in probes.loaded():
            stack.enter_context(probe.preserved())
        yield


def seed_everything(seed: int) -> tuple[str, ...]:
    """Seed Python, NumPy and the loaded frameworks; return the names of those."""
    random.seed(seed)
    loaded = probes.loaded()
    for probe in loaded:
        probe.seed(seed)
    return tuple(probe.FRAMEWORK for probe in loaded)


def is_factory(candidate: Any) -> bool:
    """Tell a factory from a model that is built already.

    Functions, classes and partials are factories; another object is a model if a probe owns it.
    """
    if inspect.isclass(candidate) or inspect.isroutine(candidate):
        return True
    if isinstance(candidate, functools.partial) or hasattr(candidate, "declaration"):
        return True
    if any(probe.owns(candidate) for probe in probes.loaded()):
        return False
    return callable(candidate)


def filled_parameter(factory: Callable[..., Any], example: Mapping[str, Any]) -> str | None:
    """Return the name of the parameter that the engine fills: rng, generator, key, rngs or None.

    Raises ConfigError for other parameters that nothing gives a value to.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None
    required = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and p.name not in example
    ]
    if not required:
        return None
    name = getattr(factory, "__name__", type(factory).__name__)
    if len(required) == 1 and required[0] in _FILLED:
        return required[0]
    if example:
        given = ", ".join(example)
        raise ConfigError(
            f"{name} needs {', '.join(required)}, which is not among the drawn arguments ({given}); "
            "name each parameter in @ic.family"
        )
    raise ConfigError(
        f"{name} needs arguments ({', '.join(required)}); a factory takes none, or one of rng, "
        "generator, key, rngs. Bind the others with functools.partial, parametrize or @ic.family"
    )


def build(
    factory: Callable[..., Any], sequence: np.random.SeedSequence, example: Mapping[str, Any]
) -> Any:
    """Return a freshly initialised model, drawn from this seed.

    Raises ModelError with the user's traceback if the factory raises.
    """
    seed = number(sequence)
    name = filled_parameter(factory, example)
    before = seed_everything(seed)
    model = _called(factory, name, seed, example)
    after = tuple(probe.FRAMEWORK for probe in probes.loaded())
    if after != before:
        # the factory imported its framework, whose state was not seeded for this first build
        seed_everything(seed)
        model = _called(factory, name, seed, example)
    return model


def _called(factory: Callable[..., Any], name: str | None, seed: int, example: Mapping[str, Any]) -> Any:
    filled = {} if name is None else {name: generator(name, seed)}
    try:
        return factory(**example, **filled)
    except (Exception, SystemExit) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        who = getattr(factory, "__name__", type(factory).__name__)
        raise ModelError(
            f"the factory {who} raised {type(error).__name__}: {first}",
            traceback_text=user_traceback(error),
        ) from error


def generator(name: str, seed: int) -> Any:
    """Return what a parameter of this name is filled with: rng, generator, key or rngs."""
    if name == "rng":
        return np.random.default_rng(seed)
    if name == "generator":
        return probes.named("torch").generator(seed)
    key = probes.named("jax").generator(seed) if "jax" in sys.modules else _raw_key(seed)
    nnx = sys.modules.get("flax.nnx")
    return nnx.Rngs(key) if name == "rngs" and nnx is not None else key


def _raw_key(seed: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the raw form of a JAX key, which needs no JAX to be made."""
    return np.array([seed >> 32, seed & 0xFFFFFFFF], dtype=np.uint32)
