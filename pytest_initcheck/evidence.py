"""From measures to walks to verdicts: what replicates say about every claim. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pytest_initcheck import sequential
from pytest_initcheck.invariants import Measure
from pytest_initcheck.sequential import Walk
from pytest_initcheck.trace import Trace

Key = tuple[str, str]


@dataclass(frozen=True)
class Claim:
    """One claim's walk, with the last measure and the last violating one.

    ``allowed`` claims are measured and not judged.  ``seen`` counts the initialisations.
    """

    invariant: str
    measure: Measure
    walk: Walk
    violating: Measure | None = None
    allowed: bool = False
    seen: int = 0
    ended_early: bool = False
    one_look: bool = False

    @property
    def fatal(self) -> bool:
        return self.measure.fatal is not None

    @property
    def open(self) -> bool:
        return not self.allowed and self.measure.vacuous is None and not self.walk.decided

    @property
    def verdict(self) -> str:
        """One of pass, fail, inconclusive, vacuous, skipped (allowed)."""
        if self.allowed:
            return "skipped"
        if self.measure.vacuous is not None:
            return "vacuous"
        if self.one_look:
            if not self.measure.fact:
                return "inconclusive"
            return "fail" if self.violating is not None else "pass"
        if self.walk.verdict is not None:
            return self.walk.verdict
        return "pass" if self.ended_early and self.walk.violations == 0 else "inconclusive"


Claims = Mapping[Key, Claim]


@dataclass(frozen=True)
class Seen:
    """What the replicates of one model showed: its claims, and the trace of its first initialisation."""

    claims: Claims
    trace: Trace


def start(measure: Measure) -> Walk:
    if measure.fatal is None:
        return sequential.common_walk()
    return sequential.fatal_walk(*measure.fatal)


def step(
    claims: Claims,
    invariant: str,
    measures: Iterable[Measure],
    allowed: frozenset[Key],
    *,
    fatal: bool,
) -> Claims:
    """Return the claims after one replicate's measures for an invariant, common or fatal ones.

    A claim that did not appear in this replicate counts as clean, as a neutral value does, and so
    does a fatal event at an allowed site: the claim is about the whole model, the allowance is not.
    """
    updated = dict(claims)
    present = set()
    for measure in measures:
        key = (invariant, measure.claim)
        present.add(key)
        excused = key in allowed and fatal and measure.site >= 0
        if excused:
            measure = replace(measure, value=0.0)
        skipped = key in allowed and not excused
        known = updated.get(key) or Claim(invariant, measure, start(measure), allowed=skipped)
        updated[key] = _stepped(known, measure)
    for key, claim in claims.items():
        if claim.invariant == invariant and claim.fatal == fatal and key not in present:
            updated[key] = replace(claim, walk=claim.walk.step(violated=False), seen=claim.seen + 1)
    return updated


def _stepped(claim: Claim, measure: Measure) -> Claim:
    walk = claim.walk if claim.walk.decided else claim.walk.step(violated=measure.violated)
    return replace(
        claim,
        # the limits are those of the first replicate: what a reader can look up
        measure=replace(measure, vacuous=claim.measure.vacuous, fatal=claim.measure.fatal),
        walk=walk,
        violating=measure if measure.violated else claim.violating,
        seen=claim.seen + 1,
    )


def quiet(claims: Claims) -> Claims:
    """Return the claims after a glimpse that showed no rare event."""
    return {
        key: replace(claim, walk=claim.walk.step(violated=False), seen=claim.seen + 1)
        if claim.fatal and claim.open
        else claim
        for key, claim in claims.items()
    }


def averaged(group: list[tuple[Measure, ...]]) -> tuple[Measure, ...]:
    """Return one measure per common claim: value and limits averaged over a replicate's seeds."""
    by_claim: dict[str, list[Measure]] = {}
    for measures in group:
        for measure in measures:
            if measure.fatal is None:
                by_claim.setdefault(measure.claim, []).append(measure)
    return tuple(_mean(items) for items in by_claim.values())


def _mean(items: list[Measure]) -> Measure:
    values = [item.value for item in items if item.value is not None]
    return replace(
        items[0],
        value=math.fsum(values) / len(values) if values else None,
        low=math.fsum(item.low for item in items) / len(items),
        high=math.fsum(item.high for item in items) / len(items),
    )
