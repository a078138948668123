"""``--initcheck-show``: whose table the summary shows."""

from __future__ import annotations

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_dead_relu(0.9)
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation()
def broken(rng):
    return saturated(rng)
"""


def section(result: pytest.RunResult) -> list[str]:
    start = next(index for index, line in enumerate(result.outlines) if "= initcheck =" in line)
    return result.outlines[start + 1 :]


def rows(lines: list[str]) -> int:
    return sum(line.startswith("  input ") for line in lines)


def test_failing_models_have_a_table_with_the_failure(project):
    project.write(SOURCE)
    result = project.run("--initcheck")
    assert sum(line.startswith("> ") for line in result.outlines) == 1
    lines = section(result)
    assert lines[0] == "FAIL test_models.py::broken: saturation"
    assert rows(lines) == 0
    assert sum(line.startswith("  cost    ") for line in lines) == 1
    assert sum(line.startswith("  spread  ") for line in lines) == 1
    assert not any("::good" in line for line in lines)
    assert any(line.startswith("2 models: 1 pass, 1 fail; ") for line in lines)


def test_all_shows_the_good_ones_too(project):
    project.write(SOURCE)
    lines = section(project.run("--initcheck", "--initcheck-show", "all"))
    assert "PASS test_models.py::good" in lines
    assert sum(line.startswith("  cost    ") for line in lines) == 2
    assert rows(lines) == 1


def test_a_failure_of_one_line_leaves_its_table_to_the_summary(project):
    project.write(SOURCE)
    assert rows(section(project.run("--initcheck", "--initcheck-show", "all", "-q"))) == 2


def test_quiet_runs_have_no_cost(project):
    project.write(SOURCE)
    assert section(project.run("--initcheck", "-q"))[0].startswith("2 models: ")


def test_an_expected_failure_has_no_table(project):
    project.write("@pytest.mark.xfail\n" + SOURCE.partition("return net(rng)\n")[2].lstrip())
    lines = section(project.run("--initcheck"))
    assert not any(line.startswith("  cost    ") for line in lines)


def test_only_what_was_selected_is_reported(project):
    project.write(SOURCE)
    lines = section(project.run("--initcheck", "-k", "finite"))
    assert any(line.startswith("2 models: 2 pass; ") for line in lines)


def test_another_word_is_a_usage_error(project):
    result = project.run("--initcheck-show", "some")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
