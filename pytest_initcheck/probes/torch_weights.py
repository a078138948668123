"""Torch weights and modules of a layer's shape, for initialisers that fill them in place.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ModelError
from pytest_initcheck.initializers.layers import Layer


def fill_tensor(call: Callable[[Any], Any], layer: Layer, who: str) -> Array:
    """Return the weight that ``call`` leaves in a float32 tensor of the layer's shape.

    Raises ModelError if it leaves the tensor, or a part of it, as it was.
    """
    weight = torch.full(layer.shape, torch.nan)
    with torch.no_grad():
        returned = call(weight)
    untouched = int(torch.isnan(weight).sum())
    if untouched == weight.numel():
        if isinstance(returned, Tensor):
            raise ModelError(
                f"{who} returned a new tensor and left the weight as it was; fill it in place, "
                "for example weight.normal_(0, std), or name its parameter shape"
            )
        raise ModelError(
            f"{who} left the weight of shape {layer.shape} as it was and returned "
            f"{type(returned).__name__}; fill it in place, or name its parameter shape (or module)"
        )
    return _array(weight)


def fill_module(call: Callable[[Any], Any], layer: Layer, who: str) -> Array:
    """Return the weight that ``call`` leaves in a torch module of the layer's kind.

    Raises ModelError if it does not change the weight.
    """
    module, name = module_of(layer)
    weight = getattr(module, name)
    before = weight.detach().clone()
    call(module)
    weight = getattr(module, name)
    if weight.shape != before.shape:
        raise ModelError(f"{who} changed the weight's shape from {layer.shape} to {tuple(weight.shape)}")
    if torch.equal(weight.detach(), before):
        raise ModelError(
            f"{who} left {type(module).__name__}.{name} as it was: PyTorch's default init stands; "
            "fill it in place, and look at which modules the function skips"
        )
    return _array(weight)


def _array(weight: Tensor) -> Array:
    return weight.detach().to("cpu", torch.float64).numpy()


def module_of(layer: Layer) -> tuple[nn.Module, str]:
    """Return a module of the layer's kind and the name of its weight.

    A fused weight of three blocks of its input's width is attention's ``in_proj_weight``, another one
    a Linear; a recurrent one is ``weight_ih_l0``.
    """
    each = layer.units // layer.blocks
    match layer.kind:
        case "embedding":
            return nn.Embedding(layer.inputs, layer.units), "weight"
        case "tied":
            return nn.Embedding(layer.units, layer.inputs), "weight"
        case "fused" if layer.blocks == 3 and each == layer.inputs:
            return nn.MultiheadAttention(layer.inputs, 1), "in_proj_weight"
        case "recurrent":
            cell = {4: nn.LSTM, 3: nn.GRU, 1: nn.RNN}[layer.blocks]
            return cell(layer.inputs, each), "weight_ih_l0"
        case "dense" | "fused":
            return nn.Linear(layer.inputs, layer.units), "weight"
    axes = len(layer.kernel)
    family = "ConvTranspose" if layer.kind == "conv_transposed" else "Conv"
    make = getattr(nn, f"{family}{axes}d")
    sides = (layer.inputs, layer.units, layer.kernel)
    return make(*sides, stride=layer.stride, groups=layer.groups), "weight"
