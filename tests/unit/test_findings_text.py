"""What a finding says after its first line."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_initcheck.report.findings_text import chosen, explained, fixes, in_short
from pytest_initcheck.report.layout import Layout
from pytest_initcheck.report.prose import columns
from pytest_initcheck.report.result import Finding, Fix

HELPED = Fix(
    "draw 0.weight and 14 more with std 0.0884 = 1.414 / sqrt(256)",
    "for p in ('0.weight', '2.weight'):\n    nn.init.kaiming_normal_(model.get_parameter(p), nonlinearity='relu')",
    helped=True,
    result="passes, 1.02x per layer",
)
IN_VAIN = Fix(
    "start the biases of every layer at zero", "m.b = 0", helped=False, result="variance still fails"
)
UNTRIED = Fix("widen the layers", result="only the author of the model can make this change")
FINDING = Finding(
    "variance", "error", "fail", "vanishing", "features.4", 0.1, (None, None),
    message="signal falls 6.0x per layer",
    cause="weights have std 0.0361 (like kaiming_uniform(a=sqrt(5)), PyTorch's default); relu needs 0.0884",
    fix="",
    proof="13 of 13 replicates outside the widened limit (default); p < 4e-13 for a correct init",
    kind="init gain",
    place="features.4 (Linear 256->256, then relu)",
    detail="over 15 layers; 14 later layers too",
    costs="the first layers learn 1e4 times more slowly",
    also=("saturation", "dead-relu"),
    fixes=(IN_VAIN, HELPED),
)  # fmt: skip


def test_everything_in_its_order():
    assert list(explained(FINDING)) == [
        "  at      features.4 (Linear 256->256, then relu)",
        "  seen    over 15 layers; 14 later layers too",
        "  cause   init gain: weights have std 0.0361 (like kaiming_uniform(a=sqrt(5)),",
        "          PyTorch's default); relu needs 0.0884",
        "  costs   the first layers learn 1e4 times more slowly",
        "  tried   start the biases of every layer at zero: variance still fails",
        "  fix     draw 0.weight and 14 more with std 0.0884 = 1.414 / sqrt(256)",
        "            for p in ('0.weight', '2.weight'):",
        "                nn.init.kaiming_normal_(model.get_parameter(p), nonlinearity='relu')",
        "  tried   passes, 1.02x per layer",
        "  also    saturation and dead-relu fail for this cause",
        "  proof   13 of 13 replicates outside the widened limit (default); p < 4e-13 for",
        "          a correct init",
    ]


def test_a_known_finding_says_why_it_is_kept():
    known = dataclasses.replace(FINDING, severity="known", verdict="known", reason="goes with v2")
    assert "  kept    goes with v2" in list(explained(known))
    assert not any(line.startswith("  kept") for line in explained(FINDING))


def test_what_is_not_known_has_no_line():
    bare = Finding("finite", "error", "fail", None, None, None, (None, None), "m", "c", "", "p")
    assert list(explained(dataclasses.replace(bare, place="the model"))) == [
        "  cause   c",
        "  proof   p",
    ]
    assert next(explained(dataclasses.replace(bare, site="fc", place="fc"))) == "  cause   c"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_only_code_is_longer_than_the_terminal(width):
    long = dataclasses.replace(FINDING, place="x" * 200, costs="y" * 200)
    lines = list(explained(long, Layout(width)))
    code = [line for line in lines if line.startswith(" " * 12)]
    assert len(code) == 2
    assert max(columns(line) for line in lines if line not in code) <= width
    assert code[1].endswith("kaiming_normal_(model.get_parameter(p), nonlinearity='relu')")


@pytest.mark.parametrize(
    ("found", "best", "vain"),
    [
        ((IN_VAIN, UNTRIED, HELPED), HELPED, (IN_VAIN,)),
        ((IN_VAIN, UNTRIED), UNTRIED, (IN_VAIN,)),
        ((IN_VAIN,), IN_VAIN, ()),
        ((), None, ()),
    ],
)
def test_which_fix_is_shown_whole(found, best, vain):
    assert chosen(found) == (best, vain)


def told(*found: Fix, **layout: object) -> list[str]:
    return list(fixes(dataclasses.replace(FINDING, fixes=found), Layout(**layout)))  # type: ignore[arg-type]


def test_a_fix_that_was_not_tried_says_why():
    assert told(UNTRIED) == [
        "  fix     widen the layers",
        "  untried only the author of the model can make this change",
    ]


def test_a_fix_that_did_not_help_says_so():
    assert told(IN_VAIN) == [
        "  fix     start the biases of every layer at zero",
        "            m.b = 0",
        "  tried   variance still fails",
    ]


def test_an_outcome_without_a_figure():
    assert told(Fix("widen", helped=True))[-1] == "  tried   passes"
    assert told(Fix("widen", helped=False))[-1] == "  tried   still fails"


def test_other_fixes_are_shown_where_everything_is():
    assert "  or      widen the layers" not in told(HELPED, UNTRIED)
    assert "  or      widen the layers" in told(HELPED, UNTRIED, detail="whole")


def test_a_fix_that_is_text_alone_is_not_broken_unless_nothing_is_known_to_be_wrong():
    text = "nn.init.normal_(weight, std=0.4714)  # " + "a line that must stay whole to be copied"
    one = dataclasses.replace(FINDING, fixes=(), fix=text)
    assert list(fixes(one, Layout(40))) == [f"  fix     {text}"]
    undecided = dataclasses.replace(
        one, verdict="inconclusive", fix="look at the value: it lies at the limit"
    )
    assert len(list(fixes(undecided, Layout(40)))) == 2


def test_one_invariant_besides():
    assert "  also    saturation fails for this cause" in explained(
        dataclasses.replace(FINDING, also=("saturation",))
    )


@pytest.mark.parametrize("width", [40, 80])
def test_in_short(width):
    lines = list(in_short(FINDING, "m.py::net::variance", Layout(width)))
    assert [line[2:7].strip() for line in lines if line[2] != " "] == ["cause", "fix", "whole"]
    assert lines[0].endswith("...")
    assert lines[-2].endswith("per layer")
    assert max(map(columns, lines)) <= width
    text_alone = dataclasses.replace(FINDING, fixes=(), fix="x = x / 255")
    assert "  fix     x = x / 255" in in_short(text_alone, "m.py::net::variance", Layout(width))
