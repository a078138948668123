"""A baseline after a run: what was measured replaces what it had, the rest stays. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_initcheck.baseline import Baseline, Kept
from pytest_initcheck.baseline.applied import ACCEPTED
from pytest_initcheck.baseline.keeping import known_of
from pytest_initcheck.report.result import Report


def updated(baseline: Baseline, reports: Iterable[Report]) -> dict[str, Kept]:
    """Return what the file has after a run; of models that could not be judged it keeps what it had."""
    models = dict(baseline.models)
    for report in reports:
        before = models.get(report.id, Kept())
        if report.error is not None:
            continue
        # several examples of one model are told apart by nothing else than their findings
        known = known_of(report, before.known, ACCEPTED)
        models[report.id] = Kept(report.profile or before.profile, tuple(dict.fromkeys(known)))
    return models


def told(before: Baseline, after: dict[str, Kept]) -> str:
    """Say in a line what was written.

    >>> from pathlib import Path
    >>> told(Baseline(Path("b"), "b"), {"m": Kept()})
    'baseline: b has 1 model (1 new) and no known finding'
    """
    new = len(after.keys() - before.models.keys())
    known = sum(len(kept.known) for kept in after.values())
    to_explain = sum(each.reason == ACCEPTED for kept in after.values() for each in kept.known)
    parts = [_counted(len(after), "model") + (f" ({new} new)" if new else "")]
    parts.append(_counted(known, "known finding") if known else "no known finding")
    line = f"baseline: {before.shown} has {' and '.join(parts)}"
    return f"{line}; write a reason for {to_explain} of them" if to_explain else line


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def gone(baseline: Baseline, judged: Iterable[str], files: Iterable[str]) -> list[str]:
    """Return the models of a baseline that are no longer there, of files that were collected whole."""
    there, whole = set(judged), set(files)
    return sorted(id for id in baseline.models if id not in there and id.partition("::")[0] in whole)
