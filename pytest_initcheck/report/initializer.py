"""The outcome of checking one initialiser, and its text.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.errors import InitCheckError, InitializerViolation
from pytest_initcheck.report.findings_text import explained
from pytest_initcheck.report.first_line import fitted
from pytest_initcheck.report.prose import labelled, plain, wrapped
from pytest_initcheck.report.result import Finding, json_number


@dataclass(frozen=True)
class InitializerReport:
    """What an initialiser draws for one layer, and whether that is what is needed.

    * ``verdict`` is "pass", "fail", "inconclusive" or "error"; ``verdicts`` has one per invariant:
      variance, mean, independence, and shape where a scheme was named.
    * ``second_moment`` and ``mean`` are those of the last replicate's weights, ``needed`` the variance
      that each criterion asks for, (smallest, largest).
    * ``recognised`` are the names of the schemes that the first draw looks like, the likeliest first.
    * ``claims`` and ``error_bound``: how many claims were walked, and the probability that any fails
      although a fresh draw stays inside the widened limits in 90 % of cases.
    """

    id: str
    layer: str
    activation: str | None
    criterion: str | None
    scheme: str | None
    verdict: str
    root_seed: int
    verdicts: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    second_moment: float = math.nan
    mean: float = math.nan
    needed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    recognised: tuple[str, ...] = ()
    replicates: int = 0
    seeds: int = 0
    claims: int = 0
    error_bound: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None
    error_traceback: str | None = None

    @property
    def ok(self) -> bool:
        """Neither failed nor in error."""
        return self.verdict in ("pass", "inconclusive")

    def raise_if_failed(self) -> None:
        """Raise InitializerViolation for a failure, InitCheckError for an error."""
        if self.error is not None:
            raise InitCheckError(str(self), self)
        if self.verdict == "fail":
            raise InitializerViolation(str(self), self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {
            "id": self.id,
            "layer": self.layer,
            "activation": self.activation,
            "criterion": self.criterion,
            "scheme": self.scheme,
            "verdict": self.verdict,
            "root_seed": self.root_seed,
            "verdicts": dict(self.verdicts),
            "findings": [finding.to_dict() for finding in self.findings],
            "second_moment": json_number(self.second_moment),
            "mean": json_number(self.mean),
            "needed": {name: list(bounds) for name, bounds in self.needed.items()},
            "recognised": list(self.recognised),
            "replicates": self.replicates,
            "seeds": self.seeds,
            "claims": self.claims,
            "error_bound": self.error_bound,
            "notes": list(self.notes),
            "error": self.error,
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: InitializerReport) -> Iterator[str]:
    subject = plain(f"{report.id} on {report.layer}")
    if report.error is not None:
        yield plain(f"ERROR {subject}  {report.error}")
        for line in (report.error_traceback or "").splitlines():
            yield f"  {plain(line)}"
        return
    for finding in report.findings:
        start = f"{finding.invariant} {finding.verdict.upper()}"
        first = fitted(start, [report.id, report.layer], finding.message, joint=" on ")
        yield from wrapped(first, rest="    ")
        if plain(report.layer) not in first:
            yield from labelled("at", report.layer)
        yield from explained(finding)
    if not report.findings:
        looks = f", like {report.recognised[0]}" if report.recognised else ""
        yield plain(f"{report.verdict.upper()} {subject}: Var w is {report.second_moment:.3g}{looks}")
    for note in report.notes:
        yield from labelled("note", note)
    cost = f"{report.replicates} replicates, {report.seeds} inits; repeat with seed={report.root_seed}"
    yield from labelled("cost", cost)
