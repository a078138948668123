"""NumPy as traced code sees it: conversions keep a traced array, and new arrays can hold one.

While a function is traced, its ``np`` is this.  Whatever is not here is NumPy's own.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from pytest_initcheck.probes.numpy_recording import is_traced, plain, wrapped
from pytest_initcheck.probes.numpy_tape import Tape

_STRIDE_TRICKS = np.lib.stride_tricks


class _Namespace(ModuleType):
    """A module with some of its names replaced."""

    def __init__(self, module: ModuleType, replaced: Mapping[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["_module"] = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


def stand_ins(tape: Tape) -> dict[int, Any]:
    """Return what stands in for NumPy and its functions while this tape runs, by identity."""
    own: dict[str, Any] = {
        "asarray": _converting(tape, np.asarray, copy=False),
        "asanyarray": _converting(tape, np.asanyarray, copy=False),
        "ascontiguousarray": _converting(tape, np.ascontiguousarray, copy=False),
        "array": _converting(tape, np.array, copy=True),
        "vectorize": _Vectorize,
        "c_": _Joined(np.c_, 1),
        "r_": _Joined(np.r_, 0),
        **{name: _new(tape, getattr(np, name)) for name in ("zeros", "ones", "empty", "full", "eye")},
    }
    strided: dict[str, Any] = {"as_strided": _strided(tape)}
    tricks = _Namespace(_STRIDE_TRICKS, strided)
    library = _Namespace(np.lib, {"stride_tricks": tricks})
    found: dict[int, Any] = {id(np): _Namespace(np, {**own, "lib": library})}
    found[id(np.lib)] = library
    found[id(_STRIDE_TRICKS)] = tricks
    found.update((id(getattr(np, name)), value) for name, value in own.items())
    found[id(_STRIDE_TRICKS.as_strided)] = strided["as_strided"]
    return found


def _converting(tape: Tape, function: Callable[..., Any], *, copy: bool) -> Callable[..., Any]:
    def convert(obj: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        found = obj
        if type(obj) in (list, tuple) and _holds_traced(obj):
            found = _stacked(obj)
        if not is_traced(found):
            return function(obj, dtype, *args, **kwargs)
        if dtype is not None and np.dtype(dtype) != found.dtype:
            found = found.astype(dtype)
        elif copy and kwargs.get("copy", True) and found is obj:
            found = found.copy()
        while found.ndim < kwargs.get("ndmin", 0):
            found = found[None]
        return found

    return convert


def _holds_traced(items: Any) -> bool:
    return any(
        is_traced(item) or (type(item) in (list, tuple) and _holds_traced(item)) for item in items
    )


def _stacked(items: Any) -> Any:
    return np.stack([_stacked(item) if type(item) in (list, tuple) else item for item in items])


def _new(tape: Tape, make: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        value = make(*plain(list(args)), **kwargs)
        if value.dtype.kind not in "fc":
            return value
        if make is np.empty:
            value.fill(0)
        return wrapped(tape, value, tape.leaf("constant", value))

    return call


class _Joined:
    """``np.c_[a, b]`` and ``np.r_[a, b]``."""

    def __init__(self, own: Any, axis: int) -> None:
        self._own, self._axis = own, axis

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        if not any(is_traced(item) for item in items):
            return self._own[key]
        if any(isinstance(item, (str, slice)) for item in items):
            return self._own[key]
        if self._axis == 1:
            return np.column_stack(items)
        return np.concatenate([np.atleast_1d(item) for item in items])


class _Vectorize:
    """``np.vectorize``, which turns its arguments into plain arrays: over traced ones, a ufunc."""

    def __init__(self, pyfunc: Any = None, *args: Any, **kwargs: Any) -> None:
        self._pyfunc, self._own = pyfunc, np.vectorize(pyfunc, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not any(map(is_traced, args)):
            return self._own(*args, **kwargs)
        return np.frompyfunc(self._pyfunc, len(args), 1)(*args)


def vectorized(own: Any) -> Any:
    """Return the stand-in of something made with ``np.vectorize`` already."""
    found = _Vectorize(own.pyfunc)
    found._own = own
    return found


def _strided(tape: Tape) -> Callable[..., Any]:
    def as_strided(x: Any, *args: Any, **kwargs: Any) -> Any:
        if is_traced(x):
            return tape.lowering.function(tape, _STRIDE_TRICKS.as_strided, (x, *args), kwargs)
        return _STRIDE_TRICKS.as_strided(x, *args, **kwargs)

    return as_strided
