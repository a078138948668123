"""What each primitive of JAX is in the vocabulary of graphs. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jax.extend.core import JaxprEqn

_SAME: Mapping[str, str] = {
    **{
        name: name
        for name in (
            *("add", "sub", "mul", "div", "neg", "abs", "sign", "square", "sqrt", "rsqrt", "cbrt"),
            *("exp", "exp2", "expm1", "log", "log1p", "tanh", "sinh", "cosh", "erf", "erfc", "sin"),
            *("cos", "floor", "round", "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "xor"),
        )
    },
    "erf_inv": "erf_inv",
    "max": "maximum",
    "min": "minimum",
    "pow": "power",
    "logistic": "sigmoid",
    "convert_element_type": "cast",
    "reduce_precision": "cast",
    "reshape": "reshape",
    "squeeze": "reshape",
    "expand_dims": "reshape",
    "copy": "reshape",
    "copy_p": "reshape",
    "device_put": "reshape",
    "pvary": "reshape",
    "sharding_constraint": "reshape",
    "dynamic_slice": "slice",
    "add_any": "add",
}
KEPT_SHAPE = frozenset({"copy", "copy_p", "device_put", "pvary", "sharding_constraint"})
RANDOM = frozenset({"threefry2x32", "rng_bit_generator", "rng_uniform"})
OPAQUE = frozenset(
    {
        *("pallas_call", "shard_map", "pure_callback", "io_callback", "custom_call", "ffi_call"),
        *("custom_linear_solve", "xla_pmap", "run_state"),
    }
)
_REDUCTIONS = {
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_and": "all",
    "reduce_or": "any",
    "argmax": "argmax",
    "argmin": "argmin",
}
_OVER_SAMPLES = {"psum": "sum", "pmax": "max", "pmin": "min"}
"""Reductions over an axis that is mapped over: under vmap it is an axis of the operand."""
_WINDOWS = {
    "reduce_window_sum": "window_sum",
    "reduce_window_max": "window_max",
    "reduce_window_min": "window_min",
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A primitive in the vocabulary: ``order`` are the positions of its operands that the node reads."""

    op: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[int, ...] | None = None


def is_random(eqn: JaxprEqn) -> bool:
    """Tell whether the primitive makes or draws from a key."""
    name = eqn.primitive.name
    return name in RANDOM or name.startswith("random_")


def translated(eqn: JaxprEqn) -> Translated:
    """Return what a primitive is; one without a word of its own keeps its name."""
    name = eqn.primitive.name
    if name in _SAME:
        return Translated(_SAME[name], order=(0,) if name == "dynamic_slice" else None)
    if name in _REDUCTIONS or name in _OVER_SAMPLES:
        axes = eqn.params["axes"]
        if not axes and len(eqn.invars) == 1:
            return Translated("reshape")
        # an axis that is mapped over outside has a name, and vmap leaves numpy's integers
        if len(eqn.invars) == 1 and not any(isinstance(axis, str) for axis in axes):
            op = _REDUCTIONS.get(name) or _OVER_SAMPLES[name]
            return Translated(op, {"axes": tuple(map(int, axes)), "keepdims": False})
    if name in _WINDOWS:
        return Translated(_WINDOWS[name], _window(eqn))
    rule = _RULES.get(name)
    return Translated(name) if rule is None else rule(eqn)


def _window(eqn: JaxprEqn) -> Mapping[str, Any]:
    return {
        "size": tuple(eqn.params["window_dimensions"]),
        "strides": tuple(eqn.params["window_strides"]),
        "padding": tuple(map(tuple, eqn.params["padding"])),
    }


def _matmul(eqn: JaxprEqn) -> Translated:
    contract, batch = eqn.params["dimension_numbers"]
    return Translated(
        "matmul",
        {"contract": tuple(map(tuple, contract)), "batch": tuple(map(tuple, batch))},
    )


def _conv(eqn: JaxprEqn) -> Translated:
    numbers = eqn.params["dimension_numbers"]
    return Translated(
        "conv",
        {
            "image": tuple(numbers.lhs_spec),
            "kernel": tuple(numbers.rhs_spec),
            "result": tuple(numbers.out_spec),
            "strides": tuple(eqn.params["window_strides"]),
            "padding": tuple(map(tuple, eqn.params["padding"])),
            "image_dilation": tuple(eqn.params["lhs_dilation"]),
            "kernel_dilation": tuple(eqn.params["rhs_dilation"]),
            "groups": int(eqn.params["feature_group_count"]),
        },
    )


def _gather(eqn: JaxprEqn) -> Translated:
    """Rows of a table by whole-number ids are ``take``; another gather cuts something out.

    Under ``vmap`` an id has a place for every axis of the table; those of whole axes say nothing.
    """
    numbers, sizes = eqn.params["dimension_numbers"], tuple(eqn.params["slice_sizes"])
    table, ids = (variable.aval.shape for variable in eqn.invars)
    cut = [d for d in range(len(table)) if sizes[d] != table[d]]
    cut = cut or [d for d in numbers.collapsed_slice_dims if d in numbers.start_index_map]
    one = len(cut) == 1 and sizes[cut[0]] == 1 and cut[0] in numbers.start_index_map
    if not one or not ids or numbers.operand_batching_dims:
        return Translated("slice")
    places = len(ids) - 1
    result = tuple(d for d in range(len(eqn.outvars[0].aval.shape)) if d not in numbers.offset_dims)
    ordered = result in (tuple(range(places)), tuple(range(cut[0], cut[0] + places)))
    return Translated("take", {"axis": cut[0]}) if ordered else Translated("slice")


def _cumulative(eqn: JaxprEqn) -> Translated:
    return Translated(eqn.primitive.name, {"axis": eqn.params.get("axis")})


_RULES: Mapping[str, Callable[[JaxprEqn], Translated]] = {
    "dot_general": _matmul,
    "conv_general_dilated": _conv,
    "gather": _gather,
    "transpose": lambda eqn: Translated("transpose", {"axes": tuple(eqn.params["permutation"])}),
    "broadcast_in_dim": lambda eqn: Translated(
        "broadcast", {"axes": tuple(map(int, eqn.params["broadcast_dimensions"]))}, (0,)
    ),
    "select_n": lambda eqn: Translated("where", order=(0, 2, 1) if len(eqn.invars) == 3 else None),
    "clamp": lambda eqn: Translated("clip", order=(1, 0, 2)),
    "concatenate": lambda eqn: Translated("concatenate", {"axis": eqn.params["dimension"]}),
    "pad": lambda eqn: Translated("pad", {"padding": tuple(eqn.params["padding_config"])}),
    "rev": lambda eqn: Translated("reverse", {"axes": tuple(eqn.params["dimensions"])}),
    "slice": lambda eqn: Translated(
        "slice",
        {
            "starts": tuple(eqn.params["start_indices"]),
            "limits": tuple(eqn.params["limit_indices"]),
            "strides": tuple(eqn.params["strides"] or (1,) * len(eqn.params["start_indices"])),
        },
    ),
    "cumsum": _cumulative,
    "cumprod": _cumulative,
    "cummax": _cumulative,
    "cummin": _cumulative,
    "cumlogsumexp": _cumulative,
}
