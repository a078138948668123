"""A model with other arrays in the place of its own, for a while. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.numpy_holdings import (
    SCALARS,
    attributes_of,
    cells_of,
    contents,
    functions_of,
    globals_of,
    of_the_user,
)
from pytest_initcheck.probes.numpy_namespace import vectorized

Array = NDArray[Any]
_FLOATING = "fc"


@contextmanager
def with_arrays(
    model: Any, convert: Callable[[Array], Any], stand_ins: Mapping[int, Any] | None = None
) -> Iterator[Any]:
    """Put other arrays into the model for as long as this lasts, and everything back afterwards.

    ``stand_ins`` take the place of modules and functions, by identity.

    What the forward pass itself stores in its objects, lists and dicts is taken out again.
    """
    undo: list[Callable[[], None]] = []
    try:
        yield _Replacing(convert, undo, stand_ins or {}).replaced(model)
    finally:
        for step in reversed(undo):
            step()


@dataclass
class _Replacing:
    convert: Callable[[Array], Any]
    undo: list[Callable[[], None]]
    stand_ins: Mapping[int, Any]
    done: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def replaced(self, value: Any) -> Any:
        if type(value) in SCALARS:
            return value
        if id(value) in self.stand_ins:
            return self.stand_ins[id(value)]
        before = self.done.get(id(value))
        if before is not None:
            return before[1]
        self.done[id(value)] = (value, value)
        found = self._replaced(value)
        self.done[id(value)] = (value, found)
        return found

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.convert(value) if value.dtype.kind in _FLOATING else value
        if isinstance(value, list):
            saved = list(value)
            self.undo.append(lambda: value.__setitem__(slice(None), saved))
            value[:] = [self.replaced(item) for item in saved]
        elif isinstance(value, dict):
            self._dictionary(value)
        elif isinstance(value, tuple):
            items = [self.replaced(item) for item in value]
            if any(new is not old for new, old in zip(items, value, strict=True)):
                return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        elif isinstance(value, functools.partial):
            return self._partial(value)
        elif isinstance(value, MethodType):
            owner = self.replaced(value.__self__)
            return value if owner is value.__self__ else MethodType(value.__func__, owner)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif self.stand_ins and isinstance(value, np.vectorize):
            return vectorized(value)
        elif contents(value) or functions_of(value):
            self._object(value)
        return value

    def _dictionary(self, value: dict[Any, Any]) -> None:
        saved = dict(value)

        def put_back() -> None:
            value.clear()
            value.update(saved)

        self.undo.append(put_back)
        for key, item in saved.items():
            new = self.replaced(item)
            if new is not item:
                value[key] = new

    def _partial(self, value: functools.partial[Any]) -> Any:
        function = self.replaced(value.func)
        args = tuple(self.replaced(item) for item in value.args)
        keywords = {key: self.replaced(item) for key, item in value.keywords.items()}
        return functools.partial(function, *args, **keywords)

    def _object(self, value: Any) -> None:
        if hasattr(value, "__dict__"):
            self._dictionary(value.__dict__)
        inside = getattr(value, "__dict__", {})
        for name, (item, _) in attributes_of(value).items():
            if name in inside:
                continue
            new = self.replaced(item)
            self.undo.append(functools.partial(object.__setattr__, value, name, item))
            if new is not item:
                object.__setattr__(value, name, new)
        for function in functions_of(value):
            self.replaced(function)

    def _function(self, value: FunctionType) -> None:
        function = inspect.unwrap(value)
        if function is not value:
            self._own_function(value)
        self._own_function(function)

    def _own_function(self, function: Any) -> None:
        if not isinstance(function, FunctionType) or not of_the_user(function.__module__):
            return
        for cell in cells_of(function).values():
            self._cell(cell)
        for name in globals_of(function, self.stand_ins):
            self._global(function.__globals__, name)
        self._default_values(function)

    def _cell(self, cell: Any) -> None:
        saved = cell.cell_contents
        self.undo.append(lambda: setattr(cell, "cell_contents", saved))
        new = self.replaced(saved)
        if new is not saved:
            cell.cell_contents = new

    def _global(self, names: dict[str, Any], name: str) -> None:
        saved = names[name]
        self.undo.append(lambda: names.__setitem__(name, saved))
        new = self.replaced(saved)
        if new is not saved:
            names[name] = new

    def _default_values(self, function: FunctionType) -> None:
        saved, keywords = function.__defaults__, function.__kwdefaults__
        if saved:
            self.undo.append(lambda: setattr(function, "__defaults__", saved))
            function.__defaults__ = tuple(self.replaced(item) for item in saved)
        if keywords:
            self._dictionary(keywords)
