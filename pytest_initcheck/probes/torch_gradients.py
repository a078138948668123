"""The two gradients of principles.md R8, and the moments of gradients at sites.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import GradientEvidence, Moments


@dataclass
class SiteGradients:
    """Reduces gradients at sites while a backward pass runs, by hooks on tensors of that pass.

    A tensor has no place in the graph yet when its operation is dispatched, so its hook is set when the
    next operation comes, before anything can write over it.
    """

    batch: int
    recording: bool = False
    moments: dict[int, Moments] = field(default_factory=dict)
    _pending: list[tuple[int, Tensor]] = field(default_factory=list)

    def add(self, site: int, tensor: Tensor) -> None:
        self._pending.append((site, tensor))

    def flush(self) -> None:
        """Set the hooks of the operations since the last call."""
        for site, tensor in self._pending:
            if tensor.requires_grad and tensor.grad_fn is not None:
                tensor.register_hook(self._reducing(site))
        self._pending.clear()

    def _reducing(self, site: int):  # type: ignore[no-untyped-def]  # a closure
        def reduce(gradient: Tensor) -> None:
            if self.recording:
                self.moments[site] = reductions.moments(gradient.detach(), self.batch)

        return reduce


@dataclass(frozen=True)
class Gradients:
    """The evidence, and each parameter's squared gradients for both readouts."""

    evidence: GradientEvidence
    by_difference: Mapping[str, float]
    by_common: Mapping[str, float]

    @property
    def moved(self) -> frozenset[str]:
        """The parameters that either readout gives a gradient."""
        return frozenset(
            name for name, square in self.by_difference.items() if square + self.by_common[name] != 0
        )


def gradients(
    logits: Tensor,
    parameters: Mapping[str, Tensor],
    multiplicative: set[str],
    biases: set[str],
    sites: SiteGradients | None,
    seed: int,
    units: int,
) -> Gradients:
    """Take two backward passes from the logits (principles.md R8), their units on this axis.

    What is only added and is no layer's bias, such as a class token, moves no outputs together: behind
    a normalisation its gradient is as large as it is small itself.
    """
    difference, common, positions = _readouts(logits, seed, units)
    if sites is not None:
        sites.flush()
        sites.recording = True
    by_difference = _squared(logits, parameters, difference, retain=True)
    if sites is not None:
        sites.recording = False
    by_common = _squared(logits, parameters, common, retain=False)
    matrices = {name: by_difference[name] for name in parameters if name in multiplicative}
    weights = [name for name in matrices if parameters[name].dim() > 1]
    evidence = GradientEvidence(
        difference=sum(matrices.values()),
        common=sum(by_common[n] for n in parameters if n in multiplicative | biases) / positions,
        live_matrices=sum(value > 0 for value in matrices.values()),
        matrices=len(matrices),
        non_finite=tuple(
            name for name in parameters if not math.isfinite(by_difference[name] + by_common[name])
        ),
        first_over_last=_first_over_last(weights, by_difference, parameters),
    )
    return Gradients(evidence, by_difference, by_common)


def _readouts(logits: Tensor, seed: int, units: int) -> tuple[Tensor, Tensor, int]:
    """Return the cotangents for differences and for what is common, and samples * positions."""
    difference, common, positions = readouts(tuple(logits.shape), seed, units)
    return _on_device_of(logits, difference), _on_device_of(logits, common), positions


def _on_device_of(logits: Tensor, cotangent: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(cotangent.astype(np.float32)).to(logits.device)


def _squared(
    logits: Tensor, parameters: Mapping[str, Tensor], cotangent: Tensor, *, retain: bool
) -> dict[str, float]:
    """Return each parameter's squared gradient; the gradients are reduced as they come."""
    target = logits.real if logits.is_complex() else logits
    squared = dict.fromkeys(parameters, 0.0)

    def reduced(name: str, gradient: Tensor) -> Tensor:
        squared[name] = reductions.sum_of_squares(reductions.plain(gradient).reshape(-1))
        # autograd collects what is returned: all gradients would be as large as the model
        whole = gradient.layout != torch.strided  # a sparse one is small and cannot be expanded
        return gradient if whole else gradient.new_zeros(()).expand_as(gradient)

    hooks = [p.register_hook(functools.partial(reduced, name)) for name, p in parameters.items()]
    try:
        # a number, as a loss is: given a cotangent, torch loads sympy to compare two shapes
        readout = (target * cotangent.to(target.dtype)).sum()
        torch.autograd.grad(readout, list(parameters.values()), retain_graph=retain, allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    return squared


def _first_over_last(
    weights: list[str], squared: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> float:
    """Return the ratio of the root mean squared gradients of the first and the last weight."""
    if len(weights) < 2:
        return math.nan
    first, last = (squared[name] / parameters[name].numel() for name in (weights[0], weights[-1]))
    return math.sqrt(first / last) if last > 0 else math.nan
