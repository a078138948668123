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


def first_that_works(candidates: Iterable[Any], attempt: Callable[[Any], None]) -> Any:
    """Return the first candidate with which a call on the meta device raises nothing, or None."""
    for candidate in candidates:
        try:
            with shapes_only():
                attempt(candidate)
        except Exception:  # whatever a library raises for a size that it does not take
            continue
        return candidate
    return None
