"""Failed and undecided claims told as findings. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_initcheck import sequential
from pytest_initcheck.config import DRIFT, Limits
from pytest_initcheck.costs import costs_of
from pytest_initcheck.evidence import Claim, Claims, Seen
from pytest_initcheck.first_wrong import named_site, place_of
from pytest_initcheck.invariants import Measure
from pytest_initcheck.remedies import Why
from pytest_initcheck.report.result import Finding, Fix
from pytest_initcheck.sentences import allowable, in_natural_units, says
from pytest_initcheck.trace import Site, Trace

Failing = tuple[str, str | None]
"""An invariant that failed, and the direction."""


def failing(claims: Claims) -> dict[Failing, list[Claim]]:
    """Return the failed claims by invariant and direction; drift has no cause in the model alone."""
    found: dict[Failing, list[Claim]] = {}
    for claim in claims.values():
        if claim.verdict == "fail" and claim.invariant != DRIFT:
            found.setdefault((claim.invariant, claim.measure.direction), []).append(claim)
    return found


@dataclass(frozen=True)
class Lead:
    """The failure that a cause is looked for at: where it starts, why, and what else fails there."""

    key: Failing
    group: list[Claim]
    site: Site | None
    reason: Why

    @property
    def place(self) -> str | None:
        return self.reason.place or (None if self.site is None else self.site.name)


def first_claim(group: list[Claim]) -> Claim:
    """Return the claim whose site comes first; whole-model claims come after those with a site.

    A parameter that is not finite comes before the values that it makes. Of two claims on one site that
    on the logits is the plainer.
    """

    def place(claim: Claim) -> tuple[bool, bool, int, bool]:
        measure = measure_of(claim)
        made = claim.invariant == "finite" and measure.claim != "parameters"
        return made, measure.site < 0, measure.site, measure.claim == "growth"

    return min(group, key=place)


def measure_of(claim: Claim) -> Measure:
    """Return what a claim is told by: its last violation, or its last measure."""
    return claim.violating or claim.measure


def told(
    lead: Lead, fixes: tuple[Fix, ...], also: tuple[str, ...], seen: Seen, limits: Limits
) -> Finding:
    """Return the finding about a lead: what was seen, its cause, and the fixes that were tried."""
    claim = first_claim(lead.group)
    measure = measure_of(claim)
    value, bounds = in_natural_units(claim.invariant, measure)
    more = len({measure_of(c).site for c in lead.group}) - 1
    tail = f"{more} later {'layer' if more == 1 else 'layers'} too" if more > 0 else ""
    said = says(claim, measure, seen.trace, limits)
    place = place_of(lead.site, seen.trace)
    if lead.site is None and lead.reason.place is not None:
        place = f"{lead.reason.place} (a parameter)"
    return Finding(
        claim.invariant,
        "error",
        "fail",
        measure.direction,
        lead.place,
        value,
        bounds,
        said.short,
        lead.reason.cause,
        text_of(fixes[0]) if fixes else "",
        _proof(claim, limits),
        kind=lead.reason.kind,
        place=place,
        detail="; ".join(part for part in (said.detail, tail) if part),
        costs=costs_of(claim.invariant, measure.direction),
        also=also,
        fixes=fixes,
        allow_at=allowable(map(measure_of, lead.group), seen.trace),
        also_at=tuple(_allowable(name, seen) for name in also),
    )


def _allowable(invariant: str, seen: Seen) -> str:
    groups = failing(seen.claims).items()
    own = (claim for (name, _), group in groups if name == invariant for claim in group)
    return allowable(map(measure_of, own), seen.trace)


def undecided(group: list[Claim], trace: Trace, limits: Limits, *, built: bool) -> Finding:
    """Return the finding about claims that could not be decided."""
    claim = max(group, key=lambda c: (c.walk.violations, -c.measure.site))
    measure = measure_of(claim)
    site = named_site(claim.invariant, measure, trace)
    value, bounds = in_natural_units(claim.invariant, measure)
    if built:
        message = "needs fresh inits; pass the factory"
        fix = "pass the function or class that builds the model, not a model that is built"
        proof = "one initialisation seen"
    else:
        message = f"undecided, {claim.walk.violations} of {claim.walk.replicates} outside"
        fix = "look at the value: it lies at the limit; change the init, or set the limit you want"
        seen = f"{claim.walk.violations} of {claim.walk.replicates} replicates outside the widened limit"
        proof = f"{seen} ({_source(claim, limits)}): too many to pass, too few to fail"
    cause = "the model is built already" if built else "the model sits at its limit"
    return Finding(
        claim.invariant,
        "warning",
        "inconclusive",
        measure.direction,
        None if site is None else site.name,
        value,
        bounds,
        message,
        cause,
        fix,
        proof,
        place=place_of(site, trace),
    )


def text_of(fix: Fix) -> str:
    """Return a fix as text: its advice, and its code below."""
    return f"{fix.advice}:\n{fix.code}" if fix.code else fix.advice


def _proof(claim: Claim, limits: Limits) -> str:
    source = _source(claim, limits)
    bound = sequential.claim_error_bound()
    if claim.one_look:
        return "a fact of this model, one look decides"
    if claim.measure.fatal is not None:
        events = f"seen in {claim.walk.violations} of {claim.walk.replicates} fresh inits"
        p0 = claim.measure.fatal[0]
        return f"{events}; p < {bound:.0e} where at most {p0:.2g} of inits may show it"
    if claim.invariant == "inputs":
        return f"{claim.walk.violations} of {claim.walk.replicates} draws of the inputs ({source})"
    return (
        f"{claim.walk.violations} of {claim.walk.replicates} replicates outside the widened limit "
        f"({source}); p < {bound:.0e} for a correct init"
    )


def _source(claim: Claim, limits: Limits) -> str:
    """Say where the limit of a claim came from."""
    keyword = "input_second_moment" if claim.invariant == "inputs" else claim.invariant.replace("-", "_")
    return limits.source(keyword) if keyword in limits.settings else "default"
