"""Edits of a Keras model: spelled as code, and made. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.keras_layers import layers_of
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.trace import Parameter, owner_and_leaf

_CALLS = {
    "draw": "{p}.assign(keras.random.normal({p}.shape, stddev={v}))",
    "orthogonal": "{p}.assign(keras.initializers.Orthogonal(gain={v})({p}.shape))",
    "scale": "{p}.assign({p} * {v})",
}
_FILLS = {0.0: "{p}.assign(keras.ops.zeros({p}.shape))", 1.0: "{p}.assign(keras.ops.ones({p}.shape))"}


def spell(edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
    """Return the code that makes these edits of a ``model``."""
    return "\n".join(line for edit in edits for line in _spelled(edit, parameters))


def _spelled(edit: Edit, parameters: Mapping[str, Parameter]) -> Iterable[str]:
    if edit.kind == "remove":
        for name in edit.names:
            yield f"{_layer(name, parameters)}.call = lambda inputs, **kwargs: inputs"
        return
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in zip(edit.names, edit.values, strict=True):
        call = _CALLS.get(edit.kind) or _FILLS.get(value, "{p}.assign(keras.ops.full({p}.shape, {v}))")
        groups.setdefault(call, []).append((parameters[name].path or name, f"{value:.3g}"))
    for call, members in groups.items():
        values = [value for _, value in members] if "{v}" in call else []
        yield looped(call, [path for path, _ in members], values)


def _layer(name: str, parameters: Mapping[str, Parameter]) -> str:
    """Return the expression for a layer: what its parameters' have in common, or a look-up by name."""
    for parameter in parameters.values():
        if owner_and_leaf(parameter.name)[0] == name and parameter.path:
            return owner_and_leaf(parameter.path)[0]
    return "model" + "".join(f'.get_layer("{part}")' for part in name.split("/"))


def apply(model: Any, edits: Iterable[Edit]) -> None:
    """Make these edits of the model itself, drawing on Keras' global generator.

    Raises ModelError for what the model does not have.
    """
    layers = layers_of(model)
    variables = {name: each.variable for each in layers.weights for name in (each.name, *each.aliases)}
    paths = {part.path: part.layer for part in layers.parts if part.path}
    for edit in edits:
        if edit.of_inputs:
            continue
        if edit.kind == "remove":
            for name in edit.names:
                if name not in paths:
                    raise ModelError(f"{name} is a call in the forward pass, and no layer")
                paths[name].call = _passed_on
            continue
        for name, value in zip(edit.names, edit.values, strict=True):
            if name not in variables:
                raise ModelError(f"the model has no weight {name!r}")
            # what is tried is what is printed
            _ACTIONS[edit.kind](variables[name], float(f"{value:.3g}"))


def _passed_on(inputs: Any, **kwargs: Any) -> Any:
    return inputs


def _draw(variable: Any, std: float) -> None:
    variable.assign(keras.random.normal(variable.shape, stddev=std, dtype=variable.dtype))


def _orthogonal(variable: Any, gain: float) -> None:
    variable.assign(keras.initializers.Orthogonal(gain=gain)(variable.shape, dtype=variable.dtype))


def _fill(variable: Any, value: float) -> None:
    variable.assign(keras.ops.full(variable.shape, value, dtype=variable.dtype))


def _scale(variable: Any, factor: float) -> None:
    variable.assign(variable.value * factor)


_ACTIONS: Mapping[str, Callable[[Any, float], None]] = {
    "draw": _draw,
    "orthogonal": _orthogonal,
    "fill": _fill,
    "scale": _scale,
}
