"""An array that records what is done to it: it behaves as NumPy's, and is none.

What would turn it into a plain array without NumPy asking is refused aloud; every other way out is
NumPy's ``__array__``, ``float()`` and the like, which are errors that name the line.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from pytest_initcheck.probes.numpy_tape import LeavesTrace, Memory, Tape

Array = NDArray[Any]

ASARRAY = "leave the conversion out (x.astype changes the type, np.stack joins a list)"
SCALAR = "use NumPy's function of the whole array in its place"
SHOW = "or show the layers with ic.numpy.tap, or return a list of layers (W, b, activation)"


class Lowering(Protocol):
    """How NumPy's calls become nodes."""

    def ufunc(self, tape: Tape, ufunc: Any, method: str, inputs: Any, kwargs: Any) -> Any: ...

    def function(self, tape: Tape, function: Any, args: Any, kwargs: Any) -> Any: ...

    def read(self, array: Traced, key: Any) -> Any: ...

    def write(self, array: Traced, key: Any, value: Any) -> None: ...

    def method(self, array: Traced, name: str, args: Any, kwargs: Any) -> Any: ...


class Traced(NDArrayOperatorsMixin):
    """A value of the forward pass, with the node that it is.

    ``_selected`` is set on what a mask picked: the whole array and the mask (see ``numpy_indexing``).
    """

    __slots__ = ("_array", "_memory", "_node", "_selected", "_tape", "_version")

    def __init__(self, tape: Tape, array: Array, node: int, memory: Memory) -> None:
        self._tape = tape
        self._array = array
        self._node = node
        self._memory = memory
        self._version = memory.version
        self._selected: tuple[Any, Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """Code that asks isinstance(x, np.ndarray) is told so."""
        return np.ndarray

    # -- NumPy's protocols ------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self._lowering.ufunc(self._tape, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._lowering.function(self._tape, function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if not self._depends_on_inputs:
            # a weight, as it is or converted, is known again by identity
            value = np.array(self._array, dtype=dtype, copy=copy)
            self._tape.stands_for(value, self._current)
            return value
        kind = self._array.dtype.kind
        how = "index with np.take(table, ids, axis=0)" if kind in "iub" else ASARRAY
        raise self._leaves("an array of the forward pass becomes a plain one", how)

    @property
    def _lowering(self) -> Lowering:
        lowering: Lowering = self._tape.lowering
        return lowering

    @property
    def _current(self) -> int:
        return self._tape.current(self)

    @property
    def _depends_on_inputs(self) -> bool:
        return self._tape.signal[self._current]

    def _leaves(self, what: str, remedy: str) -> LeavesTrace:
        return self._tape.escaped(what, f"{remedy}, {SHOW}")

    # -- single numbers ---------------------------------------------------------------------------

    def __float__(self) -> float:
        self._scalar("float")
        return float(self._array)

    def __int__(self) -> int:
        self._scalar("int")
        return int(self._array)

    def __complex__(self) -> complex:
        self._scalar("complex")
        return complex(self._array)

    def __index__(self) -> int:
        self._scalar("int")
        return int(self._array.__index__())

    def __bool__(self) -> bool:
        chosen = bool(self._array)
        if self._depends_on_inputs and not self._tape.asks_whether_finite(self._node):
            self._tape.unseen("a condition on values", "only the branch that was taken is seen")
        return chosen

    def item(self, *args: Any) -> Any:
        self._scalar("number")
        return self._array.item(*args)

    def tolist(self) -> Any:
        self._scalar("list")
        return self._array.tolist()

    def _scalar(self, kind: str) -> None:
        if self._depends_on_inputs:
            raise self._leaves(f"a value of the forward pass becomes a plain {kind}", SCALAR)

    # -- a container ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[index] for index in range(len(self._array)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __getitem__(self, key: Any) -> Any:
        return self._lowering.read(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._lowering.write(self, key, value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._array)

    def __str__(self) -> str:
        return str(self._array)

    def __format__(self, spec: str) -> str:
        return format(self._array, spec)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # -- ndarray's attributes ---------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> Any:
        return self._array.dtype

    @property
    def itemsize(self) -> int:
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        return self._array.strides

    @property
    def flags(self) -> Any:
        return self._array.flags

    @property
    def T(self) -> Any:
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        return np.swapaxes(self, -1, -2)

    @property
    def real(self) -> Any:
        return np.real(self)

    @property
    def imag(self) -> Any:
        return np.imag(self)

    def copy(self, order: str = "C") -> Any:
        return np.copy(self, order=order)  # type: ignore[call-overload]

    def __getattr__(self, name: str) -> Any:
        """Return a method of ndarray as NumPy's function of the same name, on this array."""
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        if not callable(getattr(np.ndarray, name)):
            raise self._leaves(f"ndarray.{name} is not followed", f"do without .{name}")

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._lowering.method(self, name, args, kwargs)

        return method
