"""A Report as plain text.  PYTEST_DONT_REWRITE

The first line is complete in itself. Then what was seen, the cause, the fix and the proof of each
finding, the signal over depth, the rows around the first wrong site, and how to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pytest_initcheck.report.findings_text import explained, in_short
from pytest_initcheck.report.first_line import error_line, finding_about, finding_line, headline
from pytest_initcheck.report.layout import LIBRARY, USUAL, Door, Layout
from pytest_initcheck.report.prose import labelled, plain, wrapped
from pytest_initcheck.report.result import Finding, InvariantResult, Report
from pytest_initcheck.report.site_table import site_table
from pytest_initcheck.report.sparkline import signal

_FOLD = " " * 4
_MOST_UNOBSERVED = 3


def render(
    report: Report,
    invariant: str | None = None,
    layout: Layout = USUAL,
    door: Door = LIBRARY,
    elsewhere: str = "",
) -> str:
    """Return the report as text, the first line complete in itself.

    * ``invariant`` narrows it to one, which may share the cause of another's finding.
    * ``door`` is the way in: it says how the model is checked again and where to allow a deviation.
    * ``elsewhere`` names where the whole text of a shared cause stands, so that here it is short.

    >>> print(render(Report("m", None, "error", 0, error="the factory raised ValueError: no")))
    ERROR m  the factory raised ValueError: no
    """
    if layout.detail == "line":
        return "\n".join(first_lines(report, invariant, layout))
    if report.error is not None:
        return "\n".join(_error(report, layout))
    if invariant is None:
        return "\n".join(_whole(report, layout, door))
    return "\n".join(_about(report, invariant, layout, door, elsewhere))


def first_lines(
    report: Report, invariant: str | None, layout: Layout = USUAL, *, path: bool = False
) -> list[str]:
    """Return the first line, folded where the terminal is too narrow even for the shortest names."""
    line = headline(report, invariant, layout.columns, path=path)
    return wrapped(line, layout.columns, rest=_FOLD)


def _error(report: Report, layout: Layout) -> Iterator[str]:
    yield from wrapped(error_line(report), layout.columns, rest=_FOLD)
    for line in (report.error_traceback or "").splitlines():
        yield f"  {plain(line)}"


def _about(report: Report, invariant: str, layout: Layout, door: Door, elsewhere: str) -> Iterator[str]:
    """What one invariant's item says."""
    own = [each for each in report.findings if each.invariant == invariant]
    shared = None if own else finding_about(report, invariant)
    if shared is not None and elsewhere:
        yield from first_lines(report, invariant, layout)
        yield from in_short(shared, elsewhere, layout)
        return
    findings = [shared] if shared is not None else own
    if not findings:
        yield from first_lines(report, invariant, layout)
        return
    for finding in findings:
        yield from _finding(report, finding, invariant, layout)
    if (result := report.invariants.get(invariant)) is not None:
        yield from labelled("note", result.note or "", layout.columns)
    yield from _notes(report, layout)
    yield from _sites(report, layout)
    yield from _onwards(report, findings, door, invariant)


def _whole(report: Report, layout: Layout, door: Door) -> Iterator[str]:
    """What a library call says: every finding, then all other invariants, then the sites once."""
    if not report.findings:
        yield from first_lines(report, None, layout)
    for finding in report.findings:
        yield from _finding(report, finding, finding.invariant, layout)
    reported = {each.invariant for each in report.findings}
    longest = max(map(len, report.invariants), default=0)
    for name, result in report.invariants.items():
        if name not in reported:
            start = f"  {name:<{longest}} "
            yield from wrapped(_result(report, name, result), layout.columns, start, " " * len(start))
    yield from _notes(report, layout)
    yield from _sites(report, layout)
    yield from cost(report, layout)
    yield from _onwards(report, report.failures, door, None)


def _finding(report: Report, finding: Finding, invariant: str, layout: Layout) -> Iterator[str]:
    line = finding_line(report, finding, invariant, layout.columns)
    yield from wrapped(line, layout.columns, rest=_FOLD)
    if report.example and plain(report.example) not in line:
        yield from labelled("example", report.example, layout.columns)
    yield from explained(_as_told_by(invariant, finding), layout)


def _as_told_by(invariant: str, finding: Finding) -> Finding:
    """Return the finding as an invariant tells it that shares its cause."""
    if invariant == finding.invariant:
        return finding
    others = (finding.invariant, *(name for name in finding.also if name != invariant))
    seen = f"{finding.invariant}: {finding.message}"
    return replace(finding, also=others, detail=f"{seen}; {finding.detail}" if finding.detail else seen)


def _result(report: Report, name: str, result: InvariantResult) -> str:
    shared = finding_about(report, name)
    text = result.verdict
    if result.verdict == "pass" and 0 < result.inits_seen < result.inits_wanted:
        text += f" ({result.inits_seen} of {result.inits_wanted} inits seen)"
    if shared is not None:
        text += f": same cause as {shared.invariant}"
    return f"{text}: {plain(result.note)}" if result.note else text


def _notes(report: Report, layout: Layout) -> Iterator[str]:
    for note in report.notes:
        yield from labelled("note", note, layout.columns)
    most = len(report.unobserved) if layout.detail == "whole" else _MOST_UNOBSERVED
    for place in report.unobserved[:most]:
        yield from labelled("unobserved", place, layout.columns)
    if more := len(report.unobserved[most:]):
        yield from labelled("unobserved", f"and {more} more places", layout.columns)


def _sites(report: Report, layout: Layout) -> Iterator[str]:
    if report.sites:
        yield ""
        yield from signal(report.sites, layout)
        yield from site_table(report.sites, layout)


def _onwards(
    report: Report, findings: Iterable[Finding], door: Door, invariant: str | None
) -> Iterator[str]:
    """Say how to check the model again, where to allow a deviation and where it is explained.

    All of it is copied by readers, so never broken.
    """
    failed = [each for each in findings if each.verdict == "fail"]
    if not failed:
        return
    yield ""
    yield f"  repeat  {plain(door.repeated(report.root_seed))}"
    deviations = [
        (name, at)
        for each in failed
        for name, at in ((each.invariant, each.allow_at), *zip(each.also, each.also_at, strict=False))
        if at and (invariant is None or each.concerns(invariant))
    ]
    for line in door.allowed(dict.fromkeys(deviations)):
        yield f"  allow   {plain(line)}"
    yield f"  more    pytest --initcheck-explain {invariant or failed[0].invariant}"


def cost(report: Report, layout: Layout = USUAL) -> Iterator[str]:
    """Say what the seeds did to the output, and what the check cost."""
    if report.spread is not None:
        text = (
            f"2^{report.spread:.2f} from seed to seed: the standard deviation of log2 of the output's "
            "second moment"
        )
        yield from labelled("spread", text, layout.columns)
    text = f"{report.seconds:.2f} s for {report.replicates} replicates, {report.seeds} inits"
    yield from labelled("cost", text, layout.columns)


def listing(title: str, entries: Iterable[str], layout: Layout = USUAL) -> list[str]:
    """Return a titled list, or nothing for no entries.

    >>> listing("skipped", ["saturation at m"])
    ['skipped:', '  saturation at m']
    """
    found = [line for entry in entries for line in wrapped(entry, layout.columns, "  ", "    ")]
    return [f"{title}:", *found] if found else []
