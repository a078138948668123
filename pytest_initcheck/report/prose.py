"""Text for a terminal: escaped, measured in columns, shortened in its middle, wrapped.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence

LEAST_WIDTH = 40
LABEL = 10
"""Columns that a label takes with the margin before it: where its text begins."""


def plain(text: str) -> str:
    r"""Return the text on one line, with what could move the cursor or hide itself escaped.

    >>> plain("fc\x1b[2J")
    'fc\\x1b[2J'
    Nor does a line become a command to GitHub's log, wherever it is wrapped:

    >>> print(plain("::error::fc"))
    \x3a:error::fc
    """
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
    return _COMMAND.sub(lambda found: rf"\x{ord(found[0][0]):x}{found[0][1:]}", line)


_COMMAND = re.compile(r"(?<!\S)::(?=[\w-]+(?: .*)?::)|##(?=\[)")
"""What GitHub's runner takes for a command: "::" where a line begins, and "##[" anywhere in it."""


def columns(text: str) -> int:
    """Return how many columns of a terminal the text takes.

    >>> columns("fc1"), columns("\u5c42")
    (3, 2)
    """
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shortened(text: str, most: int) -> str:
    """Return the text cut in its middle to this many columns.

    >>> shortened("encoder.layers.11.linear1", 14)
    'encode...near1'
    """
    if columns(text) <= most:
        return text
    head = _starting(text, (most - 3 + 1) // 2)
    tail = _starting(text[::-1], most - 3 - columns(head))[::-1]
    return f"{head}...{tail}"


def clipped(text: str, most: int) -> str:
    """Return the text cut at its end to this many columns.

    >>> clipped("weights have std 0.0361", 15)
    'weights have...'
    """
    if columns(text) <= most:
        return text
    return f"{_starting(text, most - 3).rstrip(' ,;:')}..."


def _starting(text: str, most: int) -> str:
    """Return the longest start of the text that takes no more columns than this."""
    taken = 0
    for index, char in enumerate(text):
        taken += _columns_of(char)
        if taken > most:
            return text[:index]
    return text


def sharing(room: int, names: Sequence[str]) -> list[str]:
    """Return the names shortened so that together they take no more columns than there are.

    What a short one leaves over goes to the longer ones.

    >>> sharing(24, ["net", "encoder.layers.11.linear1"])
    ['net', 'encoder.l...1.linear1']
    """
    sizes = [columns(name) for name in names]
    left, parts = room, [0] * len(names)
    # the shortest first: what it does not need is the others'
    for rank, index in enumerate(sorted(range(len(names)), key=sizes.__getitem__)):
        parts[index] = min(sizes[index], left // (len(names) - rank))
        left -= parts[index]
    return [shortened(name, part) for name, part in zip(names, parts, strict=True)]


def wrapped(text: str, width: int = 80, first: str = "", rest: str = "") -> list[str]:
    """Return the text broken at spaces into lines of at most this many columns.

    * ``first`` stands before the first line, ``rest`` before the others.
    * A word that is longer than a line is cut; a number and its per cent stay together.

    >>> wrapped("the signal falls", 12, "a ", "  ")
    ['a the signal', '  falls']
    """
    width = max(width, columns(first) + 2, columns(rest) + 2)
    lines, line, filled = [], first, False
    for word in re.split(r" (?!%)", text):
        room = width - columns(line)
        if filled and columns(word) + 1 > room:
            lines.append(line.rstrip())
            line, filled, room = rest, False, width - columns(rest)
        line += f" {word}" if filled else word
        while columns(line) > width:
            start = _starting(line, width)
            lines.append(start)
            line = rest + line[len(start) :]
        filled = True
    return [*lines, line.rstrip()]


def labelled(label: str, text: str, width: int = 80) -> Iterator[str]:
    """Yield a text under its label, wrapped; nothing for an empty one.

    >>> list(labelled("proof", "13 of 13 replicates"))
    ['  proof   13 of 13 replicates']
    """
    if text:
        start = f"  {label:<{LABEL - 3}} "
        yield from wrapped(plain(text), max(width, LEAST_WIDTH), start, " " * LABEL)


def number(value: float | None) -> str:
    """Return three significant digits, or a dash for None.

    >>> number(0.000123456), number(None)
    ('0.000123', '-')
    """
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """Return a share in per cent, or a dash for None.

    >>> share(0.125)
    '12.5%'
    """
    if value is None:
        return "-"
    return f"{100 * value:.3g}%" if math.isfinite(value) else str(value)
