"""Declarations: ``@ic.model``, ``@ic.family``, ``@ic.allow`` and the invariant decorators.

A decorator wraps the factory in a :class:`Declared`, which is called and imported like the factory
itself.  What cannot be declared raises ConfigError; while pytest collects it stays on the declaration
instead, so that one mistake costs one line and not the whole file.  Nothing here imports numpy,
Hypothesis or pytest.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from pytest_initcheck.config import (
    INVARIANTS,
    LIMITS,
    Setting,
    invariant_name,
    is_collecting,
    selected,
)
from pytest_initcheck.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Allow:
    """A known deviation: not judged at the sites that ``at`` matches, reported if it matches nothing.

    An instance decorates a factory, or goes into ``ic.check(..., allow=[...])``.
    """

    invariant: str
    at: str
    reason: str
    problem: str | None = None

    def __call__(self, factory: Any) -> Declared:
        if self.problem is not None:
            return _problem(ConfigError(self.problem))(factory)
        declared = _wrap(factory)
        return declared.with_(allows=(self, *declared.declaration.allows))


@dataclass(frozen=True)
class Declaration:
    """Everything that decorators said about one factory."""

    is_model: bool = False
    inputs: Any = None
    id: str | None = None
    mode: str = "train"
    ignore_sites: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limits: Mapping[str, Setting] = field(default_factory=dict)
    allows: tuple[Allow, ...] = ()
    family: Mapping[str, Any] | None = None
    settings: Any = None
    loss: Callable[..., Any] | None = None
    module: str = ""
    path: str = ""
    line: int = 0
    problems: tuple[str, ...] = ()
    """What could not be declared, where pytest was collecting: each a line of its own."""
    hides: Declared | None = None
    """The declaration that bore the same name before in the same module: both are collected."""

    @property
    def invariants(self) -> tuple[str, ...]:
        """The invariants to check, in the table's order."""
        return selected(self.only or None)


class Declared:
    """A factory with its declaration; calling it calls the factory."""

    pytestmark: Any  # pytest stores marks under this name

    def __init__(self, factory: Callable[..., Any], declaration: Declaration) -> None:
        if inspect.isclass(factory):
            # copying a class's __dict__ would copy its methods
            self.__name__, self.__qualname__ = factory.__name__, factory.__qualname__
            self.__module__, self.__doc__ = factory.__module__, factory.__doc__
            marks = getattr(factory, "pytestmark", None)
            if marks is not None:
                self.pytestmark = marks
        else:
            functools.update_wrapper(self, factory)
        self.factory = factory
        self.declaration = declaration

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.factory(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self.factory,)

    def __instancecheck__(self, instance: Any) -> bool:
        return inspect.isclass(self.factory) and isinstance(instance, self.factory)

    def usable(self) -> Declaration:
        """Return the declaration.

        Raises ConfigError if something in it could not be declared.
        """
        __tracebackhide__ = True
        for problem in self.declaration.problems:
            raise ConfigError(f"{self.__name__}: {problem}")
        return self.declaration

    def with_(self, **changes: Any) -> Declared:
        """Return a copy with these fields of the declaration changed; marks are kept."""
        copy = Declared(self.factory, replace(self.declaration, **changes))
        if hasattr(self, "pytestmark"):
            copy.pytestmark = self.pytestmark
        return copy


def _wrap(factory: Any) -> Declared:
    if isinstance(factory, Declared):
        return factory
    if not callable(factory):
        raise ConfigError(
            f"a factory is called to build the model; got {type(factory).__name__}. "
            "Write a function that returns it"
        )
    if not hasattr(factory, "__name__") and not isinstance(factory, functools.partial):
        raise ConfigError(
            f"a factory is a function or a class; got a {type(factory).__name__} that is built already. "
            "Pass the function that builds it"
        )
    return Declared(factory, Declaration())


