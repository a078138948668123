"""What plots draw besides curves: residual blocks, bands, and a curve small enough for a table.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_initcheck.report.result import Report, SiteRow

_OVERHANG = 0.35
_LEAST_DECADES = 2.0
"""A curve that stays within so many powers of ten is drawn as flat as it is."""
_MOST_POINTS = 80
_FEWEST_LAYERS = 3


def blocks(rows: Sequence[SiteRow]) -> list[tuple[int, int]]:
    """Return (first, last) of each residual block: from where its branches part to their addition.

    >>> def row(index, kind, *reads):
    ...     return SiteRow(str(index), kind, 1.0, 1.0, kind=kind, index=index, reads=reads)
    >>> blocks([row(0, "input"), row(1, "linear", 0), row(2, "linear", 1), row(3, "add", 2, 0)])
    [(0, 3)]
    """
    found = []
    for row in rows:
        if row.kind == "add" and len(row.reads) > 1:
            start = _parting(rows, row.reads)
            if start is not None:
                found.append((start, row.index))
    return found


def _parting(rows: Sequence[SiteRow], operands: Sequence[int]) -> int | None:
    """Return the last site that all ways to these operands share, None if they share none."""
    waiting = [-index for index in set(operands)]
    heapq.heapify(waiting)
    seen = set(waiting)
    while len(waiting) > 1:
        # the latest of them cannot be what the others come from
        reads = rows[-heapq.heappop(waiting)].reads
        if not reads:
            return None
        for read in reads:
            if -read not in seen:
                seen.add(-read)
                heapq.heappush(waiting, -read)
    return -waiting[0]


def segments(
    rows: Sequence[SiteRow], field: Literal["expected", "spread"]
) -> tuple[list[float | None], list[float | None]]:
    """Return x and y of the outlines of a band, closed polygons with None between them.

    A band goes on over sites for which it is not known, but not over a layer or a normalisation.
    """
    x: list[float | None] = []
    y: list[float | None] = []
    for stretch in _stretches(rows, field):
        first, last = stretch[0], stretch[-1]
        places = [first[0] - _OVERHANG, *(place for place, _, _ in stretch), last[0] + _OVERHANG]
        low = [first[1], *(low for _, low, _ in stretch), last[1]]
        high = [first[2], *(high for _, _, high in stretch), last[2]]
        x += [*places, *reversed(places), None]
        y += [*low, *reversed(high), None]
    return x, y


def _stretches(
    rows: Sequence[SiteRow], field: Literal["expected", "spread"]
) -> Iterator[list[tuple[int, float, float]]]:
    current: list[tuple[int, float, float]] = []
    for row in rows:
        low, high = getattr(row, field) or (0.0, 0.0)
        if 0 < low <= high < math.inf:
            current.append((row.index, _rounded(low), _rounded(high)))
        elif current and row.kind in ("linear", "norm", "add", ""):
            yield current
            current = []
    if current:
        yield current


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


# -- a curve in a line of text ---------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """The second moment over depth as SVG path data, in a box of this width and height.

    * ``band`` is the outline of what a matched init does, ``mark`` the first wrong site.
    * ``low`` and ``high`` are the powers of ten at the lower and the upper edge.
    """

    width: int
    height: int
    line: str
    band: str
    mark: tuple[float, float] | None
    low: float
    high: float


def curve(report: Report, width: int, height: int) -> Curve | None:
    """Return the curve of a report, None if there are not two sites to draw.

    >>> rows = tuple(SiteRow(str(k), "linear", 10.0**-k, 1.0, index=k) for k in range(3))
    >>> curve(Report("m", None, "pass", 0, sites=rows), 20, 10).line
    'M0.0 0.0L10.0 5.0L20.0 10.0'
    """
    logs = _logs(report.sites)
    if len(logs) < 2:
        return None
    x, y = _outline_in_logs(report)
    low, high = _range([*logs.values(), *(value for value in y if value is not None)], logs)
    last = max(len(report.sites) - 1, 1)

    def at(place: float, log: float) -> tuple[float, float]:
        inside = min(max(log, low), high)
        share = min(max(place / last, 0.0), 1.0)
        return round(width * share, 1), round(height * (high - inside) / (high - low), 1)

    step = max(1, len(logs) // _MOST_POINTS)
    places = [place for count, place in enumerate(logs) if count % step == 0]
    wrong = next((place for place, row in enumerate(report.sites) if row.first_wrong), None)
    return Curve(
        width,
        height,
        _path([at(place, logs[place]) for place in places]),
        "".join(_path([at(*point) for point in part], close=True) for part in _parts(x, y)),
        None if wrong is None else at(wrong, logs.get(wrong, low)),  # of zeros at the lower edge
        low,
        high,
    )


def _logs(rows: Sequence[SiteRow]) -> dict[int, float]:
    """Return log10 of the second moment by place, of the weight layers where there are some.

    What lies between two layers goes up and down all the time, which says nothing at this size.
    """
    drawn = {place: row for place, row in enumerate(rows) if 0 < row.second_moment < math.inf}
    layers = {place: row for place, row in drawn.items() if row.kind == "linear"}
    shown = layers if len(layers) >= _FEWEST_LAYERS else drawn
    return {place: math.log10(row.second_moment) for place, row in shown.items()}


def _outline_in_logs(report: Report) -> tuple[list[float | None], list[float | None]]:
    known = [row for row in report.sites if row.kind == "linear" or row.expected is None]
    x, y = segments(known, "expected")
    return x, [None if value is None else math.log10(value) for value in y]


def _range(values: Sequence[float], logs: dict[int, float]) -> tuple[float, float]:
    """Return the lowest and highest power of ten to show: the curve's own, and some of the band."""
    low, high = min(logs.values()), max(logs.values())
    low, high = min(low, max(min(values), low - 1)), max(high, min(max(values), high + 1))
    missing = max(_LEAST_DECADES - (high - low), 0.0) / 2
    return low - missing, high + missing


def _parts(x: Sequence[float | None], y: Sequence[float | None]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for place, value in zip(x, y, strict=True):
        if place is None or value is None:
            yield part
            part = []
        else:
            part.append((place, value))


def _path(points: Sequence[tuple[float, float]], *, close: bool = False) -> str:
    text = "L".join(f"{x} {y}" for x, y in points)
    return f"M{text}{'Z' if close else ''}"
