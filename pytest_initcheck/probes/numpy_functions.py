"""NumPy's functions as nodes: choices, clipping, new arrays; what has no node of its own is opaque.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_initcheck.probes import numpy_products, numpy_reductions, numpy_shapes
from pytest_initcheck.probes.numpy_places import here
from pytest_initcheck.probes.numpy_recording import emit, is_traced, plain, wrapped
from pytest_initcheck.probes.numpy_tape import Tape

_ASKING = frozenset(
    {
        *(np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj),
        *(np.may_share_memory, np.shares_memory, np.common_type, np.min_scalar_type),
        *(np.array_repr, np.array_str, np.array2string, np.array_equal, np.array_equiv, np.allclose),
    }
)
"""Functions that ask something of an array and give none."""


def function(tape: Tape, which: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Record a call of one of NumPy's functions."""
    if which in _ASKING:
        return which(*map(plain, args), **{key: plain(value) for key, value in kwargs.items()})
    rule = _rules().get(which)
    if rule is not None:
        found = rule(tape, *args, **kwargs)
        if found is not NotImplemented:
            return found
    return opaque(tape, which, args, kwargs)


@functools.cache
def _rules() -> Mapping[Any, Callable[..., Any]]:
    return {
        **numpy_reductions.functions(),
        **numpy_shapes.functions(),
        **numpy_products.functions(),
        np.where: _where,
        np.clip: _clip,
        np.round: lambda tape, a, decimals=0, out=None: emit(
            tape, "round", lambda x: np.round(x, decimals), (a,)
        ),
        np.select: _select,
        np.piecewise: _piecewise,
        np.nan_to_num: lambda tape, x, copy=True, **numbers: emit(
            tape, "nan_to_num", lambda x: np.nan_to_num(x, **numbers), (x,)
        ),
        np.real: lambda tape, val: _complex_part(tape, "real", np.real, val),
        np.imag: lambda tape, val: _complex_part(tape, "imag", np.imag, val),
        np.copyto: _copyto,
        np.zeros_like: _new(np.zeros_like),
        np.ones_like: _new(np.ones_like),
        np.empty_like: _new(np.zeros_like),
        np.full_like: _full_like,
    }


def _complex_part(tape: Tape, op: str, part: Callable[..., Any], value: Any) -> Any:
    return emit(tape, op, part, (value,)) if np.iscomplexobj(plain(value)) or op == "imag" else value


def _where(tape: Tape, condition: Any, *chosen: Any) -> Any:
    if not chosen:
        return NotImplemented
    return emit(tape, "where", np.where, (condition, *chosen))


def _clip(
    tape: Tape,
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    **options: Any,
) -> Any:
    low = a_min if a_min is not None and a_min is not np._NoValue else min
    high = a_max if a_max is not None and a_max is not np._NoValue else max
    low, high = (None if bound is np._NoValue else bound for bound in (low, high))
    if low is None or high is None:
        bound, fold = (high, np.minimum) if low is None else (low, np.maximum)
        return np.positive(a, out=out) if bound is None else fold(a, bound, out=out)
    found = emit(tape, "clip", np.clip, (a, low, high))
    if out is None:
        return found
    np.positive(found, out=out)
    return out


def _select(tape: Tape, condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    found = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        found = np.where(condition, choice, found)
    return found


def _piecewise(
    tape: Tape, x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any
) -> Any:
    if np.ndim(plain(condlist)) == np.ndim(plain(x)) and not isinstance(condlist, (list, tuple)):
        condlist = [condlist]
    conditions = list(condlist)
    pieces = list(funclist)
    if len(pieces) == len(conditions) + 1:
        any_of = functools.reduce(np.logical_or, conditions)
        conditions.append(np.logical_not(any_of))
    found = np.zeros_like(x)
    for condition, piece in zip(conditions, pieces, strict=True):
        found[condition] = piece(x[condition], *args, **kwargs) if callable(piece) else piece
    return found


def _copyto(tape: Tape, dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not is_traced(dst):
        raise tape.escaped(
            "an array of the forward pass is copied into a plain one",
            "allocate it with np.zeros_like(x)",
        )
    dst[...] = src if where is True else np.where(where, src, dst)


def _new(make: Callable[..., Any]) -> Callable[..., Any]:
    def call(tape: Tape, a: Any, *args: Any, **kwargs: Any) -> Any:
        value = make(plain(a), *args, **kwargs)
        return wrapped(tape, value, tape.leaf("constant", value))

    return call


def _full_like(tape: Tape, a: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
    found = _new(np.zeros_like)(tape, a, *args, **kwargs)
    found[...] = fill_value
    return found


# -- whatever else -------------------------------------------------------------------------------


def opaque(tape: Tape, which: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Record a function that is not seen inside, once for each array that it gives."""
    operands: list[Any] = []
    template = _holes((args, dict(kwargs)), operands)
    result = which(*plain(list(args)), **{key: plain(value) for key, value in kwargs.items()})
    name = f"np.{getattr(which, '__name__', which)}"
    parts = result if isinstance(result, (tuple, list)) else (result,)
    if not all(isinstance(part, (np.ndarray, np.generic, float, int)) for part in parts):
        return result
    floating = any(np.asarray(part).dtype.kind in "fc" for part in parts)
    op = "opaque" if floating else getattr(which, "__name__", "opaque")
    label = f"{name} in {here().label}: not seen inside"
    found = [
        emit(
            tape,
            op,
            _part(which, template, index if parts is result else None),
            operands,
            np.asarray(part),
            label=label,
        )
        for index, part in enumerate(parts)
    ]
    if parts is not result:
        return found[0]
    return type(result)(*found) if hasattr(result, "_fields") else type(result)(found)


class _Hole:
    """Where an operand stands among the arguments."""


def _holes(value: Any, operands: list[Any]) -> Any:
    if is_traced(value):
        operands.append(value)
        return _Hole
    if type(value) in (tuple, list):
        return type(value)(_holes(item, operands) for item in value)
    if type(value) is dict:
        return {key: _holes(item, operands) for key, item in value.items()}
    return value


def _part(which: Any, template: Any, index: int | None) -> Callable[..., Any]:
    def compute(*operands: Any) -> Any:
        args, kwargs = _filled(template, iter(operands))
        found = which(*args, **kwargs)
        return np.asarray(found if index is None else found[index])

    return compute


def _filled(template: Any, operands: Any) -> Any:
    if template is _Hole:
        return next(operands)
    if type(template) in (tuple, list):
        return type(template)(_filled(item, operands) for item in template)
    if type(template) is dict:
        return {key: _filled(item, operands) for key, item in template.items()}
    return template
