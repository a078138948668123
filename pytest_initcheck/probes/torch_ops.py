"""What each aten operation is, in the field's terms. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from pytest_initcheck.activations import SELU_SCALE

Arguments = tuple[Any, ...]

ALIASES = frozenset(
    {
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "permute",
        "transpose",
        "t",
        "expand",
        "squeeze",
        "unsqueeze",
        "flatten",
        "contiguous",
        "clone",
        "detach",
        "alias",
        "_to_copy",
        "to",
        "movedim",
        "swapaxes",
        "as_strided",
        "lift_fresh",
    }
)
CREATIONS = frozenset(
    {
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "randint_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty_strided",
    }
)
"""These take a shape from their argument, not its values."""
SLICES = frozenset(
    {
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "unsafe_chunk",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "chunk",
        "unbind",
        "narrow",
        "index",
        "index_select",
        "gather",
    }
)
NORMS: Mapping[str, int | None] = {
    "native_layer_norm": 3,
    "native_batch_norm": 2,
    "cudnn_batch_norm": 2,
    "miopen_batch_norm": 2,
    "_native_batch_norm_legit": 2,
    "_native_batch_norm_legit_functional": 2,
    "native_group_norm": 2,
    "_fused_rms_norm": None,
    "rms_norm": None,
}
"""Normalisations and the position of their bias argument."""
BATCH_NORMS = frozenset(name for name in NORMS if "batch_norm" in name)
SCALES = frozenset({"rsqrt", "sqrt", "std", "var", "linalg_vector_norm", "norm", "reciprocal"})
GUARDS = frozenset({"add", "mul", "div", "clamp", "clamp_min", "maximum"})
"""What leaves a scale a scale: kept away from zero, counted per element."""
POOLS = frozenset(
    {
        "mean",
        "sum",
        "amax",
        "amin",
        "max",
        "min",
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "max_pool2d",
        "adaptive_avg_pool1d",
    }
)
SOFTMAXES = frozenset({"_softmax", "_safe_softmax", "_log_softmax"})
ATTENTION = frozenset(
    {
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
    }
)
RECURRENT = frozenset(
    {"mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn", "lstm", "gru", "_thnn_fused_lstm_cell"}
)
MATMULS = frozenset(
    {
        "mm",
        "bmm",
        "mv",
        "addmm",
        "addmv",
        "baddbmm",
        "addbmm",
        "dot",
        "matmul",
        "linear",
        "mkldnn_linear",
    }
)
LOOK_UPS = frozenset({"embedding", "_embedding_bag", "_embedding_bag_forward_only"})
NON_NEGATIVE = frozenset({"relu", "relu6"})
CONCATENATIONS = frozenset({"cat", "stack", "concat"})
DROPOUTS = frozenset({"bernoulli", "native_dropout"})
COMPARISONS = frozenset({"gt", "ge"})


_SHOWN: Mapping[str, str] = {
    **dict.fromkeys(BATCH_NORMS, "batch_norm"),
    **dict.fromkeys(ATTENTION, "attention"),
    **dict.fromkeys(CONCATENATIONS, "cat"),
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "_fused_rms_norm": "rms_norm",
    "_safe_softmax": "softmax",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d",
    "_thnn_fused_lstm_cell": "lstm_cell",
    "mkldnn_rnn_layer": "rnn",
    "_cudnn_rnn": "rnn",
    "miopen_rnn": "rnn",
}


@cache
def called(func: Any) -> tuple[str, bool, bool]:
    """Return (name, in place, writes to an argument) of an operation's overload."""
    name = func._schema.name.removeprefix("aten::")
    in_place = name.endswith("_") and not name.endswith("__")
    return name[:-1] if in_place else name, in_place, bool(func._schema.is_mutable)


def without_dropout(func: Any, args: Arguments, kwargs: Mapping[str, Any], *, signal: bool) -> Any:
    """Return what a draw of dropout or stochastic depth is replaced by, None for another operation.

    Its mean takes its place, which leaves E[x].  ``signal`` says that the probabilities of a draw are a
    value of the model's: then it is no mask.
    """
    name, in_place, _ = called(func)
    if name == "bernoulli" and in_place:
        probability = args[1] if len(args) > 1 and isinstance(args[1], float) else kwargs.get("p", 0.5)
        return args[0].fill_(probability)
    if name == "bernoulli" and not signal:
        given = args[1] if len(args) > 1 else kwargs.get("p")
        return torch.full_like(args[0], given) if isinstance(given, float) else args[0].clone()
    if name == "native_dropout":
        return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
    return None


def shown(op: str) -> str:
    """Return the name that a trace gives an operation, as every framework's traces do.

    >>> shown("native_layer_norm"), shown("mean")
    ('layer_norm', 'mean')
    """
    return _SHOWN.get(op, op)


def _clamp(low: Any, high: Any) -> str | None:
    low = float(low) if isinstance(low, (int, float)) else -math.inf
    high = float(high) if isinstance(high, (int, float)) else math.inf
    named = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "hardtanh"}
    if (low, high) in named:
        return named[low, high]
    return "relu" if low == 0 else None


def _at(args: Arguments, index: int, default: Any) -> Any:
    return args[index] if len(args) > index else default


def _elu(args: Arguments) -> str:
    alpha, scale = _at(args, 1, 1.0), _at(args, 2, 1.0)
    if math.isclose(scale, SELU_SCALE, rel_tol=1e-6):
        return "selu"
    return "elu" if alpha == 1 else f"elu({alpha:g})"


