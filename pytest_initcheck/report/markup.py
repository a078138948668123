"""Which parts of a line of a report stand out, in the words of pytest's terminal writer.

Colours are found in the text itself: a report of another process arrives as text.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re

from pytest_initcheck.report.findings_text import CODE

Segment = tuple[str, dict[str, bool]]
"""A piece of a line, and the keywords to write it with."""

_LABEL = re.compile(r"  (?P<label>[a-z]+) +(?=\S)")
_MARK = re.compile(r" {10,}(\^ first wrong: |first wrong: .* \^$)")
_LABELS = (
    "allow", "also", "at", "cause", "cost", "costs", "example", "fix", "more", "note", "or", "proof",
    "repeat", "seen", "signal", "spread", "tried", "unobserved", "untried", "whole",
)  # fmt: skip
_TO_TYPE = ("allow", "more", "repeat")


def segments(line: str) -> list[Segment]:
    """Return the line in pieces, each with its markup; together they are the line.

    >>> segments("  tried   passes, 1.02x per layer")
    [('  tried   ', {'bold': True}), ('passes, 1.02x per layer', {'green': True})]
    """
    if re.match(r"([a-z-]+ )?(FAIL|ERROR) ", line):
        return [(line, {"red": True, "bold": True})]
    if re.match(r"([a-z-]+ )?INCONCLUSIVE ", line):
        return [(line, {"yellow": True})]
    if line.startswith("> ") or _MARK.match(line):
        return [(line, {"red": True})]
    if line.startswith(CODE):
        return [(line, {"cyan": True})]
    found = _LABEL.match(line)
    if found is None or found["label"] not in _LABELS:
        return [(line, {})]
    rest = line[found.end() :]
    return [(found[0], {"bold": True}), (rest, _markup_of(found["label"], rest))]


def _markup_of(label: str, rest: str) -> dict[str, bool]:
    if label in _TO_TYPE:
        return {"cyan": True}
    if label == "tried":
        return {"green" if rest.startswith("passes") else "yellow": True}
    return {}
