"""Activations that are written out with operators, known by the values they take.

A chain is what elementwise operations make of one signal, its root.  Whatever its spelling, a chain is
an activation if it takes that activation's values on a sample of the root.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pytest_initcheck.activations import activation
from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.activation_values import BENT, TRANSCENDENTAL, known
from pytest_initcheck.probes.torch_origins import Origins, tensors_in
from pytest_initcheck.trace import Site

_SAMPLED = 256
_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Composed:
    """What an operation completes: an activation's name, if it has one, and what it is of.

    ``parts`` are activations that belong to it and are none by themselves.
    """

    name: str | None
    reads: tuple[int, ...]
    parts: tuple[int, ...] = ()


class Chains:
    """The chains of one forward pass: which root each site has, and samples of the roots."""

    def __init__(self, sites: Sequence[Site], origins: Origins) -> None:
        self._sites = sites
        self._origins = origins
        self._root: dict[int, int] = {}
        self._sample: dict[int, Tensor] = {}

    def sampled(self, op: str, args: Any, reads: tuple[int, ...]) -> None:
        """Take a sample of the root that this operation reads, before it may overwrite it."""
        root = self._root_of(op, args, reads)
        if root is None or root in self._sample:
            return
        for tensor in tensors_in(args):
            origin = self._origins.of(tensor)
            if origin is not None and origin.site == root and tensor.is_floating_point():
                self._sample[root] = _sample_of(tensor)
                return

    def joined(self, index: int, op: str, args: Any, reads: tuple[int, ...]) -> None:
        """Note that the site at this index goes on with the chain of what it reads."""
        root = self._root_of(op, args, reads)
        if root is not None:
            self._root[index] = root

    def completed(self, op: str, args: Any, reads: tuple[int, ...], out: Tensor) -> Composed | None:
        """Return the activation that this operation completes, or None."""
        if op in ("mul", "where") and self._masks(op, args, reads):
            return Composed("relu", reads)
        root = self._root_of(op, args, reads)
        before = None if root is None else self._sample.get(root)
        if root is None or before is None:
            return None
        inside = self._inside(root, reads)
        made_of = {op, *(self._sites[i].op for i in inside)}
        if made_of.isdisjoint(TRANSCENDENTAL | BENT):
            return None  # a polynomial
        parts = tuple(i for i in inside if self._sites[i].activation is not None)
        name = known(_numbers(before), _numbers(_sample_of(out)), made_of, _tolerance(out))
        if name is not None and any(self._sites[i].activation == name for i in parts):
            # it was complete before, and only halves of it were added since
            rest = tuple(i for i in parts if self._sites[i].activation != name)
            return Composed(None, reads, rest)
        if name is not None:
            return Composed(name, (root,), parts)
        # a gate on its own input, such as x sigmoid(1.702 x), is no unit that saturates
        gates = tuple(i for i in parts if self._sites[i].saturated is not None)
        return Composed(None, reads, gates) if op == "mul" and root in reads else None

    def _masks(self, op: str, args: Any, reads: tuple[int, ...]) -> bool:
        """Tell whether a signal is multiplied by its own positive mask, or selected by it."""
        mask_at = args[:1] if op == "where" else args[:2]
        masks = [o for a in mask_at if (o := self._origins.of(a)) is not None and o.positive_mask]
        if not any(mask.site == reads[0] for mask in masks) or len(reads) != 1:
            return False
        return op == "mul" or (len(args) == 3 and isinstance(args[2], Tensor) and not args[2].any())

    def _root_of(self, op: str, args: Any, reads: tuple[int, ...]) -> int | None:
        roots = {self._root.get(index, index) for index in reads}
        if op not in ops.ELEMENTWISE or len(roots) != 1:
            return None
        # a scale or a slope that is learnt makes a new signal, not a fixed function of this one
        return None if any(map(self._origins.parameters, tensors_in(args))) else roots.pop()

    def _inside(self, root: int, reads: tuple[int, ...]) -> set[int]:
        found: set[int] = set()
        waiting = [index for index in reads if index != root]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting.extend(i for i in self._sites[index].reads if i != root)
        return found


def saturated_share(name: str, out: Tensor) -> float | None:
    """Return the share of saturated pairs by the activation's values: its arguments may be gone."""
    row = activation(name)
    if row.saturated_beyond is None:
        return None
    middle, edge = (float(v) for v in row.phi(np.array([0.0, row.saturated_beyond])))
    distance = (reductions.plain(out) - middle).abs()
    return float((distance >= (edge - middle) * (1 - 1e-6)).to(torch.float32).mean())


@lru_cache(maxsize=256)
def _positions(count: int, device: torch.device) -> Tensor:
    """Return up to 256 positions spread over all axes, by a low-discrepancy sequence."""
    spread = np.arange(min(_SAMPLED, count)) * 0.6180339887498949 % 1 * count
    return torch.from_numpy(spread.astype(np.int64)).to(device)


def _sample_of(tensor: Tensor) -> Tensor:
    """Return a copy of some of the values, the same places for every tensor of one size."""
    if tensor.layout != torch.strided:
        return torch.zeros(0)
    # one index per value: an index per axis is ten times slower
    return torch.take(tensor.detach(), _positions(tensor.numel(), tensor.device))


def _numbers(sample: Tensor) -> _Values:
    return np.asarray(sample.double().cpu().numpy())


def _tolerance(out: Tensor) -> float:
    """Return the relative error that a handful of operations in this precision leave."""
    return (64 if out.dtype.itemsize >= 4 else 4) * float(torch.finfo(out.dtype).eps)
