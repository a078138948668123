"""What a run prints and writes: header, summary section, report files.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from pytest_initcheck.collection import MODELS_SEEN
from pytest_initcheck.config import RunOptions
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.plugin import OPTIONS
from pytest_initcheck.progress import Progress
from pytest_initcheck.report import html, json
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.files import check_writable, write_whole
from pytest_initcheck.report.ledger import Ledger
from pytest_initcheck.report.result import Report
from pytest_initcheck.report.terminal import (
    cost,
    error_line,
    headline,
    listing,
    plain,
    site_table,
)
from pytest_initcheck.sequential import claim_error_bound

_FRAMEWORKS = ("torch", "numpy")
_NOTHING_DECLARED = (
    "no model is declared: decorate a function that returns one with @ic.model(inputs=...), in a test "
    "file or models.py, or pass --initcheck-model pkg.mod:name"
)
_VERDICTS = ("pass", "fail", "inconclusive", "error")


class Session:
    """Gathers what test reports carry, from this process or from workers, and says it once."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options: RunOptions = config.stash[OPTIONS]
        self.ledger = Ledger()
        self.worker_models = 0
        self.written: list[str] = []
        self.progress = Progress()
        config.pluginmanager.register(self.progress, "initcheck-progress")
        for option, path in self._files():
            try:
                check_writable(path)
            except OSError as error:
                reason = error.strerror or error
                raise pytest.UsageError(f"initcheck: cannot write {option} {path}: {reason}") from None
        if self.options.html_path is not None:
            try:
                html.check_installed()
            except ConfigError as error:
                raise pytest.UsageError(f"initcheck: --initcheck-html {error}") from None

    def _files(self) -> list[tuple[str, Path]]:
        """Return the report files that are asked for, with their options."""
        asked = (
            ("--initcheck-json", self.options.json_path),
            ("--initcheck-html", self.options.html_path),
        )
        return [(option, path) for option, path in asked if path is not None]

    def pytest_report_header(self) -> str | None:
        return header(self.options) if self.options.collect else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        payload = report.__dict__.get("initcheck")
        if payload is not None:
            self.ledger.add(payload, failed=report.failed)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None) or {}
        self.worker_models = max(self.worker_models, output.get("initcheck_models", 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        course = self.progress.course(session)
        for option, path in self._files():
            try:
                self._write(option, path, course)
            except OSError as error:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                reason = error.strerror or error
                self.written.append(f"the report could not be written to {path}: {reason}")
            else:
                self.written.append(f"report: {path}")
        if self.written and not course.complete:
            self.written.append(f"the report is of an incomplete run: {plain(course.sentence)}")

    def _write(self, option: str, path: Path, course: Course) -> None:
        models, claims = self.ledger.models, self.ledger.claims
        seed = self.options.root_seed
        if option == "--initcheck-json":
            json.write(path, json.document(models, root_seed=seed, claims=claims, course=course))
        else:
            write_whole(path, html.page(models, root_seed=seed, claims=claims, course=course))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.config.option.collectonly:
            return
        broken = bool(terminalreporter.stats.get("error"))
        lines = list(self._summary(self.config.get_terminal_writer().fullwidth, broken=broken))
        if lines:
            terminalreporter.section("initcheck")
            for line in lines:
                terminalreporter.write_line(line, red=_is_bad(line), yellow=_is_doubtful(line))

    def _summary(self, width: int, *, broken: bool) -> Iterator[str]:
        models = self.ledger.models
        if self.options.collect:
            seen = self.config.stash.get(MODELS_SEEN, 0) or self.worker_models
            if not (seen or models or broken):
                yield _NOTHING_DECLARED
            yield from summary(models, self.ledger.failed, self.options, width)
            yield from self._idle_allows(models)
        if models:
            counted = self.ledger.declared
            yield (f"{verdicts(counted)}; " if counted else "") + claims(self.ledger.claims)
        yield from self.written

    def _idle_allows(self, models: Iterable[Report]) -> Iterator[str]:
        if all(report.error is not None for report in models):
            return
        for fields in self.options.allows:
            line = " | ".join(fields)
            if line not in self.ledger.used_allows:
                yield f"initcheck_allow: '{plain(line)}' matched nothing in this run"


def header(options: RunOptions) -> str:
    """Return the header: versions from package metadata, seed, limits that the ini file changes."""
    parts = []
    for name in _FRAMEWORKS:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    parts.append(f"seed {options.root_seed}")
    parts += [f"{keyword} {setting.value:g}" for keyword, setting in options.limits.items()]
    if options.strict:
        parts.append("strict")
    return f"initcheck: {', '.join(parts)}"


def summary(
    models: Iterable[Report], failed: Iterable[str], options: RunOptions, width: int
) -> Iterator[str]:
    """Say of each model what its tests could not: tables, and what was not decided or not tested.

    * ``failed`` are the ids of models of which a test failed; others get a table with ``show_all``.
    """
    models, failed = list(models), set(failed)
    for report in models:
        is_wrong = report.id in failed and report.verdict != "pass"
        if is_wrong or options.show_all:
            yield from _model(report, width)
    yield from listing("inconclusive", _results(models, "inconclusive"))
    yield from listing("vacuous, not tested", _results(models, "vacuous"))
    yield from listing("skipped", _skipped(models))
    yield from listing("notes", dict.fromkeys(_notes(models)))


def _model(report: Report, width: int) -> Iterator[str]:
    if report.error is not None:
        yield error_line(report)
        return
    if not report.findings:
        yield headline(report)
    for invariant in dict.fromkeys(finding.invariant for finding in report.findings):
        yield headline(report, invariant)
    yield from site_table(report.sites, width)
    yield from cost(report)


def _results(models: Iterable[Report], verdict: str) -> Iterator[str]:
    for report in models:
        for name, result in report.invariants.items():
            if result.verdict == verdict:
                yield headline(report, name)


def _notes(models: Iterable[Report]) -> Iterator[str]:
    for report in models:
        for name, result in report.invariants.items():
            if result.verdict == "pass" and result.note:
                # a pass of which a part could not be tested, or was allowed
                yield headline(report, name)
        yield from (plain(f"{report.id}: {note}") for note in report.notes)


def _skipped(models: Iterable[Report]) -> Iterator[str]:
    """One line per invariant and reason: most models have no use for one of the invariants."""
    found: dict[tuple[str, str], list[str]] = {}
    for report in models:
        for name, result in report.invariants.items():
            if result.verdict == "skipped":
                ids = found.setdefault((name, result.note or "allowed"), [])
                ids += [report.id] * (report.id not in ids)
    for (name, note), ids in found.items():
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield plain(f"{name} at {ids[0]}{more}  ({note})")


def verdicts(models: Iterable[Report]) -> str:
    """Count the models by verdict.

    >>> verdicts([Report("m", None, "pass", 0), Report("n", None, "pass", 0)])
    '2 models: 2 pass'
    """
    order = ("error", "fail", "inconclusive", "pass")
    worst: dict[str, str] = {}
    for report in models:
        before = worst.get(report.id, report.verdict)
        worst[report.id] = min(before, report.verdict, key=order.index)
    counts = Counter(worst.values())
    parts = [f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict]]
    return f"{len(worst)} model{'s' * (len(worst) != 1)}: {', '.join(parts)}"


def claims(count: int) -> str:
    """Say how many claims were evaluated and what that bounds.

    >>> claims(240)
    '240 claims evaluated; the chance that a correct model fails any of them is below 9.4e-11'
    """
    if not count:
        return "no claim evaluated"
    bound = count * claim_error_bound()
    meaning = "the chance that a correct model fails any of them is below"
    return f"{count} claims evaluated; {meaning} {bound:.1e}"


def _is_bad(line: str) -> bool:
    return " FAIL " in line or line.startswith(("ERROR ", "> ", "the report could not"))


def _is_doubtful(line: str) -> bool:
    return line.startswith(("no model is declared", "inconclusive", "vacuous"))
