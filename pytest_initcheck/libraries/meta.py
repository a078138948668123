"""A model on torch's meta device: its shapes without its numbers.

Tells before anything is drawn whether a model can be built, how large it is and which input it takes.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_initcheck.errors import ConfigError

_COPIES = 3
"""What a check holds at once: a model, its gradients, and the second draw from the same seed."""


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build and call models without numbers, and without a word of theirs."""
    import torch

    with warnings.catch_warnings(), torch.device("meta"), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def outline(create: Callable[[], Any]) -> Any:
    """Return what is built on the meta device.

    Some models compute with numbers while they are built; of those the real one is returned, and the
    random state is as it was.
    """
    import torch

    try:
        with shapes_only():
            return create()
    except (NotImplementedError, RuntimeError):
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            return create()


def check_size(spec: str, model: Any, remedy: str) -> None:
    """Raise ConfigError for a model that does not fit into the memory of this machine."""
    wanted = _COPIES * sum(p.numel() * p.element_size() for p in model.parameters())
    memory = _memory()
    if memory is not None and wanted > memory:
        parameters = sum(p.numel() for p in model.parameters())
        raise ConfigError(
            f"cannot build {spec}: its {parameters / 1e9:.1f} billion parameters need "
            f"{wanted / 1e9:.0f} GB to be checked and this machine has {memory / 1e9:.0f}; {remedy}"
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not told on this system
        return None


def first_that_works(candidates: Iterable[Any], attempt: Callable[[Any], None], model: Any) -> Any:
    """Return the first candidate with which a call of the outline raises nothing, or None.

    Tensors that an attempt makes are on the model's device.
    """
    import torch

    device = next(model.parameters(), torch.empty(0, device="meta")).device
    for candidate in candidates:
        try:
            with shapes_only(), torch.random.fork_rng(devices=[]), device:
                attempt(candidate)
        except Exception:  # whatever a library raises for a size that it does not take
            continue
        return candidate
    return None