def _kept(make: Callable[..., Callable[[Any], Declared]]) -> Callable[..., Callable[[Any], Declared]]:
    """Wrap a maker of decorators: while pytest collects, what it refuses stays on the declaration."""

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            _check_keywords(make, kwargs)
            decorator = make(*args, **kwargs)
        except ConfigError as error:
            refused = _problem(error)
            # a decorator that was not called was given the factory itself
            return refused(args[0]) if args and callable(args[0]) else refused

        def apply(factory: Any) -> Declared:
            __tracebackhide__ = True
            try:
                return decorator(factory)
            except ConfigError as error:
                return _problem(error)(factory)

        return apply

    return made


def _check_keywords(make: Callable[..., Any], given: Mapping[str, Any]) -> None:
    __tracebackhide__ = True
    parameters = inspect.signature(make).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    for name in given:
        if name not in known:
            more = did_you_mean(name, known) if known else "; it takes none"
            raise ConfigError(f"@ic.{make.__name__}: unknown argument {name!r}{more}")


def _problem(error: ConfigError) -> Callable[[Any], Declared]:
    """Return a decorator that keeps the problem; outside of collection raise it.

    Raises the error.
    """
    __tracebackhide__ = True
    if not is_collecting():
        raise error.with_traceback(None) from None

    def keep(factory: Any) -> Declared:
        wrapped = factory if isinstance(factory, Declared) else Declared(factory, Declaration())
        return wrapped.with_(problems=(*wrapped.declaration.problems, str(error)))

    return keep


@_kept
def model(
    given: Any = None,
    /,
    *,
    inputs: Any = None,
    id: str | None = None,
    only: tuple[str, ...] | str = (),
    mode: str = "train",
    ignore_sites: tuple[str, ...] | str = (),
    loss: Callable[..., Any] | None = None,
) -> Callable[[Any], Declared]:
    """Declare a model factory: ``pytest --initcheck`` checks what it returns.

    * ``inputs`` is a distribution, a batch, a loader, a function of ``rng``, or :func:`call`; left
      out, it is inferred from ``example_inputs()`` or the first layer.
    * ``id`` tells two declarations of one factory apart.
    * ``only`` names the invariants to check, besides ``finite``; their decorators add to it.
    * ``mode`` is ``"train"`` (dropout off) or ``"eval"``.
    * ``ignore_sites`` are globs of sites that are not judged.
    * ``loss`` makes one number of the model's output (and of its inputs, if it takes two arguments).

    Raises ConfigError for an unknown mode or invariant, a loss that cannot be called, or a factory that
    is declared already.

    >>> declared = model("normal:4")(lambda: [])
    >>> declared.declaration.inputs
    'normal:4'
    """
    if callable(given):
        # a bare @ic.model would leave a function that nothing collects
        raise ConfigError("@ic.model is called first: @ic.model(inputs=...) or @ic.model()")
    inputs = given if inputs is None else inputs
    _check_mode(mode)
    if loss is not None and not callable(loss):
        raise ConfigError(f"@ic.model: loss is a function of the model's output, got {loss!r}")
    globs = (ignore_sites,) if isinstance(ignore_sites, str) else tuple(ignore_sites)
    wanted = tuple(invariant_name(name) for name in ((only,) if isinstance(only, str) else only))

    def declare(factory: Any) -> Declared:
        caller = _caller()
        declared = _wrap(factory)
        if declared.declaration.is_model:
            raise ConfigError(
                f"{declared.__name__} is declared already; for a second declaration write "
                f"other = ic.model(inputs=..., id='other')({declared.__name__}.factory)"
            )
        return declared.with_(
            is_model=True,
            inputs=inputs,
            id=id,
            only=(*wanted, *declared.declaration.only),
            mode=mode,
            ignore_sites=globs,
            loss=loss,
            module=caller.f_globals.get("__name__", ""),
            path=caller.f_code.co_filename,
            line=caller.f_lineno,
            hides=_hidden(declared, id, caller),
        )

    return declare


def _caller() -> FrameType:
    """Return the frame that decorates: the nearest one outside of this module."""
    frame = sys._getframe(1)
    while frame.f_globals is globals() and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _hidden(declared: Declared, id: str | None, caller: FrameType) -> Declared | None:
    """Return the model of this name that the caller's module is about to lose."""
    before = caller.f_globals.get(declared.__name__)
    if type(before) is not Declared or not before.declaration.is_model:
        return None
    there = before.declaration
    if there.module != caller.f_globals.get("__name__", ""):
        return None
    code, code_before = (getattr(each.factory, "__code__", each) for each in (declared, before))
    # a reloaded module declares the same line again, with new code
    reloaded = (there.line, there.id) == (caller.f_lineno, id) and code is not code_before
    return None if reloaded else before


