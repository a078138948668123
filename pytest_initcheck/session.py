"""What a run prints and writes: header, summary section, report files.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_initcheck.baseline.updating import gone, told, updated
from pytest_initcheck.baseline.writing import text
from pytest_initcheck.collection import MODELS_SEEN
from pytest_initcheck.config import DRIFT, RunOptions
from pytest_initcheck.console import Painted, layout, write
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.explain import EXPLANATIONS, drift, explained
from pytest_initcheck.explain.markdown import in_markdown
from pytest_initcheck.plugin import OPTIONS
from pytest_initcheck.report import github, html, json, sarif
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.files import check_writable, write_whole
from pytest_initcheck.report.layout import Layout
from pytest_initcheck.report.ledger import Ledger
from pytest_initcheck.report.markdown import fenced
from pytest_initcheck.report.prose import plain, wrapped
from pytest_initcheck.report.result import Report
from pytest_initcheck.report.terminal import listing
from pytest_initcheck.run_course import RunCourse
from pytest_initcheck.run_summary import bound, claims, header, summary, verdicts

_NOTHING_DECLARED = (
    "no model is declared: decorate a function that returns one with @ic.model(inputs=...), in a test "
    "file or models.py, or pass --initcheck-model pkg.mod:name"
)


class Session:
    """Gathers what test reports carry, from this process or from workers, and says it once."""

    def __init__(self, config: pytest.Config, *, late: bool = False) -> None:
        self.config = config
        self.options: RunOptions = config.stash[OPTIONS]
        self.ledger = Ledger()
        self.worker_models = 0
        self.written: list[str] = []
        self.course = RunCourse(late=late)
        config.pluginmanager.register(self.course, "initcheck-course")
        for option, path in self.options.written_paths:
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

    def pytest_report_header(self) -> str | None:
        return header(self.options) if self.options.collect else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        payload = report.__dict__.get("initcheck")
        if payload is not None:
            self.ledger.add(payload, failed=report.failed)
            if payload["invariant"] is not None and hasattr(report.longrepr, "toterminal"):
                report.longrepr = Painted(report.longrepr)  # type: ignore[assignment]  # printed alike

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None) or {}
        self.worker_models = max(self.worker_models, output.get("initcheck_models", 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.collectonly:
            return
        course = self.course.course(session)
        for option, path in self.options.report_paths:
            try:
                self._write(option, path, course)
            except OSError as error:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                reason = error.strerror or error
                self.written.append(f"the report could not be written to {path}: {reason}")
            else:
                self.written.append(f"report: {path}")
        self._update_baseline(session, course)
        if self.written and not course.complete:
            self.written.append(f"the report is of an incomplete run: {plain(course.sentence)}")
        self._summarise_step(course)

    def _summarise_step(self, course: Course) -> None:
        """Append to the summary that GitHub shows of a step, where it asks for one."""
        target = os.environ.get("GITHUB_STEP_SUMMARY")
        models = self.ledger.models
        if not target or not (models or self.options.collect):
            return
        told = (claims(self.ledger.claims), bound(self.ledger.claims)) if models else ()
        path = Path(target)
        try:
            # what is there already counts
            taken = path.stat().st_size if path.exists() else 0
            text = github.step_summary(models, course, told=told, limit=github.SUMMARY_LIMIT - taken - 1)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n{text}")
        except OSError as error:
            reason = error.strerror or error
            self.written.append(f"the report could not be added to GITHUB_STEP_SUMMARY: {reason}")

    def _update_baseline(self, session: pytest.Session, course: Course) -> None:
        baseline = self.options.baseline
        if baseline is None or not baseline.updating:
            return
        if not course.complete:
            self.written.append(f"the baseline {baseline.shown} was not written: the run is incomplete")
            return
        after = updated(baseline, self.ledger.whole)
        try:
            write_whole(baseline.path, text(after))
        except OSError as error:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            reason = error.strerror or error
            self.written.append(f"the baseline could not be written to {baseline.shown}: {reason}")
        else:
            self.written.append(told(baseline, after))

    def _write(self, option: str, path: Path, course: Course) -> None:
        models, claims = self.ledger.models, self.ledger.claims
        seed = self.options.root_seed
        if option == "--initcheck-json":
            json.write(path, json.document(models, root_seed=seed, claims=claims, course=course))
        elif option == "--initcheck-html":
            write_whole(path, html.page(models, root_seed=seed, claims=claims, course=course))
        else:
            log = sarif.document(
                models, root_seed=seed, course=course, helps=helps(), fallback=ini_file(self.config)
            )
            json.write(path, log)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.config.option.collectonly:
            return
        broken = bool(terminalreporter.stats.get("error"))
        lines = list(self._summary(layout(self.config), broken=broken))
        if lines:
            terminalreporter.section("initcheck")
            for line in lines:
                if _is_bad(line) or _is_doubtful(line):
                    terminalreporter.write_line(line, red=_is_bad(line), yellow=_is_doubtful(line))
                else:
                    write(terminalreporter, line)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in github.annotations(self.ledger.models, folder_in_workspace(self.config)):
                # a command is one only at the start of its line, and without colours
                terminalreporter.write_line(line)

    def _summary(self, layout: Layout, *, broken: bool) -> Iterator[str]:
        models = self.ledger.models
        if self.options.collect:
            seen = self.config.stash.get(MODELS_SEEN, 0) or self.worker_models
            if not (seen or models or broken):
                yield from wrapped(_NOTHING_DECLARED, layout.columns)
            yield from summary(models, self.ledger.failed, self.options, layout)
            for line in self._idle_allows(models):
                yield from wrapped(line, layout.columns, rest="  ")
            yield from self._gone_models(layout)
        if models:
            counted = self.ledger.declared
            if counted:
                yield f"{verdicts(counted)}; {claims(self.ledger.claims)}"
            else:
                yield claims(self.ledger.claims)
            yield from wrapped(bound(self.ledger.claims), layout.columns)
        yield from self.written

    def _gone_models(self, layout: Layout) -> Iterator[str]:
        """Only a run that was given whole files can tell that a model is gone."""
        baseline, option = self.options.baseline, self.config.option
        narrowed = option.keyword or option.markexpr or getattr(option, "lf", False) or option.deselect
        if baseline is None or narrowed or any("::" in arg for arg in self.config.args):
            return
        ids = [report.id for report in self.ledger.whole]
        lost = gone(baseline, ids, (id.partition("::")[0] for id in self.course.collected or ()))
        yield from listing(
            "gone", (f"{id}: remove its table from {baseline.shown}" for id in lost), layout
        )

    def _idle_allows(self, models: Iterable[Report]) -> Iterator[str]:
        if all(report.error is not None for report in models):
            return
        for fields in self.options.allows:
            line = " | ".join(fields)
            if line not in self.ledger.used_allows:
                yield f"initcheck_allow: '{plain(line)}' matched nothing in this run"


def helps() -> dict[str, sarif.Help]:
    """Return what there is to read about each invariant, by its name.

    >>> helps()["variance"].text.partition(":")[0]
    'variance'
    """
    found = {
        each.invariant: sarif.Help(
            each.matters, "\n".join(explained(each.invariant)), in_markdown(each.invariant)
        )
        for each in EXPLANATIONS
    }
    lines = list(explained(DRIFT))
    return {
        **found,
        DRIFT: sarif.Help(drift.MATTERS, "\n".join(lines), "\n".join(fenced(lines, "text"))),
    }


def ini_file(config: pytest.Config) -> str:
    """Return the ini file from the root of the run, "" where there is none inside."""
    if config.inipath is None or not config.inipath.is_relative_to(config.rootpath):
        return ""
    return config.inipath.relative_to(config.rootpath).as_posix()


def folder_in_workspace(config: pytest.Config) -> str:
    """Return the root of the run from the root of the repository that GitHub checked out."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if not workspace or not config.rootpath.is_relative_to(workspace):
        return ""
    folder = config.rootpath.relative_to(workspace).as_posix()
    return "" if folder == "." else folder


def _is_bad(line: str) -> bool:
    return line.startswith(("the report could not", "the baseline could not", "the baseline was not"))


def _is_doubtful(line: str) -> bool:
    return line.startswith(("no model is declared", "inconclusive", "vacuous"))
