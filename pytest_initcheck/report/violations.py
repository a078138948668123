"""The exception that a Report raises.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import replace

from pytest_initcheck.errors import VIOLATIONS, InitCheckError
from pytest_initcheck.report.layout import LIBRARY, USUAL, Door, Layout
from pytest_initcheck.report.result import Report
from pytest_initcheck.report.terminal import render

_MARGIN = 8
"""Columns that pytest puts before the lines of an exception in a test's body."""


def violation_of(
    report: Report,
    invariant: str | None = None,
    layout: Layout = USUAL,
    door: Door = LIBRARY,
) -> InitCheckError | None:
    """Return the violation of the first failure, an InitCheckError for an error, or None.

    * ``invariant`` narrows it to one, which may share the cause of another's finding.

    >>> str(violation_of(Report("m", None, "error", 0, error="the factory raised OSError")))
    'ERROR m  the factory raised OSError'
    """
    layout = replace(layout, width=layout.width - _MARGIN)
    if report.error is not None:
        return InitCheckError(render(report, None, layout, door), report)
    for finding in report.failures:
        if invariant is None or invariant in (finding.invariant, *finding.also):
            kind = VIOLATIONS[invariant or finding.invariant]
            return kind(render(report, invariant, layout, door), report)
    if invariant is None and not report.ok:
        return InitCheckError(render(report, None, layout, door), report)
    return None
