"""Reductions over axes as nodes. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pytest_initcheck.probes.numpy_recording import emit, plain
from pytest_initcheck.probes.numpy_tape import Tape
from pytest_initcheck.probes.numpy_traced import Traced

REDUCED: Mapping[str, str] = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "fmax": "max",
    "fmin": "min",
    "logical_or": "any",
    "logical_and": "all",
}
ACCUMULATED: Mapping[str, str] = {"add": "cumsum", "multiply": "cumprod", "maximum": "cummax"}


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return axes as whole numbers from 0 on; None is all of them."""
    if axis is None:
        return tuple(range(ndim))
    chosen = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(int(a) % max(ndim, 1) for a in chosen) if ndim else ()


def reduction(
    tape: Tape,
    op: str,
    function: Callable[..., Any],
    array: Any,
    axis: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Traced:
    """Record a reduction; ``function`` takes the array, axis and keepdims as NumPy's do."""
    axes = axes_of(axis, np.ndim(plain(array)))
    kept = bool(keepdims) and keepdims is not np._NoValue
    options = {k: plain(v) for k, v in options.items() if v is not None and v is not np._NoValue}

    def compute(x: Any) -> Any:
        return np.asarray(function(x, axis=axes, keepdims=kept, **options))

    return emit(tape, op, compute, (array,), axes=axes, keepdims=kept)


def reduced(tape: Tape, function: Any, array: Any, options: Mapping[str, Any]) -> Traced:
    """Record ``ufunc.reduce``."""
    own = {"axis": 0, **options}
    return reduction(tape, REDUCED[function.__name__], function.reduce, array, **own)


def _simple(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        tape: Tape,
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        **options: Any,
    ) -> Any:
        if out is not None:
            raise out_refused(tape)
        return reduction(tape, op, function, a, axis, keepdims, dtype=dtype, **options)

    return call


def _extreme(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        tape: Tape, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **options: Any
    ) -> Any:
        if out is not None:
            raise out_refused(tape)
        return reduction(tape, op, function, a, axis, keepdims, **options)

    return call


def out_refused(tape: Tape) -> Exception:
    return tape.escaped(
        "out= of this function is not followed", "assign what the function returns, without out="
    )


def _arg(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(tape: Tape, a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        kept = bool(keepdims) and keepdims is not np._NoValue
        axes = axes_of(axis, np.ndim(plain(a)))
        return emit(
            tape, op, lambda x: function(x, axis=axis, keepdims=kept), (a,), axes=axes, keepdims=kept
        )

    return call


def _var(
    tape: Tape,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **options: Any,
) -> Any:
    found = reduction(tape, "var", np.var, a, axis, keepdims, dtype=dtype, **options)
    ddof = options.get("correction", ddof) or 0
    if not ddof:
        return found
    count = np.size(plain(a)) // max(found.size, 1)
    return found * (count / max(count - ddof, 1e-300))


def _std(tape: Tape, a: Any, *args: Any, **kwargs: Any) -> Any:
    return np.sqrt(_var(tape, a, *args, **kwargs))


def _ptp(tape: Tape, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return np.subtract(np.max(a, axis, keepdims=keepdims), np.min(a, axis, keepdims=keepdims))


def _average(
    tape: Tape,
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    if returned:
        raise tape.escaped("np.average(returned=True) is not followed", "take the sums yourself")
    keepdims = bool(keepdims) and keepdims is not np._NoValue
    if weights is None:
        return np.mean(a, axis, keepdims=keepdims)
    if np.ndim(plain(weights)) == 1 and np.ndim(plain(a)) > 1:
        shape = [1] * np.ndim(plain(a))
        shape[axis] = -1
        weights = np.reshape(weights, shape)
    total = np.sum(weights * np.ones_like(a), axis, keepdims=keepdims)
    return np.sum(a * weights, axis, keepdims=keepdims) / total


def _norm(tape: Tape, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    flat = axis is None and (ord is None or np.ndim(plain(x)) == 1)
    if ord in (None, 2, "fro") and (flat or isinstance(axis, int) or ord in (None, "fro")):
        return np.sqrt(np.sum(np.square(x), axis, keepdims=keepdims))
    if ord in (1, np.inf) and (flat or isinstance(axis, int)):
        fold = np.sum if ord == 1 else np.max
        return fold(np.abs(x), axis, keepdims=keepdims)
    return NotImplemented


def _cumulated(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(tape: Tape, a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None:
            raise out_refused(tape)
        if axis is None:
            a, axis = np.reshape(a, -1), 0
        at = axis % np.ndim(plain(a))
        return emit(tape, op, lambda x: function(x, axis=axis, dtype=dtype), (a,), axis=at)

    return call


def functions() -> dict[Any, Callable[..., Any]]:
    """Return, for each of NumPy's functions, how it is recorded."""
    return {
        np.sum: _simple("sum", np.sum),
        np.mean: _simple("mean", np.mean),
        np.prod: _simple("prod", np.prod),
        np.max: _extreme("max", np.max),
        np.min: _extreme("min", np.min),
        np.any: _extreme("any", np.any),
        np.all: _extreme("all", np.all),
        np.argmax: _arg("argmax", np.argmax),
        np.argmin: _arg("argmin", np.argmin),
        np.var: _var,
        np.std: _std,
        np.ptp: _ptp,
        np.average: _average,
        np.linalg.norm: _norm,
        np.cumsum: _cumulated("cumsum", np.cumsum),
        np.cumprod: _cumulated("cumprod", np.cumprod),
    }
