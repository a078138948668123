"""Families: Hypothesis draws a factory's arguments and shrinks to the smallest that fails.

Seeds are derived from the drawn arguments, never drawn, so an example has one verdict however often
Hypothesis comes back to it.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
import math
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import (
    HealthCheck,
    Phase,
    Verbosity,
    currently_in_test_context,
    event,
    given,
    seed,
    settings,
    target,
)
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException, InvalidArgument
from hypothesis.statistics import collector, describe_statistics
from hypothesis.strategies import SearchStrategy

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import InputsFrom
from pytest_initcheck.parametrize import resolved_inputs
from pytest_initcheck.report.result import Report

MAX_EXAMPLES = 25
"""Each example costs 3 to 13 initialisations, an ordinary property test's a function call."""

Drawn = tuple[dict[str, Any], Any]
Judge = Callable[[Mapping[str, Any], Any, bool], Report]


@dataclass(frozen=True)
class Explored:
    """What a family says about one invariant.

    * ``report`` is that of the smallest failing example, otherwise of the first one.
    * ``undecided`` are the examples that were inconclusive, ``vacuous`` those that were too narrow.
    * ``statistics`` is what ``--hypothesis-show-statistics`` prints of it.
    """

    report: Report | None
    verdict: str
    examples: int = 0
    undecided: tuple[str, ...] = ()
    vacuous: tuple[str, ...] = ()
    error: str | None = None
    statistics: str = ""


class _Failing(Exception):
    def __init__(self, report: Report, drawn: Drawn) -> None:
        super().__init__(report.id)
        self.report, self.drawn = report, drawn


@dataclass
class Family:
    """A factory whose arguments are drawn; every verdict is kept and shared by its invariants.

    * ``judge`` takes drawn arguments, inputs, and whether the fixes of a failure are tried.
    * ``fixed`` are arguments that were not drawn, for ``ic.inputs_from``.
    """

    name: str
    strategies: Mapping[str, Any]
    inputs: Any
    judge: Judge
    fixed: Mapping[str, Any] = field(default_factory=dict)
    settings: settings | None = None
    key: str = ""
    strict: bool = False
    judged: dict[str, Report] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    claims: dict[str, int] = field(default_factory=dict)
    """How many claims were evaluated, by example."""

    def explore(self, invariant: str) -> Explored:
        """Draw examples until one fails for this invariant and is shrunk, or they are used up."""
        seen: dict[str, Report] = {}

        def look(drawn: Drawn) -> None:
            arguments, inputs = drawn
            report = self._report(arguments, inputs)
            seen.setdefault(report.example or "", report)
            steer(report)
            if _fails(report, invariant, self.strict):
                raise _Failing(report, drawn)

        chosen = family_settings(self.settings)
        test = given(self._examples())(look)
        if chosen.derandomize:
            test = seed(zlib.crc32(self.key.encode()))(test)
        found: list[str] = []
        # None is what Hypothesis annotates it with
        note: Any = lambda stats: found.append(describe_statistics(stats))  # noqa: E731
        with collector.with_value(note):
            explored = self._explored(settings(chosen)(test), invariant, seen)
        return replace(explored, statistics="\n".join(found))

    def _explored(
        self, test: Callable[[], None], invariant: str, seen: Mapping[str, Report]
    ) -> Explored:
        try:
            test()
        except _Failing as failing:
            # the fixes are tried on what is shown, not on every example on the way there
            report = self._report(*failing.drawn, tries=True)
            return _explored(report, invariant, seen)
        except (HypothesisException, ConfigError) as error:
            line = " ".join(str(error).split())
            return Explored(None, "error", len(seen), error=f"{self.name}: {line}")
        return _explored(next(iter(seen.values()), None), invariant, seen)

    def _examples(self) -> SearchStrategy[Drawn]:
        for name, strategy in self.strategies.items():
            if not isinstance(strategy, SearchStrategy):
                raise ConfigError(
                    f"@ic.family: {name} is no Hypothesis strategy but {strategy!r}; "
                    f"write {name}=st.just(...) for a fixed value"
                )

        @st.composite
        def examples(draw: st.DrawFn) -> Drawn:
            try:
                arguments = {name: draw(strategy) for name, strategy in self.strategies.items()}
                inputs = resolved_inputs(self.inputs, {**self.fixed, **arguments})
                return arguments, draw(inputs) if isinstance(inputs, SearchStrategy) else inputs
            except (HypothesisException, ConfigError):
                raise
            except Exception as error:  # from a strategy's map() or from ic.inputs_from
                raise ConfigError(f"drawing raised {type(error).__name__}: {error}") from error

        return examples()

    def _report(self, arguments: Mapping[str, Any], inputs: Any, *, tries: bool = False) -> Report:
        drawn = dict(arguments)
        if isinstance(self.inputs, (SearchStrategy, InputsFrom)):
            drawn["inputs"] = inputs
        if isinstance(self.inputs, InputsFrom):
            drawn.pop("inputs")  # a function of the arguments
        text, faithful = example_text(self.name, drawn)
        if faithful and text in (self.tried if tries else self.judged):
            return self.judged[text]
        report = replace(self.judge(arguments, inputs, tries), example=text)
        self.judged[text] = report
        if tries:
            self.tried.add(text)
            return report
        self.claims[text] = self.claims.get(text, 0) + report.claims
        return report


