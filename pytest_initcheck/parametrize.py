"""``@pytest.mark.parametrize`` on a factory: one model per combination of parameters.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import enum
import functools
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import InputsFrom

Name = Callable[[Any, str], str | None]
"""Names a parameter value given the argument's name, or returns None."""


@dataclass(frozen=True)
class Variant:
    """One combination: its id in brackets, the arguments that it fixes, and marks of its own."""

    id: str
    arguments: Mapping[str, Any]
    marks: tuple[Any, ...] = ()
    empty: bool = False


def variants(marks: Iterable[Any], factory: Callable[..., Any], named: Name) -> list[Variant]:
    """Return every combination that these marks ask for, as pytest orders and names them.

    * ``marks`` are a factory's marks, the nearest first; others than parametrize are passed over.
    * ``named`` is asked for an id before the value's own is made.

    Raises ConfigError for marks that do not fit the factory and for ids that are not unique.
    """
    sets = [_parameter_sets(mark, factory, named) for mark in marks if mark.name == "parametrize"]
    combined = [_joined(combination) for combination in itertools.product(*sets)]
    for id, count in Counter(variant.id for variant in combined).items():
        if count > 1:
            raise ConfigError(f"{count} parameter sets have the id {id!r}; tell them apart with ids=")
    return combined


def _joined(combination: Sequence[Variant]) -> Variant:
    arguments: dict[str, Any] = {}
    for variant in combination:
        twice = arguments.keys() & variant.arguments.keys()
        if twice:
            raise ConfigError(f"parametrize gives {min(twice)!r} twice")
        arguments.update(variant.arguments)
    return Variant(
        "-".join(variant.id for variant in combination if variant.id),
        arguments,
        tuple(mark for variant in combination for mark in variant.marks),
        any(variant.empty for variant in combination),
    )


def _parameter_sets(mark: Any, factory: Callable[..., Any], named: Name) -> list[Variant]:
    given = dict(zip(("argnames", "argvalues", "indirect", "ids", "scope"), mark.args, strict=False))
    given |= mark.kwargs
    if given.get("indirect"):
        raise ConfigError(
            "parametrize(indirect=...) needs fixtures, which do not reach a declared model; "
            "pass the values themselves"
        )
    argnames = given["argnames"]
    if isinstance(argnames, str):
        names = [name.strip() for name in argnames.split(",") if name.strip()]
        single = len(names) == 1 and not argnames.rstrip().endswith(",")
    else:
        names, single = list(argnames), False
    _check_names(names, factory)
    sets = [_parameter_set(value, single) for value in given["argvalues"]]
    if not sets:
        return [Variant("NOTSET", {}, empty=True)]
    ids = given.get("ids")
    if ids is not None and not callable(ids):
        ids = list(itertools.islice(ids, len(sets)))
        if len(ids) != len(sets):
            raise ConfigError(f"parametrize has {len(sets)} parameter sets and {len(ids)} ids")
    found = []
    for index, (values, marks, own_id) in enumerate(sets):
        if len(values) != len(names):
            raise ConfigError(f"parametrize names {', '.join(names)}, but gives {len(values)} values")
        if own_id is None and ids is not None and not callable(ids) and ids[index] is not None:
            own_id = str(ids[index])
        if own_id is None:
            ask = ids if callable(ids) else None
            pairs = zip(names, values, strict=True)
            own_id = "-".join(_value_id(value, name, index, ask, named) for name, value in pairs)
        hidden = not isinstance(own_id, str)
        found.append(
            Variant("" if hidden else own_id, dict(zip(names, values, strict=True)), tuple(marks))
        )
    return found


def _parameter_set(value: Any, single: bool) -> tuple[Sequence[Any], Sequence[Any], Any]:
    if all(hasattr(value, name) for name in ("values", "marks", "id")):
        return value.values, value.marks, value.id  # what pytest.param returns
    if single:
        return (value,), (), None
    return tuple(value), (), None


def _check_names(names: Sequence[str], factory: Callable[..., Any]) -> None:
    parameters = inspect.signature(factory).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in names:
        if name not in parameters and not takes_any:
            known = ", ".join(parameters) or "none"
            raise ConfigError(f"parametrize gives {name!r}, but the factory's parameters are: {known}")


def _value_id(value: Any, name: str, index: int, ask: Callable[[Any], Any] | None, named: Name) -> str:
    asked = ask(value) if ask is not None else None
    if asked is not None:
        return str(asked)
    hooked = named(value, name)
    if hooked is not None:
        return hooked
    if isinstance(value, str):
        return value.encode("unicode_escape").decode("ascii")
    if value is None or isinstance(value, (bool, int, float, complex)):
        return str(value)
    if isinstance(value, enum.Enum):
        return str(value)
    text = getattr(value, "text", None)
    if isinstance(text, str):  # an input distribution
        return text
    own = getattr(value, "__name__", None)
    return own if isinstance(own, str) else f"{name}{index}"


def bound(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the factory with these arguments fixed, and gone from its signature.

    >>> inspect.signature(bound(lambda rng, width: width, {"width": 3}))
    <Signature (rng)>
    """
    if not arguments:
        return factory

    @functools.wraps(factory, updated=())
    def fixed(*args: Any, **kwargs: Any) -> Any:
        return factory(*args, **arguments, **kwargs)

    signature = inspect.signature(factory)
    left = [each for name, each in signature.parameters.items() if name not in arguments]
    fixed.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    return fixed


def resolved_inputs(inputs: Any, arguments: Mapping[str, Any]) -> Any:
    """Return what ``ic.inputs_from`` computes from those arguments that it names; others as they are.

    Raises ConfigError if it names one that is not there.
    """
    if not isinstance(inputs, InputsFrom):
        return inputs
    parameters = inspect.signature(inputs.function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return inputs.function(**arguments)
    for name, parameter in parameters.items():
        if name not in arguments and parameter.default is parameter.empty:
            raise ConfigError(
                f"ic.inputs_from: {name} is no argument of the family; it has {', '.join(arguments)}"
            )
    return inputs.function(**{name: arguments[name] for name in parameters if name in arguments})
