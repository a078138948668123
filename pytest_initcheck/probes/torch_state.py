"""What a check must leave as it found it: torch's random states and the model. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pytest_initcheck.inputs import Call

_DROPOUTS = (nn.modules.dropout._DropoutNd,)


def random_state() -> Any:
    """Return the state of the CPU's generator, and of the GPUs' where one is in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), gpus


def restore_random_state(state: Any) -> None:
    cpu, gpus = state
    torch.set_rng_state(cpu)
    if gpus is not None:
        torch.cuda.set_rng_state_all(gpus)


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


@contextmanager
def undisturbed(module: nn.Module, mode: str) -> Iterator[Callable[[], None]]:
    """Set the mode with dropout off; afterwards modes, parameters and buffers are as they were.

    What it yields puts the buffers back at once, for a further pass.

    A forward pass may update both in place, or put another tensor in a buffer's place.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(part, dict(part._buffers)) for part in module.modules()]
    saved = [(tensor, tensor.detach().clone()) for tensor in (*module.parameters(), *module.buffers())]
    state = random_state()

    def put_buffers_back() -> None:
        for part, before in buffers:
            part._buffers.clear()
            part._buffers.update(before)
        held = {id(tensor) for _, each in buffers for tensor in each.values()}
        with torch.no_grad():
            for tensor, values in saved:
                if id(tensor) in held:
                    tensor.data.copy_(values)

    try:
        module.train(mode == "train")
        for part, _ in modes:
            if isinstance(part, _DROPOUTS):
                part.training = False
        yield put_buffers_back
    finally:
        for part, training in modes:
            part.training = training
        for part, before in buffers:
            part._buffers.clear()
            part._buffers.update(before)
        with torch.no_grad():
            for tensor, values in saved:
                tensor.data.copy_(values)
        restore_random_state(state)
