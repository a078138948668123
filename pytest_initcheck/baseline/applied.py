"""What a baseline has to do with the check of one model. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_initcheck.baseline import Baseline, Kept
from pytest_initcheck.baseline.keeping import known_of, with_known
from pytest_initcheck.config import DRIFT
from pytest_initcheck.report.result import InvariantResult, Report

ACCEPTED = "accepted by --initcheck-update-baseline; say why"


def asked_of(baseline: Baseline | None, id: str) -> dict[str, Any]:
    """Return the fields of a Subject that a baseline decides: what to compare with, or to measure.

    >>> asked_of(None, "m")
    {}
    """
    if baseline is None:
        return {}
    if baseline.updating:
        return {"profiling": True}
    return {"expected": _kept(baseline, id).profile, "baseline": baseline.shown}


def compared(baseline: Baseline | None, report: Report, *, drifts: bool = True) -> Report:
    """Return the report with its known findings as such; while a baseline is written, all are.

    * ``drifts``: the model has one profile. Where the baseline has none of it, this is said.
    """
    if baseline is None or report.error is not None:
        return report
    known = _kept(baseline, report.id).known
    if baseline.updating:
        return with_known(report, known_of(report, known, ACCEPTED), baseline.shown)
    if drifts and DRIFT not in report.invariants:
        note = f"not in {baseline.shown}; add it with --initcheck-update-baseline"
        missing = InvariantResult("skipped", 0, None, "default", note=note)
        report = replace(report, invariants={**report.invariants, DRIFT: missing})
    return with_known(report, known, baseline.shown)


def _kept(baseline: Baseline, id: str) -> Kept:
    return baseline.models.get(id, Kept())
