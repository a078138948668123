"""On GitHub: annotations and a step summary, once, by the controller; nowhere else anything."""

from __future__ import annotations

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)
"""


@pytest.fixture
def on_github(project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    project.write(SOURCE)
    return project


def commands(result):
    return [line for line in result.outlines if line.startswith("::")]


@pytest.mark.parametrize("options", [(), ("-q",), ("-n", "2"), ("-n", "2", "-q")], ids=" ".join)
def test_every_finding_once(on_github, options):
    result = on_github.run("--initcheck", *options)
    [line] = commands(result)
    assert line.startswith("::error title=initcheck%3A dead-relu,file=test_models.py,line=")
    text = (on_github.path / "summary.md").read_text(encoding="utf-8")
    assert text.count("## initcheck: 1 of 2 models does not start") == 1


def test_a_summary_is_added_to_what_is_there(on_github):
    (on_github.path / "summary.md").write_text("before\n")
    on_github.run("--initcheck")
    assert (on_github.path / "summary.md").read_text().startswith("before\n## initcheck: ")


def test_a_run_that_stops_says_so(on_github):
    on_github.write("def test_stops():\n    assert 0\n", "test_after")
    on_github.run("--initcheck", "-x", "test_after.py", "test_models.py")
    on_github.run("--initcheck", "-x", "test_models.py", "test_after.py")
    assert "**This run is incomplete.**" in (on_github.path / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_is_a_line(on_github, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(on_github.path))
    result = on_github.run("--initcheck")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["GITHUB_STEP_SUMMARY could not be written: *"])


def test_without_a_model_there_is_neither(on_github):
    on_github.write("def test_plain():\n    pass\n")
    result = on_github.run("--initcheck")
    assert commands(result) == []
    assert not (on_github.path / "summary.md").exists()


def test_elsewhere_there_is_neither(project):
    project.write(SOURCE)
    assert commands(project.run("--initcheck")) == []
    assert not (project.path / "summary.md").exists()
