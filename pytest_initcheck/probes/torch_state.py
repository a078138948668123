"""What a check must leave as it found it: everything on a torch model. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.torch_settings import preserved

_DROPOUTS = (nn.modules.dropout._DropoutNd,)
_FEW_PARAMETERS = 2**22
_FEW_INPUTS = 2**17
"""Up to these sizes more threads save little, and cost tenfold where other processes have the cores."""


@contextmanager
def threads_for(module: nn.Module, call: Call) -> Iterator[None]:
    """Run a small model on one thread; afterwards there are as many as before."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    values = (*call.args, *call.kwargs.values())
    inputs = sum(math.prod(getattr(value, "shape", ())) for value in values)
    before = torch.get_num_threads()
    if before == 1 or parameters > _FEW_PARAMETERS or inputs > _FEW_INPUTS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class _Attributes:
    """The attributes of one module: which objects they are, and what its containers hold.

    Parameters, buffers, submodules and hooks are in such containers, and so are many caches.
    """

    module: nn.Module
    held: dict[str, Any]
    containers: tuple[tuple[Any, Any], ...]

    @classmethod
    def of(cls, module: nn.Module) -> _Attributes:
        held = dict(module.__dict__)
        containers = [v for v in held.values() if type(v) in (dict, OrderedDict, list, set)]
        return cls(module, held, tuple((each, each.copy()) for each in containers))

    def put_buffers_back(self) -> None:
        for container, content in self.containers:
            if container is self.module._buffers:
                container.clear()
                container.update(content)

    def put_back(self) -> None:
        self.module.__dict__.clear()
        self.module.__dict__.update(self.held)
        for container, content in self.containers:
            if isinstance(container, list):
                container[:] = content
            else:
                container.clear()
                container.update(content)


@dataclass(frozen=True, slots=True)
class _Values:
    """The numbers of one parameter or buffer, and where they were."""

    tensor: Tensor
    place: Tensor
    values: Tensor
    requires_grad: bool
    grad: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor) -> _Values:
        grad = tensor.grad if tensor.is_leaf else None
        return cls(tensor, tensor.data, tensor.detach().clone(), tensor.requires_grad, grad)

    def put_back(self) -> None:
        if self.tensor.is_leaf:
            self.tensor.requires_grad_(self.requires_grad)
            self.tensor.grad = None
        if self.tensor.data_ptr() != self.place.data_ptr() or self.tensor.dtype != self.place.dtype:
            self.tensor.data = self.place
        self.place.copy_(self.values)
        if self.tensor.is_leaf:
            self.tensor.grad = self.grad


@contextmanager
def undisturbed(module: nn.Module, mode: str) -> Iterator[Callable[[], None]]:
    """Set the mode with dropout off; afterwards the model and the process are as they were.

    What it yields puts the buffers back at once, for a further pass.

    A forward pass may update parameters and buffers in place, put others in their place, cache what
    it computed, add hooks, run a backward pass of its own, and change settings.
    """
    with preserved():
        attributes = [_Attributes.of(part) for part in module.modules()]
        tensors = dict.fromkeys((*module.parameters(), *module.buffers()))
        saved = [_Values.of(tensor) for tensor in tensors]
        buffers = {id(buffer) for buffer in module.buffers()}

        def put_buffers_back() -> None:
            for part in attributes:
                part.put_buffers_back()
            with torch.no_grad():
                for each in saved:
                    if id(each.tensor) in buffers:
                        each.put_back()

        try:
            for each in saved:
                if each.grad is not None:
                    each.tensor.grad = None
            module.train(mode == "train")
            for part in module.modules():
                if isinstance(part, _DROPOUTS):
                    part.training = False
            yield put_buffers_back
        finally:
            for part_attributes in attributes:
                part_attributes.put_back()
            with torch.no_grad():
                for each in saved:
                    each.put_back()
