"""A whole Report as text, for an item, for a library call, and in short."""

from __future__ import annotations

import dataclasses

import pytest

import pytest_initcheck as ic
from pytest_initcheck.report.layout import USUAL, Layout, door_of_item
from pytest_initcheck.report.prose import columns
from pytest_initcheck.report.result import Finding, Fix, InvariantResult, Report, SiteRow
from pytest_initcheck.report.terminal import render
from pytest_initcheck.report.violations import violation_of

FINDING = Finding(
    invariant="variance",
    severity="error",
    verdict="fail",
    direction="vanishing",
    site="features.4",
    value=0.17,
    limit=(0.1, 10.0),
    message="signal falls 6.0x per layer",
    cause="weights look like PyTorch's default: std 0.036",
    fix="",
    proof="13 of 13 replicates outside; p < 4e-13 for a correct init",
    place="features.4 (Linear 256->256, then relu)",
    also=("saturation",),
    fixes=(Fix("draw them anew", "nn.init.kaiming_normal_(m.weight)", helped=True, result="passes"),),
    allow_at="features.*",
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
        "variance": InvariantResult("fail", 13, (0.1, 10.0), "default", note="allowed at some sites"),
        "saturation": InvariantResult("fail", 13, (0, 0.25), "default"),
        "dead-relu": InvariantResult("skipped", 0, None, "default", note="no layer has rectifier units"),
    },
    findings=(FINDING,),
    sites=(row("features.2"), row("features.4", first_wrong=True, saturated=0.5)),
    replicates=13,
    seeds=13,
    spread=0.31,
    seconds=1.234,
    notes=("allow('dead-relu', at='x') matches nothing",),
    unobserved=("lstm: fused",),
)
FOUND = [
    "variance FAIL classifier  features.4: signal falls 6.0x per layer",
    "  at      features.4 (Linear 256->256, then relu)",
    "  cause   weights look like PyTorch's default: std 0.036",
    "  fix     draw them anew",
    "            nn.init.kaiming_normal_(m.weight)",
    "  tried   passes",
    "  also    saturation fails for this cause",
    "  proof   13 of 13 replicates outside; p < 4e-13 for a correct init",
]
NOTES = [
    "  note    allow('dead-relu', at='x') matches nothing",
    "  unobserved lstm: fused",
]
SITES = [
    "",
    "  signal  ██  0.2 to 0.2",
    "           ^ first wrong: features.4",
    "  site        op      signal  2nd moment   gain  saturated",
    "  features.2  linear     0.2         0.3  0.17x          -",
    "> features.4  linear     0.2         0.3  0.17x        50%  <-- first wrong",
]


def test_the_whole_report():
    assert render(REPORT).splitlines() == [
        *FOUND,
        "  finite     pass (20 of 63 inits seen)",
        "  saturation fail: same cause as variance",
        "  dead-relu  skipped: no layer has rectifier units",
        *NOTES,
        *SITES,
        "  spread  2^0.31 from seed to seed: the standard deviation of log2 of the",
        "          output's second moment",
        "  cost    1.23 s for 13 replicates, 13 inits",
        "",
        "  repeat  ic.check(..., seed=7)",
        '  allow   allow=[ic.allow("variance", at="features.*", reason="...")]',
        "  more    pytest --initcheck-explain variance",
    ]


ITEM = "test_models.py::classifier::variance"


def test_one_item():
    assert render(REPORT, "variance", door=door_of_item(ITEM)).splitlines() == [
        *FOUND,
        "  note    allowed at some sites",
        *NOTES,
        *SITES,
        "",
        f"  repeat  pytest {ITEM} --initcheck --initcheck-seed 7",
        '  allow   @ic.allow("variance", at="features.*", reason="...")',
        "  more    pytest --initcheck-explain variance",
    ]


def test_a_shared_cause_is_told_in_short_where_its_own_item_tells_it():
    assert render(REPORT, "saturation", elsewhere=ITEM).splitlines() == [
        "saturation FAIL classifier  features.4: same cause as variance",
        "  cause   weights look like PyTorch's default: std 0.036",
        "  fix     draw them anew; passes",
        f"  whole   {ITEM}",
    ]


def test_a_shared_cause_is_told_whole_where_its_own_item_does_not_run():
    lines = render(REPORT, "saturation").splitlines()
    assert lines[0] == "saturation FAIL classifier  features.4: same cause as variance"
    assert lines[1:9] == [
        FOUND[1],
        "  seen    variance: signal falls 6.0x per layer",
        *FOUND[2:6],
        "  also    variance fails for this cause",
        FOUND[7],
    ]
    assert lines[-2:] == [
        '  allow   allow=[ic.allow("variance", at="features.*", reason="...")]',
        "  more    pytest --initcheck-explain saturation",
    ]


def test_a_quiet_run_has_one_line():
    for invariant in (None, "variance"):
        assert render(REPORT, invariant, Layout(detail="line")) == FOUND[0]


def test_a_pass_and_a_skip_are_one_line():
    assert render(REPORT, "finite") == "finite PASS classifier"
    assert render(REPORT, "dead-relu") == "dead-relu SKIPPED classifier  no layer has rectifier units"


def test_a_passing_report():
    report = dataclasses.replace(REPORT, verdict="pass", findings=(), notes=(), unobserved=())
    lines = render(report).splitlines()
    assert lines[0] == "PASS classifier"
    assert not any(line.startswith(("  repeat", "  allow", "  more")) for line in lines)


