"""What one test evaluated, in plain values that travel on its test report, and their sum over a run.

The same model may be judged for several tests and, under pytest-xdist, in several processes; seeds
are derived, so that equal (model, example) pairs are the same draws and count once.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_initcheck.report.first_line import finding_about
from pytest_initcheck.report.prose import plain
from pytest_initcheck.report.result import VERDICT_ORDER, Finding, Report, worst_verdict

MOST_REPORTS = 100
"""Reports that one test keeps; its claims are counted for all."""


def pack(value: Any) -> Any:
    """Return a report (or a part of one) as dicts, lists, strings and numbers.

    Fields that have their default are left out: a site has many, and every test report brings all sites.

    >>> pack(Report("m", None, "pass", 0))
    {'id': 'm', 'framework': None, 'verdict': 'pass', 'root_seed': 0}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: pack(own)
            for field in dataclasses.fields(value)
            if not _is_default(field, own := getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {str(key): pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()  # a numpy scalar
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return type(value) is type(field.default) and bool(value == field.default)


def unpack(data: Mapping[str, Any]) -> Report:
    """Return the report that :func:`pack` made this of.

    >>> unpack(pack(Report("m", None, "pass", 0))) == Report("m", None, "pass", 0)
    True
    """
    return typing.cast(Report, _build(Report, data))


def _build(kind: Any, data: Any) -> Any:
    if data is None:
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build(next(each for each in arguments if each is not type(None)), data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{name: _build(hints[name], item) for name, item in data.items()})
    if origin is tuple:
        return tuple(_build(arguments[0], item) for item in data)
    if isinstance(data, dict) and arguments:
        return {key: _build(arguments[1], item) for key, item in data.items()}
    return data


def worse(one: Report, other: Report) -> Report:
    """Return the report with the worse verdict, ``other`` where they are alike."""
    return min((other, one), key=lambda report: VERDICT_ORDER.index(report.verdict))


class Entry:
    """What one test evaluated: the worst report of each model, and claims by model and example.

    * ``invariant`` is the one that a collected item is about, None for a test with the fixture.
    * ``used_allows`` are those of the ini file that matched a site.
    """

    def __init__(self, invariant: str | None = None) -> None:
        self.invariant = invariant
        self.reports: dict[str, Report] = {}
        self.claims: dict[str, dict[str, int]] = {}
        self.used_allows: set[str] = set()

    def add(self, report: Report) -> None:
        """Add one judged model; calls in a test that share an id are summed."""
        before = self.reports.pop(report.id, None)
        self.reports[report.id] = report if before is None else worse(before, report)
        if len(self.reports) > MOST_REPORTS:
            # a property test may judge thousands of models: the worst stay, and of those the newest
            rank = {id: VERDICT_ORDER.index(each.verdict) for id, each in self.reports.items()}
            del self.reports[max(self.reports, key=rank.__getitem__)]
        counts = self.claims.setdefault(report.id, {})
        key = report.example or ""
        counts[key] = counts.get(key, 0) + report.claims

    def payload(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "invariant": self.invariant,
            "reports": [pack(report) for report in self.reports.values()],
            "claims": self.claims,
            "used_allows": sorted(self.used_allows),
        }

    def properties(self) -> list[tuple[str, object]]:
        """Return the small values that JUnit files carry, of the worst report."""
        if not self.reports:
            return []
        report = min(self.reports.values(), key=lambda each: VERDICT_ORDER.index(each.verdict))
        result = report.invariants.get(self.invariant or "")
        found: list[tuple[str, object]] = [
            ("initcheck_verdict", result.verdict if result is not None else report.verdict),
            ("initcheck_replicates", result.replicates if result is not None else report.replicates),
        ]
        finding = first_finding(report, self.invariant)
        if finding is not None and finding.value is not None:
            found.append(("initcheck_value", float(finding.value)))
        limit = finding.limit if finding is not None else result.limit if result is not None else None
        if limit is not None and any(bound is not None for bound in limit):
            found.append(("initcheck_limit", limit_text(limit)))
        # one cause may fail several invariants
        told = finding_about(report, self.invariant)
        for name, text in (
            ("initcheck_site", told.site if told is not None else None),
            ("initcheck_cause", told.kind if told is not None else None),
            ("initcheck_reason", told.reason if told is not None else None),
            ("initcheck_framework", report.framework),
        ):
            if text:
                found.append((name, plain(text)))
        return found


def limit_text(limit: tuple[float | None, float | None]) -> str:
    """Return ``"0.1..10"``; an open side is left empty.

    >>> limit_text((None, 0.25))
    '..0.25'
    """
    low, high = ("" if bound is None else f"{bound:g}" for bound in limit)
    return f"{low}..{high}"


def first_finding(report: Report, invariant: str | None) -> Finding | None:
    """Return the report's first finding, about this invariant if one is given."""
    return next((each for each in report.findings if invariant in (None, each.invariant)), None)


class Ledger:
    """The sum over a run, filled from payloads in any order."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], Report] = {}
        self._asked: dict[str, set[str]] = {}
        self._claims: dict[tuple[str, str], int] = {}
        self.failed: set[str] = set()
        """Ids of the declared models of which an item failed."""
        self.used_allows: set[str] = set()

    def add(self, payload: Mapping[str, Any], *, failed: bool) -> None:
        """Add what one test report carried; ``failed`` is the outcome of that test."""
        invariant = payload["invariant"]
        for id, counts in payload["claims"].items():
            for example, claims in counts.items():
                self._claims[id, example] = claims
            if invariant is not None:
                self._asked.setdefault(id, set()).add(invariant)
                if failed:
                    self.failed.add(id)
        for data in payload["reports"]:
            report = unpack(data)
            key = (report.id, report.example or "")
            before = self._reports.get(key)
            self._reports[key] = report if before is None else worse(before, report)
        self.used_allows.update(payload["used_allows"])

    @property
    def claims(self) -> int:
        return sum(self._claims.values())

    @property
    def whole(self) -> tuple[Report, ...]:
        """Every model's report with all that was judged, by id."""
        return tuple(self._reports[key] for key in sorted(self._reports))

    @property
    def declared(self) -> tuple[Report, ...]:
        """The reports of collected models, without those of fixture calls."""
        return tuple(report for report in self.models if report.id in self._asked)

    @property
    def models(self) -> tuple[Report, ...]:
        """Every model's report, narrowed to the invariants that were asked for, by id."""
        found = (self._reports[key] for key in sorted(self._reports))
        return tuple(
            narrowed(report, self._asked[report.id]) if report.id in self._asked else report
            for report in found
        )


def narrowed(report: Report, invariants: Iterable[str]) -> Report:
    """Return the report as if only these invariants had been asked for.

    >>> narrowed(Report("m", None, "error", 0, error="no"), ["finite"]).verdict
    'error'
    """
    asked = set(invariants)
    kept = {name: result for name, result in report.invariants.items() if name in asked}
    if report.error is not None or len(kept) == len(report.invariants):
        return report
    return dataclasses.replace(
        report,
        verdict=worst_verdict(result.verdict for result in kept.values()),
        invariants=kept,
        findings=tuple(each for each in report.findings if any(map(each.concerns, asked))),
    )


def without_ini_notes(
    report: Report, allows: Iterable[tuple[str, str, str]]
) -> tuple[Report, frozenset[str]]:
    """Take out the notes that an ``initcheck_allow`` line matched nothing in this one model.

    Such a line is for the whole run. Returns the report and the lines that did match.
    """
    notes, used = list(report.notes), set()
    for invariant, at, reason in allows:
        start = f"allow({invariant!r}, at={at!r}) matches nothing"
        idle = [note for note in notes if note.startswith(start) and reason in note]
        notes = [note for note in notes if note not in idle]
        if not idle and report.error is None:
            used.add(f"{invariant} | {at} | {reason}")
    return dataclasses.replace(report, notes=tuple(notes)), frozenset(used)
