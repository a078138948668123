"""Parameter tensors: which ones hold numbers, their statistics, what tells two draws apart.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.blocks import copies
from pytest_initcheck.trace import Fingerprint, Parameter

_SAMPLED = 4096
_FEW_SAMPLED = 64
_MANY = 16


def named_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that hold numbers; quantised and index tensors are not initialised."""
    return {
        name: parameter
        for name, parameter in model.named_parameters(remove_duplicate=True)
        if parameter.is_floating_point() or parameter.is_complex()
    }


def fingerprint(name: str, parameter: Tensor) -> Fingerprint:
    flat = reductions.plain(parameter).reshape(-1).cpu()
    stride = max(1, flat.numel() // _SAMPLED)
    sample = flat[::stride].contiguous()
    digest = hashlib.blake2b(sample.numpy().tobytes(), digest_size=16)
    digest.update(np.float64(flat.sum(dtype=torch.float64)).tobytes())
    return Fingerprint(name, digest.hexdigest(), _draws_nothing(flat))


def _draws_nothing(flat: Tensor) -> bool:
    """Tell whether the entries have at most two values, as constants and identities do."""
    values = 2 if flat.numel() >= _MANY else 1  # two numbers are two values whatever drew them
    if flat.numel() == 0 or len(flat[:_FEW_SAMPLED].unique()) > values:
        return flat.numel() == 0
    return bool(((flat == flat.amin()) | (flat == flat.amax())).all())


def describe(
    name: str, tensor: Tensor, tied: tuple[str, ...] = (), *, kurtosis: bool = False
) -> Parameter:
    """Return a parameter's statistics; the kurtosis costs a further pass over it."""
    flat = reductions.plain(tensor).reshape(-1)
    count = flat.numel()
    if count == 0:
        return Parameter(name, tuple(tensor.shape), 0, 0.0, 0.0, True, 0, aliases=tied)
    mean, second = float(flat.mean()), reductions.sum_of_squares(flat) / count
    # counting what is not finite is slow, and needed only where a sum shows it
    bad = 0 if math.isfinite(mean + second) else int((~torch.isfinite(flat)).sum())
    constant = bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all())
    return Parameter(
        name,
        tuple(tensor.shape),
        count,
        mean,
        second,
        constant,
        bad,
        kurtosis=_kurtosis(flat, second) if kurtosis else math.nan,
        trainable=tensor.requires_grad,
        copies=1 if constant or tensor.dim() < 2 else copies(reductions.plain(tensor).cpu().numpy()),
        aliases=tied,
    )


def _kurtosis(flat: Tensor, second: float) -> float:
    if not second > 0:
        return math.nan
    squares = flat * flat / second
    return float(torch.dot(squares, squares)) / flat.numel()
