"""Having a torch model run operation by operation: nothing compiled, fused, or computed twice.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.errors import ModelError

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def observable(model: Any) -> nn.Module:
    """Return the module to observe: what was compiled or wrapped for several devices, unwrapped.

    Its names are then those of the model itself.  Raises ModelError for one that hides its operations
    or holds no numbers.
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, _WRAPPERS):
            model = model.module
        else:
            break
    for name, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            which = f"{name} is a scripted module, which" if name else "a scripted module"
            raise ModelError(f"{which} hides its operations; pass the module before torch.jit.script")
    for kind, named in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in named:
            if is_lazy(tensor):
                continue
            if tensor.is_meta:
                raise ModelError(
                    f"the {kind} {name} is on the meta device and holds no numbers; build the model on "
                    "the CPU, or fill it with to_empty() and its init in the factory"
                )
            if tensor.is_inference():
                raise ModelError(
                    f"the {kind} {name} was made under torch.inference_mode() and takes no gradient; "
                    "build the model outside of it, or pass the factory"
                )
    return model  # type: ignore[no-any-return]  # _orig_mod is untyped


@contextmanager
def step_by_step(module: nn.Module) -> Iterator[None]:
    """Run compiled, fused and checkpointed parts of this module operation by operation."""
    with ExitStack() as stack:
        stack.enter_context(_uncompiled())
        stack.enter_context(_unfused(module))
        stack.enter_context(_kept())
        yield


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Have compiled parts run eagerly; without the compiler loaded there are none."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        # the global hooks are ours, so their warning is not for the user
        warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        yield


@contextmanager
def _unfused(module: nn.Module) -> Iterator[None]:
    """Have a CPU's LSTM run gate by gate: its fused kernel shows none of them."""
    if not any(isinstance(part, nn.LSTM) for part in module.modules()):
        yield
        return
    with warnings.catch_warnings():
        # reading the flag speaks of settings that are not ours
        warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextmanager
def _kept() -> Iterator[None]:
    """Have reentrant checkpoints keep what they compute: ``autograd.grad`` refuses them otherwise.

    As in training, no gradient reaches the parameters inside if no input asks for one.
    """
    checkpoint = torch.utils.checkpoint.CheckpointFunction

    def apply(run: Any, preserve: bool, *args: Any) -> Any:
        asks = any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        with torch.set_grad_enabled(torch.is_grad_enabled() and asks):
            return run(*args)

    setattr(checkpoint, "apply", apply)  # noqa: B010  # an assignment to a method
    try:
        yield
    finally:
        delattr(checkpoint, "apply")  # what is left is what the class inherits


def backward_error(error: RuntimeError) -> ModelError:
    """Return what to say of a model whose backward pass raises: it cannot be trained either."""
    first = (str(error).strip().splitlines() or [""])[0]
    return ModelError(
        f"the backward pass from the model's output raised {type(error).__name__}: {first}; return an "
        "output that can be differentiated once more after the forward pass"
    )
