"""What the plots of a Report draw: curves, bands, marks and bars, as plotly's traces in plain dicts.

``"@name"`` stands for a column of the sites, ``"@colour-name"`` for a colour of the theme.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.report.figure_values import first_wrong, seen
from pytest_initcheck.report.outline import blocks, segments
from pytest_initcheck.report.result import Fix, Report, SiteRow

Spec = dict[str, Any]

_MOST_MARKERS = 150
_MOST_FIXES = 3
_LEAST_SPAN = 2.0
"""A curve that stays within so many powers of ten is drawn as flat as it is."""
_BAND_BEYOND = 1.5
"""Powers of ten that a band may reach beyond the curves; the rest of it is cut off."""
_SMALLEST = -300.0


# -- scales ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis from 10^low to 10^high, with room at an end for what it has no place for."""

    low: float
    high: float
    at_zero: float
    at_infinity: float


def is_drawn(value: float | None) -> bool:
    """Tell whether a logarithmic axis has a place for the value."""
    return value is not None and 0 < value < math.inf


def scale_of(curves: Iterable[float | None], bands: Iterable[float | None] = ()) -> Scale:
    """Return the axis that shows these curves, and of the bands what is near them.

    >>> scale = scale_of([1.0, 1e-9])
    >>> round(scale.low, 2), round(scale.high, 2)
    (-9.54, 0.54)
    """
    values = list(curves)
    logs = [math.log10(value) for value in values if value is not None and is_drawn(value)] or [0.0]
    wide = [math.log10(value) for value in bands if value is not None and is_drawn(value)] or logs
    low = min(logs) - min(max(min(logs) - min(wide), 0.0), _BAND_BEYOND)
    high = max(logs) + min(max(max(wide) - max(logs), 0.0), _BAND_BEYOND)
    missing = max(_LEAST_SPAN - (high - low), 0.0) / 2
    low, high = low - missing, high + missing
    margin = 0.06 * (high - low)
    low, high = low - margin * (1 + 2 * (0 in values)), high + margin
    if any(value is not None and not math.isfinite(value) for value in values):
        high += 2 * margin
    return Scale(low, high, 10 ** max(low + margin, _SMALLEST), 10 ** min(high - margin, -_SMALLEST))


def signal_scale(report: Report) -> Scale:
    """Return the axis of the second moments."""
    rows = report.sites
    curves = [value for row in rows for value in (row.second_moment, row.batch_variance)]
    curves += [value for fix in tried_fixes(report) for value in fix.curve if value is not None]
    pairs = [pair for row in rows for pair in (row.expected, row.spread) if pair is not None]
    return scale_of(curves, [value for pair in pairs for value in pair])


# -- traces ----------------------------------------------------------------------------------------


def signal(report: Report, scale: Scale) -> list[Spec]:
    """Return the traces of the second moment, of what it is compared with, and of the structure."""
    rows = report.sites
    found = [
        _fill("residual blocks", "block", "block", *_block_outline(rows), axis="y4"),
        _fill("what a matched init does", "matched", "matched-fill", *segments(rows, "expected")),
        _fill("spread over seeds", "seeds", "seeds-fill", *segments(rows, "spread")),
        _curve(rows, "centred variance", "centred", "batch_variance", dash="dot"),
        _curve(rows, "second moment", "signal", "second_moment"),
        *_fixes(report),
        _marks(rows, _places(rows, "norm"), "normalisation", "norms", "diamond-open"),
        _marks(rows, [end for _, end in blocks(rows)], "residual addition", "adds", "cross-thin-open"),
        *_off_scale(rows, scale),
    ]
    wrong = first_wrong(report)
    if wrong is not None and is_drawn(rows[wrong].second_moment):
        found.append(_marks(rows, [wrong], "first wrong site", "wrong", "circle-open", "wrong", 15))
    return [trace for trace in found if rows and trace["x"]]


def gradient(report: Report) -> list[Spec]:
    """Return the trace of the gradient's second moment, nothing where no gradient was seen."""
    if not any(is_drawn(row.gradient) for row in report.sites):
        return []
    curve = _curve(report.sites, "gradient", "gradient", "gradient")
    # numpy shows gradients at its layers alone
    return [{**curve, "connectgaps": True}]


