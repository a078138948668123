"""How many rows of a softmax start one-hot: their slope p (1 - p) is gone (principles.md 1.6).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.probes import torch_reductions as reductions

_ONE_HOT = 0.5 + math.sqrt(0.25 - 0.05 * 0.25)
"""Beyond this largest share p (1 - p) is under 5 % of its maximum, a quarter."""
_MASKED_OUT = -1e4
_QUERIES = 32


def softmax_share(scores: Tensor, shares: Tensor, dim: int) -> float | None:
    """Return the share of rows that are one-hot, of those that have a choice; None if none has.

    Where all entries of a row but one are masked out there is nothing to choose.
    """
    if scores.dim() == 0 or scores.layout != torch.strided or scores.shape[dim] < 2:
        return None
    one_hot = reductions.plain(shares).amax(dim) > _ONE_HOT
    if not bool(one_hot.any()):
        return 0.0
    choice = (scores.detach() > _MASKED_OUT).sum(dim) > 1
    if choice.shape != one_hot.shape or not bool(choice.any()):
        return None
    return float((one_hot & choice).sum()) / float(choice.sum())


def attention_share(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float | None:
    """Return the share of one-hot rows of a fused attention, from some of its queries.

    Arguments are those of aten's fused kernels: query, key, value, then a mask or flags.
    """
    query, key = (reductions.plain(t) for t in args[:2])
    if query.dim() != 4 or query.shape[:2] != key.shape[:2] or query.shape[-1] != key.shape[-1]:
        return None
    mask = kwargs.get("attn_mask", next((a for a in args[3:] if isinstance(a, Tensor)), None))
    causal = kwargs.get("is_causal", next((a for a in args[3:] if isinstance(a, bool) and a), False))
    scale = kwargs.get("scale") or 1 / math.sqrt(query.shape[-1])
    queries, keys = query.shape[-2], key.shape[-2]
    rows = torch.arange(0, queries, max(1, queries // _QUERIES), device=query.device)
    scores = query[..., rows, :] @ key.transpose(-1, -2) * scale
    if mask is not None:
        chosen = mask.expand(*scores.shape[:-2], queries, keys)[..., rows, :]
        allowed = chosen if chosen.dtype == torch.bool else None
        scores = scores + chosen if allowed is None else scores.masked_fill(~allowed, -math.inf)
    if causal:
        later = torch.arange(keys, device=query.device) > rows[:, None]
        scores = scores.masked_fill(later, -math.inf)
    return softmax_share(scores, torch.softmax(scores, -1), -1)
