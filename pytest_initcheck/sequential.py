"""Wald's sequential test on "a fresh initialisation violates the limit", and its error bound.

A *common* claim walks +1 for a violation and -1 for a clean replicate: P(violation) <= 0.1 against
>= 0.9, whose log-likelihood steps are exactly +-ln 9 (Wald 1945).  A *fatal* claim, about an
event that a correct initialisation almost never shows, walks by ln(p1/p0) and ln((1-p1)/(1-p0)).
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

P0 = 0.1
"""P(violation) that a correct model may have, per common claim."""
FAIL_AT = 13
PASS_AT = -3
CAP = 64
FATAL_P0 = 0.001
FATAL_P1 = 0.1
FATAL_FAIL_AT = 28.55
"""13 ln 9 = 28.56: the same error bound as a common claim."""
FATAL_PASS_AT = -6.57
FATAL_CAP = 256

_ODDS = (1 - P0) / P0


def claim_error_bound() -> float:
    """Return the probability that a claim fails although P(violation) <= 0.1, at most.

    Gambler's ruin between FAIL_AT and PASS_AT, exact without the cap and an upper
    bound with it.  A fatal claim obeys Wald's bound exp(-28.55), which is as small.

    >>> f"{claim_error_bound():.1e}"
    '4.0e-13'
    """
    ruin = (_ODDS**-PASS_AT - 1) / (_ODDS ** (FAIL_AT - PASS_AT) - 1)
    return max(ruin, math.exp(-FATAL_FAIL_AT))


@dataclass(frozen=True, slots=True)
class Walk:
    """The state of one claim: immutable, advanced by :meth:`step`.

    >>> walk = common_walk()
    >>> for _ in range(3):
    ...     walk = walk.step(violated=False)
    >>> walk.verdict
    'pass'
    """

    up: float
    down: float
    fail_at: float
    pass_at: float
    cap: int
    score: float = 0.0
    replicates: int = 0
    violations: int = 0

    def step(self, *, violated: bool) -> Walk:
        """Return the walk after one more replicate; a decided walk stays as it is."""
        if self.decided:
            return self
        return Walk(
            self.up,
            self.down,
            self.fail_at,
            self.pass_at,
            self.cap,
            self.score + (self.up if violated else self.down),
            self.replicates + 1,
            self.violations + violated,
        )

    @property
    def decided(self) -> bool:
        return self.verdict is not None

    @property
    def verdict(self) -> str | None:
        """``"fail"``, ``"pass"``, ``"inconclusive"`` at the cap, or None while undecided."""
        if self.score >= self.fail_at:
            return "fail"
        if self.score <= self.pass_at:
            return "pass"
        return "inconclusive" if self.replicates >= self.cap else None


def common_walk() -> Walk:
    """Return the walk of a common claim: fail at 13 net violations, pass at 3 net clean ones."""
    return Walk(1.0, -1.0, FAIL_AT, PASS_AT, CAP)


def fatal_walk(p0: float = FATAL_P0, p1: float = FATAL_P1) -> Walk:
    """Return the walk of a fatal claim, P(event) <= p0 against >= p1.

    With the defaults 7 events in a row fail and 63 clean replicates pass.

    Raises ValueError unless 0 < p0 < p1 < 1.
    """
    if not 0 < p0 < p1 < 1:
        raise ValueError(f"p0 and p1 must satisfy 0 < p0 < p1 < 1, got {p0} and {p1}")
    up, down = math.log(p1 / p0), math.log((1 - p1) / (1 - p0))
    return Walk(up, down, FATAL_FAIL_AT, FATAL_PASS_AT, FATAL_CAP)
