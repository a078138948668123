"""NumPy's ufuncs as operations of the vocabulary. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_initcheck.probes.activation_values import known
from pytest_initcheck.probes.numpy_indexing import overwrite, selection
from pytest_initcheck.probes.numpy_places import at_augmented_assignment, here
from pytest_initcheck.probes.numpy_products import matmul
from pytest_initcheck.probes.numpy_recording import emit, is_traced, plain
from pytest_initcheck.probes.numpy_reductions import ACCUMULATED, REDUCED, reduced
from pytest_initcheck.probes.numpy_tape import Tape
from pytest_initcheck.probes.numpy_traced import SHOW, Traced

OPERATIONS: Mapping[str, str] = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "fabs": "abs",
    "fmax": "maximum",
    "fmin": "minimum",
    "float_power": "power",
    "rint": "round",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "equal": "eq",
    "not_equal": "ne",
    "logical_and": "and",
    "logical_or": "or",
    "logical_not": "not",
    "logical_xor": "xor",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "invert": "not",
    "positive": "cast",
    "conjugate": "conj",
    "expit": "sigmoid",
    "log_expit": "log_sigmoid",
    "erfinv": "erf_inv",
}
"""Where the vocabulary's word is not NumPy's or SciPy's own."""

_BITS = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor", "invert"})
_PRODUCTS = frozenset({"matmul", "vecdot", "matvec", "vecmat"})


def ufunc(tape: Tape, function: Any, method: str, inputs: Any, kwargs: Mapping[str, Any]) -> Any:
    """Record a call of a ufunc, or of one of its methods."""
    options = {key: value for key, value in kwargs.items() if value is not None}
    out = options.pop("out", ())
    where = options.pop("where", True)
    if method == "__call__":
        return _called(tape, function, inputs, out, where, options)
    if method == "reduce" and function.__name__ in REDUCED and where is True:
        return _kept(tape, reduced(tape, function, inputs[0], options), out)
    if method == "accumulate" and function.__name__ in ACCUMULATED:
        return _kept(tape, _accumulated(tape, function, inputs[0], options), out)
    if method == "outer":
        left, right = inputs
        shape = (*np.shape(plain(left)), *(1,) * np.ndim(plain(right)))
        return function(np.reshape(left, shape), right, **options)
    raise tape.escaped(
        f"{function.__name__}.{method} is not followed",
        f"write it with functions of whole arrays, {SHOW}",
    )


def _called(tape: Tape, function: Any, inputs: Any, out: Any, where: Any, options: Any) -> Any:
    if function.__name__ in _PRODUCTS and isinstance(function, np.ufunc):
        return _kept(tape, matmul(tape, function.__name__, *inputs), out)
    if function.nout > 1:
        raise tape.escaped(
            f"{function.__name__} gives {function.nout} arrays and is not followed",
            f"write it with functions that give one, {SHOW}",
        )
    chosen = selection(inputs)
    if chosen is not None and where is True:
        found = chosen.mapped(lambda whole: elementwise(tape, function, whole, options))
        return _kept_selected(found, out) if out else found
    result = elementwise(tape, function, inputs, options)
    if where is not True:
        kept = out[0] if out else np.zeros_like(plain(result))
        result = emit(tape, "where", np.where, (where, result, kept))
    return _kept(tape, result, out)


def elementwise(tape: Tape, function: Any, inputs: Any, options: Mapping[str, Any]) -> Traced:
    """Record one elementwise operation; one that Python code makes up is opaque."""
    name = function.__name__
    values = [plain(value) for value in inputs]
    result = function(*values, **options)

    def compute(*operands: Any) -> Any:
        return function(*operands, **options)

    if (isinstance(result, np.ndarray) and result.dtype == object) or type(result) in (float, int):
        return _made_of_python(tape, function, inputs)
    bits = name in _BITS and np.asarray(result).dtype != bool
    op = name if bits else OPERATIONS.get(name, name)
    return emit(tape, op, compute, inputs, np.asarray(result))


def _made_of_python(tape: Tape, function: Any, inputs: Any) -> Traced:
    """Record what np.frompyfunc made: an activation known by its values, or an opaque operation.

    It gives objects; what they hold are numbers.
    """

    def compute(*operands: Any) -> Any:
        return np.asarray(function(*operands)).astype(np.float64)

    name = _activation(compute) if len(inputs) == 1 else None
    if name is not None:
        op, _, number = name.rstrip(")").partition("(")
        settings: dict[str, Any] = {"number": float(number)} if number else {}
        return emit(tape, op, compute, inputs, **settings)
    written = function.__name__.partition(" (")[0]
    label = f"{written} in {here().label}: Python code for single numbers, not seen inside"
    return emit(tape, "opaque", compute, inputs, label=label, elementwise=True)


_GRID = np.linspace(-8, 8, 129)
_SINGLE = 1e-6


def _activation(compute: Any) -> str | None:
    try:
        values = compute(_GRID)
    except Exception:
        return None
    for inside in ({"where"}, {"exp"}, {"exp", "where"}):
        found = known(_GRID, values, inside, _SINGLE)
        if found is not None:
            return found
    return None


def _accumulated(tape: Tape, function: Any, array: Any, options: Mapping[str, Any]) -> Traced:
    axis = options.get("axis", 0)

    def compute(x: Any) -> Any:
        return function.accumulate(x, **options)

    return emit(
        tape,
        ACCUMULATED[function.__name__],
        compute,
        (array,),
        axis=axis % max(np.ndim(plain(array)), 1),
    )


def _kept_selected(found: Traced, out: Any) -> Any:
    """``h[mask] *= 2`` changes what the mask picked before it is put back."""
    target = out[0]
    if not is_traced(target) or target._selected is None:
        return _kept(found._tape, found, out)
    target._array[...] = found._array
    target._selected = found._selected
    return target


def _kept(tape: Tape, result: Any, out: Any) -> Any:
    """Return the result, or let ``out`` hold it."""
    target = out[0] if out else None
    if target is None:
        return result
    if is_traced(target):
        overwrite(target, result)
        return target
    if at_augmented_assignment():
        # the name is bound to what is returned, so nothing is left behind in the plain array
        return result
    if not result._depends_on_inputs:
        target[...] = plain(result)
        tape.stands_for(target, result._current)
        return result
    raise tape.escaped(
        "an array of the forward pass is written into a plain one with out=",
        f"allocate it with np.zeros_like(x), {SHOW}",
    )
