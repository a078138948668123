"""What a forward function can reach: its arrays by name, its generators, and the places of both.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.numpy import Network

Array = NDArray[Any]
_FLOATING = "fc"


@dataclass(frozen=True, slots=True)
class Held:
    """An array of the model: its name, and the expression that reaches it in the user's code."""

    name: str
    path: str
    array: Array
    aliases: tuple[str, ...] = ()
    trained: bool = True


@dataclass
class Holdings:
    """What was found in a model, each thing once.

    * ``containers`` pairs what may be written to with a copy of what it held.
    """

    arrays: dict[int, Held] = field(default_factory=dict)
    generators: list[Any] = field(default_factory=list)
    seen: dict[int, Any] = field(default_factory=dict)

    @property
    def trained(self) -> dict[str, Array]:
        """The parameters, by name."""
        return {held.name: held.array for held in self.arrays.values() if held.trained}

    def add(self, name: str, path: str, array: Array) -> None:
        before = self.arrays.get(id(array))
        if before is None:
            alike = sum(held.name.partition("#")[0] == name for held in self.arrays.values())
            self.arrays[id(array)] = Held(f"{name}#{alike + 1}" if alike else name, path, array)
        elif name != before.name:
            aliases = (*before.aliases, name)
            self.arrays[id(array)] = Held(before.name, before.path, array, aliases)


def holdings(model: Any) -> Holdings:
    """Gather closures, defaults, globals that are read, bound objects and containers of a model."""
    found = Holdings()
    if not isinstance(model, Network):
        _collect("", "", model, found)
        return found
    _collect("", "", model.forward, found)
    if model.parameters is not None:
        found.arrays = _chosen(model.parameters, found.arrays)
    return found


def _chosen(parameters: Any, found: Mapping[int, Held]) -> dict[int, Held]:
    """Return the parameters under the names that they were given, and the other arrays, not trained."""
    chosen: dict[int, Held] = {}
    by_name = isinstance(parameters, Mapping)
    for key, array in parameters.items() if by_name else enumerate(parameters):
        there = found.get(id(array), Held(str(key), f"parameters[{key!r}]", array))
        chosen[id(array)] = replace(there, name=str(key)) if by_name else there
    others = {key: replace(held, trained=False) for key, held in found.items() if key not in chosen}
    return {**chosen, **others}


def _collect(name: str, path: str, value: Any, found: Holdings) -> None:
    if isinstance(value, np.ndarray):
        if value.dtype.kind in _FLOATING:
            found.add(name, path, value)
        return
    if id(value) in found.seen or type(value) in SCALARS:
        return
    found.seen[id(value)] = value
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        found.generators.append(value)
    for key, (item, step) in contents(value).items():
        inner = f"{name}.{key}" if name else str(key)
        _collect(inner, _joined(path, step), item, found)
    for function in functions_of(value):
        found.seen[id(function)] = function
        for key in globals_of(function):
            _collect(key, key, function.__globals__[key], found)


def _joined(path: str, step: str) -> str:
    if step.startswith(("[", ".")):
        return f"{path or 'model'}{step}"
    return step


def contents(value: Any) -> Mapping[str, tuple[Any, str]]:
    """Return what a value holds, by name, with the expression that leads there from the value.

    An expression that begins with a name is complete by itself.
    """
    if isinstance(value, (list, tuple)):
        kept = ((i, item) for i, item in enumerate(value) if type(item) not in SCALARS)
        return {str(index): (item, f"[{index}]") for index, item in kept}
    if isinstance(value, dict):
        return {str(key): (item, f"[{key!r}]") for key, item in value.items()}
    if isinstance(value, functools.partial):
        args = {str(index): (item, f".args[{index}]") for index, item in enumerate(value.args)}
        keywords = {key: (item, f".keywords[{key!r}]") for key, item in value.keywords.items()}
        return {"func": (value.func, ".func"), **args, **keywords}
    if isinstance(value, MethodType):
        inner = attributes_of(value.__self__)
        return {name: (item, f"self{step}") for name, (item, step) in inner.items()}
    if isinstance(value, FunctionType):
        return _of_function(inspect.unwrap(value))
    if inspect.isclass(value) or isinstance(value, (ModuleType, CodeType)) or inspect.isroutine(value):
        return {}
    return attributes_of(value)


