"""Text inside Markdown: whatever it holds, it is shown as it is and does nothing. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_initcheck.report.prose import plain

_INLINE = re.compile(r"[\\`*_\[\]#!|~$@]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
"""What begins emphasis, code, links, images, cells, formulas, emoji, mentions and bare addresses."""
_START = re.compile(r"^(\s*\d*)([-+=.])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SHORTEST_FENCE = 3


def escaped(text: str) -> str:
    r"""Return the text on one line, with all that Markdown or HTML would act on escaped.

    >>> escaped("](x) <b> 0.weight | `a`")
    '\\](x) &lt;b&gt; 0.weight \\| \\`a\\`'
    """
    inert = _INLINE.sub(r"\\\g<0>", plain(text))
    inert = re.sub("[<>&]", lambda found: _ENTITIES[found[0]], inert)
    return _START.sub(r"\1\\\2", inert)


def fenced(lines: Iterable[str], language: str = "python") -> list[str]:
    """Return the lines as a code block, its fence longer than any in them.

    >>> fenced(["x = 1", "```"])
    ['````python', 'x = 1', '```', '````']
    """
    shown = [plain(line) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(longest + 1, _SHORTEST_FENCE)
    return [f"{fence}{language}", *shown, fence]
