"""What a model is fed: everything that ``inputs=`` accepts, made one kind of source.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_initcheck.distributions import DEFAULT_BATCH as DEFAULT_BATCH
from pytest_initcheck.distributions import DISTRIBUTIONS as DISTRIBUTIONS
from pytest_initcheck.distributions import Distribution as Distribution
from pytest_initcheck.distributions import Images as Images
from pytest_initcheck.distributions import Normal as Normal
from pytest_initcheck.distributions import OneHot as OneHot
from pytest_initcheck.distributions import Tokens as Tokens
from pytest_initcheck.distributions import Uniform as Uniform
from pytest_initcheck.distributions import images as images
from pytest_initcheck.distributions import normal as normal
from pytest_initcheck.distributions import one_hot as one_hot
from pytest_initcheck.distributions import parse as parse
from pytest_initcheck.distributions import tokens as tokens
from pytest_initcheck.distributions import uniform as uniform
from pytest_initcheck.errors import ConfigError


@dataclass(frozen=True)
class Call:
    """What a model is called with: ``model(*args, **kwargs)``."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def call(*args: Any, **kwargs: Any) -> Call:
    """Say what a model with several arguments is called with.

    Each argument is a distribution, a batch, or a plain value that is passed on as it is.

    >>> call(normal(4), mask=None).kwargs
    {'mask': None}
    """
    return Call(args, kwargs)


@dataclass(frozen=True)
class InputsFrom:
    """Inputs that depend on what a family drew; made by :func:`inputs_from`."""

    function: Callable[..., Any]


def inputs_from(function: Callable[..., Any]) -> InputsFrom:
    """Compute a family's inputs from its drawn arguments, by name.

    >>> inputs_from(lambda width: normal(width)).function(8).text
    'normal(0,1):8'
    """
    return InputsFrom(function)


@dataclass(frozen=True)
class Source:
    """Inputs made ready for the engine: ``text`` keys the seeds, ``sample`` makes one call."""

    text: str
    sample: Callable[[np.random.Generator], Call]
    fixed: bool


def source(inputs: Any, default_batch: int = DEFAULT_BATCH) -> Source:
    """Return the source for anything that ``inputs=`` accepts.

    Raises ConfigError for what cannot be one.

    >>> source("normal:4@8").sample(np.random.default_rng(0)).args[0].shape
    (8, 4)
    """
    if isinstance(inputs, Source):
        return inputs
    if isinstance(inputs, str):
        inputs = parse(inputs)
    if isinstance(inputs, Call):
        return Source(_call_text(inputs), lambda rng: _draw(inputs, rng, default_batch), False)
    if isinstance(inputs, DISTRIBUTIONS):
        one = Call((inputs,), {})
        return Source(inputs.text, lambda rng: _draw(one, rng, default_batch), False)
    if isinstance(inputs, InputsFrom):
        raise ConfigError("ic.inputs_from belongs to a family; add @ic.family(...)")
    if isinstance(inputs, Mapping):
        return Source(_text(inputs), lambda rng: _draw(Call((), inputs), rng, default_batch), True)
    if isinstance(inputs, (tuple, list)):
        raise ConfigError("a tuple of inputs is ambiguous; use ic.call(first, second) or ic.call(x=...)")
    if hasattr(inputs, "dtype") or hasattr(inputs, "__array__"):
        return Source(_text(inputs), lambda rng: Call((inputs,), {}), True)
    if hasattr(inputs, "__iter__"):
        batch = first_batch(inputs)
        return replace(source(batch, default_batch), fixed=True)
    if callable(inputs):
        return Source(_text(inputs), lambda rng: _as_call(inputs(rng), rng, default_batch), False)
    raise ConfigError(
        f"inputs cannot be {type(inputs).__name__}; use ic.normal(784), a batch, or a function of rng"
    )


def first_batch(loader: Any) -> Any:
    """Return the model's input from a loader: the first element of its first batch."""
    try:
        batch = next(iter(loader))
    except StopIteration:
        raise ConfigError("inputs: the loader is empty") from None
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise ConfigError("inputs: the loader's first batch is empty")
        return batch[0]
    return batch


def _as_call(value: Any, rng: np.random.Generator, default_batch: int) -> Call:
    if isinstance(value, Call):
        return _draw(value, rng, default_batch)
    if isinstance(value, Mapping):
        return _draw(Call((), value), rng, default_batch)
    return _draw(Call((value,), {}), rng, default_batch)


def _draw(spec: Call, rng: np.random.Generator, default_batch: int) -> Call:
    batches = [item.batch for item in (*spec.args, *spec.kwargs.values()) if _is_distribution(item)]
    batch = next((size for size in batches if size is not None), default_batch)

    def draw(item: Any) -> Any:
        return item.sample(rng, item.batch or batch) if _is_distribution(item) else item

    return Call(tuple(draw(a) for a in spec.args), {k: draw(v) for k, v in spec.kwargs.items()})


def _is_distribution(item: Any) -> bool:
    return isinstance(item, Distribution)


def _call_text(spec: Call) -> str:
    parts = [_text(item) for item in spec.args]
    parts += [f"{key}={_text(item)}" for key, item in spec.kwargs.items()]
    return f"call({', '.join(parts)})"


def _text(item: Any) -> str:
    """Describe an input for the seed key: shapes and names, never an address."""
    if _is_distribution(item):
        return str(item.text)
    if isinstance(item, Mapping):
        return f"dict({', '.join(f'{key}={_text(value)}' for key, value in item.items())})"
    shape = getattr(item, "shape", None)
    if shape is not None:
        return f"batch({'x'.join(str(side) for side in shape)})"
    if isinstance(item, (str, int, float, bool, type(None))):
        return repr(item)
    return getattr(item, "__qualname__", type(item).__qualname__)
