"""A Report as plain text: the findings, then a table with a row per site.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from pytest_initcheck.report.result import Finding, InvariantResult, Report, SiteRow

MOST_ROWS = 24
_HEADINGS = ("site", "op", "2nd moment", "gain", "saturated", "dead")
_SHORTEST_NAME = 12


def plain(text: str) -> str:
    r"""Return the text on one line, with what could move the cursor or hide itself escaped.

    >>> plain("fc\x1b[2J")
    'fc\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def render(report: Report, invariant: str | None = None, width: int = 80, *, table: bool = True) -> str:
    """Return the report as text, the first line complete in itself.

    * ``invariant`` narrows the findings to one invariant.
    * ``width`` is what prose and table are fitted to; first lines and fixes are never broken.
    * ``table=False`` leaves out the sites, the spread and the cost.

    >>> print(render(Report("m", None, "error", 0, error="the factory raised ValueError: no")))
    ERROR m  the factory raised ValueError: no
    """
    return "\n".join(_lines(report, invariant, width, table))


def _lines(report: Report, invariant: str | None, width: int, table: bool) -> Iterator[str]:
    if report.error is not None:
        yield error_line(report)
        for line in (report.error_traceback or "").splitlines():
            yield f"  {plain(line)}"
        return
    findings = [each for each in report.findings if invariant in (None, each.invariant)]
    if not findings:
        yield headline(report, invariant)
    for finding in findings:
        yield from _finding(report, finding, width)
    if invariant is None:
        reported = {finding.invariant for finding in findings}
        longest = max(map(len, report.invariants), default=0)
        for name, result in report.invariants.items():
            if name not in reported:
                yield f"  {name:<{longest}} {_result(result)}"
    elif findings and (note := report.invariants[invariant].note):
        yield from labelled("note", note, width)
    for note in report.notes:
        yield from labelled("note", note, width)
    for place in report.unobserved:
        yield from labelled("unobserved", place, width)
    if table:
        yield from site_table(report.sites, width)
        yield from cost(report)


def headline(report: Report, invariant: str | None = None) -> str:
    """Return one line complete in itself: verdict, model, example, and the first finding or note.

    >>> headline(Report("m", "numpy", "pass", 0))
    'PASS m'
    """
    if report.error is not None:
        return error_line(report)
    for finding in report.findings:
        if invariant in (None, finding.invariant):
            return _first_line(report, finding)
    if invariant is None or invariant not in report.invariants:
        return f"{report.verdict.upper()} {_subject(report)}"
    result = report.invariants[invariant]
    note = f"  {plain(result.note)}" if result.note else ""
    return f"{invariant} {result.verdict.upper()} {_subject(report)}{note}"


def error_line(report: Report) -> str:
    """Return the one line that says why a model could not be judged."""
    return f"ERROR {_subject(report)}  {plain(report.error or '')}"


def _subject(report: Report) -> str:
    return plain(f"{report.id}  {report.example}" if report.example else report.id)


def _first_line(report: Report, finding: Finding) -> str:
    verdict = finding.verdict.upper()
    return f"{finding.invariant} {verdict} {_subject(report)}  {plain(finding.message)}"


def _finding(report: Report, finding: Finding, width: int) -> Iterator[str]:
    yield from finding_lines(_first_line(report, finding), finding, width)


def finding_lines(first: str, finding: Finding, width: int = 80) -> Iterator[str]:
    """Yield a finding's first line, then its cause, fix and proof."""
    yield first
    yield from labelled("cause", finding.cause, width)
    if finding.fix:
        yield f"  fix     {plain(finding.fix)}"  # code is copied, so never broken
    yield from labelled("proof", finding.proof, width)


def labelled(label: str, text: str, width: int = 80) -> Iterator[str]:
    """Yield a text under its label, wrapped; nothing for an empty one."""
    if text:
        start = f"  {label:<7} "
        yield from textwrap.wrap(
            plain(text),
            max(width, 40),
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )


def _result(result: InvariantResult) -> str:
    text = result.verdict
    if result.verdict == "pass" and 0 < result.inits_seen < result.inits_wanted:
        text += f" ({result.inits_seen} of {result.inits_wanted} inits seen)"
    return f"{text}: {plain(result.note)}" if result.note else text


# -- the table -----------------------------------------------------------------------------------


def site_table(sites: Sequence[SiteRow], width: int = 80) -> list[str]:
    """Return the table of sites, the first wrong one marked and in the middle of what is shown."""
    if not sites:
        return []
    wrong = next((index for index, site in enumerate(sites) if site.first_wrong), None)
    start, stop = _window(len(sites), wrong)
    rows = [_HEADINGS, *(_cells(site) for site in sites[start:stop])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    others = sum(widths[1:]) + 2 * len(widths)
    widths[0] = min(widths[0], max(_SHORTEST_NAME, width - 2 - others))
    lines = [_row(row, widths, mark=False) for row in rows[:1]]
    lines += [_row(row, widths, mark=start + index == wrong) for index, row in enumerate(rows[1:])]
    if start:
        lines.insert(1, f"  ... and {start} more before")
    if stop < len(sites):
        lines.append(f"  ... and {len(sites) - stop} more")
    return lines


def _window(count: int, wrong: int | None) -> tuple[int, int]:
    if count <= MOST_ROWS:
        return 0, count
    start = max(0, min((wrong or 0) - MOST_ROWS // 3, count - MOST_ROWS))
    return start, start + MOST_ROWS


def _cells(site: SiteRow) -> tuple[str, ...]:
    moment = "non-finite" if site.non_finite else number(site.second_moment)
    gain = "-" if site.gain is None else f"{number(site.gain)}x"
    return plain(site.name), plain(site.op), moment, gain, share(site.saturated), share(site.dead)


def _row(cells: Sequence[str], widths: Sequence[int], *, mark: bool) -> str:
    left = [f"{shortened(cells[0], widths[0]):<{widths[0]}}", f"{cells[1]:<{widths[1]}}"]
    right = [f"{cell:>{size}}" for cell, size in zip(cells[2:], widths[2:], strict=True)]
    return ("> " if mark else "  ") + "  ".join([*left, *right]) + ("  <-- first wrong" if mark else "")


def shortened(text: str, most: int) -> str:
    """Return the text cut in its middle to this many characters.

    >>> shortened("encoder.layers.11.linear1", 13)
    'encode...near1'
    """
    if len(text) <= most:
        return text
    head = (most - 3 + 1) // 2
    return f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"


def number(value: float | None) -> str:
    """Return three significant digits, or a dash for None.

    >>> number(0.000123456), number(None)
    ('0.000123', '-')
    """
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """Return a share in per cent, or a dash for None.

    >>> share(0.125)
    '12.5%'
    """
    if value is None:
        return "-"
    return f"{100 * value:.3g}%" if math.isfinite(value) else str(value)


def cost(report: Report) -> Iterator[str]:
    """Say what the seeds did to the output, and what the check cost."""
    if report.spread is not None:
        yield (
            f"  spread over seeds: 2^{report.spread:.2f} (standard deviation of log2 of the output's "
            f"second moment, {report.seeds} inits)"
        )
    yield (
        f"  cost: {report.seconds:.2f} s for {report.replicates} replicates, {report.seeds} inits; "
        f"repeat with seed {report.root_seed}"
    )


def listing(title: str, entries: Iterable[str]) -> list[str]:
    """Return a titled list, or nothing for no entries."""
    found = list(entries)
    return [f"{title}:", *(f"  {entry}" for entry in found)] if found else []
