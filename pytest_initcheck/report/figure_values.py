"""The values of a report's plots: columns of its sites, their labels, bins of a histogram.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.report.prose import plain, shortened
from pytest_initcheck.report.result import PreActivations, Report, SiteRow

_MOST_TICKS = 24
_TICK = 18


def columns(report: Report) -> dict[str, list[Any]]:
    """Return the sites of a report by columns, with numbers rounded to what can be seen.

    Columns without a single value are left out. Names are made printable.

    >>> report = Report("m", None, "pass", 0, sites=(SiteRow("fc", "linear", 2 / 3, 0.5),))
    >>> columns(report)["second_moment"]
    [0.6667]
    """
    rows = report.sites
    found: dict[str, list[Any]] = {
        "index": list(range(len(rows))),
        "name": [plain(row.name) for row in rows],
        "op": [plain(row.op) for row in rows],
        "second_moment": [seen(row.second_moment) for row in rows],
        "batch_variance": [seen(row.batch_variance) for row in rows],
        "gain": [seen(row.gain) for row in rows],
        "gradient": [seen(row.gradient) for row in rows],
        "saturated": [seen(row.saturated) for row in rows],
        "dead": [seen(row.dead) for row in rows],
    }
    for name in ("expected", "spread"):
        pairs = [getattr(row, name) or (None, None) for row in rows]
        found[f"{name}_low"] = [seen(low) for low, _ in pairs]
        found[f"{name}_high"] = [seen(high) for _, high in pairs]
    return {name: values for name, values in found.items() if any(v is not None for v in values)}


def seen(value: float | None) -> float | None:
    """Return the number to four digits, None where an axis has no place for it.

    >>> seen(2 / 3), seen(float("inf"))
    (0.6667, None)
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def escaped(text: str) -> str:
    """Return the text as plotly shows it literally: it reads tags, entities and templates in labels.

    >>> escaped("<b> %{y}")
    '&lt;b&gt; %&#123;y}'
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("%{", "%&#123;")


def resolved(spec: Any, values: Mapping[str, Any]) -> Any:
    """Return the figure with each ``"@name"`` replaced by the value of that name.

    >>> resolved({"color": "@signal", "x": ["@"]}, {"signal": "blue"})
    {'color': 'blue', 'x': ['@']}
    """
    if isinstance(spec, dict):
        return {key: resolved(value, values) for key, value in spec.items()}
    if isinstance(spec, list):
        return [resolved(value, values) for value in spec]
    if isinstance(spec, str) and spec.startswith("@") and spec[1:] in values:
        return values[spec[1:]]
    return spec


def labels(report: Report) -> dict[str, Any]:
    """Return the texts of a figure that come from the model: site names, escaped for plotly."""
    names = [escaped(site_label(row)) for row in report.sites]
    step = max(1, math.ceil(len(names) / _MOST_TICKS))
    at = list(range(0, len(names), step))
    wrong = first_wrong(report)
    return {
        "alias": {str(place): name for place, name in enumerate(names)},
        "tick_at": at,
        "tick_text": [escaped(shortened(plain(report.sites[index].name), _TICK)) for index in at],
        "wrong_label": "" if wrong is None else f"first wrong: {names[wrong]}",
    }


def site_label(row: SiteRow) -> str:
    """Return a site's name, with its operation where the name does not tell it.

    >>> site_label(SiteRow("0", "linear", 1.0, 1.0)), site_label(SiteRow("block.relu", "relu", 1.0, 1.0))
    ('0 (linear)', 'block.relu')
    """
    name, op = plain(row.name), plain(row.op)
    return name if op in name else f"{name} ({op})"


def first_wrong(report: Report) -> int | None:
    """Return the position of the first wrong site."""
    return next((place for place, row in enumerate(report.sites) if row.first_wrong), None)


def bins(read: PreActivations) -> dict[str, Any]:
    """Return the values that :func:`histogram` shows of one site.

    An open side of the linear range ends where the axis does.

    >>> bins(PreActivations((1, 3), -1.0, 1.0, linear_from=0.0))["bin_shares"]
    [0.25, 0.75]
    """
    low, high = (read.low, read.high) if read.low < read.high else (read.low - 0.5, read.high + 0.5)
    width = (high - low) / len(read.counts)
    total = sum(read.counts) or 1
    edges = [edge for edge in (read.linear_from, read.linear_to) if edge is not None]
    start, end = min([low, *edges]), max([high, *edges])
    margin = 0.04 * (end - start)
    reach = [start - margin, end + margin]
    return {
        "bin_first": low + width / 2,
        "bin_width": width,
        "bin_shares": [seen(count / total) for count in read.counts],
        "bin_range": reach,
        "outside": seen(outside(read)),
        "linear_from": reach[0] if read.linear_from is None else read.linear_from,
        "linear_to": reach[1] if read.linear_to is None else read.linear_to,
    }


def outside(read: PreActivations) -> float:
    """Return the share of values where the activation does not respond, the edges among them.

    Within a bin that an edge cuts, values are taken to be spread evenly.

    >>> outside(PreActivations((1, 1), -1.0, 1.0, -0.5, None))
    0.25
    """
    low, high = read.linear_from, read.linear_to
    if read.low == read.high:
        inside = (low is None or read.low > low) and (high is None or read.low < high)
        return 0.0 if inside else 1.0
    width = (read.high - read.low) / len(read.counts)
    share = 0.0
    for place, count in enumerate(read.counts):
        start = read.low + width * place
        below = 0.0 if low is None else (low - start) / width
        above = 0.0 if high is None else (start + width - high) / width
        share += count * min(min(max(below, 0.0), 1.0) + min(max(above, 0.0), 1.0), 1.0)
    return share / (sum(read.counts) or 1)
