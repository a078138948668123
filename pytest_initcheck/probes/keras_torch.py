"""A Keras model on torch as the torch probe sees it: Keras' names for what torch keeps.

A Keras layer is a torch module, but its weights are in one dictionary per model, and some layers are
under no name of torch's.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
from torch import Tensor, nn

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.probes.keras_layers import Layers, layers_of
from pytest_initcheck.probes.torch_modules import NamedParts
from pytest_initcheck.trace import Glimpse, Trace, Wanted

_NORMS = (
    (keras.layers.BatchNormalization, "batch_norm"),
    (keras.layers.LayerNormalization, "layer_norm"),
    (keras.layers.GroupNormalization, "group_norm"),
    (keras.layers.RMSNormalization, "rms_norm"),
)


def trace(model: Any, layers: Layers, call: Call, mode: str, seed: int, wanted: Wanted) -> Trace:
    with _asking(layers):
        return probe.trace(_watched(model, layers), call, mode=mode, seed=seed, wanted=wanted)


def glimpse(model: Any, layers: Layers, call: Call, mode: str, seed: int) -> Glimpse:
    with _asking(layers):
        return probe.glimpse(_watched(model, layers), call, mode=mode, seed=seed)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return probe.workload(_watched(model, layers_of(model)), call)


@contextmanager
def _asking(layers: Layers) -> Iterator[None]:
    """Have the weights that Keras trains, and no others, ask for a gradient.

    Keras tells torch so when it makes a weight, and not when it is frozen.
    """
    tensors = [(each.variable.value, each.variable.trainable) for each in layers.weights]
    before = [(tensor, tensor.requires_grad) for tensor, _ in tensors]
    try:
        for tensor, trainable in tensors:
            tensor.requires_grad_(trainable)
        yield
    finally:
        for tensor, asked in before:
            tensor.requires_grad_(asked)


def _watched(model: Any, layers: Layers) -> OnTorch:
    formats = (getattr(part.layer, "data_format", None) for part in layers.parts)
    first = next((known for known in formats if known), keras.config.image_data_format())
    return OnTorch(model, layers, units_last=first == "channels_last")


class OnTorch(NamedParts):
    """Runs the model; its parts are the layers, its parameters the weights, its buffers the states."""

    def __init__(self, model: Any, layers: Layers, *, units_last: bool) -> None:
        super().__init__()
        # an attribute that is a module would be registered under torch's names
        self.__dict__["model"] = model
        self.layers = layers
        self.units_last = units_last

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["model"](*args, training=self.training, **kwargs)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield every layer once, and with it the modules that it is made of."""
        yield "", self
        known = {id(part.layer): part.path for part in self.layers.parts}
        for part in self.layers.parts:
            yield part.path, part.layer
            inside = part.layer.named_modules(remove_duplicate=remove_duplicate)
            for name, module in inside:
                if id(module) not in known:
                    known[id(module)] = path = _inner_path(part.path, name, module)
                    yield path, module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        if not recurse:
            return
        for each in self.layers.weights:
            yield each.name, each.variable.value
            if not remove_duplicate:
                yield from ((alias, each.variable.value) for alias in each.aliases)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        if recurse:
            yield from ((each.name, each.variable.value) for each in self.layers.states)

    def own_parameters(self, part: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for each in self.layers.weights:
            if self.layers.parts[each.part].layer is part:
                yield each.name, each.variable.value

    def path_of(self, name: str) -> str:
        return next(each.expression for each in self.layers.weights if each.name == name)

    def whole(self, part: nn.Module) -> str | None:
        """Return the name of a normalisation, which Keras writes out."""
        return next((op for kind, op in _NORMS if isinstance(part, kind)), None)


def _inner_path(path: str, name: str, module: nn.Module) -> str:
    """Name a module that is no layer: a container of Keras' own has the name of its layer."""
    own = type(module).__module__.startswith("keras.") or isinstance(module, nn.ParameterDict)
    return path if own or not name else f"{path}/{name}".lstrip("/")