def _check_mode(mode: str) -> None:
    if mode not in ("train", "eval"):
        raise ConfigError(f"mode is 'train' or 'eval', got {mode!r}")


@_kept
def family(*, settings: Any = None, **strategies: Any) -> Callable[[Any], Declared]:
    """Let Hypothesis draw the factory's arguments: one strategy per argument, by name.

    * ``settings`` is a ``hypothesis.settings``; by default runs are derandomised, without a database.

    Raises ConfigError without any strategy.
    """
    if not strategies:
        raise ConfigError(
            "@ic.family needs a strategy per argument, for example depth=st.integers(1, 32)"
        )

    for name, strategy in strategies.items():
        if not (hasattr(strategy, "filter") and hasattr(strategy, "map")):
            raise ConfigError(
                f"@ic.family: {name} is no Hypothesis strategy but {strategy!r}; "
                f"write {name}=st.just(...) or st.sampled_from([...])"
            )

    def declare(factory: Any) -> Declared:
        return _wrap(factory).with_(family=dict(strategies), settings=settings)

    return declare


def allow(invariant: str, *, at: str = "*", reason: str) -> Allow:
    """Allow a known deviation by invariant, place (a glob of site names) and reason.

    Raises ConfigError for an unknown invariant or an empty reason.

    >>> allow("dead-relu", at="backbone.*", reason="pruned on purpose").at
    'backbone.*'
    """
    __tracebackhide__ = True
    try:
        if not reason.strip():
            raise ConfigError("ic.allow needs a reason: it is what the next reader asks for")
        return Allow(invariant_name(invariant), at, reason)
    except ConfigError as error:
        _problem(error)
        return Allow(invariant, at, reason, problem=str(error))


def _asking(invariant: str, decorator: str, values: Mapping[str, Any]) -> Callable[[Any], Declared]:
    limits: dict[str, Setting] = {}
    for row in LIMITS:
        value = values.get(row.parameter) if row.invariant == invariant else None
        if value is not None:
            limits[row.keyword] = Setting(row.check(value, f"@{decorator}"), f"@{decorator}")

    def ask(factory: Any) -> Declared:
        declared = _wrap(factory)
        only = (*declared.declaration.only, invariant)
        return declared.with_(only=only, limits={**declared.declaration.limits, **limits})

    return ask


def _decorator(invariant: str, name: str, asserts: str) -> Callable[..., Callable[[Any], Declared]]:
    rows = [row for row in LIMITS if row.invariant == invariant]
    signature = inspect.Signature(
        [
            inspect.Parameter(row.parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=row.asked)
            for row in rows
        ]
    )

    def decorate(*args: Any, **kwargs: Any) -> Callable[[Any], Declared]:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            raise ConfigError(f"@{name}{signature}: too many arguments") from None
        if args and callable(args[0]):
            raise ConfigError(f"@{name} is called first: @ic.{name}()")
        bound.apply_defaults()
        return _asking(invariant, name, bound.arguments)

    decorate.__name__ = decorate.__qualname__ = name
    decorate.__signature__ = signature  # type: ignore[attr-defined]  # shown by help()
    decorate.__doc__ = (
        f"Ask that {asserts}; with it only what is asked and ``finite`` is checked.\n\n"
        + ("\n".join(f"* ``{row.parameter}``: {row.help}." for row in rows))
    )
    return _kept(decorate)


DECORATORS: dict[str, Callable[..., Callable[[Any], Declared]]] = {
    row.decorator: _decorator(row.name, row.decorator, row.asserts) for row in INVARIANTS
}
"""The invariant decorators, made from the table in config.py."""


def __getattr__(name: str) -> Any:
    try:
        return DECORATORS[name]
    except KeyError:
        raise AttributeError(name) from None


__all__ = ["Allow", "Declaration", "Declared", "allow", "family", "model"]
