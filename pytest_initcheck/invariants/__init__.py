"""The invariants, one module each: a Trace gives the numbers that its claims are about.

A module offers ``measure(trace, limits, seeds)``: one :class:`Measure` per claim, its limit already
widened by two standard deviations of what a correct init does by luck, averaged over ``seeds``
initialisations.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SLACK = 2.0
"""Standard deviations by which a limit is widened (principles.md 2.2)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one initialisation says about one claim.

    * ``value`` is None where the claim has nothing to say; the replicate then counts as clean.
    * ``low`` and ``high`` are the widened limits, ``limit`` the plain ones for the reader.
    * ``fatal`` holds (p0, p1) for claims about an event; ``value`` is then 1.0 or 0.0.
    * ``fact``: decided by one look (a built model has only one).
    * ``vacuous`` says why the claim cannot be tested at this width; where it is ``essential``, the
      invariant is then not tested either, whatever its other claims say.
    """

    claim: str
    site: int
    value: float | None
    low: float = -math.inf
    high: float = math.inf
    limit: tuple[float, float] = (-math.inf, math.inf)
    direction: str | None = None
    fatal: tuple[float, float] | None = None
    fact: bool = False
    vacuous: str | None = None
    note: str | None = None
    essential: bool = False

    @property
    def tensor(self) -> str:
        """The tensor that a claim of `trainable` or `symmetry` is about; names may hold slashes."""
        return self.claim.removeprefix("equal/").removeprefix("copies/")

    @property
    def violated(self) -> bool:
        """Outside the widened limits; NaN is outside."""
        if self.value is None:
            return False
        return not self.low <= self.value <= self.high


def event(
    claim: str,
    site: int,
    happened: bool,
    *,
    p0: float,
    p1: float,
    vacuous: str | None = None,
    fact: bool = True,
    note: str | None = None,
) -> Measure:
    """Return the measure of a rare, fatal event."""
    return Measure(
        claim,
        site,
        1.0 if happened else 0.0,
        high=0.5,
        limit=(-math.inf, 0.0),
        fatal=(p0, p1),
        fact=fact,
        vacuous=vacuous,
        note=note,
    )


def rate_slack(rate: float, units: int, seeds: int) -> float:
    """Return the slack of a share of units: z sqrt(2 p (1 - p) / (n m)) (principles.md 2.2).

    The 2 is the design effect: units of one layer share their random input.
    """
    return SLACK * math.sqrt(2 * rate * (1 - rate) / (max(units, 1) * seeds))


def rate_seeds(rate: float, units: int) -> int:
    """Return how many seeds bring the slack of a rate down to a quarter of it (principles.md 2.2)."""
    return math.ceil(2 * rate * (1 - rate) / max(units, 1) * (4 * SLACK / rate) ** 2)
