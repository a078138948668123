"""What kind of site an operation is, where no activation bears its name. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.trace import Site

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
    if len(reads) == 1 and sites[reads[0]].kind == "scale" and op in ops.GUARDS:
        return "scale"  # still a scale, kept away from zero
    for kind, members in _KINDS.items():
        if op in members:
            return kind
    return op if op in ("add", "mul") else {"sub": "add", "div": "mul"}.get(op, "other")


def is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not bool(value.any())
    return isinstance(value, (int, float)) and value == 0
