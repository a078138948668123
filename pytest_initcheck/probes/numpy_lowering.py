"""NumPy's protocols and methods put together: what a traced array does with each call.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_initcheck.probes import numpy_functions, numpy_indexing, numpy_ufuncs
from pytest_initcheck.probes.numpy_recording import current, emit, plain
from pytest_initcheck.probes.numpy_tape import Tape
from pytest_initcheck.probes.numpy_traced import Traced

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *("all", "any", "argmax", "argmin", "clip", "cumprod", "cumsum", "dot", "max", "mean", "min"),
        *("prod", "ptp", "ravel", "repeat", "round", "squeeze", "std", "sum", "swapaxes", "take"),
        *("var", "argsort", "argpartition", "trace", "diagonal", "nonzero", "compress", "searchsorted"),
    )
}


@dataclass(frozen=True)
class NumpyLowering:
    """The calls as nodes."""

    def ufunc(self, tape: Tape, ufunc: Any, method: str, inputs: Any, kwargs: Any) -> Any:
        return numpy_ufuncs.ufunc(tape, ufunc, method, inputs, kwargs)

    def function(self, tape: Tape, function: Any, args: Any, kwargs: Any) -> Any:
        return numpy_functions.function(tape, function, args, kwargs)

    def read(self, array: Traced, key: Any) -> Any:
        return numpy_indexing.read(array, key)

    def write(self, array: Traced, key: Any, value: Any) -> None:
        numpy_indexing.write(array, key, value)

    def method(self, array: Traced, name: str, args: Any, kwargs: Any) -> Any:
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](array, *args, **kwargs)
        own = getattr(self, f"_{name}", None)
        if own is None:
            raise array._leaves(f"ndarray.{name} is not followed", f"do without .{name}()")
        return own(array, *args, **kwargs)

    # -- methods that are no function of NumPy's ---------------------------------------------------

    def _reshape(self, array: Traced, *shape: Any, order: str = "C", copy: Any = None) -> Any:
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape
        return np.reshape(array, wanted, order=order)  # type: ignore[call-overload]

    def _transpose(self, array: Traced, *axes: Any) -> Any:
        if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)):
            return np.transpose(array, axes[0])
        return np.transpose(array, axes or None)

    def _flatten(self, array: Traced, order: str = "C") -> Any:
        return np.copy(np.ravel(array, order=order))  # type: ignore[call-overload]

    def _astype(self, array: Traced, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        if not copy and np.dtype(dtype) == array.dtype:
            return array
        if np.dtype(dtype).kind not in "biufc":
            raise array._leaves(
                f"an array of the forward pass becomes one of {np.dtype(dtype).name}s",
                "stay with numbers",
            )
        return emit(array._tape, "cast", lambda x: np.asarray(x).astype(dtype), (array,))

    def _fill(self, array: Traced, value: Any) -> None:
        array[...] = value

    def _conj(self, array: Traced) -> Any:
        return np.conj(array)

    def _view(self, array: Traced, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return numpy_indexing.alias(array)
        if args == (np.ndarray,):
            return numpy_indexing.alias(array)
        raise array._leaves("ndarray.view of another type is not followed", "use .astype(dtype)")

    def _sort(self, array: Traced, axis: int = -1, **kwargs: Any) -> None:
        array[...] = np.take_along_axis(array, np.argsort(plain(array), axis=axis), axis=axis)


def tape() -> Tape:
    """Return an empty tape."""
    return Tape(lowering=NumpyLowering(), current=_current)


def _current(traced: Traced) -> int:
    if traced._node < 0 and traced._selected is not None:
        traced._node = numpy_indexing.picked(traced)
        traced._memory.node = traced._node
    return current(traced)