def _fixes(report: Report) -> list[Spec]:
    found = []
    for fix in tried_fixes(report):
        name = "after the fix" if fix.helped else "after a fix that does not help"
        trace = _curve(report.sites, name, "fixed", "second_moment", dash="dash")
        trace["y"] = [seen(value or None) for value in fix.curve]
        found.append(trace)
    return found


def tried_fixes(report: Report) -> list[Fix]:
    """Return the best fix of each failure of which the curve is known."""
    known = ([fix for fix in finding.fixes if fix.curve] for finding in report.failures)
    return [fixes[0] for fixes in known if fixes][:_MOST_FIXES]


def _curve(rows: Sequence[SiteRow], name: str, key: str, column: str, dash: str = "solid") -> Spec:
    values = [getattr(row, column) for row in rows]
    return {
        "type": "scatter",
        "name": name,
        "meta": key,
        "mode": "lines+markers" if len(rows) <= _MOST_MARKERS else "lines",
        "x": "@index",
        # plotly draws a line to zero as one without end
        "y": [seen(value or None) for value in values] if 0 in values else f"@{column}",
        "line": {"color": f"@colour-{key}", "width": 2, "dash": dash},
        "marker": {"size": 4},
        "hovertemplate": "%{y:.3g}<extra>" + name + "</extra>",
    }


def _fill(
    name: str,
    key: str,
    colour: str,
    x: Sequence[float | None],
    y: Sequence[float | None],
    axis: str = "y",
) -> Spec:
    return {
        "type": "scatter",
        "name": name,
        "meta": key,
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "fill": "toself",
        "fillcolor": f"@colour-{colour}",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "yaxis": axis,
    }


def _marks(
    rows: Sequence[SiteRow],
    places: Sequence[int],
    name: str,
    key: str,
    symbol: str,
    colour: str = "muted",
    size: int = 9,
) -> Spec:
    return {
        "type": "scatter",
        "name": name,
        "meta": key,
        "mode": "markers",
        "x": list(places),
        "y": [seen(rows[place].second_moment) for place in places],
        "marker": {"symbol": symbol, "size": size, "color": f"@colour-{colour}", "line": {"width": 2}},
        "hoverinfo": "skip",
    }


def _places(rows: Sequence[SiteRow], kind: str) -> list[int]:
    return [place for place, row in enumerate(rows) if row.kind == kind]


def _block_outline(rows: Sequence[SiteRow]) -> tuple[list[float | None], list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for start, end in blocks(rows):
        x += [start, end, end, start, start, None]
        y += [0, 0, 1, 1, 0, None]
    return x, y


def _off_scale(rows: Sequence[SiteRow], scale: Scale) -> list[Spec]:
    """Return marks for what a logarithmic axis has no place for, at its lower and upper end."""
    zero = [place for place, row in enumerate(rows) if row.second_moment == 0]
    odd = [place for place, row in enumerate(rows) if not row.is_finite]
    at_zero = _marks(rows, zero, "exactly zero", "zero", "triangle-down", "wrong")
    not_finite = _marks(rows, odd, "not finite", "odd", "triangle-up", "wrong")
    return [
        {**at_zero, "y": [scale.at_zero] * len(zero)},
        {**not_finite, "y": [scale.at_infinity] * len(odd)},
    ]


def shares(report: Report) -> list[Spec]:
    """Return the bars of saturated and dead shares, with the limit of the saturated ones."""
    found: list[Spec] = []
    for column, name in (("saturated", "saturated pairs"), ("dead", "dead units")):
        if all(getattr(row, column) is None for row in report.sites):
            continue
        found.append(
            {
                "type": "bar",
                "name": name,
                "meta": column,
                "x": "@index",
                "y": f"@{column}",
                "textposition": "none",
                "marker": {"color": f"@colour-{column}", "line": {"width": 0}},
                "hovertemplate": "%{y:.1%}<extra>" + name + "</extra>",
            }
        )
    result = report.invariants.get("saturation")
    limit = result.limit[1] if result is not None and result.limit else None
    if found and found[0]["meta"] == "saturated" and limit is not None:
        found.append(
            {
                "type": "scatter",
                "name": "limit of saturation",
                "meta": "limit",
                "mode": "lines",
                "x": [-0.5, len(report.sites) - 0.5],
                "y": [limit, limit],
                "line": {"color": "@colour-saturated", "width": 1, "dash": "dash"},
                "hoverinfo": "skip",
            }
        )
    return found
