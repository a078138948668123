"""What GitHub Actions shows of a run: annotations at the factories, and a summary of the step.

PYTEST_DONT_REWRITE
"""

# without "from __future__ import annotations", whose name a function has here
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.findings_text import cause
from pytest_initcheck.report.markdown import escaped, fenced
from pytest_initcheck.report.message import best_fix, message, model_name, outcome, seen, title
from pytest_initcheck.report.prose import clipped, plain, shortened
from pytest_initcheck.report.result import VERDICT_ORDER, Finding, Report
from pytest_initcheck.report.wording import headline

MOST = 10
"""Annotations of one level that GitHub shows of a step."""
SUMMARY_LIMIT = 1024 * 1024
"""Bytes that GitHub takes of a step's summary; of a longer one it shows nothing."""
_MESSAGE = 8000
"""Columns of a message: what a factory raised may be longer than GitHub takes."""
_CELL = 200
"""Columns of what a row of the table says."""
_NOTE = 200
"""Bytes that are kept free for what was left out."""
_WANTING = ("error", "fail", "inconclusive")

# -- annotations -----------------------------------------------------------------------------------


def annotations(reports: Iterable[Report], folder: str = "") -> Iterator[str]:
    """Yield the workflow commands that annotate failures, errors and what is undecided; a line each.

    * ``folder`` is where the paths of the reports begin, from the root of the repository.
    * At most as many as GitHub shows, and then a line that says how many more there are.

    >>> list(annotations([Report("m", None, "error", 0, error="no", path="m.py", line=3)], "zoo"))
    ['::error file=zoo/m.py,line=3,title=ERROR m::ERROR m  no']
    """
    counts: Counter[str] = Counter()
    for level, report, finding in _annotated(reports):
        counts[level] += 1
        if counts[level] <= MOST:
            properties = {**_place(report, folder), "title": title(report, finding)}
            yield command(level, properties, clipped(message(report, finding), _MESSAGE))
    more = [
        f"{count - MOST} more {level}{'s' * (count - MOST != 1)}"
        for level, count in sorted(counts.items())
        if count > MOST
    ]
    if more:
        yield f"initcheck: GitHub shows {MOST} annotations of a kind; not shown: {', '.join(more)}"


def _annotated(reports: Iterable[Report]) -> Iterator[tuple[str, Report, Finding | None]]:
    for report in sorted(reports, key=lambda each: (each.id, each.example or "")):
        if report.error is not None:
            yield "error", report, None
            continue
        for finding in report.findings:
            if finding.severity in ("error", "warning"):
                yield finding.severity, report, finding


def _place(report: Report, folder: str) -> dict[str, str]:
    if not report.path:
        return {}
    # an absolute path stays as it is
    path = (PurePath(folder) / report.path).as_posix()
    return {"file": plain(path), "line": str(max(report.line, 1))}


def command(name: str, properties: Mapping[str, str], text: str) -> str:
    """Return a workflow command as one line, from which no text can get out.

    >>> command("error", {"title": "a,b:c"}, "50 %\\n::warning::x")
    '::error title=a%2Cb%3Ac::50 %25%0A::warning::x'
    """
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {told}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# -- the summary of a step -------------------------------------------------------------------------


def step_summary(
    reports: Iterable[Report],
    course: Course = WHOLE,
    *,
    told: Iterable[str] = (),
    limit: int = SUMMARY_LIMIT,
) -> str:
    """Return the run as Markdown: a sentence, a table of the models, and every finding with its fix.

    * ``told`` are sentences about the run.
    * Of what would take more than ``limit`` bytes the last is left out, and the text says how much.

    >>> print(step_summary([Report("net", None, "pass", 0)]))
    ## initcheck: The model starts in a trainable place
    <BLANKLINE>
    | verdict | model | first finding |
    |---|---|---|
    | pass | net |  |
    <BLANKLINE>
    """
    ordered = sorted(
        reports, key=lambda each: (VERDICT_ORDER.index(each.verdict), each.id, each.example or "")
    )
    head = f"## initcheck: {escaped(headline(ordered))}\n\n"
    if not course.complete:
        head += f"**The run is incomplete:** {escaped(course.sentence)}\n\n"
    if ordered:
        head += "| verdict | model | first finding |\n|---|---|---|\n"
    room = limit - _size(head) - _NOTE
    # half of it at most: a reader wants some findings whole
    rows, unlisted = _fitting((_row(report) for report in ordered), room // 2)
    tail = "".join(f"\n{escaped(line)}\n" for line in told if line)
    details, untold = _fitting(_details(ordered), room - _size("".join(rows)) - _size(tail))
    parts = [head, *rows, *details, tail]
    if unlisted or untold:
        parts.append(
            f"\nLeft out, as GitHub takes {limit} bytes: {unlisted} rows of the table, "
            f"{untold} findings\n"
        )
    return "".join(parts)


def _size(text: str) -> int:
    return len(text.encode())


def _fitting(blocks: Iterable[str], room: int) -> tuple[list[str], int]:
    """Return the blocks that fit into so many bytes, first come, and how many do not."""
    kept, left_out = [], 0
    for block in blocks:
        if (size := _size(block)) > room:
            left_out += 1
        else:
            kept.append(block)
            room -= size
    return kept, left_out


def _row(report: Report) -> str:
    first = _told(report)[:1]
    what = seen(report, first[0]) if first else ""
    start = f"{first[0].invariant}: " if first and first[0] is not None else ""
    name = escaped(shortened(model_name(report), _CELL))
    return f"| {report.verdict} | {name} | {escaped(clipped(start + what, _CELL))} |\n"


def _told(report: Report) -> list[Finding | None]:
    return [None] if report.error is not None else list(report.findings)


def _details(reports: Iterable[Report]) -> Iterator[str]:
    for report in reports:
        if report.verdict in _WANTING:
            for finding in _told(report):
                if finding is None or finding.severity != "known":
                    yield "\n".join(["", *_detail(report, finding), ""])


def _detail(report: Report, finding: Finding | None) -> Iterator[str]:
    yield f"### {escaped(title(report, finding))}"
    yield ""
    yield escaped(seen(report, finding))
    if finding is None:
        return
    for label, text in (("seen", finding.detail), ("cause", cause(finding)), ("costs", finding.costs)):
        if text:
            yield ""
            yield f"**{label}** {escaped(text)}"
    fix = best_fix(finding)
    if fix.advice or fix.code:
        yield ""
        yield f"**fix** {escaped(fix.advice)}".rstrip()
    if fix.code:
        yield ""
        yield from fenced(fix.code.splitlines())
    for label, text in (("", outcome(fix)), ("proof", finding.proof)):
        if text:
            yield ""
            yield f"**{label}** {escaped(text)}" if label else escaped(text)
