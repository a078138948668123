"""SARIF 2.1.0: the structure that the standard asks for, places, fingerprints, hostile names."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import ValidationError

from pytest_initcheck.config import DRIFT, NAMES
from pytest_initcheck.explain import explained
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.sarif import document

REPORTS = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "reports.py"))
HELPS = {name: "\n".join(explained(name)) for name in (*NAMES, DRIFT)}


SARIF = runpy.run_path(str(Path(__file__).parents[1] / "schemas.py"))["SARIF"]


def valid(*reports, **more):
    found = json.loads(json.dumps(document(reports, HELPS, root_seed=0, **more), allow_nan=False))
    SARIF.validate(found)
    return found["runs"][0]


def placed(name="CLASSIFIER", **more):
    return replace(REPORTS[name], path="tests/test models.py", line=12, **more)


def test_every_kind_of_report_is_valid():
    names = ("CLASSIFIER", "TWO_FAULTS", "NOT_FINITE", "DRAWN", "INCONCLUSIVE", "ERROR", "PASSING")
    found = valid(*(REPORTS[name] for name in names))
    levels = [result["level"] for result in found["results"]]
    assert sorted(set(levels)) == ["error", "warning"]


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.update(version="2.0.0"),
        lambda log: log["runs"][0].pop("tool"),
        lambda log: log["runs"][0]["results"][0].update(level="fatal"),
        lambda log: log["runs"][0]["results"][0].pop("message"),
        lambda log: log["runs"][0]["results"][0].update(colour="red"),
    ],
    ids=["version", "no tool", "level", "no message", "unknown"],
)
def test_the_structure_can_fail(change):
    found = document([placed()], HELPS, root_seed=0)
    change(found)
    with pytest.raises(ValidationError):
        SARIF.validate(found)


def test_a_finding_stands_at_the_factorys_line():
    [result] = valid(placed())["results"]
    assert result["ruleId"] == "variance"
    assert result["level"] == "error"
    [location] = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "tests/test%20models.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 12},
    }
    assert location["logicalLocations"] == [
        {"name": "features.4", "fullyQualifiedName": "test_models.py::classifier::features.4"}
    ]
    lines = result["message"]["text"].splitlines()
    assert lines[0].startswith("variance FAIL classifier  features.4: signal falls 6.53x")
    assert any(line.startswith("cause: weights have std") for line in lines)
    assert lines[-1].startswith("proof: 13 of 13")


def test_a_model_of_no_file_stands_elsewhere():
    [result] = valid(REPORTS["CLASSIFIER"], elsewhere="pyproject.toml")["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == ("pyproject.toml", {"startLine": 1})
    [result] = valid(REPORTS["CLASSIFIER"])["results"]
    assert "physicalLocation" not in result["locations"][0]


def test_a_file_outside_of_the_root_has_its_whole_path():
    [result] = valid(replace(placed(), path="/opt/a b.py"))["results"]
    location = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "file:///opt/a%20b.py"}


def test_there_is_a_rule_for_every_invariant_and_for_errors():
    run = valid(placed(), placed("ERROR"))
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [*NAMES, DRIFT, "error"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    by_id = {rule["id"]: rule for rule in rules}
    assert by_id["dead-relu"]["name"] == "DeadRelu"
    assert "typical causes" in by_id["dead-relu"]["help"]["text"]


def prints(*reports):
    return [each["partialFingerprints"]["initcheck/v1"] for each in valid(*reports)["results"]]


def test_fingerprints_do_not_depend_on_figures_lines_or_seeds():
    finding = replace(
        REPORTS["VANISHING"], message="signal falls 7x per layer", value=1e-12, proof="p", cause="c"
    )
    moved = replace(placed(), line=99, path="other.py", root_seed=3, findings=(finding,))
    assert prints(moved) == prints(placed())


@pytest.mark.parametrize(
    "other",
    [
        lambda: placed(id="other"),
        lambda: placed(example="mlp(depth=3)"),
        lambda: placed(findings=(replace(REPORTS["VANISHING"], site="features.6"),)),
        lambda: placed(findings=(replace(REPORTS["VANISHING"], direction="exploding"),)),
        lambda: placed(findings=(replace(REPORTS["VANISHING"], invariant="gradient"),)),
    ],
    ids=["model", "example", "site", "direction", "invariant"],
)
def test_fingerprints_tell_findings_apart(other):
    assert prints(other()) != prints(placed())


def test_equal_findings_are_numbered():
    twice = placed(findings=(REPORTS["VANISHING"], REPORTS["VANISHING"]))
    one, two = prints(twice)
    assert two == f"{one}:2"


def test_what_is_known_is_suppressed_with_its_reason():
    known = replace(REPORTS["VANISHING"], severity="known", verdict="known", reason="legacy\nuntil v2")
    [result] = valid(placed(findings=(known,)))["results"]
    assert result["level"] == "note"
    [suppression] = result["suppressions"]
    assert suppression["status"] == "accepted"
    assert suppression["justification"] == "legacy\\nuntil v2"


def test_an_incomplete_run_says_so():
    [invocation] = valid(course=Course(3, 1, "interrupted"))["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["properties"]["stopped"] == "interrupted"


HOSTILE = 'x"><script>alert(1)</script>\n::error::\x1b[2J](javascript:x)%0A\ud800'


def test_hostile_names_stay_names():
    finding = replace(REPORTS["VANISHING"], site=HOSTILE, cause=HOSTILE, fix=HOSTILE)
    run = valid(placed(id=HOSTILE, findings=(finding,)))
    text = json.dumps(run, ensure_ascii=False)
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x1f\ud800]", text)
    assert "\\\\x1b[2J" in text


def test_the_order_is_the_same_however_they_come():
    reports = [placed(id=id) for id in ("c", "a", "b")]
    assert valid(*reports) == valid(*reversed(reports))
