"""A table with a row per site, around the first wrong one.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.report.layout import USUAL, Layout
from pytest_initcheck.report.prose import columns, number, plain, share, shortened
from pytest_initcheck.report.result import SiteRow

MOST_ROWS = 24
COMPACT_ROWS = 6
_BEFORE = 2
"""Rows that a compact table shows before the first wrong one."""
_HEADINGS = ("site", "op", "signal", "2nd moment", "gain", "saturated", "dead")
_LEFT_OUT_FIRST = ("op", "2nd moment", "dead", "saturated", "gain")
"""The order in which columns give way where the terminal is narrow."""
_TEXTS = ("site", "op")
_LONGEST_OP = 16
_SHORTEST_NAME = 8
_POINTER = "  <-- first wrong"


def site_table(sites: Sequence[SiteRow], layout: Layout = USUAL) -> list[str]:
    """Return the table of sites, the first wrong one marked and in the middle of what is shown.

    * ``signal`` is the variance over the batch: the part of the second moment that tells inputs apart.
    * Columns that hold nothing are left out, and so is what a narrow terminal has no room for.
    """
    if not sites:
        return []
    wrong = next((index for index, site in enumerate(sites) if site.first_wrong), None)
    start, stop = _window(len(sites), wrong, layout)
    rows = [_HEADINGS, *(_cells(site) for site in sites[start:stop])]
    shown, places = _fitted(rows, layout.columns)
    lines = [_row(shown[0], places)]
    if start:
        lines.append(f"  ... and {start} more before")
    for index, row in enumerate(shown[1:], start):
        line = _row(row, places, mark=index == wrong)
        if index == wrong and columns(line) + len(_POINTER) <= layout.columns:
            line += _POINTER
        lines.append(line)
    if stop < len(sites):
        lines.append(f"  ... and {len(sites) - stop} more")
    return lines


def _window(count: int, wrong: int | None, layout: Layout) -> tuple[int, int]:
    whole = layout.detail == "whole"
    most, before = (MOST_ROWS, MOST_ROWS // 3) if whole else (COMPACT_ROWS, _BEFORE)
    if count <= most + (0 if whole else 2):  # "... and 1 more" takes the line that it saves
        return 0, count
    start = max(0, min((wrong or 0) - before, count - most))
    return start, start + most


def _cells(site: SiteRow) -> tuple[str, ...]:
    gain = "-" if site.gain is None else f"{number(site.gain)}x"
    moments = ("non-finite", "non-finite") if site.non_finite else ()
    moments = moments or (number(site.batch_variance), number(site.second_moment))
    op = shortened(plain(site.op), _LONGEST_OP)
    return plain(site.name), op, *moments, gain, share(site.saturated), share(site.dead)


def _fitted(rows: Sequence[Sequence[str]], width: int) -> tuple[list[list[str]], list[tuple[int, bool]]]:
    """Return the rows without the columns that are empty or have no room.

    With them the width of each column that is left, and whether its cells stand at its right.
    """
    kept = [
        column
        for column, heading in enumerate(_HEADINGS)
        if heading in ("site", "signal") or any(row[column] != "-" for row in rows[1:])
    ]
    for heading in (None, *_LEFT_OUT_FIRST):
        kept = [column for column in kept if _HEADINGS[column] != heading]
        sizes = [max(columns(row[column]) for row in rows) for column in kept]
        room = width - 2 - sum(sizes[1:]) - 2 * (len(sizes) - 1)
        if min(sizes[0], _SHORTEST_NAME) <= room:
            break
    sizes[0] = min(sizes[0], room)
    places = [(size, _HEADINGS[column] not in _TEXTS) for column, size in zip(kept, sizes, strict=True)]
    return [[shortened(row[kept[0]], room), *(row[c] for c in kept[1:])] for row in rows], places


def _row(cells: Sequence[str], places: Sequence[tuple[int, bool]], *, mark: bool = False) -> str:
    padded = []
    for cell, (size, right) in zip(cells, places, strict=True):
        pad = " " * (size - columns(cell))
        padded.append(pad + cell if right else cell + pad)
    return ("> " if mark else "  ") + "  ".join(padded)
