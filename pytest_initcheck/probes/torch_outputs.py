"""What a torch model returned: its tensors, the main one first, and the logits behind it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.torch_recorder import Recorder


def output_tensors(value: Any) -> Iterator[Tensor]:
    """Return every tensor of numbers in what a model returned, the main output first."""
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, Mapping):
        names = sorted(value, key=lambda key: key not in ("logits", "last_hidden_state"))
        for name in names:
            yield from output_tensors(value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from output_tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from output_tensors(getattr(value, item.name))


def outputs_of(value: Any) -> list[Tensor]:
    """Return what the model put out, the main output first.

    Raises ModelError where there is nothing with a batch axis.
    """
    tensors = list(output_tensors(value))
    found = [tensor for tensor in tensors if tensor.dim() > 0]
    if found:
        return found
    if tensors:
        raise ModelError(
            "the model returned a single number, a loss perhaps; wrap it so that it returns the output "
            "that the loss is computed from, with a batch axis"
        )
    kind = type(value).__name__
    raise ModelError(f"the model returned {kind} without a floating-point tensor; return its output")


def site_of(recorder: Recorder, tensor: Tensor) -> int:
    origin = recorder.origins.of(tensor)
    return origin.site if origin is not None else -1


def has_samples(output: Tensor, batch: int) -> bool:
    """Tell whether the output has a batch axis: the first, or the second where time is first."""
    return output.shape[0] == batch or (output.dim() > 2 and output.shape[1] == batch)


def logits_of(recorder: Recorder, out_site: int, output: Tensor) -> tuple[int, Tensor]:
    """Return the input of a closing sigmoid, tanh or softmax, or the output itself; samples first."""
    tensor = recorder.squashed.get(out_site)
    site = out_site if tensor is None else site_of(recorder, tensor)
    logits = output if tensor is None else tensor
    if logits.shape[0] != recorder.batch and has_samples(logits, recorder.batch):
        logits = logits.transpose(0, 1)
    return (site if site >= 0 else out_site), logits
