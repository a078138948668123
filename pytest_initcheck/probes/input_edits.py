"""Changes of arrays, whatever the framework: those of inputs are spelled as code, and made.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call

_WHOLE = "input"


def spell_inputs(edit: Edit, dims: int) -> str:
    """Return the code for one input of this many axes, called ``x`` where it is the only one.

    >>> spell_inputs(Edit("standardise", ("input",), (33.3, 78.6)), 2)
    'x = (x - 33.3) / 78.6'
    """
    name = "x" if edit.names[0] == _WHOLE else edit.names[0].replace(".", "_")
    if edit.kind == "standardise":
        mean, std = edit.values
        centred = name if mean == 0 else f"({name} {'-' if mean > 0 else '+'} {_text(abs(mean))})"
        if std == 1:
            return f"{name} = {centred.strip('()')}"
        return f"{name} = {centred} / {_text(std)}"
    axes = _other_axes(dims)
    shown = "0" if axes == (0,) else f"{axes}, keepdims=True"
    return f"{name} = ({name} - {name}.mean({shown})) / {name}.std({shown})"


def _text(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.3g}".replace("e+0", "e")


def _other_axes(dims: int) -> tuple[int, ...]:
    """Return the axes that are no columns: features come last, channels of images second."""
    columns = 1 if dims in (2, 4, 5) else dims - 1
    return tuple(axis for axis in range(dims) if axis != columns)


def of_arrays(edits: Iterable[Edit]) -> Iterator[tuple[str, str, float]]:
    """Yield (kind, name, value) of each array that edits change, the value rounded as it is spelled.

    Raises ModelError for the removal of what is no module, but written in the model's code.
    """
    for edit in edits:
        if edit.kind == "remove":
            raise ModelError(f"{edit.names[0]} is part of the model's own code")
        if not edit.of_inputs:
            for name, value in zip(edit.names, edit.values, strict=True):
                yield edit.kind, name, float(f"{value:.3g}")


def edited(call: Call, edits: Iterable[Edit]) -> Call:
    """Return the call with its inputs changed; what is no array stays as it is.

    Raises ModelError for an input that the call does not have.
    """
    for edit in edits:
        if edit.of_inputs:
            call = _edited(call, edit.names[0], _change(edit))
    return call


def _change(edit: Edit) -> Callable[[Any], Any]:
    if edit.kind == "standardise":
        mean, std = (float(_text(value)) for value in edit.values)
        return lambda x: (x - mean) / std

    def per_column(x: Any) -> Any:
        axes = _other_axes(x.ndim)
        return (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)

    return per_column


def _edited(call: Call, name: str, change: Callable[[Any], Any]) -> Call:
    several = len(call.args) + len(call.kwargs) > 1
    own = [f"input{index}" if several else _WHOLE for index in range(len(call.args))]
    if len(call.args) == 1 and several and name == _WHOLE:
        own = [_WHOLE]  # a layer list is given one array and calls it so
    found = dict(zip(own, call.args, strict=True)) | dict(call.kwargs)
    first, _, rest = name.partition(".")
    if first not in found:
        raise ModelError(f"there is no input {name!r} to change")
    found[first] = _changed(found[first], rest, change)
    args = tuple(found[key] for key in own)
    return Call(args, {key: found[key] for key in call.kwargs})


def _changed(value: Any, rest: str, change: Callable[[Any], Any]) -> Any:
    """Change an array, or one inside nested containers, which are named by key or position."""
    if not rest:
        return change(value)
    first, _, rest = rest.partition(".")
    if isinstance(value, Mapping):
        key = next((key for key in value if str(key) == first), first)
        return {**value, key: _changed(value[key], rest, change)}
    items = list(value)
    items[int(first)] = _changed(items[int(first)], rest, change)
    return type(value)(items)
