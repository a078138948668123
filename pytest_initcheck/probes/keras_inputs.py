"""What a Keras model is called with: found from its layers, and put into the form that it takes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

import keras

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal, Tokens
from pytest_initcheck.probes.keras_layers import Layers, layers_of
from pytest_initcheck.probes.tracebacks import first_line, remedy_for, user_traceback

_STEPS = 16
"""Positions of a sequence whose length the model leaves open."""


def infer_inputs(model: Any) -> Distribution | Call:
    """Return inputs from ``example_inputs()``, from the model's own, or from its first layer.

    Raises ModelError where none of them tells.
    """
    example = getattr(model, "example_inputs", None)
    if callable(example):
        value = example()
        return Call(tuple(value), {}) if isinstance(value, (tuple, list)) else Call((value,), {})
    symbolic = inputs_of(model)
    layers = layers_of(model)
    if symbolic:
        found = [_like(tensor, layers) for tensor in symbolic]
        return found[0] if len(found) == 1 else Call(tuple(found), {})
    for part in layers.parts[1:]:
        if isinstance(part.layer, keras.layers.Embedding):
            return Tokens((_STEPS,), part.layer.input_dim)
        if isinstance(part.layer, keras.layers.Dense) and part.layer.built:
            return Normal((int(part.layer.kernel.shape[0]),))
        if part.layer.weights:
            break
    raise _unknown("the first layer does not tell the inputs")


def inputs_of(model: Any) -> list[Any]:
    """Return the symbolic inputs of a functional or Sequential model, none of another one."""
    if not isinstance(model, keras.Model) or not model.built:
        return []
    found = getattr(model, "inputs", None)
    return list(found) if found else []


def _like(tensor: Any, layers: Layers) -> Distribution:
    shape = tuple(tensor.shape[1:])
    if len(shape) == 1 or "int" in str(tensor.dtype):
        table = _embedding_behind(tensor, layers)
        if table is not None:
            return Tokens(tuple(_STEPS if size is None else size for size in shape), table.input_dim)
    if len(shape) == 2 and shape[0] is None:
        shape = (_STEPS, shape[1])  # a sequence
    if None in shape or not shape:
        open_ended = f"({', '.join(map(str, tensor.shape))})"
        raise _unknown(f"the input {tensor.name} has the shape {open_ended}, with a size left open")
    return Normal(shape)


def _embedding_behind(tensor: Any, layers: Layers) -> Any | None:
    """Return the embedding that reads an input, if one does."""
    tables = [p.layer for p in layers.parts if isinstance(p.layer, keras.layers.Embedding)]
    for table in tables:
        reads = getattr(table, "input", None) if getattr(table, "built", False) else None
        if reads is tensor:
            return table
    return tables[0] if tables and len(tensor.shape) == 2 else None


def _unknown(why: str) -> ModelError:
    return ModelError(
        f"the inputs cannot be inferred: {why}; pass inputs=ic.normal(...), give the model an "
        "example_inputs() method, or use --initcheck-inputs normal:784"
    )


def as_called(model: Any, call: Call) -> Call:
    """Return the call as a model with several symbolic inputs takes it: they are one argument."""
    symbolic = inputs_of(model)
    if len(symbolic) > 1 and len(call.args) == len(symbolic):
        return Call((list(call.args),), call.kwargs)
    names = {tensor.name for tensor in symbolic}
    if symbolic and not call.args and names == set(call.kwargs):
        return Call((dict(call.kwargs),), {})
    return call


def as_arrays(call: Call) -> Call:
    """Return the call with its tensors as NumPy arrays."""

    def host(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: host(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(host, value))
        return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value

    return Call(tuple(map(host, call.args)), {key: host(v) for key, v in call.kwargs.items()})


def named_arrays(call: Call) -> dict[str, Any]:
    """Return the arrays of a call by name; those in containers by their key or position."""
    several = len(call.args) + len(call.kwargs) > 1
    found: dict[str, Any] = {}

    def gather(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                gather(f"{name}.{key}", item)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                gather(f"{name}.{index}", item)
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            found[name] = value

    for index, value in enumerate(call.args):
        gather(f"input{index}" if several else "input", value)
    for name, value in call.kwargs.items():
        gather(name, value)
    return found


def unfit(error: Exception, call: Call) -> ModelError:
    """Return what to say of a model that raised in its forward pass."""
    shapes = ", ".join(
        f"{name} {tuple(a.shape)} {str(a.dtype).rpartition('.')[2]}"
        for name, a in named_arrays(call).items()
    )
    return ModelError(
        f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {first_line(error)}; "
        f"{remedy_for(error)}",
        traceback_text=user_traceback(error),
    )
