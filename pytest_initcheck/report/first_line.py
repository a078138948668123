"""The one line that says it all: invariant, verdict, model, place and what is wrong.

It is fitted to 80 columns, however long the names are: they are cut in their middle, figures never.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.report.prose import columns, plain, sharing, shortened
from pytest_initcheck.report.result import Finding, Report

WIDTH = 80
"""What a first line is fitted to, on wider terminals too: logs and summaries are read at 80 columns."""
LONGEST_MESSAGE = 42
"""A message of so many columns leaves 8 for the model's name and 8 for the site's."""
_SHORTEST_NAME = 8
_NAME_IN_FOLDS = 16
"""Where not even the shortest names fit on one line, the line is folded and names are kept to this."""


def headline(
    report: Report, invariant: str | None = None, width: int = WIDTH, *, path: bool = False
) -> str:
    """Return one line complete in itself: verdict, model, place, and what is wrong.

    * ``invariant`` narrows it to what is said about one.
    * ``path`` keeps the path of the model's file where there is room for it.
    * Longer than ``width`` only where a note is, or where the names cannot be cut that short.

    >>> headline(Report("test_models.py::m", "numpy", "pass", 0))
    'PASS m'
    """
    if report.error is not None:
        return error_line(report, path=path)
    finding = finding_about(report, invariant)
    if finding is not None:
        return finding_line(report, finding, invariant, width, path=path)
    model = plain(_model(report, path=path))
    if invariant is None or invariant not in report.invariants:
        return f"{report.verdict.upper()} {model}"
    result = report.invariants[invariant]
    note = f"  {plain(result.note)}" if result.note else ""
    return f"{invariant} {result.verdict.upper()} {model}{note}"


def finding_line(
    report: Report,
    finding: Finding,
    invariant: str | None = None,
    width: int = WIDTH,
    *,
    path: bool = False,
) -> str:
    """Return the line of one finding; see :func:`headline`."""
    about = invariant or finding.invariant
    start, message = f"{about} {_verdict(report, finding, about).upper()}", said(finding, about)
    site = [] if finding.site is None else [finding.site]
    width = min(width, WIDTH)
    if path:
        line = _joined(start, [plain(name) for name in (_model(report, path=True), *site)], message)
        if columns(line) <= width:
            return line
    return fitted(start, [_model(report), *site], message, width)


def _verdict(report: Report, finding: Finding, invariant: str) -> str:
    if invariant == finding.invariant or invariant not in report.invariants:
        return finding.verdict
    return report.invariants[invariant].verdict


def finding_about(report: Report, invariant: str | None) -> Finding | None:
    """Return the first finding about an invariant: its own, or one whose cause it shares."""
    own = [each for each in report.findings if invariant in (None, each.invariant)]
    return next(iter((*own, *(each for each in report.findings if invariant in each.also))), None)


def said(finding: Finding, invariant: str | None = None) -> str:
    """Return what is wrong, in a few words.

    * ``invariant`` may be one that shares the finding's cause.
    """
    if invariant in (None, finding.invariant):
        return plain(finding.message)
    return f"same cause as {finding.invariant}"


def what_first(report: Report, invariant: str) -> str:
    """Return what is wrong first, and last which invariant of which model says so.

    pytest's short summary puts it behind the item's id, and cuts it at the width of the terminal.

    >>> what_first(Report("m.py::net", None, "error", 0, error="the factory raised OSError"), "finite")
    'the factory raised OSError (ERROR net)'
    """
    model = plain(_model(report))
    if report.error is not None:
        return f"{plain(report.error)} (ERROR {model})"
    finding = finding_about(report, invariant)
    if finding is None:
        return headline(report, invariant)
    place = "" if finding.site is None else f"{plain(finding.site)}: "
    verdict = _verdict(report, finding, invariant).upper()
    return f"{place}{said(finding, invariant)} ({invariant} {verdict} {model})"


def error_line(report: Report, *, path: bool = False) -> str:
    """Return the one line that says why a model could not be judged."""
    return f"ERROR {plain(_model(report, path=path))}  {plain(report.error or '')}"


def _model(report: Report, *, path: bool = False) -> str:
    """Return the model's name, with the arguments that were drawn for it."""
    name = report.id if path else report.id.partition("::")[2] or report.id
    if not report.example:
        return name
    if report.example.startswith(f"{name}(") and not path:
        return report.example
    return f"{name} {report.example}"


def _joined(start: str, names: Sequence[str], message: str, joint: str = "  ") -> str:
    return f"{start} {joint.join(names)}: {message}"


def fitted(start: str, names: Sequence[str], message: str, width: int = WIDTH, joint: str = "  ") -> str:
    """Return a line of this start, names and a message, the names cut so that it fits.

    >>> fitted("variance FAIL", ["net", "encoder.layers.11.linear1"], "it falls", 45)
    'variance FAIL net  encode...linear1: it falls'
    """
    names = [plain(name) for name in names]
    room = width - columns(_joined(start, [""] * len(names), message, joint))
    if room >= sum(min(columns(name), _SHORTEST_NAME) for name in names):
        names = sharing(room, names)
    else:
        names = [shortened(name, _NAME_IN_FOLDS) for name in names]
    return _joined(start, names, message, joint)
