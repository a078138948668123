"""What an operation multiplies its input with: the weight, its bias and its fans. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes.torch_modules import plain_name
from pytest_initcheck.probes.torch_origins import Origins
from pytest_initcheck.trace import owner_and_leaf


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product, convolution or look-up, with the axis of its output's units.

    ``names`` are the parameters that the weight comes from, none for a product of two signals.
    """

    kind: str
    op: str
    names: frozenset[str]
    bias_names: frozenset[str]
    axis: int
    fans: tuple[int, int]


def product(op: str, args: Any, origins: Origins) -> Product:
    weight: Any
    if op == "convolution":
        weight, bias, axis = args[1], args[2], 1
        fans = ops.convolution_fans(args)
    elif op in ops.LOOK_UPS:
        weight, bias, axis = args[0], None, -1
        fans = (1, int(args[0].shape[-1]))
    else:
        left, right, bias = ops.matmul_operands(op, args)
        on_the_right = not origins.parameters(left)
        weight, axis = (right if on_the_right else left), -1
        fans = ops.matmul_fans(weight, on_the_right=on_the_right)
    names = origins.parameters(weight)
    kind = ("embedding" if op in ops.LOOK_UPS else "linear") if names else "matmul"
    return Product(
        kind, "conv" if op == "convolution" else kind, names, origins.parameters(bias), axis, fans
    )


_WEIGHTS = ("weight", "original", "kernel", "recurrent_kernel", "embeddings", "w")


def weight_place(names: frozenset[str]) -> str:
    """Name a linear site by the module that owns its weight; a bare parameter by itself."""
    name = plain_name(min(names))
    owner, last = owner_and_leaf(name)
    if owner.endswith("parametrizations." + last) or "parametrizations" in owner:
        owner = owner.split(".parametrizations")[0]
    return owner if owner and last.startswith(_WEIGHTS) else name
