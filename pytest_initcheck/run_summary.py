"""What a run says at its start and at its end, as lines of text.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from pytest_initcheck.config import RunOptions
from pytest_initcheck.report.first_line import headline
from pytest_initcheck.report.layout import Layout
from pytest_initcheck.report.prose import plain, wrapped
from pytest_initcheck.report.result import Report, verdict_counts
from pytest_initcheck.report.site_table import site_table
from pytest_initcheck.report.sparkline import signal
from pytest_initcheck.report.terminal import cost, first_lines, listing
from pytest_initcheck.sequential import claim_error_bound

_FRAMEWORKS = ("torch", "jax", "keras", "numpy")
_VERDICTS = ("pass", "known", "fail", "inconclusive", "error")


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
    models: Iterable[Report], failed: Iterable[str], options: RunOptions, layout: Layout
) -> Iterator[str]:
    """Say of each model what its tests could not: cost and spread, what was not decided or not tested.

    * ``failed`` are the ids of models of which a test failed: their tables stand with the failures.
      With ``show_all`` every other model has one here.
    """
    models, failed = list(models), set(failed)
    for report in models:
        is_wrong = report.id in failed and report.verdict != "pass"
        if (is_wrong and layout.detail != "line") or options.show_all:
            told = is_wrong and layout.detail != "line"
            yield from _model(report, layout, table=options.show_all and not told)
    yield from listing("inconclusive", _results(models, "inconclusive", layout), layout)
    yield from listing("known", _known(models), layout)
    yield from listing("vacuous, not tested", _results(models, "vacuous", layout), layout)
    yield from listing("skipped", _skipped(models), layout)
    yield from listing("notes", dict.fromkeys(_notes(models, layout)), layout)


def _model(report: Report, layout: Layout, *, table: bool) -> Iterator[str]:
    if report.error is not None:
        yield from first_lines(report, None, layout, path=True)
        return
    wrong = [name for name, result in report.invariants.items() if result.verdict == "fail"]
    line = headline(replace(report, findings=()), path=True) + (f": {', '.join(wrong)}" if wrong else "")
    yield from wrapped(line, layout.columns, rest="    ")
    if table:
        yield from signal(report.sites, layout)
        yield from site_table(report.sites, layout)
    yield from cost(report, layout)


def _results(models: Iterable[Report], verdict: str, layout: Layout) -> Iterator[str]:
    for report in models:
        for name, result in report.invariants.items():
            if result.verdict == verdict:
                yield headline(report, name, layout.columns - 2, path=True)


def _notes(models: Iterable[Report], layout: Layout) -> Iterator[str]:
    for report in models:
        for name, result in report.invariants.items():
            if result.verdict == "pass" and result.note:
                # a pass of which a part could not be tested, or was allowed
                yield headline(report, name, layout.columns - 2, path=True)
        yield from (plain(f"{report.id}: {note}") for note in report.notes)


def _known(models: Iterable[Report]) -> Iterator[str]:
    for report in models:
        for finding in report.findings:
            if finding.severity == "known":
                place = f"{finding.site}: " if finding.site else ""
                yield plain(
                    f"{finding.invariant} at {report.id}  {place}{finding.message} ({finding.reason})"
                )


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
    counts = verdict_counts(models)
    parts = [f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict]]
    return f"{counts.total()} model{'s' * (counts.total() != 1)}: {', '.join(parts)}"


def claims(count: int) -> str:
    """Say how many claims were evaluated.

    >>> claims(240)
    '240 claims evaluated'
    """
    return f"{count} claim{'s' * (count != 1)} evaluated" if count else "no claim evaluated"


def bound(count: int) -> str:
    """Say what so many claims bound; nothing for none.

    >>> bound(240)
    'the chance that a correct model fails any of them is below 9.4e-11'
    """
    if not count:
        return ""
    return (
        f"the chance that a correct model fails any of them is below {count * claim_error_bound():.1e}"
    )
