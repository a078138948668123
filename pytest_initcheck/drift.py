"""What has changed since the baseline was written: the layer, by how much, and since which versions.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from pytest_initcheck import sequential
from pytest_initcheck.config import DRIFT
from pytest_initcheck.evidence import Claim, Seen
from pytest_initcheck.first_wrong import place_of
from pytest_initcheck.invariants.drift import changed_layers
from pytest_initcheck.profiles import Layer, Profile, numbers
from pytest_initcheck.report.first_line import LONGEST_MESSAGE
from pytest_initcheck.report.result import Finding, Fix

_WORDS = {"gain": "gain", "weight": "weight rms", "bias": "bias rms"}
_COSTS = "the model starts elsewhere than when the baseline was written: runs before and after differ"


def drift_findings(
    seen: Seen, expected: Profile, versions: Mapping[str, str], baseline: str
) -> tuple[Finding, ...]:
    """Return the finding about the first layer that has changed, or that could not be decided.

    * ``versions`` are those of now, ``baseline`` is the file that the profile is from.
    """
    own = [claim for claim in seen.claims.values() if claim.invariant == DRIFT]
    for verdict in ("fail", "inconclusive"):
        group = [claim for claim in own if claim.verdict == verdict]
        if group:
            return (_finding(group, seen, expected, versions, baseline),)
    return ()


def _finding(
    group: list[Claim], seen: Seen, expected: Profile, versions: Mapping[str, str], baseline: str
) -> Finding:
    """The first layer that has changed is told; what later ones show may follow from it."""
    first = min(group, key=lambda claim: (claim.measure.site, _quantity(claim) != "gain"))
    measure = first.violating or first.measure
    quantity, site = _quantity(first), seen.trace.sites[measure.site]
    layer = next(each for each in expected.layers if each.name == site.name)
    before = getattr(layer, quantity).middle
    now = 2.0**measure.value if measure.value is not None else math.nan
    others = len({claim.measure.site for claim in group}) - 1
    here = [_change(claim, layer) for claim in group if claim.measure.site == measure.site]
    changed = _changed_versions(expected, versions)
    short = "; ".join((_change(first, layer), *changed))
    detail = "; ".join(
        (
            *(text for text in here if text),
            *(
                [f"{others} later {'layer has' if others == 1 else 'layers have'} changed too"]
                * (others > 0)
            ),
        )
    )
    decided = first.verdict == "fail"
    command = (
        f"pytest --initcheck --initcheck-baseline {shlex.quote(baseline)} --initcheck-update-baseline"
    )
    advice = "if this change is meant, write the baseline anew and review its lines; if not, undo it"
    fix = Fix(advice, command, result="only you know whether it is meant")
    return Finding(
        DRIFT,
        "error" if decided else "warning",
        first.verdict,
        "up" if now > before else "down",
        site.name,
        now,
        measure.limit,
        short if len(short) <= LONGEST_MESSAGE else _change(first, layer),
        _cause(expected, changed),
        f"{advice}:\n{command}",
        f"{first.walk.violations} of {first.walk.replicates} replicates outside the band of "
        f"{expected.inits} initialisations of the baseline; p < {sequential.claim_error_bound():.0e} "
        "for an init that has not changed",
        kind="other versions" if changed else "own code",
        place=place_of(site, seen.trace),
        detail=detail,
        costs=_COSTS,
        fixes=(fix,),
    )


def _quantity(claim: Claim) -> str:
    return claim.measure.claim.partition("/")[0]


def _change(claim: Claim, layer: Layer) -> str:
    measure, quantity = claim.violating or claim.measure, _quantity(claim)
    if measure.value is None:
        return ""
    before = getattr(layer, quantity).middle
    return f"{_WORDS[quantity]} {_number(before)} to {_number(2.0**measure.value)}"


def _number(value: float) -> str:
    """Return three digits, as a reader compares them.

    >>> _number(1.0), _number(0.05103), _number(0.0)
    ('1.00', '0.0510', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:#.3g}".rstrip(".") if 1e-4 <= value < 1e4 else f"{value:.3g}"


def _changed_versions(expected: Profile, versions: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {before} to {versions[name]}"
        for name, before in expected.versions.items()
        if versions.get(name, before) != before
    ]


def _cause(expected: Profile, changed: list[str]) -> str:
    if changed:
        return f"since the baseline was written: {', '.join(changed)}"
    same = ", ".join(f"{name} {version}" for name, version in expected.versions.items())
    return f"the versions are those of the baseline ({same}): look at what builds the model"


def notes_on_drift(seen: Seen, expected: Profile, inputs: str, baseline: str) -> tuple[str, ...]:
    """Say what of a profile could not be compared."""
    found = []
    if inputs != expected.inputs:
        found.append(
            f"the inputs are {inputs}, and {expected.inputs} in {baseline}: gains are not compared; "
            "write the baseline anew"
        )
    changed = changed_layers(expected, numbers(seen.trace))
    if changed is not None:
        new, gone = (_listed(names) for names in changed)
        parts = [f"{text} {what}" for text, what in ((new, "new"), (gone, "gone or changed")) if text]
        found.append(
            f"the layers are not those of {baseline} ({'; '.join(parts)}), so nothing is compared; "
            "write the baseline anew"
        )
    return tuple(found)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
