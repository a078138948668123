"""The signal over depth in a line of bars."""

from __future__ import annotations

import dataclasses
import math

import pytest

from pytest_initcheck.report.layout import Layout
from pytest_initcheck.report.prose import columns
from pytest_initcheck.report.result import SiteRow
from pytest_initcheck.report.sparkline import BLOCKS, RAMP, drawn, layers, signal


def row(value: float, name: str = "fc", **changes: object) -> SiteRow:
    site = SiteRow(name, "linear", value, value, None, None, 1.0, non_finite=not math.isfinite(value))
    return dataclasses.replace(site, **changes)  # type: ignore[arg-type]


def bars(*values: float, cells: int = 40, ascii: bool = False) -> str:
    found = drawn([row(value) for value in values], cells, ascii)
    assert found is not None
    return found.bars


def test_bars_are_logarithms():
    assert bars(*(10.0**-k for k in range(8))) == "█▇▆▅▄▃▂▁"
    assert bars(*(10.0**-k for k in range(8)), ascii=True) == RAMP[::-1]


def test_a_flat_signal_is_flat():
    assert len(set(bars(1.0, 1.1, 0.9, 1.0))) == 1


def test_what_has_no_logarithm_has_a_sign_of_its_own():
    assert bars(1.0, 0.0, math.nan, math.inf, -0.0) == "█0!!0"
    assert not set("0!") & {*BLOCKS, *RAMP}


def test_only_signs():
    assert bars(0.0, 0.0) == "00"
    assert bars(math.nan, math.nan) == "!!"


def test_fewer_than_two_sites_are_no_line():
    assert drawn([row(1.0)], 10) is None
    assert list(signal([])) == []


def test_sites_that_share_a_cell():
    values = [10.0**-k for k in range(100)]
    assert len(bars(*values, cells=10)) == 10
    values[57] = math.nan
    assert bars(*values, cells=10)[5] == "!"


@pytest.mark.parametrize("wrong", [0, 31, 99])
def test_the_cell_of_the_first_wrong_site_is_marked(wrong):
    found = drawn([row(1.0, str(i), first_wrong=i == wrong) for i in range(100)], 10)
    assert found is not None
    assert (found.mark, found.place) == (wrong // 10, str(wrong))


def test_activations_in_between_are_left_out():
    sites = [
        row(1.0, "input", op="input", gain=None),
        row(1.0, "0"),
        row(0.5, "0.relu", op="relu", gain=None),
        row(1.0, "1"),
        row(0.5, "1.relu", op="relu", gain=None, first_wrong=True),
    ]
    assert [site.name for site in layers(sites)] == ["input", "0", "1", "1.relu"]


def test_ids_are_no_signal():
    sites = [row(1e6, "input", op="input", gain=None), row(1.0, "e", op="embedding"), row(1.0, "0")]
    assert [site.name for site in layers(sites)] == ["e", "0"]


def test_without_any_gain_all_sites_are_shown():
    sites = [row(1.0, op="mul", gain=None), row(2.0, op="add", gain=None)]
    assert layers(sites) == sites


def test_the_range_is_said_in_words():
    values = (1.0, 40.0, 0.0, math.nan, 2.0)
    assert list(signal([row(v) for v in values], Layout(100))) == [
        "  signal  ▃█0!▄  1 to 2, least 0, most 40; 0 is none; ! is not finite"
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("wrong", [0, 20, 39])
def test_no_line_is_longer_than_the_terminal(width, wrong):
    name = "encoder." + "block." * 20 + "linear"
    sites = [row(10.0**-i, name, first_wrong=i == wrong) for i in range(40)]
    lines = list(signal(sites, Layout(width)))
    assert max(map(columns, lines)) <= width
    marked = lines[-1]
    assert marked.count("^") == 1
    assert lines[0][marked.index("^")] in BLOCKS
    assert "first wrong: " in marked


def test_a_terminal_without_blocks():
    assert "".join(signal([row(1.0), row(0.1)], Layout(ascii=True))).isascii()
