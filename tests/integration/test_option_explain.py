"""``--initcheck-explain NAME``: prints what an invariant means, and runs nothing."""

from __future__ import annotations

import pytest

from pytest_initcheck.config import NAMES

RAISING = 'raise RuntimeError("collected")\n'


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_and_collects_nothing(project, name):
    project.write(RAISING)
    result = project.run("--initcheck-explain", name)
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines[0].startswith(f"{name}: ")
    result.stdout.no_fnmatch_line("*test session starts*")
    result.stdout.no_fnmatch_line("*collected*")
    result.stdout.fnmatch_lines(["why it matters", "when it fails", "theory (docs/principles.md *"])


def test_a_name_as_in_python_is_read_too(project):
    assert project.run("--initcheck-explain", "dead_relu").outlines[0].startswith("dead-relu: ")


def test_an_unknown_name_is_a_usage_error_with_a_suggestion(project):
    result = project.run("--initcheck-explain", "varianse")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: initcheck: --initcheck-explain: unknown invariant 'varianse'; did you mean 'variance'?"]
    )
    assert result.outlines == []


def test_the_help_names_the_invariants(project):
    text = " ".join(project.run("--help").stdout.str().split())
    assert ", ".join(NAMES) in text


def test_headings_are_coloured_on_demand_only(project, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert (
        "\x1b[1mwhy it matters\x1b[0m"
        in project.run("--initcheck-explain", "variance", "--color=yes").stdout.str()
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in project.run("--initcheck-explain", "variance").stdout.str()


def test_a_narrow_terminal(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = project.run("--initcheck-explain", "finite").outlines
    assert max(len(line) for line in lines if "ic." not in line and "initcheck_" not in line) <= 41


def test_with_workers_too(project):
    result = project.run("--initcheck-explain", "variance", "-n", "2")
    assert result.outlines[0].startswith("variance: ")
