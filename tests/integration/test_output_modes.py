"""Width, quiet and verbose runs, colours and encodings, with and without workers."""

from __future__ import annotations

import re

import pytest

BROKEN = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation()
def broken(rng):
    return net(rng, gain=30, depth=12, activation="tanh")
"""
FIXTURE = "def test_it(initcheck):\n    initcheck.saturation(saturated, inputs=ic.normal(32))\n"
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "worker"])
FIRST = re.compile(r"saturation FAIL broken  0: \d\d % start saturated, at most 25 %")


def failure(result: pytest.RunResult) -> list[str]:
    """The lines of the failure, without its heading."""
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if "broken::saturation ___" in line)
    stop = next(index for index, line in enumerate(lines) if "= initcheck =" in line)
    return [line for line in lines[start + 1 : stop] if not line.startswith("[gw")]


@WORKERS
@pytest.mark.parametrize("width", [40, 60, 120])
def test_the_text_is_fitted_to_the_terminal(project, monkeypatch, workers, width):
    monkeypatch.setenv("COLUMNS", str(width))
    project.write(BROKEN)
    result = project.run("--initcheck", *workers)
    code = " " * 12
    typed = (code, "  repeat ", "  allow ", "  more ", "FAILED ", "rootdir: ", "plugins: ", "=====")
    own = [*failure(result), *result.outlines[result.outlines.index(failure(result)[-1]) :]]
    assert max(len(line) for line in own if not line.startswith(typed)) <= width
    assert max(map(len, failure(result))) > 40


@WORKERS
def test_quiet_runs_have_one_line_per_failure(project, workers):
    project.write(BROKEN)
    [line] = failure(project.run("--initcheck", "-q", *workers))
    assert FIRST.fullmatch(line)


@WORKERS
def test_verbose_runs_have_every_row(project, workers):
    project.write(BROKEN)

    def rows(*args: str) -> int:
        lines = failure(project.run("--initcheck", *args, *workers))
        assert FIRST.fullmatch(lines[0])
        return sum(bool(re.match(r"[> ] (input|\d+(\.tanh)?) ", line)) for line in lines)

    assert (rows(), rows("-v"), rows("-v", "-q")) == (6, 24, 6)


@WORKERS
def test_colours_where_they_are_asked_for(project, workers):
    project.write(BROKEN)
    text = project.run("--initcheck", "--color=yes", *workers).stdout.str()
    assert re.search(r"\x1b\[31m\x1b\[1msaturation FAIL broken  0: [^\x1b]*\x1b\[0m\n", text)
    assert re.search(r"\x1b\[31m> 0 +linear [^\x1b]*\x1b\[0m\n", text)
    assert re.search(r"\x1b\[1m  repeat  \x1b\[0m\x1b\[36mpytest [^\x1b]*\x1b\[0m\n", text)
    assert "\x1b" not in project.run("--initcheck", "--color=no", *workers).stdout.str()


def test_other_plugins_can_read_copy_and_store_a_painted_failure(project):
    project.pytester.makeconftest(
        """
        import copy, json, pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if report.failed:
                assert copy.copy(report.longrepr).reprcrash.message.endswith("(saturation FAIL broken)")
                stored = CONFIG.hook.pytest_report_to_serializable(config=CONFIG, report=report)
                again = CONFIG.hook.pytest_report_from_serializable(
                    config=CONFIG, data=json.loads(json.dumps(stored))
                )
                assert again.longreprtext == report.longreprtext

        def pytest_configure(config):
            global CONFIG
            CONFIG = config
        """
    )
    project.write(BROKEN)
    result = project.run("--initcheck")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_no_color(project, monkeypatch):
    project.write(BROKEN)
    monkeypatch.delenv("PY_COLORS", raising=False)  # pytester sets it
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m> 0" in project.run("--initcheck").stdout.str()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in project.run("--initcheck").stdout.str()


@WORKERS
def test_a_stream_without_blocks_gets_ascii(project, monkeypatch, workers):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    project.write(BROKEN)
    result = project.run_apart("--initcheck", *workers)
    assert result.stdout.str().isascii()
    result.stdout.re_match_lines([r"  signal  _[#*]+ "])


def test_the_fixture_is_quiet_and_verbose_too(project):
    project.write(FIXTURE)
    quiet = [line for line in project.run("-q").outlines if line.startswith("E  ")]
    assert len(quiet) == 1
    usual = [line for line in project.run().outlines if line.startswith("E  ")]
    assert any("  repeat  pytest test_models.py::test_it --initcheck-seed 0" in line for line in usual)
    prose = [line for line in usual[1:] if "rng.normal" not in line and "allow" not in line]
    assert max(map(len, prose)) <= 80


def test_what_repeats_a_failure_repeats_it(project):
    project.write(BROKEN)
    project.write(FIXTURE, "test_fixture")
    lines = project.run("--initcheck", "--initcheck-seed", "5").outlines
    commands = [re.search(r" repeat  pytest (.*)", line) for line in lines]
    commands = [found[1].split() for found in commands if found]
    assert len(commands) == 2
    said = next(line for line in lines if FIRST.fullmatch(line))
    for command in commands:
        result = project.run(*command)
        result.assert_outcomes(failed=1)
        assert command[-2:] == ["--initcheck-seed", "5"]
    assert said in project.run(*commands[-1]).outlines or said in project.run(*commands[0]).outlines


def test_a_variant_is_repeated_too(project):
    project.write(
        """
        @pytest.mark.parametrize("gain", [20, 30])
        @ic.model(inputs=ic.normal(32), id="wide")
        @ic.bounded_saturation()
        def broken(rng, gain):
            return net(rng, gain=gain, activation="tanh")
        """
    )
    lines = project.run("--initcheck", "-k", "30 and saturation").outlines
    [command] = [line for line in lines if line.startswith("  repeat  ")]
    typed = re.fullmatch(r"  repeat  pytest '(.*)' --initcheck --initcheck-seed 0", command)
    assert typed is not None
    project.run(typed[1], "--initcheck").assert_outcomes(failed=1)


def test_a_model_of_the_command_line_is_repeated_and_allowed_there(project):
    lines = project.run(
        "--initcheck-model", "nets:saturated", "--initcheck-inputs", "normal:32"
    ).outlines
    command = next(line for line in lines if line.startswith("  repeat  "))
    assert command == (
        "  repeat  pytest --initcheck-only --initcheck-model nets:saturated "
        "--initcheck-inputs normal:32 --initcheck-seed 0"
    )
    again = project.run(*command.split()[2:])
    assert again.parseoutcomes()["failed"] >= 1
    result = project.run("--initcheck-model", "nets:saturated", "--initcheck-inputs", "normal:32")
    [allow] = [
        line for line in result.outlines if line.startswith("  allow   initcheck_allow = saturation")
    ]
    project.ini(f"initcheck_allow = {allow.partition(' = ')[2]}")
    result = project.run(
        "--initcheck-model", "nets:saturated", "--initcheck-inputs", "normal:32", "-k", "saturation"
    )
    assert result.parseoutcomes().get("failed", 0) == 0


SHARED = """
import dataclasses
from pytest_initcheck import engine

