"""The rendering of a Report as text."""

from __future__ import annotations

import dataclasses
import math

import pytest

from pytest_initcheck.report.result import Finding, InvariantResult, Report, SiteRow
from pytest_initcheck.report.terminal import MOST_ROWS, headline, plain, render, site_table

FINDING = Finding(
    invariant="variance",
    severity="error",
    verdict="fail",
    direction="vanishing",
    site="features.4",
    value=0.17,
    limit=(0.1, 10.0),
    message="features.4 (Linear 256->256, then ReLU): the signal falls 6.0x per layer",
    cause="weights look like PyTorch's default: std 0.036, and ReLU needs 0.088, which is a gain of sqrt(2)",
    fix='nn.init.kaiming_normal_(m.weight, nonlinearity="relu")  # a line that must stay whole to be copied',
    proof="13 of 13 replicates outside; p < 4e-13 for a correct init",
)


def row(name: str, **changes: object) -> SiteRow:
    site = SiteRow(name, "linear", 0.3, 0.2, None, None, 0.17, non_finite=False)
    return dataclasses.replace(site, **changes)  # type: ignore[arg-type]


REPORT = Report(
    id="test_models.py::classifier",
    framework="torch",
    verdict="fail",
    root_seed=7,
    invariants={
        "finite": InvariantResult("pass", 13, None, "default", inits_seen=20, inits_wanted=63),
        "variance": InvariantResult("fail", 13, (0.1, 10.0), "default"),
        "saturation": InvariantResult("skipped", 0, (0, 0.25), "default", note="no bounded activation"),
    },
    findings=(FINDING,),
    sites=(row("features.2"), row("features.4", first_wrong=True, saturated=0.5, dead=0.125)),
    replicates=13,
    seeds=13,
    spread=0.31,
    seconds=1.234,
    notes=("allow('dead-relu', at='x') matches nothing",),
    unobserved=("lstm: fused",),
)


def test_the_whole_report():
    assert render(REPORT).splitlines() == [
        "variance FAIL test_models.py::classifier  features.4 (Linear 256->256, then ReLU): the signal falls "
        "6.0x per layer",
        "  cause   weights look like PyTorch's default: std 0.036, and ReLU needs 0.088,",
        "          which is a gain of sqrt(2)",
        '  fix     nn.init.kaiming_normal_(m.weight, nonlinearity="relu")  # a line that must stay whole to '
        "be copied",
        "  proof   13 of 13 replicates outside; p < 4e-13 for a correct init",
        "  finite     pass (20 of 63 inits seen)",
        "  saturation skipped: no bounded activation",
        "  note    allow('dead-relu', at='x') matches nothing",
        "  unobserved lstm: fused",
        "  site        op      2nd moment   gain  saturated   dead",
        "  features.2  linear         0.3  0.17x          -      -",
        "> features.4  linear         0.3  0.17x        50%  12.5%  <-- first wrong",
        "  spread over seeds: 2^0.31 (standard deviation of log2 of the output's second moment, 13 inits)",
        "  cost: 1.23 s for 13 replicates, 13 inits; repeat with seed 7",
    ]


def test_one_invariant_without_the_table():
    lines = render(REPORT, "variance", table=False).splitlines()
    assert lines[0].startswith("variance FAIL")
    assert not any("saturation" in line or "2nd moment" in line for line in lines)
    assert render(REPORT, "saturation", table=False).splitlines()[0] == (
        "saturation SKIPPED test_models.py::classifier  no bounded activation"
    )


def test_the_first_line_names_the_example():
    report = dataclasses.replace(REPORT, example="mlp(depth=3)")
    assert headline(report, "variance").startswith(
        "variance FAIL test_models.py::classifier  mlp(depth=3)  "
    )


def test_a_passing_report():
    report = dataclasses.replace(REPORT, verdict="pass", findings=(), notes=(), unobserved=())
    assert render(report).splitlines()[0] == "PASS test_models.py::classifier"
    assert headline(report, "finite") == "finite PASS test_models.py::classifier"


def test_an_error_shows_the_users_traceback():
    report = Report(
        "m", None, "error", 0, error="it raised", error_traceback='  File "m.py"\nValueError: a\x1b[2J'
    )
    assert render(report).splitlines() == [
        "ERROR m  it raised",
        '    File "m.py"',
        "  ValueError: a\\x1b[2J",
    ]


@pytest.mark.parametrize("evil", ["a\x1b[31mb", "a\rb", "a\nb", "a\u202eb", "a\x00b", "a\x9bb"])
def test_nothing_that_moves_the_cursor_or_hides_gets_through(evil):
    finding = dataclasses.replace(FINDING, message=evil, cause=evil, fix=evil, proof=evil)
    report = dataclasses.replace(
        REPORT, id=evil, findings=(finding,), sites=(row(evil),), notes=(evil,), unobserved=(evil,)
    )
    text = render(report)
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert len(text.splitlines()) == 12


def test_plain_leaves_ordinary_text_alone():
    assert plain("größe ≤ 3 µ") == "größe ≤ 3 µ"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_long_names_are_cut_in_the_middle_to_the_width(width):
    name = "encoder." + "block." * 20 + "linear"
    lines = site_table((row(name), row("head", first_wrong=True)), width)
    assert max(len(line.removesuffix("  <-- first wrong")) for line in lines) <= width
    assert "..." in lines[1]
    assert lines[1].split()[0].endswith("linear"[-4:])


@pytest.mark.parametrize("wrong", [None, 0, 10, 50, 98, 99])
def test_a_long_table_is_cut_around_the_first_wrong_site(wrong):
    sites = tuple(row(f"layer{index}", first_wrong=index == wrong) for index in range(100))
    lines = site_table(sites)
    shown = [line for line in lines[1:] if "more" not in line]
    assert len(shown) == MOST_ROWS
    left_out = sum(int(line.split()[2]) for line in lines if line.strip().startswith("... and"))
    assert left_out == 100 - MOST_ROWS
    marked = [line for line in shown if line.startswith("> ")]
    assert [line.split()[1] for line in marked] == ([] if wrong is None else [f"layer{wrong}"])


def test_only_the_first_of_equal_names_is_marked():
    sites = (row("reused", first_wrong=True), row("reused", first_wrong=True))
    assert sum(line.startswith("> ") for line in site_table(sites)) == 1


def test_numbers_that_are_none():
    line = site_table((row("a", non_finite=True, second_moment=math.nan, dead=math.nan),))[1]
    assert "non-finite" in line
    assert line.endswith("nan")


def test_no_sites_no_table():
    assert site_table(()) == []
