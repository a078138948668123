"""Which items of a run ran, and what kept the others from it.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from pytest_initcheck.config import DRIFT, NAMES
from pytest_initcheck.report.course import Course

_OF_A_MODEL = re.compile(rf"::({'|'.join((*NAMES, DRIFT))})(\[.*)?")


class RunCourse:
    """Follows a run, in this process or on workers, by the ids that were collected and that ran.

    * ``late``: it began to follow when the collection was over, and knows only of what ended the run.
    """

    def __init__(self, *, late: bool = False) -> None:
        self.late = late
        self.collected: set[str] | None = None
        self.ran: set[str] = set()
        self.not_collected: set[str] = set()
        self.reasons: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._add(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._add(ids)

    def _add(self, ids: Iterable[str]) -> None:
        self.collected = (self.collected or set()) | set(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.not_collected.add(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self.ran.add(report.nodeid)
        elif report.when not in ("setup", "teardown"):
            self.reasons.append("a worker crashed")  # which xdist reports in the name of its item

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest's own interruptions tell their reason; which files it means is known here
        said = str(excinfo.value)
        if not said.endswith("during collection"):
            self.reasons.append(said or f"interrupted by {excinfo.typename}")

    def pytest_internalerror(self, excrepr: Any) -> None:
        self.reasons.append("an internal error of pytest ended the run")

    def course(self, session: pytest.Session) -> Course:
        """Return how far the run got."""
        collected = self.collected or set()
        declared = {nodeid for nodeid in collected if _of_a_model(nodeid)}
        return Course(len(declared), len(declared & self.ran), self._stopped(session))

    def _stopped(self, session: pytest.Session) -> str:
        if self.collected is not None and self.collected <= self.ran and not self.not_collected:
            return ""
        if self.not_collected:
            count = len(self.not_collected)
            self.reasons.append(f"{count} {'files' if count > 1 else 'file'} could not be collected")
        for said in (session.shouldfail, session.shouldstop):
            if isinstance(said, str) and said:
                self.reasons.append(said)
        unknown = "" if self.late else "not everything ran"
        return "; ".join(dict.fromkeys(self.reasons)) or unknown


def _of_a_model(nodeid: str) -> bool:
    """Tell whether an id is that of an item of a declared model: a controller sees ids only."""
    return _OF_A_MODEL.search(nodeid) is not None
