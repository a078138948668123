"""Edits of a torch model: spelled as code, and made. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.trace import Parameter

_ROUNDING = 1e-3


def path_of(model: nn.Module, name: str) -> str:
    """Return the expression for a parameter of this name, such as ``model.features[4].weight``.

    >>> path_of(nn.Sequential(nn.Linear(2, 2)), "0.weight")
    'model[0].weight'
    """
    path, current = "model", model
    parts = name.split(".")
    for index, part in enumerate(parts):
        if isinstance(current, (nn.Sequential, nn.ModuleList, nn.ParameterList)) and part.isdigit():
            path += f"[{part}]"
        elif isinstance(current, (nn.ModuleDict, nn.ParameterDict)):
            path += f"[{part!r}]"
        elif part.isidentifier():
            path += f".{part}"
        else:
            last = "get_parameter" if index + 1 == len(parts) else "get_submodule"
            path += f".{last}({part!r})"
        current = getattr(current, part, current)
    return path


def spell(edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
    """Return the code that makes these edits of a ``model``."""
    return "\n".join(line for edit in edits for line in _spelled(edit, parameters))


def _spelled(edit: Edit, parameters: Mapping[str, Parameter]) -> Iterable[str]:
    if edit.kind == "remove":
        for name in edit.names:
            yield f"model.set_submodule({name!r}, nn.Identity())"
        return
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in zip(edit.names, edit.values, strict=True):
        parameter = parameters[name]
        call = _call(edit, parameter.shape, value)
        groups.setdefault(call, []).append((parameter.path or f"model.{name}", f"{value:.3g}"))
    for call, members in groups.items():
        values = [value for _, value in members] if "{v}" in call else []
        yield looped(call, [path for path, _ in members], values)


def _call(edit: Edit, shape: tuple[int, ...], value: float) -> str:
    """Return the call that makes an edit of one tensor, ``{p}``, with the value ``{v}``."""
    if edit.kind == "fill":
        name = {0.0: "nn.init.zeros_({p})", 1.0: "nn.init.ones_({p})"}
        return name.get(value, "nn.init.constant_({p}, {v})")
    if edit.kind == "scale":
        return "{p}.data.mul_({v})"
    if edit.kind == "orthogonal":
        return "nn.init.orthogonal_({p}, gain={v})"
    keywords = _kaiming(shape, value, edit.activation)
    if keywords is None:
        return "nn.init.normal_({p}, std={v})"
    shown = ", ".join(f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in keywords.items())
    return f"nn.init.kaiming_normal_({{p}}, {shown})"


def _kaiming(shape: tuple[int, ...], std: float, activation: str) -> dict[str, Any] | None:
    """Return what makes torch's own scheme draw with this std; None where its fans are not these."""
    name, _, slope = activation.rstrip(")").partition("(")
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else 0
    if name not in ("relu", "leaky_relu", "selu", "identity") or not fan_in:
        return None
    keywords: dict[str, Any] = {"nonlinearity": name if "relu" in name else "linear"}
    if name == "leaky_relu":
        keywords = {"a": float(slope or 0.01), **keywords}
    gain = nn.init.calculate_gain(keywords["nonlinearity"], keywords.get("a"))
    return keywords if math.isclose(std, gain / math.sqrt(fan_in), rel_tol=_ROUNDING) else None


def apply(model: Any, edits: Iterable[Edit]) -> None:
    """Make these edits of the model itself, drawing on torch's global generator.

    Raises ModelError for what the model does not have.
    """
    for edit in edits:
        if edit.kind == "remove":
            for name in edit.names:
                _remove(model, name)
        elif not edit.of_inputs:
            tensors = dict(model.named_parameters(remove_duplicate=False))
            for name, value in zip(edit.names, edit.values, strict=True):
                if name not in tensors:
                    raise ModelError(f"the model has no parameter {name!r}")
                with torch.no_grad():
                    _ACTIONS[edit.kind](tensors[name], value, edit.activation)


def _remove(model: nn.Module, name: str) -> None:
    try:
        model.get_submodule(name)
    except AttributeError:
        raise ModelError(f"{name} is a call in the forward pass, and no module") from None
    model.set_submodule(name, nn.Identity())


def _draw(tensor: Tensor, std: float, activation: str) -> None:
    keywords = _kaiming(tuple(tensor.shape), std, activation)
    if keywords is None:
        nn.init.normal_(tensor, std=_printed(std))
    else:
        nn.init.kaiming_normal_(tensor, **keywords)


def _orthogonal(tensor: Tensor, gain: float, activation: str) -> None:
    nn.init.orthogonal_(tensor, gain=_printed(gain))


def _fill(tensor: Tensor, value: float, activation: str) -> None:
    nn.init.constant_(tensor, _printed(value))


def _scale(tensor: Tensor, factor: float, activation: str) -> None:
    tensor.mul_(_printed(factor))


def _printed(value: float) -> float:
    """Return the number as the code shows it: what is tried is what is printed."""
    return float(f"{value:.3g}")


_ACTIONS: Mapping[str, Callable[[Tensor, float, str], None]] = {
    "draw": _draw,
    "orthogonal": _orthogonal,
    "fill": _fill,
    "scale": _scale,
}
