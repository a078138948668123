"""What a check must leave as it found it: torch's random states and the model. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

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


@contextmanager
def undisturbed(module: nn.Module, mode: str) -> Iterator[None]:
    """Set the mode with dropout off; afterwards modes, parameters and buffers are as they were.

    A forward pass may update both in place, or put another tensor in a buffer's place.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(part, dict(part._buffers)) for part in module.modules()]
    saved = [(tensor, tensor.detach().clone()) for tensor in (*module.parameters(), *module.buffers())]
    state = random_state()
    try:
        module.train(mode == "train")
        for part, _ in modes:
            if isinstance(part, _DROPOUTS):
                part.training = False
        yield
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
