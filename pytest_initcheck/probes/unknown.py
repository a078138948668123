"""What is said of a model that no probe owns: its type, and what to return instead.

Told by the names of types, so that no framework is imported for it.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.errors import ModelError

_ARRAYS = ("Tensor", "Parameter", "ndarray", "ArrayImpl")
_ELSEWHERE = {
    "tensorflow": "TensorFlow is checked through Keras 3; return a keras.Model",
    "tf_keras": "this is Keras 2; return a model of Keras 3, a keras.Model",
    "sklearn": (
        "scikit-learn draws its weights in fit(), after any check; return the network as a list of "
        "layers (W, b, activation)"
    ),
}
"""Libraries whose objects are no models by themselves, by the first part of a type's module."""


def unknown(model: Any) -> ModelError:
    """Return the error for a model that no probe owns."""
    if model is None:
        return ModelError("the factory returned None; return the model")
    if inspect.isclass(model):
        return ModelError(
            f"the factory returned the class {model.__qualname__}; return an instance, "
            f"{model.__qualname__}(...)"
        )
    kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
    for library in (cls.__module__.partition(".")[0] for cls in type(model).__mro__):
        if library in _ELSEWHERE:
            return ModelError(f"a {kind} is no model that can be checked: {_ELSEWHERE[library]}")
    if isinstance(model, Mapping) and _holds_arrays(model):
        return ModelError(
            f"this {kind} holds weights and no forward pass; return the module that loads them, or "
            "(apply, params) for JAX"
        )
    if isinstance(model, (list, tuple)):
        return ModelError(_of_a_sequence(kind, model))
    return ModelError(
        f"no probe for a model of type {kind}; return a torch.nn.Module, a JAX model (flax, equinox or "
        "(apply, params)), a keras.Model, a list of layers (W, b, activation) or a forward function on "
        "NumPy arrays; probes of other frameworks are entry points of pytest_initcheck.probes"
        + _forward_of(model)
    )


def _holds_arrays(value: Any) -> bool:
    """Tell whether these are arrays, however deep in dicts and lists."""
    if isinstance(value, Mapping):
        return bool(value) and all(map(_holds_arrays, value.values()))
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_holds_arrays, value))
    return type(value).__name__ in _ARRAYS


def _of_a_sequence(kind: str, model: list[Any] | tuple[Any, ...]) -> str:
    held = [callable(item) for item in model]
    if isinstance(model, tuple) and held == [False, True]:
        return "this tuple has its function last; return (apply, params), the function first"
    if isinstance(model, tuple) and any(held[:1]) and len(model) > 1:
        second = type(model[1]).__qualname__
        if len(model) == 2:
            return (
                f"this tuple is not quite (apply, params): params is of type {second} and holds no JAX "
                "arrays; return a dict of them, as init gives it"
            )
        return (
            f"this tuple has {len(model)} items; return (apply, params), with all else bound to apply "
            "by functools.partial"
        )
    first = f"its first item is of type {type(model[0]).__qualname__}" if model else "it is empty"
    return (
        f"this {kind} is no list of layers: {first}; a layer is (W, b, activation) with W a NumPy "
        "array [in, out], b an array or None, activation a name or None"
    )


def _forward_of(model: Any) -> str:
    """Point to a forward method, which is a forward function."""
    for name in ("forward", "predict", "__call__"):
        if inspect.ismethod(getattr(model, name, None)):
            return f"; is .{name} its forward function? Then return that"
    return ""