real = engine.judge

def judge(subject, watch=None):
    report = real(subject)
    if not report.failures:
        return report
    first = dataclasses.replace(report.failures[0], also=("gradient",))
    results = {**report.invariants, "gradient": report.invariants[first.invariant]}
    return dataclasses.replace(report, findings=(first,), invariants=results)

def pytest_configure(config):
    engine.judge = judge
    config.add_cleanup(lambda: setattr(engine, "judge", real))
"""
TWO = """
@ic.model(inputs=ic.normal(32), only=("saturation", "gradient"))
def broken(rng):
    return net(rng, gain=30, depth=12, activation="tanh")
"""


@WORKERS
def test_a_cause_that_two_items_share_is_told_whole_by_one(project, workers):
    project.pytester.makeconftest(SHARED)
    project.write(TWO)
    result = project.run("--initcheck", *workers)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "gradient FAIL broken  0: same cause as saturation",
            "  whole   test_models.py::broken::saturation",
            "FAILED test_models.py::broken::gradient - 0: same cause as saturation (*",
        ]
    )
    assert sum(line.startswith("  proof ") for line in result.outlines) == 1


def test_where_that_item_does_not_run_the_other_tells_it(project):
    project.pytester.makeconftest(SHARED)
    project.write(TWO)
    lines = project.run("--initcheck", "-k", "gradient").outlines
    assert "gradient FAIL broken  0: same cause as saturation" in lines
    assert any(line.startswith("  seen    saturation: ") for line in lines)
    assert any(line.startswith("  proof ") for line in lines)
    assert not any(line.startswith("  whole ") for line in lines)
    assert any(line.startswith("FAIL test_models.py::broken: gradient") for line in lines)
