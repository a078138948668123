"""The figures of a report as dicts, and as plotly has them."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from itertools import pairwise

import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.report.figure_traces import scale_of
from pytest_initcheck.report.figure_values import bins, columns, escaped, labels, outside, resolved
from pytest_initcheck.report.figures import propagation
from pytest_initcheck.report.json import finite
from pytest_initcheck.report.outline import blocks, curve, segments
from pytest_initcheck.report.result import Finding, Fix, InvariantResult, PreActivations, Report, SiteRow


def site(index: int, kind: str, *reads: int, second_moment: float = 1.0, **changes) -> SiteRow:
    row = SiteRow(f"{kind}{index}", kind, second_moment, 0.5, kind=kind, index=index, reads=reads)
    return dataclasses.replace(row, **changes)


CHAIN = (
    site(0, "input"),
    site(1, "linear", 0, expected=(0.5, 2.0), spread=(0.9, 1.1), gradient=1e-4),
    site(2, "activation", 1, expected=(0.2, 1.0), dead=0.5, saturated=0.1, gradient=1e-3),
    site(3, "norm", 2, gradient=1e-3),
    site(4, "linear", 3, expected=(0.5, 3.0), first_wrong=True, gradient=1e-2),
)


def report(*rows: SiteRow, **changes) -> Report:
    return dataclasses.replace(Report("m", "numpy", "pass", 0, sites=rows or CHAIN), **changes)


def traces(figure: dict, key: str) -> list[dict]:
    return [trace for trace in figure["data"] if trace["meta"] == key]


# -- values ----------------------------------------------------------------------------------------


def test_columns_have_what_was_measured():
    found = columns(report())
    assert found["gradient"] == [None, 1e-4, 1e-3, 1e-3, 1e-2]
    assert (found["expected_low"][1], found["expected_high"][1]) == (0.5, 2.0)
    assert "gain" not in found
    odd = columns(report(site(0, "input", second_moment=math.inf), site(1, "linear", 0)))
    assert odd["second_moment"] == [None, 1.0]


def test_only_whole_placeholders_are_filled_in_and_nothing_twice():
    values = {"a": "@b", "b": 1}
    assert resolved({"x": ["@a", "@b", "@c", "a @b"]}, values) == {"x": ["@b", 1, "@c", "a @b"]}


def test_names_are_escaped_for_plotly():
    assert escaped("<a href='x'>&lt;") == "&lt;a href='x'&gt;&amp;lt;"
    shown = labels(report(site(0, "input", name="<b>"), site(1, "linear", 0, name="x\x1b")))
    assert shown["alias"] == {"0": "&lt;b&gt; (input)", "1": "x\\x1b (linear)"}


def test_a_deep_model_has_few_ticks():
    deep = report(*(site(k, "linear") for k in range(2000)))
    assert len(labels(deep)["tick_at"]) <= 24


def test_bins_end_where_the_axis_does():
    open_side = bins(PreActivations((1, 1), -1.0, 1.0, 0.0, None))
    assert open_side["linear_from"] == 0.0
    assert open_side["linear_to"] == open_side["bin_range"][1] > 1.0
    far = bins(PreActivations((1, 1), 5.0, 6.0, -1.8, 1.8))
    assert far["bin_range"][0] < -1.8 < 1.8 < far["bin_first"]
    alone = bins(PreActivations((4,), 2.0, 2.0))
    assert (alone["bin_first"], alone["bin_width"]) == (2.0, 1.0)


def test_the_share_outside():
    one_side = PreActivations((2, 1, 1), -1.0, 2.0, 0.0, None)
    assert outside(one_side) == 0.5
    cut = PreActivations((1, 2, 1), -3.0, 3.0, -2.0, 2.0)
    assert outside(cut) == pytest.approx(0.25)
    assert outside(PreActivations((1,), -9.0, 9.0)) == 0.0
    assert outside(PreActivations((0, 4), 5.0, 6.0, -1.0, 1.0)) == 1.0


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1.0), (0.5, 0.0), (1.0, 1.0), (-1.0, 1.0)])
def test_equal_values_are_on_one_side(value, expected):
    # a rectifier that reads zeros is not active
    assert outside(PreActivations((0, 9), value, value, 0.0, 1.0)) == expected


# -- scales ----------------------------------------------------------------------------------------


def test_a_scale_holds_the_curve_and_some_of_the_band():
    scale = scale_of([1.0, 1e-8], [1e-30, 1e2])
    assert scale.low < -8
    assert scale.low > -11
    assert scale.high > 2


def test_a_flat_curve_is_drawn_flat():
    scale = scale_of([1.0, 1.1])
    assert scale.high - scale.low >= 2


def test_what_has_no_place_on_the_axis_has_room_at_its_end():
    plain, zero, odd = scale_of([1.0]), scale_of([1.0, 0.0]), scale_of([1.0, math.inf])
    assert zero.low < plain.low
    assert 10**zero.low < zero.at_zero < 0.1
    assert odd.high > plain.high
    assert 10 < odd.at_infinity < 10**odd.high


@pytest.mark.parametrize("values", [[], [0.0], [None, math.nan], [5e-324, 1e308]])
def test_any_values_have_a_scale(values):
    scale = scale_of(values)
    assert scale.low < scale.high
    assert 0 < scale.at_zero < scale.at_infinity < math.inf


# -- structure -------------------------------------------------------------------------------------


def test_a_block_starts_where_its_branches_part():
    rows = [
        site(0, "input"),
        site(1, "linear", 0),
        site(2, "norm", 1),
        site(3, "linear", 2),
        site(4, "norm", 3),
        site(5, "linear", 2),
        site(6, "add", 4, 5),
        site(7, "linear", 6),
        site(8, "add", 7, 6),
    ]
    assert blocks(rows) == [(2, 6), (6, 8)]


def test_additions_that_share_nothing_make_no_block():
    assert blocks([site(0, "input"), site(1, "input"), site(2, "add", 0, 1)]) == []
    assert blocks([site(0, "input"), site(1, "add", 0)]) == []
    assert blocks([site(0, "input"), site(1, "add", 0, 0)]) == [(0, 1)]


def test_blocks_of_a_deep_model_are_found_in_no_time():
    rows = [site(0, "input")]
    for index in range(1, 3000, 2):
        rows += [site(index, "linear", index - 1), site(index + 1, "add", index, index - 1)]
    assert len(blocks(rows)) == 1500


def test_a_band_breaks_at_normalisations_and_unknown_layers():
    x, y = segments(CHAIN, "expected")
    assert x.count(None) == 2
    assert y[1:3] == [0.5, 0.2]
    assert [place for place in x[: x.index(None)] if isinstance(place, int)] == [1, 2, 2, 1]
    over_a_pool = [
        site(0, "linear", expected=(1, 2)),
        site(1, "pool"),
        site(2, "linear", expected=(1, 2)),
        site(3, "linear"),
    ]
    assert segments(over_a_pool, "expected")[0].count(None) == 1


def test_what_is_not_positive_has_no_band():
    assert segments([site(0, "linear", expected=(0.0, 1.0))], "expected") == ([], [])


def test_a_small_curve_is_drawn_over_the_layers():
    rows = [site(k, "linear" if k % 2 else "activation", second_moment=10.0**-k) for k in range(8)]
    found = curve(report(*rows), 70, 20)
    assert found.line.count("L") == 3
    assert found.mark is None
    assert curve(report(site(0, "input")), 70, 20) is None
    wrong = [dataclasses.replace(row, first_wrong=row.index == 3) for row in rows]
    assert curve(report(*wrong), 70, 20).mark == (30.0, pytest.approx(6.7, abs=0.1))
    dead = [dataclasses.replace(row, second_moment=0.0 if row.index > 2 else 1.0) for row in wrong]
    assert curve(report(*dead), 70, 20).mark[1] == 20.0


# -- the figure ------------------------------------------------------------------------------------


def test_everything_measured_is_drawn():
    figure = propagation(
        report(invariants={"saturation": InvariantResult("pass", 3, (0.0, 0.25), "call")})
    )
    keys = {trace["meta"] for trace in figure["data"]}
    assert keys == {
        "matched", "seeds", "centred", "signal", "norms", "wrong", "gradient", "saturated", "dead", "limit",
    }  # fmt: skip
    assert {trace["yaxis"] for trace in figure["data"]} == {"y", "y2", "y3"}
    domains = [figure["layout"][f"yaxis{number}"]["domain"] for number in ("", "2", "3")]
    assert domains[0][1] == 1
    assert all(low > below for (low, _), (_, below) in pairwise(domains))
    assert domains[-1][0] == pytest.approx(0)
    (shape,) = figure["layout"]["shapes"]
    assert shape["x0"] == 4


def test_panels_without_values_are_left_out():
    bare = propagation(report(site(0, "input"), site(1, "linear", 0)))
    assert {trace["yaxis"] for trace in bare["data"]} == {"y"}
    assert "shapes" not in bare["layout"]
    assert propagation(report(sites=()))["data"] == []


def test_zeros_and_what_is_not_finite_are_marked():
    rows = (
        site(0, "input"),
        site(1, "linear", 0, second_moment=0.0),
        site(2, "linear", 1, second_moment=math.inf),
        site(3, "linear", 2, non_finite=True),
    )
    figure = propagation(report(*rows))
    (signal,) = traces(figure, "signal")
    assert signal["y"] == [1.0, None, None, 1.0]
    assert traces(figure, "zero")[0]["x"] == [1]
    assert traces(figure, "odd")[0]["x"] == [2, 3]


def fixed(*curves: tuple[float | None, ...], helped: bool = True) -> Report:
    def finding(*fixes: Fix) -> Finding:
        texts = ("m", "c", "f", "p")
        return Finding("variance", "error", "fail", None, None, None, (None, None), *texts, fixes=fixes)

    untried = Fix("ask the author")
    fixes = [Fix("draw", helped=helped, curve=each) for each in curves]
    return report(findings=tuple(finding(untried, fix, fix) for fix in fixes))


def test_the_curve_after_the_best_fix_of_each_failure_is_drawn():
    figure = propagation(fixed((1.0, 0.0, None, 2.0, 3.0), ()))
    (trace,) = traces(figure, "fixed")
    assert trace["y"] == [1.0, None, None, 2.0, 3.0]
    assert trace["name"] == "after the fix"
    assert len(traces(propagation(fixed(*[(1.0,) * 5] * 9)), "fixed")) == 3


def test_a_fix_that_does_not_help_is_no_fix():
    (trace,) = traces(propagation(fixed((1.0,) * 5, helped=False)), "fixed")
    assert trace["name"] == "after a fix that does not help"


def test_the_axis_holds_the_curve_after_the_fix():
    low, high = propagation(fixed((1e9,) * 5))["layout"]["yaxis"]["range"]
    assert low < 0
    assert high > 9


def test_figures_are_json():
    json.dumps(finite(propagation(report())), allow_nan=False)


def test_no_text_of_a_model_is_in_a_figure_itself():
    rows = tuple(dataclasses.replace(row, name="HOSTILE", op="HOSTILE") for row in CHAIN)
    assert "HOSTILE" not in json.dumps(finite(propagation(report(*rows))))
    assert "HOSTILE" in json.dumps(labels(report(*rows)))


# -- plotly ----------------------------------------------------------------------------------------


def network(rng):
    return [(rng.normal(0, 0.1, (32, 32)), None, "tanh") for _ in range(3)]


@pytest.fixture(scope="module")
def checked() -> Report:
    return ic.check(network, inputs=ic.normal(32))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plot_is_a_plotly_figure(checked, theme):
    figure = checked.plot(theme=theme)
    assert type(figure).__name__ == "Figure"
    assert "@" not in figure.to_json().replace("@context", "")
    assert {"second moment", "gradient", "saturated pairs"} <= {trace.name for trace in figure.data}
    assert figure.layout.showlegend


def test_plot_of_a_site_is_its_histogram(checked):
    figure = checked.plot("0.tanh")
    assert sum(figure.data[0].y) == pytest.approx(1, rel=1e-3)
    assert figure.layout.shapes[0].x0 == pytest.approx(-figure.layout.shapes[0].x1)


def test_plot_names_what_there_is(checked):
    with pytest.raises(ConfigError, match=r"no histogram was taken at 'fc'; there are: 0.tanh, 1.tanh"):
        checked.plot("fc")
    with pytest.raises(ConfigError, match="theme is 'light' or 'dark', got 'blue'"):
        checked.plot(theme="blue")
    with pytest.raises(ConfigError, match="there are: none"):
        report().plot("fc")


def test_plot_without_plotly_says_how_to_install_it(checked, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(
        ConfigError, match=r"report.plot\(\) needs .*pip install 'pytest-initcheck\[html\]'"
    ):
        checked.plot()
