"""The outcome of checking one model: one type behind every output. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.edits import Edit
from pytest_initcheck.profiles import Profile

VERDICT_ORDER = ("error", "fail", "inconclusive", "known", "pass")
"""A model's verdict is the worst of its claims, in this order; ``known`` fails for kept reasons only."""


def worst_verdict(verdicts: Iterable[str]) -> str:
    """Return the verdict on a model with invariants of these verdicts.

    >>> worst_verdict(["pass", "fail", "skipped"]), worst_verdict([])
    ('fail', 'pass')
    """
    seen = set(verdicts)
    return next((verdict for verdict in VERDICT_ORDER if verdict in seen), "pass")


@dataclass(frozen=True)
class Fix:
    """A change that mends a cause, and what the check measured with it.

    * ``advice`` says it in words, ``code`` can be pasted where the model is built (or fed); it is empty
      where only the author of the model can make the change.
    * ``edits`` are the same change as data.
    * ``helped`` is None where it was not tried; ``result`` says what was measured, or why it was not.
    * ``curve`` has the second moment of each of the report's sites after the fix, () where not known.
    """

    advice: str
    code: str = ""
    edits: tuple[Edit, ...] = ()
    framework: str | None = None
    helped: bool | None = None
    result: str = ""
    curve: tuple[float | None, ...] = ()

    def apply(self, model: Any) -> Any:
        """Make this change of a model, in place, and return the model.

        Draws come from the framework's global generator, as those of the printed code do.

        Raises ConfigError for a change of the inputs, or one that only its author can make.

        >>> import numpy as np, pytest_initcheck as ic
        >>> def tiny(rng):
        ...     return [(rng.normal(0, 1e-6, (64, 64)), None, "relu") for _ in range(4)]
        >>> report = ic.check(tiny, inputs=ic.normal(64))
        >>> mended = report.fixes[0].apply(tiny(np.random.default_rng(0)))
        >>> bool(abs(mended[0][0].std() - 0.177) < 0.01)
        True
        """
        __tracebackhide__ = True
        from pytest_initcheck.trials import apply

        return apply(self.edits, self.framework, model, instead=self.code or self.advice)

    def to_dict(self) -> dict[str, Any]:
        return {
            "advice": self.advice,
            "code": self.code,
            "helped": self.helped,
            "result": self.result,
        }


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that could not be decided, and where it starts.

    * ``place`` describes the site: ``features.4 (Linear 256->256, then relu)``.
    * ``message`` is what was seen, short enough for a first line; ``detail`` says more.
    * ``kind`` names the cause (``init gain``, ``input scale``), ``cause`` tells it with its figures.
    * ``costs`` is what it does to training.
    * ``also`` are the other invariants that fail for the same cause.
    * ``fixes`` in the order in which they were tried; ``fix`` is the text of the best.
    * ``allow_at`` are the sites at which an allowance takes it back, as a glob; empty where none does;
      ``also_at`` those of the other invariants.
    * ``severity`` is ``"error"``, ``"warning"``, or ``"known"`` for one that is kept in the baseline,
      with its ``reason``.
    """

    invariant: str
    severity: str
    verdict: str
    direction: str | None
    site: str | None
    value: float | None
    limit: tuple[float | None, float | None]
    message: str
    cause: str
    fix: str
    proof: str
    kind: str = ""
    place: str = ""
    detail: str = ""
    costs: str = ""
    also: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    allow_at: str = ""
    also_at: tuple[str, ...] = ()
    reason: str = ""

    def concerns(self, invariant: str) -> bool:
        """Tell whether this invariant fails, or is undecided, for what the finding is about."""
        return invariant == self.invariant or invariant in self.also

    def to_dict(self) -> dict[str, Any]:
        return {
            "invariant": self.invariant,
            "also": list(self.also),
            "severity": self.severity,
            "verdict": self.verdict,
            "direction": self.direction,
            "site": self.site,
            "value": json_number(self.value),
            "limit": [json_number(bound) for bound in self.limit],
            "place": self.place,
            "message": self.message,
            "detail": self.detail,
            "kind": self.kind,
            "cause": self.cause,
            "costs": self.costs,
            "fix": self.fix,
            "fixes": [fix.to_dict() for fix in self.fixes],
            "proof": self.proof,
            "allow_at": self.allow_at,
            "also_at": list(self.also_at),
            "reason": self.reason or None,
        }


@dataclass(frozen=True)
class InvariantResult:
    """The verdict on one invariant: the worst of its claims.

    ``inits_seen`` and ``inits_wanted`` differ where the model's size ended rare-event claims early.
    ``note`` says what a reader must know besides, for example what a matched init shows.
    """

    verdict: str
    replicates: int
    limit: tuple[float | None, float | None] | None
    limit_source: str
    claims: int = 0
    inits_seen: int = 0
    inits_wanted: int = 0
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "replicates": self.replicates,
            "limit": None if self.limit is None else [json_number(bound) for bound in self.limit],
            "limit_source": self.limit_source,
            "claims": self.claims,
            "inits_seen": self.inits_seen,
            "inits_wanted": self.inits_wanted,
            "note": self.note,
        }


@dataclass(frozen=True)
class PreActivations:
    """The histogram of what an activation reads, in equally wide bins from ``low`` to ``high``.

    ``linear_from`` and ``linear_to`` are where the activation responds, None where it never stops.
    """

    counts: tuple[int, ...]
    low: float
    high: float
    linear_from: float | None = None
    linear_to: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": list(self.counts),
            "low": self.low,
            "high": self.high,
            "linear": [self.linear_from, self.linear_to],
        }


@dataclass(frozen=True)
class SiteRow:
    """One site of the first replicate; ``gain`` is relative to the linear site before it.

    * ``kind`` is what the operation is, ``reads`` the indices of the sites that it reads.

    The rest is there where plots were asked for and None where it was not seen:

    * ``gradient``: the second moment of the gradient of a readout of the differences between samples.
    * ``expected``: between which second moments a matched init lies, but for two deviations of luck.
    * ``spread``: the lowest and the highest second moment over the initialisations that were traced.
    """

    name: str
    op: str
    second_moment: float
    batch_variance: float
    saturated: float | None = None
    dead: float | None = None
    gain: float | None = None
    non_finite: bool = False
    first_wrong: bool = False
    kind: str = ""
    index: int = -1
    reads: tuple[int, ...] = ()
    gradient: float | None = None
    expected: tuple[float, float] | None = None
    spread: tuple[float, float] | None = None
    pre_activations: PreActivations | None = None

    @property
    def is_finite(self) -> bool:
        """Neither a value nor a statistic of the values overflowed."""
        seen = (self.second_moment, self.batch_variance, self.saturated, self.dead, self.gain)
        return not self.non_finite and all(each is None or math.isfinite(each) for each in seen)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "op": self.op,
            "second_moment": json_number(self.second_moment),
            "batch_variance": json_number(self.batch_variance),
            "saturated": json_number(self.saturated),
            "dead": json_number(self.dead),
            "gain": json_number(self.gain),
            "non_finite": self.non_finite,
            "kind": self.kind,
            "reads": list(self.reads),
            "gradient": json_number(self.gradient),
            "expected": None if self.expected is None else list(self.expected),
            "spread": None if self.spread is None else list(self.spread),
            "pre_activations": None if self.pre_activations is None else self.pre_activations.to_dict(),
        }


@dataclass(frozen=True)
class Report:
    """What was measured on one model and what follows from it.

    * ``verdict`` is ``"pass"``, ``"known"``, ``"fail"``, ``"inconclusive"`` or ``"error"``.
    * ``path`` and ``line`` are where its factory stands, relative to the root of the run; "" and 0
      where that is not known.
    * ``profile`` is there where a baseline is written.
    * ``claims`` is how many claims were evaluated, ``error_bound`` the probability that any of them
      fails although a fresh init stays inside the widened limits in 90 % of draws.
    * ``seeds`` is how many initialisations were drawn; ``spread`` the standard deviation over them
      of log2 of the output's second moment.
    """

    id: str
    framework: str | None
    verdict: str
    root_seed: int
    invariants: Mapping[str, InvariantResult] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    sites: tuple[SiteRow, ...] = ()
    unobserved: tuple[str, ...] = ()
    error: str | None = None
    error_traceback: str | None = None
    example: str | None = None
    inputs: str = ""
    replicates: int = 0
    seeds: int = 0
    claims: int = 0
    error_bound: float = 0.0
    spread: float | None = None
    seconds: float = 0.0
    strict: bool = False
    frameworks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    path: str = ""
    line: int = 0
    profile: Profile | None = None

    @property
    def ok(self) -> bool:
        """Neither failed nor in error; under ``strict`` what is undecided is not ok."""
        return self.verdict in ("pass", "known") or (self.verdict == "inconclusive" and not self.strict)

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The fixes of all failures, of each the one that helped first."""
        return tuple(
            fix
            for finding in self.failures
            for fix in sorted(finding.fixes, key=lambda each: not each.helped)
        )

    def raise_if_failed(self, invariant: str | None = None) -> None:
        """Raise the first failure, as the subclass of InitCheckError that belongs to its invariant.

        * ``invariant`` narrows this to one invariant; an error of the model always raises.
        """
        __tracebackhide__ = True
        from pytest_initcheck.report.violations import violation_of

        violation = violation_of(self, invariant)
        if violation is not None:
            raise violation

    def to_dict(self) -> dict[str, Any]:
        """Return this model's entry in the JSON report (schema version 1)."""
        return {
            "id": self.id,
            "path": self.path or None,
            "line": self.line or None,
            "framework": self.framework,
            "verdict": self.verdict,
            "error": self.error,
            "example": self.example,
            "inputs": self.inputs,
            "root_seed": self.root_seed,
            "replicates": self.replicates,
            "seeds": self.seeds,
            "claims": self.claims,
            "spread_log2": json_number(self.spread),
            "seconds": round(self.seconds, 3),
            "invariants": {name: result.to_dict() for name, result in self.invariants.items()},
            "findings": [finding.to_dict() for finding in self.findings],
            "sites": [site.to_dict() for site in self.sites],
            "unobserved": list(self.unobserved),
            "notes": list(self.notes),
        }

    def plot(self, site: str | None = None, *, theme: str = "light") -> Any:
        """Return the plotly figure of the signal over depth, which notebooks show.

        * ``site`` names an activation, of which the histogram of what it reads is returned.
        * ``theme`` is ``"light"`` or ``"dark"``.

        Raises ConfigError without the extra ``html``, and for an unknown site or theme.
        """
        from pytest_initcheck.report.figures import figure

        return figure(self, site, theme)

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.html import fragment

        return fragment(self)

    def __str__(self) -> str:
        from pytest_initcheck.report.terminal import render

        return render(self)


def verdict_counts(reports: Iterable[Report]) -> Counter[str]:
    """Count models by their verdicts, each by its worst example.

    >>> verdict_counts([Report("m", None, "pass", 0), Report("m", None, "fail", 0, example="m(1)")])
    Counter({'fail': 1})
    """
    worst: dict[str, str] = {}
    for report in reports:
        worst[report.id] = worst_verdict([report.verdict, worst.get(report.id, "pass")])
    return Counter(worst.values())


def json_number(value: float | None) -> float | None:
    """Return the number, or None where JSON has none (NaN and the infinities)."""
    return value if value is not None and math.isfinite(value) else None
