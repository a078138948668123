"""torch functions and modules as activations over numpy arrays. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pytest_initcheck.activations import Array


def over_tensors(
    phi: Callable[..., Any],
) -> tuple[Callable[[Array], Array], Callable[[Array], Array], float] | None:
    """Return phi, its derivative by autograd over float64 arrays, and phi's relative rounding.

    None if phi takes no tensor.

    A module is copied to float64 and eval mode, so that neither it nor what it becomes in training
    has to do with the result.
    """
    function = phi
    if isinstance(phi, torch.nn.Module):
        function = copy.deepcopy(phi).double().eval()
    try:
        with torch.no_grad():
            probe = function(torch.linspace(-1, 1, 3, dtype=torch.float64))
    except Exception:
        return None
    if not isinstance(probe, torch.Tensor):
        return None

    def values(z: Array) -> Array:
        with torch.no_grad():
            return _array(function(_tensor(z)))

    def slopes(z: Array) -> Array:
        with torch.enable_grad():
            point = _tensor(z).requires_grad_()
            out = function(point)
            if not out.requires_grad:  # phi is constant, or detaches
                return np.zeros(point.shape)
            (gradient,) = torch.autograd.grad(out.sum(), point)
        return _array(gradient)

    precise = probe.dtype if probe.is_floating_point() else torch.float64
    return values, slopes, torch.finfo(precise).eps


def _tensor(z: Array) -> torch.Tensor:
    # a copy: phi may work in place
    return torch.tensor(np.asarray(z, dtype=np.float64))


def _array(value: torch.Tensor) -> Array:
    return np.asarray(value.detach().double().cpu().numpy())
