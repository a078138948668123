"""Lazy modules: their parameters get a shape, and are drawn, in a first forward pass.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.torch_inputs import prepared, unfit


def lazy_names(module: nn.Module) -> list[str]:
    """Return the names of the parameters and buffers without a shape."""
    named = (*module.named_parameters(), *module.named_buffers())
    return [name for name, tensor in named if is_lazy(tensor)]


def drawn(module: nn.Module, call: Call, *, keep: bool) -> nn.Module:
    """Return the model after a forward pass that draws what is lazy, its other buffers as before.

    With ``keep`` it is a copy, and the model stays lazy.  Raises ModelError where a parameter is
    still lazy afterwards, or the model raises.
    """
    module = _copied(module) if keep else module
    call = prepared(module, call)
    buffers = [(b, b.clone()) for b in module.buffers() if not is_lazy(b)]
    with torch.no_grad():
        try:
            module(*call.args, **call.kwargs)
        except Exception as error:
            raise unfit(error, call) from error
        for buffer, values in buffers:
            buffer.copy_(values)
    if left := lazy_names(module):
        raise ModelError(
            f"{left[0]} is lazy and a forward pass on these inputs does not reach it, so it has no "
            "shape; use it in forward, or remove it"
        )
    return module


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy; torch copies lazy parameters and refuses to copy lazy buffers."""
    memo: dict[int, Any] = {}
    for buffer in module.buffers():
        if is_lazy(buffer):
            make: Any = type(buffer)  # torch does not annotate its arguments
            memo[id(buffer)] = make(device=buffer.device, dtype=buffer.dtype)
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:
        raise ModelError(
            f"{lazy_names(module)[0]} is lazy and the model cannot be copied ({type(error).__name__}); "
            "run a forward pass first, or pass the factory"
        ) from error
