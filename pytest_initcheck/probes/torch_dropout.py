"""Dropout in every spelling, replaced by its mean. PYTEST_DONT_REWRITE

Dropout multiplies by independent masks, which adds variance at every layer and says nothing about the
initialisation.  A function mode works above autograd, so values and gradients agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_DROPOUTS = frozenset(
    {
        *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
        *(torch.dropout, torch.dropout_, torch.alpha_dropout, torch.alpha_dropout_),
        *(torch.feature_dropout, torch.feature_dropout_, torch.feature_alpha_dropout),
        torch.feature_alpha_dropout_,
    }
)
_UNIFORM = frozenset({"rand", "rand_like", "uniform_"})
_ADDED = frozenset({"add", "__add__", "__radd__", "add_", "__iadd__"})
_BELOW = frozenset({"lt", "__lt__", "le", "__le__", "less", "less_equal"})
_ABOVE = frozenset({"gt", "__gt__", "ge", "__ge__", "greater", "greater_equal"})
_MOVED = frozenset(
    {"unsqueeze", "squeeze", "expand", "expand_as", "view", "reshape", "__getitem__", "clone", "detach"}
)
_CAST = frozenset({"float", "half", "bfloat16", "double", "to", "type", "type_as"})
_NOT = frozenset({"__invert__", "logical_not", "bitwise_not"})
_TIMES = frozenset({"mul", "__mul__", "__rmul__", "multiply", "mul_", "__imul__"})
_OVER = frozenset({"div", "__truediv__", "true_divide"})
_FILL = frozenset({"masked_fill", "masked_fill_"})
_FLOOR = frozenset({"floor", "floor_"})


@dataclass(frozen=True, slots=True)
class _Noise:
    """Independent noise: uniform on [shift, shift + 1], or True with a probability."""

    shift: float = 0.0
    probability: float | None = None


class MeanMasks(TorchFunctionMode):
    """Switches dropout off, and replaces masks that are drawn by hand by their mean."""

    def __init__(self) -> None:
        super().__init__()
        self._noise = WeakTensorKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        name = getattr(func, "__name__", "")
        if name in _UNIFORM:
            out = func(*args, **kwargs)
            if isinstance(out, Tensor) and (name != "uniform_" or (len(args) < 2 and not kwargs)):
                self._noise[out] = _Noise()
            return out
        if len(self._noise) == 0:
            return func(*args, **kwargs)
        given = [(arg, self._noise.get(arg)) for arg in args if isinstance(arg, Tensor)]
        tensor, noise = next(((t, n) for t, n in given if n is not None), (None, None))
        if noise is None:
            return func(*args, **kwargs)
        if noise.probability is None:
            return self._uniform(name, noise, func, args, kwargs)
        return self._mask(name, tensor, noise.probability, func, args, kwargs)

    def _uniform(self, name: str, noise: _Noise, func: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        number = next((arg for arg in args if isinstance(arg, (int, float))), None)
        if name in _FLOOR:
            # floor(c + u) is floor(c) or one more, with the fraction of c as its probability
            return out.fill_(noise.shift)
        if name in _ADDED and number is not None:
            self._noise[out] = replace(noise, shift=noise.shift + number)
        elif name in (_BELOW | _ABOVE) and number is not None:
            below = min(max(number - noise.shift, 0.0), 1.0)
            self._noise[out] = _Noise(probability=below if name in _BELOW else 1 - below)
        elif name in _MOVED:
            self._noise[out] = noise
        return out

    def _mask(self, name: str, mask: Any, probability: float, func: Any, args: Any, kwargs: Any) -> Any:
        if name in _TIMES and len(args) == 2:
            other = args[1] if args[0] is mask else args[0]
            if isinstance(other, Tensor) and other.is_floating_point():
                return func(other, probability)
            if isinstance(other, (int, float)):
                return torch.full_like(
                    func(*args, **kwargs), probability * other, dtype=torch.get_default_dtype()
                )
        if name in _OVER and len(args) == 2 and args[0] is mask and isinstance(args[1], (int, float)):
            return torch.full_like(func(*args, **kwargs), probability / args[1])
        if name in _FILL and len(args) == 3 and args[1] is mask and not kwargs:
            fill = args[2]
            if isinstance(fill, (int, float)) and math.isfinite(fill):
                kept = args[0].mul_ if name == "masked_fill_" else args[0].mul
                return kept(1 - probability).add_(probability * fill)
        if name == "where" and len(args) == 3 and args[0] is mask:
            return probability * args[1] + (1 - probability) * args[2]
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor):
            return out
        if name in _CAST and out.is_floating_point():
            return torch.full_like(out, probability)
        if name in _NOT:
            self._noise[out] = _Noise(probability=1 - probability)
        elif name in _MOVED or (name in _CAST and out.dtype == torch.bool):
            self._noise[out] = _Noise(probability=probability)
        return out
