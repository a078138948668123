"""Lists of layers (W, b, activation): checked, run, differentiated. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.numpy import known_activation
from pytest_initcheck.probes.numpy_gradients import NumpyLayer

Array = NDArray[Any]
NUMBERS = "fciub"


def _is_layer(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and 1 <= len(item) <= 3 and isinstance(item[0], np.ndarray)


def is_layer_list(model: Any) -> bool:
    """Tell whether a model is a list of layers."""
    return isinstance(model, (list, tuple)) and len(model) > 0 and all(_is_layer(i) for i in model)


def layers_of(model: Any) -> list[NumpyLayer]:
    layers = []
    for index, item in enumerate(model):
        weight, bias, which = (*item, None, None)[:3]
        if isinstance(bias, str):
            raise ModelError(f"layer {index}: b is the text {bias!r}; write (W, None, {bias!r})")
        for name, array in (("W", weight), ("b", bias)):
            if array is not None and np.asarray(array).dtype.kind not in NUMBERS:
                raise ModelError(
                    f"layer {index}: {name} holds no numbers, but {np.asarray(array).dtype}"
                )
        if weight.ndim != 2:
            raise ModelError(f"layer {index}: W must be [in, out], got shape {weight.shape}")
        if bias is not None and np.shape(bias) not in ((weight.shape[1],), (1, weight.shape[1]), ()):
            raise ModelError(
                f"layer {index}: b has shape {np.shape(bias)}, but W is [in, out] = {weight.shape}"
            )
        try:
            phi = known_activation(which)
        except ConfigError as error:
            raise ModelError(f"layer {index}: {error}") from None
        layers.append(NumpyLayer(str(index), weight, None if bias is None else np.asarray(bias), phi))
    return layers


def _input(model: Any, call: Call) -> Array:
    values = [*call.args, *call.kwargs.values()]
    if len(values) != 1 or call.kwargs:
        raise ModelError("a layer list takes one input array; got a call with several")
    x = np.asarray(values[0])
    if x.dtype.kind not in NUMBERS:
        raise ModelError(f"the inputs hold no numbers, but {x.dtype}; pass arrays of numbers")
    if x.ndim < 2:
        raise ModelError(f"inputs must have a batch axis, got shape {x.shape}")
    first = layers_of(model)[0].weight
    has_samples(x)
    if x.shape[-1] != first.shape[0]:
        raise ModelError(
            f"the inputs have shape {x.shape}, but the first W is [in, out] = {first.shape}; "
            f"pass inputs=ic.normal({first.shape[0]})"
        )
    return x.astype(np.result_type(first, np.float32), copy=False)


def has_samples(x: Array) -> None:
    if x.size == 0:
        raise ModelError("the inputs hold no samples; pass a batch with at least one")


def path_of(name: str) -> str:
    """Return the expression for an array of a list of layers (W, b, activation)."""
    index, _, which = name.partition(".")
    return f"layers[{index}][{'Wb'.index(which)}]"


@dataclass(frozen=True)
class ListPass:
    """A forward pass: the layers, what each reads, its pre-activation, and the output."""

    layers: list[NumpyLayer]
    reads: list[Array]
    pre_activations: list[Array]
    output: Array


def run_list(model: Any, call: Call) -> ListPass:
    """Run a list of layers.

    Raises ModelError for inputs and layers that do not fit.
    """
    x = _input(model, call)
    layers, reads, pre_activations, a = layers_of(model), [], [], x
    for layer in layers:
        if a.shape[-1] != layer.weight.shape[0]:
            raise ModelError(
                f"layer {layer.name}: W is [in, out] = {layer.weight.shape}, "
                f"but the layer before has {a.shape[-1]} units"
            )
        z = a @ layer.weight if layer.bias is None else a @ layer.weight + layer.bias
        reads.append(a)
        pre_activations.append(z)
        a = z if layer.phi is None else layer.phi.phi(z)
    return ListPass(layers, reads, pre_activations, a)
