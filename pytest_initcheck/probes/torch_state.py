"""What a check must leave as it found it: everything on a torch model. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import global_generators
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
class _Place:
    """Where the numbers of one parameter or buffer are, and what autograd knows of it."""

    tensor: Tensor
    data: Tensor
    requires_grad: bool
    grad: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor) -> _Place:
        grad = tensor.grad if tensor.is_leaf else None
        return cls(tensor, tensor.data, tensor.requires_grad, grad)

    def put_back(self) -> None:
        if self.tensor.is_leaf:
            self.tensor.requires_grad_(self.requires_grad)
            self.tensor.grad = None
        if self.tensor.data_ptr() != self.data.data_ptr() or self.tensor.dtype != self.data.dtype:
            self.tensor.data = self.data
        if self.tensor.is_leaf:
            self.tensor.grad = self.grad


class Kept:
    """The numbers of a model, those of parameters copied only when something is about to write to them.

    A copy of all of them would double a large model's memory, and hardly any model writes to its own.
    """

    def __init__(
        self, attributes: list[_Attributes], parameters: Iterable[Tensor], buffers: Iterable[Tensor]
    ) -> None:
        self._attributes = attributes
        # the kernel of a batch normalisation updates its buffers unsaid
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        self._copies: list[tuple[Tensor, Tensor]] = []
        self._untouched: dict[int, list[Tensor]] = {}
        for data in parameters:
            memory = _memory(data)
            if memory is None:
                self._copies.append((data, data.clone()))
            else:
                self._untouched.setdefault(memory, []).append(data)

    def before_write(self, tensors: Iterable[Tensor]) -> None:
        """Copy the parameters that share memory with one of these."""
        for memory in map(_memory, tensors):
            if memory is not None:
                self._copies += [(data, data.clone()) for data in self._untouched.pop(memory, ())]

    def put_buffers_back(self) -> None:
        """Put the buffers back, for a further pass."""
        for part in self._attributes:
            part.put_buffers_back()
        for data, numbers in self._buffers:
            data.copy_(numbers)

    def put_back(self) -> None:
        self.put_buffers_back()
        for data, numbers in self._copies:
            data.copy_(numbers)


def _memory(tensor: Tensor) -> int | None:
    """Return where a tensor's numbers are; None for a sparse one, or a subclass that wraps others."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return None


@contextmanager
def undisturbed(module: nn.Module, mode: str) -> Iterator[Kept]:
    """Set the mode with dropout off; afterwards the model and the process are as they were.

    A forward pass may update parameters and buffers in place, put others in their place, cache what
    it computed, add hooks, run a backward pass of its own, and change settings.  Whoever runs it tells
    the yielded object of every write.
    """
    with preserved(), global_generators.kept():
        attributes = [_Attributes.of(part) for part in module.modules()]
        parameters = {parameter: _Place.of(parameter) for parameter in module.parameters()}
        buffers = {buffer: _Place.of(buffer) for buffer in module.buffers()}
        places = (*parameters.values(), *buffers.values())
        kept = Kept(
            attributes,
            [each.data for each in parameters.values()],
            [each.data for each in buffers.values()],
        )
        try:
            for each in places:
                if each.grad is not None:
                    each.tensor.grad = None
            module.train(mode == "train")
            for part in module.modules():
                if isinstance(part, _DROPOUTS):
                    part.training = False
            yield kept
        finally:
            for part_attributes in attributes:
                part_attributes.put_back()
            with torch.no_grad():
                for each in places:
                    each.put_back()
                kept.put_back()
