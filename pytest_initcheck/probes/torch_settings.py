"""The settings of the torch process that a model, a factory or the check itself may change.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_Setting = tuple[Callable[[], Any], Callable[[Any], Any]]


def random_state() -> Any:
    """Return the state of the CPU's generator, and of the GPUs' where one is in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), gpus


def restore_random_state(state: Any) -> None:
    cpu, gpus = state
    torch.set_rng_state(cpu)
    if gpus is not None:
        torch.cuda.set_rng_state_all(gpus)


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_anomaly(value: tuple[bool, bool]) -> None:
    torch.autograd.set_detect_anomaly(*value)


def _autocast(device: str) -> _Setting:
    def get() -> tuple[bool, torch.dtype]:
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def put(value: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, value[0])
        torch.set_autocast_dtype(device, value[1])

    return get, put


def _flag(home: Any, name: str) -> _Setting:
    return lambda: getattr(home, name), lambda value: setattr(home, name, value)


SETTINGS: dict[str, _Setting] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "deterministic algorithms": (_deterministic, _set_deterministic),
    "anomaly detection": (_anomaly, _set_anomaly),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "autocast on the CPU": _autocast("cpu"),
    "autocast on a GPU": _autocast("cuda"),
    "autocast cache": (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "mkldnn": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "cudnn": _flag(torch.backends.cudnn, "enabled"),
    "cudnn benchmark": _flag(torch.backends.cudnn, "benchmark"),
    "cudnn deterministic": _flag(torch.backends.cudnn, "deterministic"),
}
"""What there is to set globally, with how it is read and how it is put back."""


@contextmanager
def preserved() -> Iterator[None]:
    """Put random states and settings back as they were; inside, tensors can be differentiated.

    A caller's ``inference_mode`` or ``no_grad`` is for its own tensors; a check needs gradients.
    """
    settings = {name: get() for name, (get, _) in SETTINGS.items()}
    state = random_state()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for name, before in settings.items():
            get, put = SETTINGS[name]
            if get() != before:
                put(before)
        restore_random_state(state)
