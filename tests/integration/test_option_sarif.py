"""``--initcheck-sarif``: where findings stand, alone and with workers, and what cannot be written."""

from __future__ import annotations

import json

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)

def test_fixture(initcheck):
    initcheck(saturated, inputs=ic.normal(32))
"""


def results(project, *args: str):
    project.run("--initcheck", "--initcheck-sarif", "out/r.sarif", *args)
    log = json.loads((project.path / "out" / "r.sarif").read_text(encoding="utf-8"))
    return log["runs"][0]


def places(run):
    return {
        (
            result["ruleId"],
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            result["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for result in run["results"]
    }


def test_findings_stand_where_their_factories_do(project):
    source = project.write(SOURCE).read_text(encoding="utf-8").splitlines()
    line = source.index("def broken(rng):") + 1
    nets = (project.path / "nets.py").read_text(encoding="utf-8").splitlines()
    assert places(results(project)) == {
        ("dead-relu", "test_models.py", line - 1),
        ("variance", "nets.py", nets.index("def saturated(rng):") + 1),
    }


def test_workers_report_the_same(project):
    project.write(SOURCE)
    assert results(project, "-n", "2")["results"] == results(project)["results"]


def test_known_findings_are_suppressed(project):
    project.write(SOURCE)
    options = ("--initcheck-baseline", "b.toml", "--initcheck-update-baseline")
    run = results(project, *options)
    assert {result["level"] for result in run["results"]} == {"note"}
    assert all(result["suppressions"] for result in run["results"])


def test_a_factory_without_source_stands_in_the_ini_file(project):
    project.ini("")
    (project.path / "made.py").write_text(
        "import functools, nets\nexec('def hidden(rng): return nets.dead(rng)')\n"
    )
    run = results(project, "--initcheck-model", "made:hidden", "--initcheck-inputs", "normal:32")
    assert places(run) == {("dead-relu", "tox.ini", 1)}


def test_the_line_in_the_summary(project):
    project.write(SOURCE)
    result = project.run("--initcheck", "--initcheck-sarif", "r.sarif")
    result.stdout.fnmatch_lines(["report: *r.sarif"])


def test_a_place_that_cannot_be_written_is_refused_before_the_run(project):
    (project.path / "file").write_text("")
    result = project.run("--initcheck", "--initcheck-sarif", "file/r.sarif")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck: cannot write --initcheck-sarif *r.sarif: *"])
