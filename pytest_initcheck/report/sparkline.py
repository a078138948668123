"""The signal over depth as one line of bars, on a logarithmic scale.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_initcheck.report.layout import USUAL, Layout
from pytest_initcheck.report.prose import LABEL, columns, number, plain, shortened, wrapped
from pytest_initcheck.report.result import SiteRow

BLOCKS = "▁▂▃▄▅▆▇█"
RAMP = "_.:-=+*#"
"""Eight heights for a terminal without block characters, from little ink to much."""
ZERO, NON_FINITE = "0", "!"
_MOST_CELLS = 48
_LEAST_BITS = float(len(BLOCKS) - 1)
"""No step between two heights is less than a factor of 2: luck alone is drawn flat."""


@dataclass(frozen=True)
class Sparkline:
    """A line of bars; ``mark`` is the cell of the first wrong site, ``place`` that site's name."""

    bars: str
    words: str
    mark: int | None = None
    place: str = ""


def signal(sites: Sequence[SiteRow], layout: Layout = USUAL) -> Iterator[str]:
    """Yield the signal over depth under its label, and a mark under the first wrong site."""
    found = drawn(layers(sites), min(_MOST_CELLS, layout.columns - LABEL), layout.ascii)
    if found is None:
        return
    line = f"  {'signal':<{LABEL - 3}} {found.bars}"
    if columns(line) + 2 + columns(found.words) <= layout.columns:
        yield f"{line}  {found.words}"
    else:
        yield line
        yield from wrapped(found.words, layout.columns, " " * LABEL, " " * LABEL)
    if found.mark is not None:
        yield _marked(found, layout.columns)


def _marked(found: Sparkline, width: int) -> str:
    """Return the line below the bars that points at the first wrong site, on the side with more room."""
    assert found.mark is not None
    name = plain(found.place)
    before, saying = LABEL + found.mark, "first wrong: "
    right, left = width - before - 2 - len(saying), found.mark - 1 - len(saying)
    if columns(name) <= right or right >= left:
        return f"{' ' * before}^ {saying}{shortened(name, right)}"
    text = f"{saying}{shortened(name, left)} ^"
    return " " * (before + 1 - columns(text)) + text


def layers(sites: Sequence[SiteRow]) -> list[SiteRow]:
    """Return the sites that show the signal best: the input and what weight layers put out.

    Activations in between would draw a saw. Ids that an embedding looks up are no signal. Where no
    layer has a gain, all sites are returned.
    """
    weighted = {site.op for site in sites if site.gain is not None}
    if not weighted:
        return list(sites)
    looks_up = next((site.op for site in sites if site.op in weighted), None) == "embedding"
    return [
        site
        for site in sites
        if site.op in weighted or site.first_wrong or (site.op == "input" and not looks_up)
    ]


def drawn(sites: Sequence[SiteRow], cells: int, ascii: bool = False) -> Sparkline | None:
    """Return the sparkline of these sites in at most so many cells; None for fewer than two sites.

    * Sites that share a cell show their geometric mean, a zero or a non-finite value first of all.

    >>> row = lambda signal: SiteRow("fc", "linear", 1, signal, None, None, None, False)
    >>> drawn([row(1), row(0.1), row(0.01)], 10, ascii=True).bars
    '#-_'
    """
    if len(sites) < 2:
        return None
    groups = _grouped(sites, cells)
    logs = [_level(group) for group in groups]
    finite = [value for value in logs if isinstance(value, float)]
    heights = RAMP if ascii else BLOCKS
    top = max(finite, default=0.0)
    reach = max(top - min(finite, default=0.0), _LEAST_BITS)
    bars = "".join(
        value
        if isinstance(value, str)
        else heights[round((len(heights) - 1) * (1 - (top - value) / reach))]
        for value in logs
    )
    wrong = next((site for site in sites if site.first_wrong), None)
    mark = next((i for i, group in enumerate(groups) if wrong is not None and wrong in group), None)
    return Sparkline(bars, _words(sites, bars), mark, "" if wrong is None else wrong.name)


def _grouped(sites: Sequence[SiteRow], cells: int) -> list[Sequence[SiteRow]]:
    count = min(len(sites), max(cells, 1))
    edges = [len(sites) * index // count for index in range(count + 1)]
    return [sites[start:stop] for start, stop in pairwise(edges)]


def _level(group: Sequence[SiteRow]) -> float | str:
    """Return log2 of a cell's signal, or the sign of what has no logarithm."""
    values = [site.batch_variance for site in group]
    if any(site.non_finite for site in group) or not all(map(math.isfinite, values)):
        return NON_FINITE
    if min(values) <= 0:
        return ZERO
    return math.fsum(map(math.log2, values)) / len(values)


def _words(sites: Sequence[SiteRow], bars: str) -> str:
    """Say what the bars show: from where to where the signal goes, and what its signs mean."""
    values = [site.batch_variance for site in sites]
    seen = [value for value in values if math.isfinite(value)]
    ends = f"{number(values[0])} to {number(values[-1])}"
    if seen and not min(values[0], values[-1]) <= min(seen) * 1.01:
        ends += f", least {number(min(seen))}"
    if seen and not max(values[0], values[-1]) * 1.01 >= max(seen):
        ends += f", most {number(max(seen))}"
    signs = [f"{ZERO} is none"] * (ZERO in bars) + [f"{NON_FINITE} is not finite"] * (NON_FINITE in bars)
    return "; ".join([ends, *signs])