def _celu(alpha: float) -> str:
    return "elu" if alpha == 1 else f"celu({alpha:g})"


def _leaky(slope: float) -> str:
    return f"leaky_relu({slope:g})" if slope else "relu"


def _prelu(args: Arguments) -> str:
    return _leaky(float(args[1].detach().float().mean()))


def _rrelu(args: Arguments) -> str:
    return _leaky((_at(args, 2, 1 / 8) + _at(args, 3, 1 / 3)) / 2)


def _fixed(name: str) -> Callable[[Arguments], str | None]:
    return lambda args: name


_ACTIVATIONS: Mapping[str, Callable[[Arguments], str | None]] = {
    "clamp": lambda args: _clamp(_at(args, 1, None), _at(args, 2, None)),
    "clamp_min": lambda args: _clamp(_at(args, 1, None), None),
    "hardtanh": lambda args: _clamp(_at(args, 1, -1.0), _at(args, 2, 1.0)),
    "threshold": lambda args: "relu" if args[1] == args[2] == 0 else None,
    "leaky_relu": lambda args: _leaky(_at(args, 1, 0.01)),
    "elu": _elu,
    "celu": lambda args: _celu(_at(args, 1, 1.0)),
    "_prelu_kernel": _prelu,
    "prelu": _prelu,
    "rrelu_with_noise": _rrelu,
    "log_sigmoid_forward": _fixed("log_sigmoid"),
    **{
        name: _fixed(name)
        for name in (
            "relu",
            "relu6",
            "selu",
            "silu",
            "mish",
            "softplus",
            "tanh",
            "sigmoid",
            "hardsigmoid",
            "hardswish",
            "erf",
            "sin",
        )
    },
}


ELEMENTWISE = frozenset(
    {
        *_ACTIVATIONS,
        *("gelu", "maximum", "minimum", "clamp_max", "where", "masked_fill", "index_put"),
        *("add", "sub", "rsub", "mul", "div", "neg", "abs", "reciprocal", "pow", "square", "sqrt"),
        *("exp", "exp2", "expm1", "log", "log2", "log1p", "logaddexp", "erfc", "sinh", "cosh"),
        *("sign", "sgn", "heaviside", "addcmul", "addcdiv", "lerp"),
    }
)
"""Operations whose value at a place depends on their arguments at this place alone."""


def activation_of(op: str, args: Arguments, kwargs: Mapping[str, Any]) -> str | None:
    """Return the name of the activation that this call is, or None."""
    if op == "gelu":
        return "gelu_tanh" if kwargs.get("approximate", _at(args, 1, "none")) == "tanh" else "gelu"
    if op in ("clamp", "clamp_min", "clamp_max"):
        low, high = kwargs.get("min", _at(args, 1, None)), kwargs.get("max", _at(args, 2, None))
        return _clamp(low, high) if op != "clamp_max" else None
    if op == "maximum":
        zeros = [
            arg for arg in args if isinstance(arg, torch.Tensor) and arg.numel() <= 1 and not arg.any()
        ]
        return "relu" if zeros else None
    rule = _ACTIVATIONS.get(op)
    return rule(args) if rule is not None else None


def matmul_operands(op: str, args: Arguments) -> tuple[Any, Any, Any]:
    """Return (left, right, bias) of a matrix product."""
    if op in ("addmm", "addmv", "baddbmm", "addbmm"):
        return args[1], args[2], args[0]
    if op in ("linear", "mkldnn_linear"):
        return args[0], args[1].transpose(0, 1), _at(args, 2, None)
    return args[0], args[1], None


def matmul_fans(weight: torch.Tensor, *, on_the_right: bool) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight as it enters a product."""
    shape = weight.shape
    if len(shape) == 1:
        return int(shape[0]), 1
    rows, columns = int(shape[-2]), int(shape[-1])
    return (rows, columns) if on_the_right else (columns, rows)


def convolution_fans(args: Arguments) -> tuple[int, int]:
    """Return (fan_in, fan_out) per output unit of ``aten.convolution`` (principles.md 1.7)."""
    weight, stride, transposed, groups = args[1], args[3], args[6], args[8]
    taps = math.prod(weight.shape[2:])
    if transposed:
        reached = math.prod(_spread(stride, weight.dim() - 2))
        fan_in = max(1, round(weight.shape[0] // groups * taps / reached))
        return fan_in, int(weight.shape[1]) * taps
    return int(weight.shape[1]) * taps, int(weight.shape[0]) // groups * taps


def convolution_coverage(args: Arguments) -> float:
    """Return the average share of taps that lie inside the image (principles.md 1.7)."""
    image, weight, stride, padding, dilation, transposed = *args[:2], *args[3:7]
    if transposed:
        return 1.0
    dimensions = weight.dim() - 2
    share = 1.0
    steps, pads, gaps = (_spread(values, dimensions) for values in (stride, padding, dilation))
    for axis in range(dimensions):
        size, taps = int(image.shape[2 + axis]), int(weight.shape[2 + axis])
        step, pad, gap = steps[axis], pads[axis], gaps[axis]
        positions = max(1, (size + 2 * pad - gap * (taps - 1) - 1) // step + 1)
        inside = sum(0 <= o * step - pad + t * gap < size for o in range(positions) for t in range(taps))
        share *= inside / (positions * taps)
    return share


def _spread(stride: Any, dimensions: int) -> list[int]:
    values = list(stride)
    return values * dimensions if len(values) == 1 else values
