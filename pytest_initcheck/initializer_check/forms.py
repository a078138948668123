"""How an initialiser wants to be called, read off its signature, and a seeded draw from it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pytest_initcheck import probes
from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.factory import generator, number, seed_everything
from pytest_initcheck.initializers.layer_kinds import conv, dense
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.probes.tracebacks import user_traceback

_MODULE = ("module", "layer", "m", "mod")
_SHAPE = ("shape", "size")
_RANDOM = ("rng", "generator", "key")
_EXAMPLES = "for example nn.init.kaiming_normal_, or def my_init(rng, shape): return ..."


@dataclass(frozen=True)
class Form:
    """How to call one initialiser.

    * "tensor" and "module" fill a torch weight in place, "array" returns an array of a given shape,
      "scheme" is one of this package's own.
    * ``filled`` are the parameters that get a seeded generator; ``shape`` the one that gets the shape.
    """

    kind: Literal["tensor", "module", "array", "scheme"]
    fn: Any
    name: str
    filled: tuple[str, ...] = ()
    shape: str | None = None

    @property
    def layout(self) -> str:
        """The layout of a layer that has none: torch's for what is filled in place."""
        return "numpy" if self.kind == "array" else "torch"


def form_of(fn: Any) -> Form:
    """Return how to call this function.

    Raises ConfigError for what is no initialiser.
    """
    if isinstance(fn, Scheme):
        return Form("scheme", fn, fn.name)
    if not callable(fn) or inspect.isclass(fn):
        what = f"the class {fn.__name__}" if inspect.isclass(fn) else repr(fn)
        raise ConfigError(f"check_initializer takes an initialiser, got {what}; {_EXAMPLES}")
    name = _name(fn)
    parameters = _parameters(fn, name)
    required = [p.name for p in parameters if p.default is p.empty]
    filled = tuple(p.name for p in parameters if p.name in _RANDOM and p.name in required)
    shape = next((each for each in required if each in _SHAPE), None)
    if not parameters:
        raise ConfigError(f"{name} takes no argument; an initialiser takes the weight or a shape")
    if shape is None and required and required[0] in _RANDOM:
        if len(required) == 1:
            raise ConfigError(f"{name} takes {required[0]} and no shape; write {name}(rng, shape)")
        shape = required[1]
    if shape is not None:
        # an optional generator is filled too: left out, the draw may come from unseeded entropy
        filled = tuple(p.name for p in parameters if p.name in _RANDOM)
        _no_others(name, required, (*filled, shape))
        return Form("array", fn, name, filled, shape)
    first = parameters[0]
    _no_others(name, required, (*filled, first.name))
    if first.name in _MODULE or _is_module(first.annotation):
        return Form("module", fn, name, filled)
    return Form("tensor", fn, name, filled)


def _name(fn: Any) -> str:
    inner = getattr(fn, "func", fn)  # functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def _parameters(fn: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} has no signature to read; wrap it, for example lambda shape: {name}(shape)"
        ) from None
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _no_others(name: str, required: list[str], known: tuple[str, ...]) -> None:
    others = [each for each in required if each not in known]
    if others:
        raise ConfigError(
            f"{name} needs {', '.join(others)} besides {known[-1]}; bind them with functools.partial"
        )


def _is_module(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.split(".")[-1].strip("'\"") == "Module" or annotation.startswith("nn.")
    bases = getattr(annotation, "__mro__", ())
    return any(each.__module__ == "torch.nn.modules.module" for each in bases)


def layer_of(shape: Any, form: Form) -> Layer:
    """Return the layer of this shape: ``[out, in, *kernel]`` in place, ``[*kernel, in, out]`` else.

    Raises ConfigError for a shape of fewer than 2 or more than 5 sides, or a side below 1.
    """
    if isinstance(shape, Layer):
        return shape.laid_out(form.layout)
    if isinstance(shape, (str, bytes)) or not hasattr(shape, "__iter__"):
        raise ConfigError(f"a shape is a tuple such as (64, 32) or a layer, got {shape!r}")
    sides = tuple(shape)
    if not 2 <= len(sides) <= 5:
        raise ConfigError(
            f"a weight has 2 to 5 sides, got {sides}; biases and norms are not checked here"
        )
    if form.layout == "torch":
        units, inputs, *kernel = sides
    else:
        *kernel, inputs, units = sides
    if kernel:
        return conv(inputs, units, *kernel, layout=form.layout)
    return dense(inputs, units, layout=form.layout)


def draw(form: Form, layer: Layer, sequence: np.random.SeedSequence) -> Array:
    """Return one draw in float64, from this seed.

    Raises ModelError for an initialiser that raises, or that gives no weight of the layer's shape;
    ConfigError if it wants torch and torch is not installed.
    """
    seed = number(sequence)
    if form.kind == "scheme":
        weight: Array = form.fn.sample(np.random.default_rng(seed), layer)
        return weight
    if form.kind in ("tensor", "module"):
        _need_torch(form)
    before = seed_everything(seed)
    weight = _called(form, layer, seed)
    if tuple(probe.FRAMEWORK for probe in probes.loaded()) != before:
        # it imported its framework, whose state was not seeded for this first draw
        seed_everything(seed)
        weight = _called(form, layer, seed)
    return weight


def _need_torch(form: Form) -> None:
    try:
        probes.named("torch")
    except ModelError as error:
        raise ConfigError(
            f"{form.name} seems to fill a torch {form.kind} in place, and {error}; a function that "
            "returns an array names its parameter shape"
        ) from None


def _called(form: Form, layer: Layer, seed: int) -> Array:
    filled = {name: generator(name, seed) for name in form.filled}

    def call(target: Any) -> Any:
        try:
            if form.shape is not None:
                return form.fn(**{form.shape: target}, **filled)
            return form.fn(target, **filled)
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise ModelError(
                f"{form.name} raised {type(error).__name__} on {layer.text}: {first}",
                traceback_text=user_traceback(error),
            ) from error

    if form.kind == "array":
        return _returned(call(layer.shape), layer, form.name)
    weights: Any = importlib.import_module("pytest_initcheck.probes.torch_weights")
    fill = weights.fill_tensor if form.kind == "tensor" else weights.fill_module
    filled_in: Array = fill(call, layer, form.name)
    return filled_in


def _returned(value: Any, layer: Layer, who: str) -> Array:
    value = value.detach() if hasattr(value, "detach") else value
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    if value is None or array.shape != layer.shape:
        what = type(value).__name__ if array.shape == () else f"shape {array.shape}"
        raise ModelError(f"{who} returned {what} for shape {layer.shape}; return an array of that shape")
    return array
