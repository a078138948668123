"""``pytest --initcheck-explain NAME``: what an invariant means, its limits, its theory, its causes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_initcheck.config import DRIFT, DRIFT_ASSERTS, INVARIANTS, LIMITS, Invariant, Limit
from pytest_initcheck.explain import drift, signals, units
from pytest_initcheck.explain.explanation import Cause, Explanation
from pytest_initcheck.report.prose import LEAST_WIDTH, wrapped

EXPLANATIONS: tuple[Explanation, ...] = (
    signals.FINITE,
    signals.INPUTS,
    signals.VARIANCE,
    units.SATURATION,
    units.DEAD_RELU,
    signals.GRADIENT,
    units.TRAINABLE,
    units.SYMMETRY,
    units.MATCHED_INIT,
    signals.REPRODUCIBLE,
)
_INDENT = "  "
_SOME_SHARE = 0.1
"""Stands for a limit that has no default, neither here nor in its decorator."""

__all__ = ["EXPLANATIONS", "Cause", "Explanation", "explained"]


def explained(name: str, width: int = 80) -> Iterator[str]:
    """Yield the explanation of an invariant: headings at the margin, their text below them.

    Code is never broken.

    >>> next(explained("variance"))
    'variance: the signal neither vanishes nor explodes with depth'
    """
    if name == DRIFT:
        yield from _drift(max(width, LEAST_WIDTH))
        return
    row = next(each for each in INVARIANTS if each.name == name)
    found = next(each for each in EXPLANATIONS if each.invariant == name)
    limits = [limit for limit in LIMITS if limit.invariant == name]
    width = max(width, LEAST_WIDTH)
    yield from wrapped(f"{name}: {row.asserts}", width, rest=_INDENT)
    yield from _part("why it matters", found.matters, width)
    yield from _part("when it fails", found.judged, width)
    if limits:
        yield from _part("its limit" if len(limits) == 1 else "its limits", "", width)
    for limit in limits:
        yield from wrapped(limit_told(limit), width, _INDENT, _INDENT * 2)
    yield from _part(f"theory (docs/principles.md {', '.join(found.principles)})", found.theory, width)
    yield from _sources_and_causes(found.sources, found.causes, width)
    yield from _part("how to ask for it, or set its limit" if limits else "how to ask for it", "", width)
    yield from (f"{_INDENT}{line}" for line in asking(row, limits))
    yield from _part("how to allow a known deviation", f"where {found.allow_when}:", width)
    yield from (f"{_INDENT}{line}" for line in allowing(found))


def _drift(width: int) -> Iterator[str]:
    yield from wrapped(f"{DRIFT}: {DRIFT_ASSERTS}", width, rest=_INDENT)
    yield from _part("why it matters", drift.MATTERS, width)
    yield from _part("when it fails", drift.JUDGED, width)
    yield from _part("theory", drift.THEORY, width)
    yield from _sources_and_causes(drift.SOURCES, drift.CAUSES, width)
    yield from _part("how to ask for it", "", width)
    yield f"{_INDENT}pytest --initcheck --initcheck-baseline FILE --initcheck-update-baseline"
    yield f"{_INDENT}pytest --initcheck --initcheck-baseline FILE"
    yield f"{_INDENT}initcheck_baseline = FILE"
    yield from _part("how to keep a known one", "a line of the model's table in FILE:", width)
    known = 'invariant = "drift", site = "features.4", direction = "down"'
    yield f'{_INDENT}known = [{{ {known}, reason = "..." }}]'


def _sources_and_causes(sources: Iterable[str], causes: Iterable[Cause], width: int) -> Iterator[str]:
    for source in sources:
        yield from wrapped(source, width, "  - ", "    ")
    yield from _part("typical causes, and their fixes", "", width)
    for cause in causes:
        yield from wrapped(cause.what, width, "  - ", "    ")
        yield f"      {cause.fix}"


def _part(heading: str, text: str, width: int) -> Iterator[str]:
    yield ""
    yield from wrapped(heading, width, rest=_INDENT)
    if text:
        yield from wrapped(text, width, _INDENT, _INDENT)


def limit_told(limit: Limit) -> str:
    """Return a limit in words: its keyword, what it bounds and its default.

    >>> limit_told(LIMITS[5])
    'saturation: largest saturated share of a hidden layer (default 0.25)'
    """
    return f"{limit.keyword}: {limit.help} (default {_default(limit)})"


def _default(limit: Limit) -> str:
    """Say what the limit is where nobody sets it, and what its decorator then asks."""
    if limit.default is not None:
        return f"{limit.default:g}"
    return "unset" if limit.asked is None else f"unset; {limit.asked:g} with the decorator"


def allowing(found: Explanation) -> Iterator[str]:
    """Yield the ways to allow a deviation: decorator and ini file."""
    yield f'@ic.allow("{found.invariant}", at="{found.allow_at}", reason="...")'
    yield f"initcheck_allow = {found.invariant} | {found.allow_at} | ..."


def asking(row: Invariant, limits: list[Limit]) -> Iterator[str]:
    """Yield the ways to ask: decorator, marker, call and ini file."""
    arguments = ", ".join(f"{limit.parameter}={_example(limit):g}" for limit in limits)
    yield f"@ic.{row.decorator}({arguments})"
    if not limits:
        yield f'@pytest.mark.initcheck(only=["{row.name}"])'
        yield f'ic.check(..., only=["{row.name}"])'
        return
    keywords = ", ".join(f"{limit.keyword}={_example(limit):g}" for limit in limits)
    yield f"@pytest.mark.initcheck({keywords})"
    yield f"ic.check(..., {keywords})"
    for limit in limits:
        yield f"{limit.ini} = {_example(limit):g}"


def _example(limit: Limit) -> float:
    for value in (limit.asked, limit.default):
        if value is not None:
            return value
    return _SOME_SHARE
