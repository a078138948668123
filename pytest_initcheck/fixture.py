"""The ``initcheck`` fixture: check a model in an ordinary test, also inside ``@given``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytest_initcheck.baseline.applied import asked_of, compared
from pytest_initcheck.config import (
    CALL_OPTIONS,
    INVARIANTS,
    LIMITS,
    Invariant,
    Setting,
    resolve,
    selected,
)
from pytest_initcheck.console import layout
from pytest_initcheck.declare import Allow, Declared
from pytest_initcheck.errors import ConfigError, InitCheckWarning, did_you_mean
from pytest_initcheck.inputs import DEFAULT_BATCH, first_batch, source
from pytest_initcheck.origins import origin, relative
from pytest_initcheck.plugin import CURRENT_ITEM, ENTRY, OPTIONS
from pytest_initcheck.progress import watching
from pytest_initcheck.report.first_line import headline
from pytest_initcheck.report.layout import LIBRARY, Door, Layout, door_of_call
from pytest_initcheck.report.ledger import Entry, without_ini_notes
from pytest_initcheck.report.result import Report
from pytest_initcheck.report.violations import violation_of


class InitCheck:
    """Checks models in the current test; it keeps nothing between calls.

    ``initcheck(factory, inputs=...)`` checks everything, ``initcheck.saturation(factory, limit=0.1)``
    one invariant, with the parameters of its decorator.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __call__(
        self,
        factory: Any,
        *,
        inputs: Any = None,
        only: Iterable[str] | str | None = None,
        mode: str | None = None,
        ignore_sites: Iterable[str] | str | None = None,
        allow: Iterable[Allow] = (),
        batch: int | None = None,
        strict: bool | None = None,
        loss: Callable[..., Any] | None = None,
        **limits: float,
    ) -> Report:
        """Check a model; see :func:`pytest_initcheck.check` for the arguments.

        What the call leaves open the test's marker decides, then the ini file.

        Raises the violation's InitCheckError, and ConfigError for an argument that cannot be used.
        """
        __tracebackhide__ = True
        asked = {
            "only": only,
            "mode": mode,
            "ignore_sites": ignore_sites,
            "batch": batch,
            "strict": strict,
            "loss": loss,
        }
        return self._checked(factory, inputs, asked, limits, {}, tuple(allow))

    def __getattr__(self, name: str) -> Callable[..., Report]:
        for row in INVARIANTS:
            if row.keyword == name:
                return functools.partial(self._one, row)
        known = [row.keyword for row in INVARIANTS]
        raise AttributeError(f"initcheck has no invariant {name!r}{did_you_mean(name, known)}")

    def _one(
        self,
        row: Invariant,
        factory: Any,
        *,
        inputs: Any = None,
        mode: str | None = None,
        ignore_sites: Iterable[str] | str | None = None,
        allow: Iterable[Allow] = (),
        batch: int | None = None,
        strict: bool | None = None,
        loss: Callable[..., Any] | None = None,
        **parameters: float,
    ) -> Report:
        __tracebackhide__ = True
        rows = {limit.parameter: limit for limit in LIMITS if limit.invariant == row.name}
        for name in parameters:
            if name not in rows:
                known = did_you_mean(name, rows) if rows else "; it has no limit"
                raise ConfigError(f"initcheck.{row.keyword}: unknown argument {name!r}{known}")
        limits = {rows[name].keyword: value for name, value in parameters.items()}
        # as with the decorator, asking without a number asks for its own default
        source_name = f"initcheck.{row.keyword}"
        unsaid = {each.keyword: Setting(each.asked, source_name) for each in rows.values()}
        asked = {
            "only": (row.name,),
            "mode": mode,
            "ignore_sites": ignore_sites,
            "batch": batch,
            "strict": strict,
            "loss": loss,
        }
        return self._checked(factory, inputs, asked, limits, unsaid, tuple(allow))

    def _checked(
        self,
        factory: Any,
        inputs: Any,
        asked: Mapping[str, Any],
        limits: Mapping[str, Any],
        unsaid: Mapping[str, Any],
        allows: tuple[Allow, ...],
    ) -> Report:
        __tracebackhide__ = True
        from pytest_initcheck.engine import Subject, judge

        options = self._config.stash[OPTIONS]
        item = self._config.stash.get(CURRENT_ITEM, None)
        marks = [] if item is None else [mark.kwargs for mark in item.iter_markers("initcheck")]
        layers: list[Mapping[str, Any]] = [asked, *marks]

        def nearest(keyword: str, otherwise: Any) -> Any:
            return next(
                (layer[keyword] for layer in layers if layer.get(keyword) is not None), otherwise
            )

        marked = [
            {key: value for key, value in mark.items() if key not in CALL_OPTIONS} for mark in marks
        ]
        declared: Mapping[str, Setting] = {}
        if isinstance(factory, Declared):
            declaration = factory.usable()
            inputs = declaration.inputs if inputs is None else inputs
            declared, allows = declaration.limits, (*allows, *declaration.allows)
            layers.append(
                {
                    "only": declaration.only or None,
                    "mode": declaration.mode,
                    "ignore_sites": declaration.ignore_sites,
                    "loss": declaration.loss,
                }
            )
            factory = factory.factory
        inputs = _one_batch(inputs)
        only = nearest("only", None)
        globs = nearest("ignore_sites", ())
        strict = bool(nearest("strict", options.strict))
        id = _call_id("" if item is None else item.nodeid, factory, inputs)
        drawn = _in_property_test()
        subject = Subject(
            factory=factory,
            id=id,
            inputs=inputs,
            only=None if only is None else selected(only),
            limits=resolve(
                ("call", limits),
                ("decorator", declared),
                *(("marker", mark) for mark in marked),
                ("ini", options.limits),
                ("call", unsaid),
            ),
            mode=nearest("mode", "train"),
            root_seed=options.root_seed,
            batch=nearest("batch", options.batch) or DEFAULT_BATCH,
            allows=(*allows, *(Allow(*fields) for fields in options.allows)),
            ignore_sites=(globs,) if isinstance(globs, str) else tuple(globs),
            strict=strict,
            loss=nearest("loss", None),
            tries=not drawn,
            plots=options.html_path is not None,
            **({} if drawn else asked_of(options.baseline, id)),
        )
        with watching(self._config, item) as watch:
            report = judge(subject, watch)
        path, line = origin(factory)
        report = replace(report, path=relative(path, options.root), line=line)
        if not drawn:
            report = compared(options.baseline, report)
        report, used = without_ini_notes(report, options.allows)
        if "hypothesis" in sys.modules:
            from pytest_initcheck.families import steer

            steer(report)
        if item is not None:
            entry = item.stash.setdefault(ENTRY, Entry())
            entry.add(report)
            entry.used_allows |= used
        door = LIBRARY if item is None else door_of_call(item.nodeid)
        if item is not None and options.compared_with is not None:
            door = door.comparing(options.compared_with.shown)
        return _answered(report, layout(self._config), door)


