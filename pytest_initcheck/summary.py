"""From evidence to a Report. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
import statistics
import sys

from pytest_initcheck import sequential
from pytest_initcheck.choices import notes_on
from pytest_initcheck.config import DRIFT, Limits
from pytest_initcheck.diagnosis import Bench, findings_for
from pytest_initcheck.drift import drift_findings, notes_on_drift
from pytest_initcheck.evidence import Claims
from pytest_initcheck.factory import canonical
from pytest_initcheck.profiles import profile
from pytest_initcheck.replicates import CLEAN_INITS
from pytest_initcheck.report.result import InvariantResult, Report, worst_verdict
from pytest_initcheck.site_rows import rows
from pytest_initcheck.subject import Evidence, Subject
from pytest_initcheck.trace import CHAOTIC

_COMPANY = {
    "torch": ("torch",),
    "jax": ("jax", "flax", "equinox", "haiku"),
    "keras": ("keras", "torch", "jax", "tensorflow"),
    "numpy": ("numpy",),
}
"""What a model of a framework may depend on, of what its process has imported."""
_FRAMEWORKS = ("torch", "jax", "flax", "equinox", "haiku", "keras", "tensorflow", "numpy")


def framework_versions() -> dict[str, str]:
    """Return the versions of the frameworks that this process has imported."""
    # not those of the distributions: TensorFlow's has several names
    found = {name: getattr(sys.modules.get(name), "__version__", "") for name in _FRAMEWORKS}
    return {name: version for name, version in found.items() if version}


def summed_up(subject: Subject, evidence: Evidence, bench: Bench) -> Report:
    """Return the Report that this evidence gives; fixes are tried on the bench."""
    trace, claims = evidence.trace, evidence.claims
    findings = findings_for(evidence, subject.limits, bench, built=evidence.built)
    versions, spread = framework_versions(), _spread(evidence.lengths)
    company = _COMPANY.get(trace.framework, ())
    # a build for another device is the same version
    own = {name: versions[name].partition("+")[0] for name in company if name in versions}
    drift_notes: tuple[str, ...] = ()
    if subject.expected is not None and not evidence.built:
        findings += drift_findings(evidence, subject.expected, own, subject.baseline)
        drift_notes = notes_on_drift(evidence, subject.expected, evidence.inputs, subject.baseline)
    measured = None
    if evidence.numbers:
        measured = profile(evidence.numbers, inputs=evidence.inputs, spread=spread, versions=own)
    results = {name: _result(name, claims, subject.limits) for name in subject.invariants}
    judged = sum(claim.verdict not in ("vacuous", "skipped") for claim in claims.values())
    # later invariants suffer from what earlier ones are about
    wrong = next((finding.site for finding in findings if finding.severity == "error"), None)
    return Report(
        id=subject.id,
        framework=trace.framework,
        verdict=worst_verdict(result.verdict for result in results.values()),
        root_seed=subject.root_seed,
        invariants=results,
        findings=findings,
        sites=rows(trace, wrong, evidence.extremes, plots=subject.plots),
        unobserved=tuple(dict.fromkeys(f"{place}: {reason}" for place, reason in trace.unobserved)),
        example=canonical(subject.example) or None,
        inputs=evidence.inputs,
        replicates=max((c.walk.replicates for c in claims.values() if not c.fatal), default=1),
        seeds=evidence.seeds,
        claims=judged,
        error_bound=judged * sequential.claim_error_bound(),
        spread=spread,
        strict=subject.strict,
        frameworks=versions,
        profile=measured,
        notes=(
            *notes_on(trace),
            *drift_notes,
            *(
                f"allow({a.invariant!r}, at={a.at!r}) matches nothing; remove it ({a.reason})"
                for a in evidence.unmatched
            ),
        ),
    )


def _result(name: str, all_claims: Claims, limits: Limits) -> InvariantResult:
    claims = [claim for claim in all_claims.values() if claim.invariant == name]
    limit, origin = _limit_of(name, limits)
    if not claims:
        return InvariantResult("skipped", 0, limit, origin, note=_NOT_APPLICABLE.get(name))
    verdicts = [claim.verdict for claim in claims]
    verdict = next(v for v in ("fail", "inconclusive", "pass", "vacuous", "skipped") if v in verdicts)
    if verdict == "pass" and any(c.verdict == "vacuous" and c.measure.essential for c in claims):
        verdict = "vacuous"
    notes = _untested([c.measure.vacuous for c in claims if c.verdict == "vacuous"])
    if "skipped" in verdicts:
        notes.append("allowed at some sites")
    fatal = [claim for claim in claims if claim.fatal]
    return InvariantResult(
        verdict,
        max((c.walk.replicates for c in claims if not c.fatal), default=claims[0].walk.replicates),
        limit,
        origin,
        claims=sum(v not in ("vacuous", "skipped") for v in verdicts),
        inits_seen=max((c.seen for c in fatal), default=0),
        inits_wanted=CLEAN_INITS if fatal else 0,
        note="; ".join(dict.fromkeys(n for n in notes if n)) or None,
    )


def _untested(reasons: list[str | None]) -> list[str | None]:
    """Return the first reason and how many claims more could not be tested for one like it."""
    known = list(dict.fromkeys(reasons))
    if len(known) < 2:
        return list(known)
    return [f"{known[0]} (and {len(known) - 1} more claims of its kind cannot be tested)"]


_NOT_APPLICABLE = {
    "saturation": "no hidden layer has a bounded activation",
    "dead-relu": "no layer has rectifier units",
    "inputs": "tokens, one-hot rows and what a normalisation reads first have no scale to judge",
    "variance": "no run of layers was seen",
    "gradient": "batch normalisation amplifies noise by design, or no run of layers was seen",
    "trainable": "gradients of single tensors are not seen here, or none is trainable",
    "symmetry": "no weight matrix was seen",
    "matched-init": "no weight layer but the head was seen",
    "reproducible": "the output was not seen",
    DRIFT: "no layer can be compared with the baseline",
}


def _limit_of(name: str, limits: Limits) -> tuple[tuple[float | None, float | None] | None, str]:
    """Return an invariant's limit as (low, high), and where it came from."""
    if name == "variance":
        factor = limits["variance"]
        bounds = (2.0**-16, 46.0) if factor is None else (1 / factor, factor)
        return bounds, limits.source("variance")
    if name == "gradient":
        factor = limits["gradient"]
        return (0.0, CHAOTIC) if factor is None else (1 / factor, factor), limits.source("gradient")
    if name == "matched-init":
        reach = limits["matched_init"] or 0.0
        return (1 / (1 + reach), 1 + reach), limits.source("matched_init")
    if name in ("saturation", "dead-relu", "reproducible"):
        keyword = name.replace("-", "_")
        return (0.0, limits[keyword]), limits.source(keyword)
    if name == "inputs":
        return (0.0, limits["input_second_moment"]), limits.source("input_second_moment")
    return None, "default"


def _spread(lengths: tuple[float, ...]) -> float | None:
    logs = [math.log2(value) for value in lengths if value > 0 and math.isfinite(value)]
    return statistics.stdev(logs) if len(logs) > 1 else None
