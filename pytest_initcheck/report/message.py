"""What other tools are told of a model or a finding: one text, whole names, nothing that acts.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.report.findings_text import cause, chosen
from pytest_initcheck.report.first_line import said
from pytest_initcheck.report.prose import plain
from pytest_initcheck.report.result import Finding, Fix, Report


def title(report: Report, finding: Finding | None = None) -> str:
    """Return invariant, verdict and model of a finding, or that the model is in error.

    >>> title(Report("m.py::net", None, "error", 0), None)
    'ERROR m.py::net'
    """
    start = "ERROR" if finding is None else f"{finding.invariant} {finding.verdict.upper()}"
    return f"{start} {model_name(report)}"


def model_name(report: Report) -> str:
    """Return the whole id, with the arguments that were drawn.

    >>> model_name(Report("m.py::net", None, "fail", 0, example="net(depth=3)"))
    'm.py::net(depth=3)'
    """
    if not report.example:
        return plain(report.id)
    path, colons, name = report.id.rpartition("::")
    if report.example.startswith(f"{name}("):
        return plain(f"{path}{colons}{report.example}")
    return plain(f"{report.id} {report.example}")


def seen(report: Report, finding: Finding | None = None) -> str:
    """Return where what was seen, in a few words; why a model could not be judged without a finding.

    >>> seen(Report("m", None, "error", 0, error="the factory raised OSError"))
    'the factory raised OSError'
    """
    if finding is None:
        return plain(report.error or "could not be judged")
    place = "" if finding.site is None else f"{plain(finding.site)}: "
    return f"{place}{said(finding)}"


def message(report: Report, finding: Finding | None = None) -> str:
    """Return the whole text: what is wrong, cause, fix with its code, proof; a line each.

    >>> message(Report("m", None, "error", 0, error="the factory raised OSError"))
    'ERROR m  the factory raised OSError'
    """
    lines = [f"{title(report, finding)}  {seen(report, finding)}"]
    if finding is not None:
        lines += _explained(finding)
    return "\n".join(lines)


def best_fix(finding: Finding) -> Fix:
    """Return the fix to show: the best of those that are data, or the text that there is instead.

    An undecided finding's text is advice, that of a failure may be code.
    """
    best, _ = chosen(finding.fixes)
    if best is not None:
        return best
    is_advice = finding.verdict == "inconclusive"
    return Fix(finding.fix if is_advice else "", "" if is_advice else finding.fix)


def outcome(fix: Fix) -> str:
    """Say what came of a fix.

    >>> outcome(Fix("scale the inputs", helped=True)), outcome(Fix("", result="by hand"))
    ('tried: passes', 'untried: by hand')
    """
    if fix.helped is None:
        return f"untried: {plain(fix.result)}" if fix.result else ""
    return f"tried: {plain(fix.result) or ('passes' if fix.helped else 'still fails')}"


def _explained(finding: Finding) -> Iterator[str]:
    if finding.cause:
        yield f"cause: {plain(cause(finding))}"
    fix = best_fix(finding)
    if fix.advice or fix.code:
        yield f"fix: {plain(fix.advice)}".rstrip()
        yield from (f"    {plain(line)}" for line in fix.code.splitlines())
        if told := outcome(fix):
            yield told
    if finding.proof:
        yield f"proof: {plain(finding.proof)}"
    if finding.reason:
        yield f"known: {plain(finding.reason)}"
