"""Known findings: taken out of a report's failures, and missed where they are gone.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_initcheck.baseline import Known
from pytest_initcheck.report.result import Finding, Report, worst_verdict


def with_known(report: Report, known: Iterable[Known], shown: str) -> Report:
    """Return the report with its known findings marked as such; those that are gone are noted.

    * A finding is known by its invariant, its site and its direction. What fails for the same cause is
      known with it.
    * ``shown`` is the baseline's path.
    """
    known = tuple(known)
    if not known or report.error is not None:
        return report
    findings = tuple(_marked(finding, known) for finding in report.findings)
    gone = [
        f"{each.invariant} at {each.site or 'the model'} is kept in {shown}, but gone; remove its line"
        for each in known
        if each.invariant in report.invariants and not any(_is(each, f) for f in report.findings)
    ]
    return _judged_anew(replace(report, findings=findings, notes=(*report.notes, *gone)))


def known_of(report: Report, before: Iterable[Known], reason: str) -> tuple[Known, ...]:
    """Return what a baseline keeps of a report's failures: reasons given before stay.

    * ``before`` is what it has; of invariants that were not judged it stays.
    """
    before = tuple(before)
    if report.error is not None:
        return before
    unjudged = [each for each in before if each.invariant not in report.invariants]
    found = [
        Known(
            finding.invariant,
            finding.site,
            finding.direction,
            finding.message,
            next((each.reason for each in before if _is(each, finding)), reason),
        )
        for finding in report.findings
        if finding.severity in ("error", "known")
    ]
    return (*found, *unjudged)


def _is(known: Known, finding: Finding) -> bool:
    """Tell whether a finding is the kept one; invariants that share a cause may change places."""
    if finding.severity == "warning" or known.site != finding.site:
        return False
    same = known.invariant == finding.invariant and known.direction == finding.direction
    return same or known.invariant in finding.also


def _marked(finding: Finding, known: Iterable[Known]) -> Finding:
    kept = next((each for each in known if _is(each, finding)), None)
    if kept is None:
        return finding
    return replace(finding, severity="known", verdict="known", reason=kept.reason)


def _judged_anew(report: Report) -> Report:
    """An invariant fails for what is left; with nothing left it is known."""
    failing = {name for each in report.failures for name in (each.invariant, *each.also)}
    kept = {
        name: each.reason
        for each in report.findings
        if each.severity == "known"
        for name in (each.invariant, *each.also)
    }
    results = {
        name: replace(result, verdict="known", note=f"kept: {kept[name]}")
        if result.verdict == "fail" and name in kept and name not in failing
        else result
        for name, result in report.invariants.items()
    }
    verdict = worst_verdict(result.verdict for result in results.values())
    return replace(report, invariants=results, verdict=verdict)
