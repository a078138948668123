"""The explanation of an invariant as Markdown, for tools that show it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.config import INVARIANTS, LIMITS
from pytest_initcheck.explain import EXPLANATIONS, allowing, asking, limit_told
from pytest_initcheck.report.markdown import escaped, fenced


def in_markdown(name: str) -> str:
    """Return what ``explained`` says of an invariant as Markdown.

    >>> in_markdown("dead-relu").splitlines()[0]
    '**few rectifier units are inactive on every input**'
    """
    return "\n".join(_lines(name))


def _lines(name: str) -> Iterator[str]:
    row = next(each for each in INVARIANTS if each.name == name)
    found = next(each for each in EXPLANATIONS if each.invariant == name)
    limits = [limit for limit in LIMITS if limit.invariant == name]
    yield f"**{escaped(row.asserts)}**"
    yield from _part("Why it matters", found.matters)
    yield from _part("When it fails", found.judged)
    if limits:
        yield from _part("Its limit" if len(limits) == 1 else "Its limits")
        yield from (f"- {escaped(limit_told(limit))}" for limit in limits)
    yield from _part(f"Theory (docs/principles.md {', '.join(found.principles)})", found.theory)
    yield ""
    yield from (f"- {escaped(source)}" for source in found.sources)
    yield from _part("Typical causes, and their fixes")
    for cause in found.causes:
        yield f"- {escaped(cause.what)}"
        yield from (f"  {line}" for line in fenced([cause.fix]))
    yield from _part("How to ask for it, or set its limit" if limits else "How to ask for it")
    yield from fenced(asking(row, limits))
    yield from _part("How to allow a known deviation", f"where {found.allow_when}:")
    yield ""
    yield from fenced(allowing(found))


def _part(heading: str, text: str = "") -> Iterator[str]:
    yield from ("", f"### {heading}", "")
    if text:
        yield escaped(text)
