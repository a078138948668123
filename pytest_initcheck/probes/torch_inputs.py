"""What a torch model is called with: brought to it, found again, described. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.tracebacks import first_line, remedy_for, user_traceback
from pytest_initcheck.trace import InputColumns

_FEWEST_ENTRIES = 8
"""Fewer entries tell no scale of a column: one of them is near 0 by luck."""
_MASKED_OUT = -1e4
"""Additive attention masks hold 0 and at most this; half precision has nothing far below."""


def prepared(module: nn.Module, call: Call) -> Call:
    """Return the call with copies on the model's device, floats in its dtype.

    Copies, since a model may write to its input, and the next replicate reads it again. A float64
    tensor of the user's stays what it is: the model would refuse it in training too.
    """
    floats = [p for p in module.parameters() if p.is_floating_point()]
    # nothing is computed in eight bits: such weights are converted when they are used
    like = next((p for p in floats if p.dtype.itemsize > 1), next(iter(floats), None))
    args = tuple(_on_model(a, like) for a in call.args)
    return Call(args, {key: _on_model(value, like) for key, value in call.kwargs.items()})


def _on_model(value: Any, like: Tensor | None) -> Any:
    theirs = isinstance(value, Tensor)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Tensor):
        copy = value.detach().clone()
        if like is not None:
            floats = value.is_floating_point() and like.is_floating_point()
            floats = floats and not (theirs and value.dtype == torch.float64)
            copy = copy.to(like.device, like.dtype) if floats else copy.to(like.device)
        return copy.requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: _on_model(item, like) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_on_model(item, like) for item in value)
    return value


def input_tensors(call: Call) -> dict[str, Tensor]:
    """Return the tensors of a call by name; those in containers are named by their key or position."""
    several = len(call.args) + len(call.kwargs) > 1
    named: dict[str, Any] = {f"input{i}" if several else "input": a for i, a in enumerate(call.args)}
    named.update(call.kwargs)
    return dict(pair for name, value in named.items() for pair in _tensors_in(name, value))


def _tensors_in(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors_in(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _tensors_in(f"{name}.{index}", item)


def batch_of(call: Call) -> int:
    """Return the number of samples: floats tell it before indices, which may be edges of a graph."""
    tensors = [t for t in input_tensors(call).values() if t.dim() > 0]
    tensors.sort(key=lambda t: not t.is_floating_point())
    return int(tensors[0].shape[0]) if tensors else 1


def time_first(call: Call, batch: int, seen: int | None) -> bool:
    """Tell whether what a module takes for samples is on the second axis of an input, not the first."""
    if seen is None or seen == batch:
        return False
    floats = [t for t in input_tensors(call).values() if t.is_floating_point() and t.dim() == 3]
    return any(tuple(t.shape[:2]) == (batch, seen) for t in floats)


def samples_differ(call: Call, batch: int) -> bool:
    """Tell whether any input differs between samples, as differences between outputs presuppose."""
    dense = [t for t in input_tensors(call).values() if t.dim() > 0 and t.layout == torch.strided]
    rows = [reductions.samples_first(t, batch) for t in dense]
    return not rows or any(bool((each != each[:1]).any()) for each in rows)


def unfit(error: Exception, call: Call) -> ModelError:
    """Return what to say of a model that raised in its forward pass."""
    shapes = ", ".join(
        f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
        for name, t in input_tensors(call).items()
    )
    first = first_line(error)
    remedy = remedy_for(error)
    if "more than 1 value per channel" in first or "more than 1 spatial element" in first:
        remedy = "normalisation over one value has no variance: pass a larger batch, or mode='eval'"
    if "numpy() on Tensor" in first:
        remedy = (
            "keep the forward pass to torch operations; Keras layers are such where Keras runs on "
            "torch, KERAS_BACKEND=torch"
        )
    return ModelError(
        f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {first}; {remedy}",
        traceback_text=user_traceback(error),
    )


def columns(name: str, tensor: Tensor, batch: int, *, units_last: bool = False) -> InputColumns:
    """Describe one input; a column's scale is that of its non-zero entries.

    A pixel at the border, or a rare word, is on in few samples and no smaller for that.
    """
    shape = tuple(tensor.shape)
    second = tensor.dim() == 3 and shape[0] != batch == shape[1]
    samples = batch if second else shape[0] if shape else 1
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return InputColumns(name, shape, reductions.moments(tensor.float(), samples), True)
    value = reductions.moments(tensor, samples)
    if tensor.layout != torch.strided:
        return InputColumns(name, shape, value, True)
    values = reductions.plain(tensor)
    zero = values == 0
    if bool((zero | (values == 1)).all()):
        return InputColumns(name, shape, value, True)
    if tensor.is_floating_point() and bool(zero.any()) and bool((zero | (values <= _MASKED_OUT)).all()):
        return InputColumns(name, shape, replace(value, non_finite=0), True)
    if values.dim() < 2 or not value.finite:
        return InputColumns(name, shape, value, False)
    axis = 1 if tensor.dim() in (2, 4, 5) and not units_last else tensor.dim() - 1
    others = [d for d in range(values.dim()) if d != axis]
    entries = (~zero).sum(others)
    scale = ((values.double() ** 2).sum(others) / entries.clamp(min=1)).sqrt()
    used = torch.nonzero(entries >= _FEWEST_ENTRIES).reshape(-1)
    if used.numel() == 0:
        return InputColumns(name, shape, value, False)
    low, high = int(used[scale[used].argmin()]), int(used[scale[used].argmax()])
    return InputColumns(name, shape, value, False, float(scale[low]), float(scale[high]), high, low)
