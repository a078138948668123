"""The JSON document, schema version 1."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

import pytest_initcheck as ic
from pytest_initcheck.report import json as json_report
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


# -- its schema ----------------------------------------------------------------------------------


STRICT = runpy.run_path(str(Path(__file__).parents[1] / "schemas.py"))["STRICT"]


def golden(name):
    path = Path(__file__).parents[1] / "golden" / "reports.py"
    return runpy.run_path(str(path))[name]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(json_report.schema())
    assert json_report.schema()["properties"]["schema_version"] == {"const": json_report.SCHEMA_VERSION}


@pytest.mark.parametrize(
    "name", ["CLASSIFIER", "TWO_FAULTS", "NOT_FINITE", "DRAWN", "INCONCLUSIVE", "ERROR", "PASSING"]
)
def test_every_kind_of_report_is_valid(name):
    STRICT.validate(json.loads(json.dumps(document([golden(name)], root_seed=7, claims=75))))


def test_empty_incomplete_placed_and_known_ones_are_valid():
    STRICT.validate(document([], root_seed=0, claims=0, course=Course(3, 1, "interrupted")))
    known = replace(golden("CLASSIFIER"), verdict="known", path="models.py", line=3)
    finding = replace(known.findings[0], severity="known", verdict="known", reason="legacy")
    STRICT.validate(document([replace(known, findings=(finding,))], root_seed=0, claims=0))


def test_the_report_of_a_check_is_valid():
    def net(rng):
        return [
            (rng.normal(0, 1, (32, 32)), np.zeros(32), "tanh"),
            (rng.normal(0, 1, (32, 4)), None, None),
        ]

    checked = ic.check(net, inputs=ic.normal(32))
    assert checked.sites[2].pre_activations is not None
    STRICT.validate(document([checked], root_seed=0, claims=checked.claims))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("claims"),
        lambda found: found.update(schema_version=2),
        lambda found: found.update(more=1),
        lambda found: found["models"][0].update(verdict="maybe"),
        lambda found: found["models"][0].pop("sites"),
        lambda found: found["models"][0]["findings"][0].update(limit=[1.0]),
        lambda found: found["models"][0]["sites"][0].update(gain="1"),
        lambda found: found["models"][0]["invariants"]["finite"].update(verdict="error"),
    ],
    ids=[
        "missing",
        "version",
        "more",
        "verdict",
        "no sites",
        "limit",
        "text",
        "verdict of an invariant",
    ],
)
def test_the_schema_refuses_anything_else(change):
    found = document([golden("CLASSIFIER")], root_seed=7, claims=75)
    change(found)
    with pytest.raises(ValidationError):
        STRICT.validate(found)


def test_readers_of_an_older_schema_take_new_keys():
    found = {**document([], root_seed=0, claims=0), "added": 1}
    Draft202012Validator(json_report.schema()).validate(found)
