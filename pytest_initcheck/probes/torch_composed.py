"""Activations and normalisations that are written out with operators. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes.torch_origins import Origins
from pytest_initcheck.trace import Site


@dataclass(frozen=True, slots=True)
class Composed:
    """An activation that ends with an operation; ``parts`` are sites that belong to it."""

    name: str
    parts: tuple[int, ...] = ()


def composed(
    op: str, args: Any, reads: tuple[int, ...], sites: Sequence[Site], origins: Origins
) -> Composed | None:
    """Return the activation that this operation completes, or None."""
    if op == "mul" and len(args) > 1:
        pair = [origins.of(argument) for argument in args[:2]]
        if any(o is not None and o.positive_mask and o.site == reads[0] for o in pair):
            return Composed("relu")
        if len(reads) == 2:
            gate = next((r for r in reads if sites[r].activation == "sigmoid"), None)
            if gate is not None and sites[gate].reads == tuple(r for r in reads if r != gate):
                # the sigmoid is a part of SiLU, not a unit that saturates
                return Composed("silu", (gate,))
    if op == "where" and len(args) == 3:
        mask = origins.of(args[0])
        zero = isinstance(args[2], Tensor) and not bool(args[2].any())
        if mask is not None and mask.positive_mask and len(reads) == 1 and zero:
            return Composed("relu")
    if op == "div" and len(reads) == 2:
        below = sites[reads[1]]
        if below.op == "add" and len(below.reads) == 1:
            inner = sites[below.reads[0]]
            if inner.op == "abs" and inner.reads == reads[:1]:
                return Composed("softsign")
    return None


_KINDS = {
    "softmax": ops.SOFTMAXES,
    "pool": ops.POOLS,
    "cat": ops.CONCATENATIONS,
    "attention": ops.ATTENTION,
    "recurrent": ops.RECURRENT,
}


def kind_of(op: str, reads: tuple[int, ...], sites: Sequence[Site]) -> str:
    """Return the kind of an operation without an activation's name."""
    if op in ops.NORMS:
        return "norm"
    if op in ("mul", "div") and len(reads) > 1 and any(sites[r].kind == "scale" for r in reads):
        return "norm"
    if op in ops.SCALES:
        return "scale"
    for kind, members in _KINDS.items():
        if op in members:
            return kind
    return op if op in ("add", "mul") else {"sub": "add", "div": "mul"}.get(op, "other")


def is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not bool(value.any())
    return isinstance(value, (int, float)) and value == 0