def test_what_could_not_be_decided_is_not_to_be_allowed():
    finding = dataclasses.replace(FINDING, severity="warning", verdict="inconclusive", also=())
    lines = render(dataclasses.replace(REPORT, findings=(finding,)), "variance").splitlines()
    assert lines[0].startswith("variance INCONCLUSIVE classifier")
    assert not any(line.startswith(("  repeat", "  allow", "  more")) for line in lines)


def test_drawn_arguments_that_are_cut_are_told_whole():
    example = f"classifier({', '.join(f'argument_{i}={i}' for i in range(6))})"
    report = dataclasses.replace(REPORT, example=example)
    lines = render(report, "variance").splitlines()
    assert lines[1].startswith("  example classifier(argument_0=0, ")
    assert " ".join(line[10:] for line in lines[1:3]) == example
    short = dataclasses.replace(REPORT, example="classifier(depth=3)")
    assert "  example" not in render(short, "variance")


def test_places_that_were_not_seen_are_capped_unless_everything_is_shown():
    report = dataclasses.replace(REPORT, unobserved=tuple(f"lstm{i}: fused" for i in range(9)))
    assert "  unobserved and 6 more places" in render(report, "variance")
    assert "lstm8" in render(report, "variance", Layout(detail="whole"))


def test_an_error_shows_the_users_traceback():
    report = Report(
        "m", None, "error", 0, error="it raised", error_traceback='  File "m.py"\nValueError: a\x1b[2J'
    )
    assert render(report).splitlines() == [
        "ERROR m  it raised",
        '    File "m.py"',
        "  ValueError: a\\x1b[2J",
    ]
    assert render(report, "finite", Layout(detail="line")) == "ERROR m  it raised"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("invariant", [None, "variance", "saturation"])
def test_nothing_but_code_is_longer_than_the_terminal(width, invariant):
    name = "encoder." + "block." * 20 + "linear"
    report = dataclasses.replace(
        REPORT,
        id=f"tests/test_models.py::{name}",
        example=f"{name}(depth=3)",
        findings=(dataclasses.replace(FINDING, site=name, place=name),),
        sites=(row(name), row(name, first_wrong=True)),
        notes=(name,),
        unobserved=(name,),
    )
    for elsewhere in ("", f"test_models.py::{name}::variance"):
        lines = render(report, invariant, Layout(width), elsewhere=elsewhere).splitlines()
        prose = [
            line
            for line in lines
            if not line.startswith((" " * 12 + "nn", "  whole", "  repeat", "  allow", "  more"))
        ]
        assert max(map(columns, prose)) <= max(width, 40)
        if width >= 80:
            assert lines[0].endswith(("signal falls 6.0x per layer", "same cause as variance"))


@pytest.mark.parametrize("evil", ["a\x1b[31mb", "a\rb", "a\nb", "a\u202eb", "a\x00b", "a\x9bb"])
def test_nothing_that_moves_the_cursor_or_hides_gets_through(evil):
    fix = Fix(evil, f"{evil}\n{evil}", helped=True, result=evil)
    finding = dataclasses.replace(
        FINDING, message=evil, cause=evil, proof=evil, kind=evil, place=evil, detail=evil, costs=evil,
        site=evil, fixes=(fix, dataclasses.replace(fix, helped=False)), allow_at=evil,
    )  # fmt: skip
    report = dataclasses.replace(
        REPORT, id=evil, findings=(finding,), sites=(row(evil, op=evil), row(evil, first_wrong=True)),
        notes=(evil,), unobserved=(evil,),
    )  # fmt: skip
    for invariant in (None, "variance", "saturation"):
        for layout in (USUAL, Layout(40, "whole")):
            text = render(report, invariant, layout)
            assert all(char.isprintable() for char in text.replace("\n", ""))
    # only the lines of code may be several
    lines = 26 if evil == "a\nb" else 24
    assert len(render(report, "variance").splitlines()) == lines


def test_a_terminal_without_blocks():
    assert render(REPORT, layout=Layout(ascii=True)).isascii()


# -- what is raised ------------------------------------------------------------------------------


def test_the_violation_of_the_first_failure():
    violation = violation_of(REPORT)
    assert isinstance(violation, ic.VarianceViolation)
    assert violation.report is REPORT
    assert str(violation).splitlines()[0] == FOUND[0]


def test_the_violation_of_an_invariant_that_shares_the_cause():
    assert isinstance(violation_of(REPORT, "saturation"), ic.SaturationViolation)
    with pytest.raises(ic.SaturationViolation):
        REPORT.raise_if_failed("saturation")
    assert violation_of(REPORT, "finite") is None


def test_what_is_raised_leaves_room_for_pytests_margin():
    lines = str(violation_of(REPORT, layout=Layout(60))).splitlines()
    prose = [line for line in lines if not line.startswith((" " * 12, "  allow", "  repeat"))]
    assert max(map(columns, prose)) <= 52


def test_strict_raises_what_is_not_decided():
    undecided = dataclasses.replace(REPORT, verdict="inconclusive", findings=())
    assert violation_of(undecided) is None
    assert type(violation_of(dataclasses.replace(undecided, strict=True))) is ic.InitCheckError
