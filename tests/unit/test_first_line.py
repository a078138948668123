"""The first line: complete in itself, and never longer than 80 columns."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.config import NAMES
from pytest_initcheck.report.first_line import (
    LONGEST_MESSAGE,
    error_line,
    finding_about,
    headline,
    what_first,
)
from pytest_initcheck.report.prose import columns, plain
from pytest_initcheck.report.result import Finding, InvariantResult, Report

FINDING = Finding(
    "variance", "error", "fail", "vanishing", "features.4", 0.1, (None, None),
    "signal falls 6.0x per layer", "", "", "", also=("saturation",),
)  # fmt: skip
REPORT = Report(
    "tests/test_models.py::classifier",
    "torch",
    "fail",
    0,
    {
        "finite": InvariantResult("pass", 3, None, "default"),
        "inputs": InvariantResult("skipped", 0, None, "default", note="tokens have no scale"),
        "variance": InvariantResult("fail", 13, None, "default"),
        "saturation": InvariantResult("fail", 13, None, "default"),
    },
    (FINDING,),
)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=90)


def with_(**changes: object) -> Report:
    return dataclasses.replace(REPORT, findings=(dataclasses.replace(FINDING, **changes),))  # type: ignore[arg-type]


def test_the_line_names_invariant_verdict_model_place_and_fault():
    assert headline(REPORT) == "variance FAIL classifier  features.4: signal falls 6.0x per layer"
    assert headline(REPORT, "variance") == headline(REPORT)
    assert headline(with_(site=None)) == "variance FAIL classifier: signal falls 6.0x per layer"


def test_the_path_is_kept_on_demand_and_where_it_fits():
    report = dataclasses.replace(REPORT, id="m.py::net")
    assert headline(report, path=True).startswith("variance FAIL m.py::net  features.4: ")
    assert headline(REPORT, path=True).startswith("variance FAIL classifier  features.4: ")


def test_an_invariant_that_shares_the_cause():
    assert headline(REPORT, "saturation") == (
        "saturation FAIL classifier  features.4: same cause as variance"
    )
    assert finding_about(REPORT, "saturation") is FINDING
    assert finding_about(REPORT, "finite") is None


def test_its_own_finding_comes_before_a_shared_cause():
    own = dataclasses.replace(FINDING, invariant="saturation", also=())
    report = dataclasses.replace(REPORT, findings=(FINDING, own))
    assert finding_about(report, "saturation") is own


def test_results_without_a_finding():
    assert headline(REPORT, "finite") == "finite PASS classifier"
    assert headline(REPORT, "inputs") == "inputs SKIPPED classifier  tokens have no scale"
    assert headline(dataclasses.replace(REPORT, findings=())) == "FAIL classifier"


def test_drawn_arguments_stand_for_the_name():
    report = dataclasses.replace(REPORT, example="classifier(depth=3)")
    assert headline(report).startswith("variance FAIL classifier(depth=3)  features.4: ")
    variant = dataclasses.replace(report, id="m.py::classifier[16]")
    assert headline(variant).startswith("variance FAIL classifier[...er(depth=3)  features.4: ")
    assert headline(report, path=True, width=120).startswith("variance FAIL classifier(depth=3)  ")


def test_long_names_give_way_to_the_figures():
    report = dataclasses.replace(with_(site="encoder.layers.11.self_attention.out_proj"), id="n" * 60)
    assert headline(report) == (
        "variance FAIL nnnnnnnn...nnnnnnn  encoder...ut_proj: signal falls 6.0x per layer"
    )
    assert len(headline(report)) <= 80


@given(st.sampled_from(NAMES), TEXTS, TEXTS, st.integers(1, LONGEST_MESSAGE))
def test_no_line_is_longer_than_80_columns(invariant, id, site, size):
    finding = dataclasses.replace(FINDING, invariant=invariant, site=site, message="m" * size)
    report = dataclasses.replace(REPORT, id=id, findings=(finding,))
    line = headline(report)
    assert columns(line) <= 80
    assert line.endswith(": " + "m" * size)
    assert line.isprintable()


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_gets_shorter_names_first(width):
    report = dataclasses.replace(with_(message="m" * 4), id="n" * 60)
    assert columns(headline(report, width=width)) <= width


def test_what_is_wrong_first():
    assert what_first(REPORT, "variance") == (
        "features.4: signal falls 6.0x per layer (variance FAIL classifier)"
    )
    assert what_first(REPORT, "saturation") == (
        "features.4: same cause as variance (saturation FAIL classifier)"
    )
    assert what_first(REPORT, "finite") == "finite PASS classifier"


def test_an_error():
    report = Report("m.py::net", None, "error", 0, error="it raised\x1b[2J", example="net(depth=3)")
    assert error_line(report) == "ERROR net(depth=3)  it raised\\x1b[2J"
    assert headline(report, "variance") == error_line(report)
    assert what_first(report, "variance") == "it raised\\x1b[2J (ERROR net(depth=3))"


@pytest.mark.parametrize("evil", ["a\x1b[31mb", "a\rb", "a\nb", "a\u202eb"])
def test_names_are_escaped(evil):
    report = dataclasses.replace(with_(site=evil, message=evil), id=evil)
    assert headline(report).isprintable()
    assert what_first(report, "variance").isprintable()
    assert headline(report).count(re.sub("^a|b$", "", plain(evil))) == 3