def in_property_test() -> bool:
    """Tell whether a test of the user's is being run by Hypothesis, example after example."""
    return currently_in_test_context()


def steer(report: Report) -> None:
    """Lead Hypothesis to the worst gains, and count verdicts; nothing outside of a test of its own.

    The target is the largest abs(log2 gain) of a layer: examples that are further off are tried first.
    """
    if not currently_in_test_context():
        return
    event(f"verdict: {report.verdict}")
    gains = [site.gain for site in report.sites if site.gain and math.isfinite(site.gain)]
    if gains:
        # a test may check several models, or one model twice: the first one counts
        with suppress(InvalidArgument):
            target(max(abs(math.log2(gain)) for gain in gains), label="worst log2 gain of a layer")


def _fails(report: Report, invariant: str, strict: bool) -> bool:
    if report.error is not None:
        return True
    result = report.invariants.get(invariant)
    return result is not None and (
        result.verdict == "fail" or (strict and result.verdict == "inconclusive")
    )


def _explored(report: Report | None, invariant: str, seen: Mapping[str, Report]) -> Explored:
    def having(verdict: str) -> tuple[str, ...]:
        return tuple(
            text
            for text, each in seen.items()
            if invariant in each.invariants and each.invariants[invariant].verdict == verdict
        )

    undecided, vacuous, known = having("inconclusive"), having("vacuous"), having("known")
    if report is None:
        return Explored(None, "error", error="no example could be drawn")
    if report.error is not None:
        verdict = "error"
    elif _fails(report, invariant, strict=False):
        verdict = "fail"
    elif undecided:
        verdict = "inconclusive"
    elif known:
        report, verdict = seen[known[0]], "known"
    else:
        # a family passes if any example could be judged
        verdicts = {each.invariants[invariant].verdict for each in seen.values()}
        verdict = next(each for each in ("pass", "vacuous", "skipped") if each in verdicts)
    return Explored(report, verdict, len(seen), undecided, vacuous)


def is_strategy(value: object) -> bool:
    """Return whether this is a Hypothesis strategy."""
    return isinstance(value, SearchStrategy)


def family_settings(asked: settings | None) -> settings:
    """Return the settings of a family run: derandomised, no database, no deadline, few examples.

    What ``asked`` sets to something other than the current profile's default wins, and its
    ``max_examples`` always does.

    >>> family_settings(settings(max_examples=7)).max_examples
    7
    """
    own: dict[str, Any] = {
        "max_examples": MAX_EXAMPLES,
        "derandomize": True,
        "database": None,
        "deadline": None,
        "print_blob": False,
        "report_multiple_bugs": False,
        # the explain phase traces every line, and takes four times as long for an example
        "phases": tuple(phase for phase in Phase if phase is not Phase.explain),
        "verbosity": Verbosity.quiet,
        "suppress_health_check": [check for check in HealthCheck if check.name != "filter_too_much"],
    }
    if asked is not None:
        default = settings.default
        own["max_examples"] = asked.max_examples
        for name in [*own, "stateful_step_count", "backend"]:
            if getattr(asked, name) != getattr(default, name):
                own[name] = getattr(asked, name)
        if own["database"] is not None:
            own["derandomize"] = False  # Hypothesis takes one or the other
    return settings(**own)


def example_text(name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    """Return ``"mlp(depth=13, width=16)"`` and whether it tells every other example apart.

    >>> example_text("mlp", {"depth": 13, "width": 16})
    ('mlp(depth=13, width=16)', True)
    """
    parts = [(key, *_value_text(value)) for key, value in arguments.items()]
    text = ", ".join(f"{key}={value}" for key, value, _ in parts)
    return f"{name}({text})", all(faithful for _, _, faithful in parts)


_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def _value_text(value: object) -> tuple[str, bool]:
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text, True
    if inspect.isroutine(value) or inspect.isclass(value):
        named = str(getattr(value, "__qualname__", type(value).__qualname__))
        return named, "<" not in named
    if hasattr(value, "tobytes") and hasattr(value, "shape"):
        shape = "x".join(str(side) for side in value.shape)
        return f"array({shape}, {zlib.crc32(value.tobytes()):08x})", True
    shown = repr(value)
    if _ADDRESS.search(shown):
        return type(value).__qualname__, False
    return shown, True
