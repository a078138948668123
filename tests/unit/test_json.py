"""The JSON document, schema version 1."""

from __future__ import annotations

import json
import math

import pytest

from pytest_initcheck.report.course import Course
from pytest_initcheck.report.json import document, finite, write
from pytest_initcheck.report.result import Finding, InvariantResult, Report, SiteRow


def report(id: str, example: str | None = None) -> Report:
    return Report(
        id,
        "numpy",
        "fail",
        0,
        example=example,
        invariants={"variance": InvariantResult("fail", 13, (0.1, math.inf), "default")},
        findings=(
            Finding(
                "variance",
                "error",
                "fail",
                "exploding",
                "fc",
                math.inf,
                (None, 10.0),
                "m",
                "c",
                "f",
                "p",
            ),
        ),
        sites=(SiteRow("fc", "linear", math.inf, math.nan, None, None, math.inf, non_finite=False),),
        frameworks={"numpy": "2.0", "torch": "2.4"},
    )


def test_models_are_ordered_by_id_and_example():
    made = document([report("b"), report("a", "f(2)"), report("a", "f(1)")], root_seed=3, claims=9)
    assert [(model["id"], model["example"]) for model in made["models"]] == [
        ("a", "f(1)"),
        ("a", "f(2)"),
        ("b", None),
    ]
    assert made["root_seed"] == 3
    assert made["frameworks"] == {"numpy": "2.0"}


def test_what_json_cannot_hold_becomes_null(tmp_path):
    made = document([report("a")], root_seed=0, claims=1)
    path = tmp_path / "out.json"
    write(path, made)
    model = json.loads(path.read_text())["models"][0]
    assert model["findings"][0]["value"] is None
    assert model["sites"][0]["second_moment"] is None
    assert model["sites"][0]["non_finite"] is True
    assert model["invariants"]["variance"]["limit"] == [0.1, None]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_finite(number):
    assert finite({"a": [number, 1.0], "b": {"c": number}}) == {"a": [None, 1.0], "b": {"c": None}}


def test_an_incomplete_run_says_so():
    made = document([], root_seed=0, claims=0, course=Course(9, 2, "interrupted"))
    assert made["complete"] is False
    assert made["stopped"] == "interrupted"
    assert made["items"] == {"declared": 9, "ran": 2}
    whole = document([], root_seed=0, claims=0)
    assert (whole["complete"], whole["stopped"]) == (True, None)
