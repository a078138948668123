"""The table of sites."""

from __future__ import annotations

import dataclasses
import math

import pytest

from pytest_initcheck.report.layout import USUAL, Layout
from pytest_initcheck.report.prose import columns
from pytest_initcheck.report.result import SiteRow
from pytest_initcheck.report.site_table import COMPACT_ROWS, MOST_ROWS, site_table

WHOLE = Layout(detail="whole")


def row(name: str, **changes: object) -> SiteRow:
    site = SiteRow(name, "linear", 0.3, 0.2, None, None, 0.17, non_finite=False)
    return dataclasses.replace(site, **changes)  # type: ignore[arg-type]


def test_columns_that_hold_nothing_are_left_out():
    assert site_table((row("fc1", saturated=0.5), row("fc2", gain=None))) == [
        "  site  op      signal  2nd moment   gain  saturated",
        "  fc1   linear     0.2         0.3  0.17x        50%",
        "  fc2   linear     0.2         0.3      -          -",
    ]


def test_the_first_wrong_site_is_marked():
    lines = site_table((row("a"), row("b", first_wrong=True), row("b", first_wrong=True)))
    assert [line.startswith("> ") for line in lines] == [False, False, True, False]
    assert lines[2].endswith("  <-- first wrong")


@pytest.mark.parametrize("layout", [USUAL, WHOLE])
@pytest.mark.parametrize("wrong", [None, 0, 1, 10, 50, 98, 99])
def test_a_long_table_is_cut_around_the_first_wrong_site(layout, wrong):
    most = MOST_ROWS if layout is WHOLE else COMPACT_ROWS
    sites = tuple(row(f"layer{index}", first_wrong=index == wrong) for index in range(100))
    lines = site_table(sites, layout)
    shown = [line for line in lines[1:] if "more" not in line]
    assert len(shown) == most
    left_out = sum(int(line.split()[2]) for line in lines if line.strip().startswith("... and"))
    assert left_out == 100 - most
    marked = [line for line in shown if line.startswith("> ")]
    assert [line.split()[1] for line in marked] == ([] if wrong is None else [f"layer{wrong}"])


def test_one_row_more_is_shown_and_not_counted():
    sites = tuple(row(f"layer{index}") for index in range(COMPACT_ROWS + 2))
    assert not any("more" in line for line in site_table(sites))
    assert any("more" in line for line in site_table((*sites, row("last"))))


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120])
@pytest.mark.parametrize("name", ["fc", "encoder." + "block." * 20 + "linear", "层" * 40])
def test_no_line_is_longer_than_the_terminal(width, name):
    op = "scaled_dot_product_attention_for_cpu"
    sites = (
        row(name, op=op, second_moment=1.23e-100, batch_variance=1.23e-100, saturated=0.123, dead=0.456),
        row("head", first_wrong=True),
    )
    lines = site_table(sites, Layout(width))
    assert max(map(columns, lines)) <= width
    assert "signal" in lines[0]
    if len(name) > 2 and width < 100:
        assert "..." in lines[1]


def test_a_narrow_terminal_does_without_the_op_first():
    sites = (row("fc1", saturated=0.5, dead=0.1),)
    assert "op" in site_table(sites, Layout(80))[0]
    headings = site_table(sites, Layout(40))[0].split()
    assert headings == ["site", "signal", "gain", "saturated", "dead"][: len(headings)]


def test_numbers_that_are_none():
    line = site_table((row("a", non_finite=True, second_moment=math.nan, dead=math.nan),))[1]
    assert line.count("non-finite") == 2
    assert line.endswith("nan")


def test_no_sites_no_table():
    assert site_table(()) == []
