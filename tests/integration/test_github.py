"""On GitHub Actions a run annotates its factories and adds to the summary of its step."""

from __future__ import annotations

from pathlib import Path

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
    raise ValueError("100 %::error::\\nno weights")
"""


@pytest.fixture
def on_github(monkeypatch, project) -> Path:
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path))
    return summary


def commands(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.lstrip().startswith("::")]


@pytest.mark.parametrize(
    "args",
    [(), ("-q",), ("-v",), ("-n", "2"), ("--color=yes",)],
    ids=["", "-q", "-v", "workers", "colour"],
)
def test_every_failure_is_annotated_once(project, on_github, args):
    text = project.write(SOURCE).read_text().splitlines()
    result = project.run("--initcheck", *args)
    found = commands(result)
    assert len(found) == 2
    for line, name in zip(found, ("broken", "raising"), strict=True):
        assert line.startswith("::error file=test_models.py,line=")
        number = int(line.split("line=")[1].split(",")[0])
        assert f"def {name}(rng):" in text[number - 1 : number + 1]
        assert f"test_models.py%3A%3A{name}::" in line
        assert "\x1b" not in line
    assert "100 %25::error::" in found[1]
    assert max(map(len, found)) > 200


def test_what_is_undecided_is_a_warning(project, on_github):
    project.pytester.makepyfile(
        zoo="import numpy as np\nfrom nets import net\nbuilt = net(np.random.default_rng(0))\n"
    )
    result = project.run("--initcheck-model", "zoo:built", "-k", "variance")
    assert result.ret == 0
    (line,) = commands(result)
    # no function builds it, so there is no line to show
    assert line.startswith("::warning title=variance INCONCLUSIVE zoo%3Abuilt::")
    assert "| inconclusive | zoo\\:built |" in on_github.read_text(encoding="utf-8")


def test_the_summary_of_the_step(project, on_github):
    on_github.write_text("# before")
    project.write(SOURCE)
    project.run("--initcheck", "-n", "2")
    text = on_github.read_text(encoding="utf-8")
    assert text.startswith("# before\n## initcheck: 1 of 3 models does not start in a trainable place\n")
    assert text.count("## initcheck:") == 1
    assert r"| error | test\_models.py\:\:raising | the factory raising raised ValueError" in text
    assert r"### dead-relu FAIL test\_models.py\:\:broken" in text
    assert "claims evaluated" in text
    assert "incomplete" not in text


def test_every_run_of_a_step_adds_its_own(project, on_github):
    project.write(SOURCE)
    project.run("--initcheck", "-k", "good")
    project.run("--initcheck", "-k", "broken")
    assert on_github.read_text(encoding="utf-8").count("## initcheck:") == 2


@pytest.mark.parametrize("args", [("-x",), ("-x", "-n", "1")], ids=["alone", "workers"])
def test_a_run_that_was_stopped(project, on_github, args):
    project.write(SOURCE)
    result = project.run("--initcheck", *args)
    assert len(commands(result)) == 1
    assert "**The run is incomplete:** stopping after 1 failures" in on_github.read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("args", [(), ("-n", "2"), ("-x",)], ids=["alone", "workers", "stopped"])
def test_the_fixture_alone(project, on_github, args):
    project.write(
        """
        def test_it(initcheck):
            initcheck(dead, inputs=ic.normal(32))
        def test_other():
            pass
        """
    )
    result = project.run(*args)
    (line,) = commands(result)
    assert line.startswith("::error file=nets.py,line=")
    text = on_github.read_text(encoding="utf-8")
    assert "1 of 1 models does not start" in text
    assert ("stopping after 1 failures" in text) == (args == ("-x",))
    assert ("incomplete" in text) == (args == ("-x",))


def test_a_run_in_a_folder_of_the_repository(project, on_github, monkeypatch):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    project.write(SOURCE)
    result = project.run("--initcheck", "-k", "broken")
    (line,) = commands(result)
    assert line.startswith(f"::error file={project.path.name}/test_models.py,line=")


@pytest.mark.parametrize("target", [".", "nets.py/summary.md", "nowhere/summary.md"])
def test_a_summary_that_cannot_be_written_is_one_line(project, on_github, monkeypatch, target):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / target))
    project.write(SOURCE)
    result = project.run("--initcheck", "-k", "good")
    assert result.ret == 0
    found = [line for line in result.outlines if "GITHUB_STEP_SUMMARY" in line]
    assert len(found) == 1
    assert found[0].startswith("the report could not be added to GITHUB_STEP_SUMMARY: ")


def test_nothing_of_it_elsewhere(project, on_github, monkeypatch):
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(variable)
    project.write(SOURCE)
    result = project.run("--initcheck")
    assert commands(result) == []
    assert not on_github.exists()


@pytest.mark.parametrize("value", ["", "false"])
def test_other_values_of_the_variable(project, on_github, monkeypatch, value):
    monkeypatch.setenv("GITHUB_ACTIONS", value)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    project.write(SOURCE)
    result = project.run("--initcheck")
    assert commands(result) == []
    result.stdout.no_fnmatch_line("*GITHUB_STEP_SUMMARY*")


def test_other_tests_alone_add_nothing(project, on_github):
    project.write("def test_other(): pass\n")
    project.run()
    project.run("--initcheck", "--collect-only")
    assert not on_github.exists()


def test_nothing_declared_is_said(project, on_github):
    project.write("def test_other(): pass\n")
    project.run("--initcheck")
    assert "No model was checked" in on_github.read_text(encoding="utf-8")
