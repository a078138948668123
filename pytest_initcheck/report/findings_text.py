"""A finding as text: what was seen, why, what it costs, the fix and what it did, the proof.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_initcheck.report.layout import USUAL, Layout
from pytest_initcheck.report.prose import LABEL, clipped, labelled, plain
from pytest_initcheck.report.result import Finding, Fix

CODE = " " * (LABEL + 2)
"""What stands before a line of code: more than before prose."""
_ADVICE = 44
"""Columns of what is left of an advice that did not help."""


def explained(finding: Finding, layout: Layout = USUAL) -> Iterator[str]:
    """Yield what a finding says after its first line: place, cause, costs, fix and proof."""
    width = layout.columns
    if finding.place and finding.place not in (finding.site, "the model"):
        yield from labelled("at", finding.place, width)
    yield from labelled("seen", finding.detail, width)
    yield from labelled("cause", cause(finding), width)
    yield from labelled("costs", finding.costs, width)
    yield from labelled("kept", finding.reason, width)
    yield from fixes(finding, layout)
    yield from labelled("also", _also(finding.also), width)
    yield from labelled("proof", finding.proof, width)


def in_short(finding: Finding, elsewhere: str, layout: Layout = USUAL) -> Iterator[str]:
    """Yield cause and fix in a line each, and where the whole text of the finding stands."""
    room = layout.columns - LABEL
    yield from labelled("cause", clipped(plain(cause(finding)), room), layout.columns)
    best, _ = chosen(finding.fixes)
    if best is not None:
        tried = f"; {best.result}" if best.helped and best.result else ""
        advice = clipped(plain(best.advice), max(room - len(tried), room // 2))
        yield from labelled("fix", f"{advice}{tried}", layout.columns)
    else:
        yield from labelled("fix", clipped(plain(finding.fix), room), layout.columns)
    yield f"  {'whole':<{LABEL - 3}} {plain(elsewhere)}"  # an id is copied, so never broken


def cause(finding: Finding) -> str:
    """Return the cause, its kind first where it has one."""
    return f"{finding.kind}: {finding.cause}" if finding.kind else finding.cause


def _also(invariants: Sequence[str]) -> str:
    if len(invariants) < 2:
        return "".join(f"{name} fails for this cause" for name in invariants)
    return f"{', '.join(invariants[:-1])} and {invariants[-1]} fail for this cause"


# -- fixes ---------------------------------------------------------------------------------------


def chosen(found: Sequence[Fix]) -> tuple[Fix | None, tuple[Fix, ...]]:
    """Return the fix to show whole, and those that were tried before it in vain.

    The first that helped, or else the first that was not tried, or else the first.
    """
    for outcome in (True, None, False):
        best = next((fix for fix in found if fix.helped is outcome), None)
        if best is not None:
            vain = tuple(fix for fix in found if fix.helped is False and fix is not best)
            return best, vain
    return None, ()


def fixes(finding: Finding, layout: Layout = USUAL) -> Iterator[str]:
    """Yield the fixes: those that did not help in short, then the best with its code."""
    width = layout.columns
    best, vain = chosen(finding.fixes)
    if best is None:
        yield from _untold(finding, width)
        return
    for fix in vain:
        yield from labelled("tried", f"{clipped(plain(fix.advice), _ADVICE)}: {fix.result}", width)
    yield from _fix("fix", best, width)
    if layout.detail == "whole":
        for fix in finding.fixes:
            if fix is not best and fix not in vain:
                yield from _fix("or", fix, width)


def _fix(label: str, fix: Fix, width: int) -> Iterator[str]:
    yield from labelled(label, fix.advice, width)
    for line in fix.code.split("\n") if fix.code else ():
        yield f"{CODE}{plain(line)}"  # copied by readers, so never broken
    if fix.helped is None:
        yield from labelled("untried", fix.result, width)
    else:
        yield from labelled("tried", fix.result or ("passes" if fix.helped else "still fails"), width)


def _untold(finding: Finding, width: int) -> Iterator[str]:
    """Yield a fix that is text alone: it may be code, unless nothing is known to be wrong."""
    if finding.verdict == "inconclusive":
        yield from labelled("fix", finding.fix, width)
    elif finding.fix:
        yield f"  {'fix':<{LABEL - 3}} {plain(finding.fix)}"
