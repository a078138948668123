"""What a claim's figures are once a fix was made, in a few words. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.evidence import Claim, Seen
from pytest_initcheck.runs import signal_per_layer
from pytest_initcheck.sentences import in_natural_units
from pytest_initcheck.trace import Trace

_FACTS = {
    "finite": "all values are finite",
    "trainable": "every tensor receives a gradient",
    "symmetry": "no units are equal",
}


def measured(key: tuple[str, str | None], seen: Seen, limits: Limits) -> str:
    """Return what an invariant measured: ``1.02x per layer``, ``19 % saturated at most``.

    * ``key`` is the invariant and the direction in which it failed before.
    """
    invariant, direction = key
    own = [claim for claim in seen.claims.values() if claim.invariant == invariant]
    failed = any(claim.verdict == "fail" for claim in own)
    if invariant in _FACTS:
        return "" if failed else _FACTS[invariant]
    if invariant == "variance":
        return _variance(seen.trace, direction)
    worst = _worst(own)
    if worst is None:
        return ""
    if invariant == "saturation":
        return f"{100 * worst:.0f} % saturated at most"
    if invariant == "dead-relu":
        return f"{100 * worst:.0f} % of units dead at most"
    if invariant == "inputs":
        return f"E[x^2] is {worst:.3g}"
    if invariant == "gradient" and limits["gradient"] is None:
        return f"1 % of noise moves the output {worst:.2g} times as far as another input does"
    return f"{worst:.3g}x"


def _worst(claims: list[Claim]) -> float | None:
    values = [
        value
        for claim in claims
        if not claim.fatal
        for value in [in_natural_units(claim.invariant, claim.measure)[0]]
        if value is not None and math.isfinite(value)
    ]
    return max(values, default=None)


def _variance(trace: Trace, direction: str | None) -> str:
    factor, layers = signal_per_layer(trace)
    logits = trace.sites[trace.logits].value.batch_variance if trace.logits >= 0 else math.nan
    if direction == "exploding" and 0 < logits < math.inf:
        return f"the logits' variance is {logits:.3g}"
    return f"{factor:.3g}x per layer" if layers > 1 else ""