def attributes_of(value: Any) -> dict[str, tuple[Any, str]]:
    found = {name: (item, f".{name}") for name, item in getattr(value, "__dict__", {}).items()}
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in found and not name.startswith("__") and hasattr(value, name):
                found[name] = (getattr(value, name), f".{name}")
    return found if type(value).__module__.split(".")[0] not in _LIBRARIES else {}


SCALARS = frozenset({str, bytes, int, float, complex, bool, type(None)})
_ATOMS = (ModuleType, CodeType, list, tuple, dict, functools.partial, np.ndarray)
_STDLIB = frozenset(sys.stdlib_module_names) - {"__main__", "types", "collections"}
_LIBRARIES = _STDLIB | {"numpy", "scipy", "pytest_initcheck"}
_DRAWN = "pytest_initcheck.networks."


def _of_function(function: Any) -> dict[str, tuple[Any, str]]:
    if not isinstance(function, FunctionType) or not of_the_user(function.__module__):
        return {}
    found: dict[str, tuple[Any, str]] = {}
    for name, cell in cells_of(function).items():
        found[name] = (cell.cell_contents, name)
    for name, value in _defaults(function).items():
        found.setdefault(name, (value, name))
    return found


def functions_of(value: Any) -> list[FunctionType]:
    """Return the functions whose globals are read when this is called: itself, or its methods."""
    if isinstance(value, FunctionType):
        found = [inspect.unwrap(value)]
    elif isinstance(value, MethodType):
        found = functions_of(value.__self__)
    elif isinstance(value, _ATOMS) or inspect.isclass(value):
        found = []
    else:
        own = (vars(kind).values() for kind in type(value).__mro__ if kind is not object)
        found = [f for members in own for member in members for f in _behind(member)]
    return [f for f in found if isinstance(f, FunctionType) and of_the_user(f.__module__)]


def _behind(member: Any) -> list[Any]:
    if isinstance(member, property):
        return [member.fget]
    return [getattr(member, "__func__", member)]


def of_the_user(module: str | None) -> bool:
    """Tell whether a module's functions may hold parameters; those of drawn networks do."""
    name = module or ""
    return name.split(".")[0] not in _LIBRARIES or name.startswith(_DRAWN)


def cells_of(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell for name, cell in cells if _filled(cell)}


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def globals_of(function: FunctionType, besides: Collection[int] = ()) -> list[str]:
    """Return the globals that a function reads: arrays, functions and objects of the user's code."""
    names = function.__globals__
    return [
        name
        for name in _names(function.__code__)
        if name in names and (_own(names[name]) or id(names[name]) in besides)
    ]


def _own(value: Any) -> bool:
    return not inspect.isclass(value) and not isinstance(value, ModuleType)


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    """Return the globals that a function's code reads, that of functions inside it too."""
    own = (i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return tuple(dict.fromkeys((*own, *(name for names in inside for name in names))))


def _defaults(function: FunctionType) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@contextmanager
def generators_kept(found: Holdings) -> Iterator[None]:
    """Put the random states of NumPy and of the model's own generators back afterwards."""
    own = [(g, _state(g)) for g in found.generators]
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
        for generator, saved in own:
            _set_state(generator, saved)


def states(found: Holdings) -> tuple[str, ...]:
    """Return the random states, to be compared."""
    name, keys, *rest = np.random.get_state(legacy=True)
    own = (repr(_state(generator)) for generator in found.generators)
    return (f"{name}{keys.tobytes().hex()}{rest}", *own)  # type: ignore[union-attr]


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return generator.bit_generator.state


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state
