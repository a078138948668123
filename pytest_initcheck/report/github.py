"""What GitHub Actions shows: annotations of a change, and the summary of a job.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.first_line import error_line, finding_line
from pytest_initcheck.report.prose import plain
from pytest_initcheck.report.result import VERDICT_ORDER, Finding, Report
from pytest_initcheck.report.wording import headline as sentence

MOST_ANNOTATIONS = 10
"""GitHub shows so many errors and so many warnings of a step."""
MOST_BYTES = 1_000_000
"""A summary may have 1 MiB."""
_SEVERITIES = ("error", "warning")


def commands(reports: Iterable[Report]) -> Iterator[str]:
    """Yield a workflow command for each finding that is neither known nor allowed.

    >>> list(commands([Report("m.py::net", None, "error", 0, error="no", path="m.py", line=3)]))
    ['::error title=initcheck%3A error,file=m.py,line=3::ERROR net  no']
    """
    counts = dict.fromkeys(_SEVERITIES, 0)
    for report in reports:
        for severity, title, text in _annotated(report):
            counts[severity] += 1
            if counts[severity] <= MOST_ANNOTATIONS:
                place = {"file": report.path, "line": str(report.line or "")}
                yield _command(severity, {"title": title, **place}, text)
    for severity, count in counts.items():
        if count > MOST_ANNOTATIONS:
            yield f"initcheck: {count - MOST_ANNOTATIONS} more {severity}s, which GitHub would not show"


def _annotated(report: Report) -> Iterator[tuple[str, str, str]]:
    if report.error is not None:
        yield "error", "initcheck: error", error_line(report)
    for finding in report.findings:
        if finding.severity in _SEVERITIES:
            lines = [finding_line(report, finding)]
            lines += [f"{label}: {text}" for label, text in _why(finding)]
            yield finding.severity, f"initcheck: {finding.invariant}", "\n".join(lines)


def _why(finding: Finding) -> list[tuple[str, str]]:
    pairs = (("cause", finding.cause), ("fix", finding.fix), ("proof", finding.proof))
    return [(label, text) for label, text in pairs if text]


def _command(name: str, properties: dict[str, str], text: str) -> str:
    """Return a workflow command in which no text can end a property or begin a command."""
    lines = "\n".join(plain(line) for line in text.splitlines())
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name} {told}::{_data(lines)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


# -- the summary of a job ------------------------------------------------------------------------


def step_summary(reports: Iterable[Report], *, claims: int, bound: float, course: Course = WHOLE) -> str:
    """Return the summary of a run in Markdown: a sentence, a table, and what fails.

    >>> print(step_summary([], claims=0, bound=0.0).splitlines()[0])
    ## initcheck: No model was checked
    """
    models = list(reports)
    parts = [f"## initcheck: {inert(sentence(models))}", ""]
    if not course.complete:
        parts += [f"**This run is incomplete.** {inert(course.sentence)}", ""]
    if models:
        parts += ["| verdict | model | |", "| --- | --- | --- |"]
        parts += [_row(report) for report in _worst_first(models)]
        chance = f"the chance that a correct model fails any of them is below {bound:.1e}"
        parts += ["", f"{claims} claims evaluated; {chance}."]
    whole = "\n".join(parts) + "\n"
    for report in _worst_first(models):
        for finding in report.failures:
            more = "\n".join(_details(report, finding)) + "\n"
            if len((whole + more).encode()) > MOST_BYTES:
                return (
                    whole[:MOST_BYTES]
                    + "\nWhat else fails is in the log: there is no room for it here.\n"
                )
            whole += more
    return whole


def _worst_first(models: Iterable[Report]) -> list[Report]:
    return sorted(models, key=lambda report: (VERDICT_ORDER.index(report.verdict), report.id))


def _row(report: Report) -> str:
    text = report.error or "; ".join(map(_told, report.findings))
    name = report.id if report.example is None else f"{report.id} {report.example}"
    return f"| {report.verdict} | {inert(name)} | {inert(text)} |"


def _told(finding: Finding) -> str:
    place = f" at {finding.site}" if finding.site else ""
    return f"{finding.invariant}{place}: {finding.message}"


def _details(report: Report, finding: Finding) -> Iterator[str]:
    yield ""
    yield f"### {inert(finding_line(report, finding, path=True))}"
    yield ""
    for label, text in (("at", finding.place), ("cause", finding.cause), ("costs", finding.costs)):
        if text:
            yield f"- **{label}** {inert(text)}"
    for fix in finding.fixes[:1]:
        tried = f" ({inert(fix.result)})" if fix.result else ""
        yield f"- **fix** {inert(fix.advice)}{tried}"
        if fix.code:
            yield from ("", *fenced(fix.code), "")
    yield f"- **proof** {inert(finding.proof)}"


def inert(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line.

    >>> inert("a|b <b> [c](d) *e*")
    'a\\\\|b &lt;b&gt; \\\\[c\\\\]\\\\(d\\\\) \\\\*e\\\\*'
    """
    one = " ".join(plain(text).split())
    escaped = one.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$@:-])", r"\\\1", escaped)


def fenced(code: str) -> list[str]:
    """Return a block of code whose fence is longer than any in the code.

    >>> fenced("x = 1")
    ['```python', 'x = 1', '```']
    """
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}python", *(plain(line) for line in code.split("\n")), fence]