def _in_property_test() -> bool:
    """Examples are shrunk by the hundred there: trying fixes on each would take twice as long."""
    if "hypothesis" not in sys.modules:
        return False
    from pytest_initcheck.families import in_property_test

    return in_property_test()


def _answered(report: Report, shape: Layout, door: Door) -> Report:
    """Return the report, raise its violation, or warn of what could not be decided."""
    __tracebackhide__ = True
    violation = violation_of(report, None, shape, door)
    if violation is not None:
        raise violation
    if report.verdict == "inconclusive":
        warnings.warn(InitCheckWarning(headline(report)), stacklevel=5)
    return report


def _one_batch(inputs: Any) -> Any:
    """Return a loader's first batch: an iterator could not be read twice."""
    known = isinstance(inputs, (str, Mapping, tuple, list)) or hasattr(inputs, "dtype")
    if inputs is None or known or not hasattr(inputs, "__iter__"):
        return inputs
    return first_batch(inputs)


def _call_id(nodeid: str, factory: Any, inputs: Any) -> str:
    """Return the model's id, from which its seeds are derived: the test, the factory, the inputs."""
    called = getattr(factory, "func", factory)  # what a functools.partial calls
    name: str = getattr(called, "__qualname__", type(called).__qualname__)
    text = "" if inputs is None else f"[{source(inputs).text}]"
    return f"{nodeid}::{name.rpartition('<locals>.')[2]}{text}"
