"""What GitHub is told: no text starts a command of its own or acts in the summary."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_initcheck.report.course import Course
from pytest_initcheck.report.github import MOST, annotations, command, step_summary
from pytest_initcheck.report.result import Fix, Report

FOLDER = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(FOLDER))
import reports  # noqa: E402

sys.path.remove(str(FOLDER))

HOSTILE = [
    '"><script>alert(1)</script>',
    "a\n::error::b\r\n::stop-commands::c",
    "\x1b[31mred\x1b[2J",
    "%0A::error file=x::y",
    "::add-mask::x",
    "x,line=1::y",
    "[x](javascript:alert(1))",
    "](javascript:x)",
    "| a | b |",
    "```\n# heading\n```",
    "![x](https://x.y/z.png) https://x.y www.x.y @team #1 :bug: $x$",
    "<img src=x onerror=y>&lt;",
    "_a_ *b* ~c~ `d`",
    "\u202egnp.exe\ud800\x00",
]


def unescaped(text: str) -> str:
    """As GitHub reads data and properties."""
    for char in "\r\n:,":
        text = text.replace(f"%{ord(char):02X}", char)
    return text.replace("%25", "%")


def read(line: str) -> tuple[str, dict[str, str], str]:
    """Read a command as the runner does."""
    assert "\n" not in line
    assert "\r" not in line
    found = re.fullmatch(r"::([a-z-]+)(?: (.*?))?::(.*)", line)
    assert found is not None
    pairs = [pair.partition("=") for pair in (found[2] or "").split(",")]
    properties = {key: unescaped(value) for key, _, value in pairs}
    return found[1], properties, unescaped(found[3])


def with_finding(report: Report = reports.CLASSIFIER, **changes: Any) -> Report:
    return dataclasses.replace(report, findings=(dataclasses.replace(report.findings[0], **changes),))


def hostile(text: str) -> list[Report]:
    finding = dataclasses.replace(
        reports.VANISHING,
        site=text, message=text, cause=text, kind=text, proof=text, detail=text, costs=text,
        fixes=(Fix(text, text, helped=True, result=text),),
    )  # fmt: skip
    return [
        dataclasses.replace(
            reports.CLASSIFIER, id=text, example=text, path=text, line=2, findings=(finding,)
        ),
        dataclasses.replace(reports.ERROR, id=f"{text}2", error=text, path=text),
    ]


# -- annotations -----------------------------------------------------------------------------------


def test_a_failure_is_an_error_at_its_factory():
    report = dataclasses.replace(reports.CLASSIFIER, path="tests/models.py", line=12)
    (line,) = annotations([report])
    name, properties, text = read(line)
    assert name == "error"
    assert properties == {
        "file": "tests/models.py",
        "line": "12",
        "title": "variance FAIL test_models.py::classifier",
    }
    lines = text.splitlines()
    assert (
        lines[0] == "variance FAIL test_models.py::classifier  features.4: signal falls 6.53x per layer"
    )
    assert "    for m in model.features:" in lines
    assert line.startswith(
        "::error file=tests/models.py,line=12,title=variance FAIL test_models.py%3A%3A"
    )


def test_levels():
    known = with_finding(severity="known", reason="kept")
    found = annotations([reports.ERROR, reports.INCONCLUSIVE, reports.PASSING, known])
    assert [read(line)[0] for line in found] == ["warning", "error"]


def test_the_folder_in_the_repository():
    report = dataclasses.replace(reports.CLASSIFIER, path="tests/models.py", line=12)
    (line,) = annotations([report], "packages/zoo")
    assert read(line)[1]["file"] == "packages/zoo/tests/models.py"
    (line,) = annotations([dataclasses.replace(report, path="/srv/models.py")], "packages/zoo")
    assert read(line)[1]["file"] == "/srv/models.py"
    (line,) = annotations([dataclasses.replace(report, path="", line=0)], "packages/zoo")
    assert read(line)[1].keys() == {"title"}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_starts_no_command(text):
    lines = list(annotations(hostile(text)))
    assert len(lines) == 2
    for line in lines:
        name, properties, message = read(line)
        assert line.isprintable()
        assert name == "error"
        assert properties.keys() == {"file", "line", "title"}
        assert "\r" not in message
        # what is quoted is in the middle of a line, or indented as code
        assert not re.search("^::", message, re.MULTILINE)


def test_every_escape():
    assert (
        command("error", {"title": "%:,\r\n"}, "%:,\r\n") == "::error title=%25%3A%2C%0D%0A::%25:,%0D%0A"
    )


@pytest.mark.parametrize(("errors", "warnings"), [(MOST, MOST), (MOST + 1, 1), (MOST + 3, MOST + 2)])
def test_not_more_than_github_shows(errors, warnings):
    found = [dataclasses.replace(reports.ERROR, id=f"e{index:02}") for index in range(errors)]
    found += [dataclasses.replace(reports.INCONCLUSIVE, id=f"w{index:02}") for index in range(warnings)]
    lines = list(annotations(found))
    commands = [line for line in lines if line.startswith("::")]
    assert sum(line.startswith("::error ") for line in commands) == min(errors, MOST)
    assert sum(line.startswith("::warning ") for line in commands) == min(warnings, MOST)
    rest = [line for line in lines if line not in commands]
    start = "initcheck: GitHub shows 10 annotations of a kind; not shown: "
    assert (
        rest
        == {
            (10, 10): [],
            (11, 1): [f"{start}1 more error"],
            (13, 12): [f"{start}3 more errors, 2 more warnings"],
        }[errors, warnings]
    )


def test_a_message_has_an_end():
    huge = dataclasses.replace(reports.ERROR, error="%" * 3_000_000)
    (line,) = annotations([huge])
    assert len(line) < 30_000
    assert read(line)[2].endswith("%...")


def test_nothing_for_nothing():
    assert list(annotations([])) == []
    assert list(annotations([reports.PASSING])) == []


# -- the summary -----------------------------------------------------------------------------------

ALL = [reports.PASSING, reports.INCONCLUSIVE, reports.TWO_FAULTS, reports.ERROR]


def test_the_summary_has_a_sentence_a_table_and_fixes():
    text = step_summary(ALL, told=("75 claims evaluated",))
    lines = text.splitlines()
    assert lines[0] == "## initcheck: 1 of 3 models does not start in a trainable place"
    rows = [line for line in lines if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| verdict", "| error", "| fail", "| inconclusive", "| pass",
    ]  # fmt: skip
    assert rows[2] == r"| fail | Classifier | inputs: input: E\[x^2\] is 2.17e+04, at most 46 |"
    assert "### variance FAIL Classifier" in lines
    assert lines[lines.index("for m in model.features:") - 1] == "```python"
    assert "tried: passes, 1.02x per layer" in lines
    assert lines[-1] == "75 claims evaluated"
    assert "incomplete" not in text


def test_an_incomplete_run_says_so():
    text = step_summary([], Course(9, 2, "interrupted"))
    assert text.splitlines()[0] == "## initcheck: No model was checked"
    assert "**The run is incomplete:** interrupted: 2 of 9 items of declared models ran" in text


def test_passing_and_known_models_have_no_details():
    known = dataclasses.replace(with_finding(severity="known", reason="kept"), verdict="known")
    assert "###" not in step_summary([reports.PASSING, known])


def inert(text: str) -> bool:
    """Tell whether the Markdown outside of code blocks has nothing but what we put there."""
    fence = ""
    for line in text.splitlines():
        if fence:
            fence = "" if line == fence else fence
            continue
        if opened := re.fullmatch(r"(`{3,})python", line):
            fence = opened[1]
            continue
        bare = re.sub(r"\\.|&(lt|gt|amp);", "", line)
        bare = re.sub(r"^(#{2,3}|\*\*[a-z]+\*\*)( |$)", "", bare)
        bare = re.sub(r"^\|[^|]*\|[^|]*\|[^|]*\|$", "", bare)
        if re.search(r"[<>\[\]`*_|&~#@$!]|:\S|www\.", bare):
            return False
    return not fence


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown(text):
    made = step_summary(hostile(text), Course(2, 1, "interrupted"))
    assert inert(made.replace("**The run is incomplete:**", ""))
    assert all(line.isprintable() for line in made.splitlines())
    made.encode("utf-8")
    rows = re.findall(r"^\| (verdict|error|fail) \|.*\|$", made, re.MULTILINE)
    assert rows == ["verdict", "error", "fail"]


@pytest.mark.parametrize("text", ["<b>", "[x]", "a | b", "```", "x `y`", "https://x.y"])
def test_what_is_not_escaped_would_be_seen(text):
    assert not inert(f"## initcheck: {text}\n")


def test_a_summary_that_is_too_long_is_cut_and_says_so():
    found = [
        dataclasses.replace(reports.CLASSIFIER, id=f"models.py::m{index:03}") for index in range(200)
    ]
    whole = step_summary(found)
    assert "Left out" not in whole
    for limit in (20_000, 60_000):
        text = step_summary(found, limit=limit)
        assert len(text.encode()) <= limit
        rows = sum(line.startswith("| fail") for line in text.splitlines())
        details = sum(line.startswith("### ") for line in text.splitlines())
        told = re.search(r"takes (\d+) bytes: (\d+) rows of the table, (\d+) findings$", text.rstrip())
        assert told is not None
        assert [int(number) for number in told.groups()] == [limit, 200 - rows, 200 - details]
        assert details > 5
        assert text.count("```") == 2 * details


def test_one_huge_text_does_not_cost_the_others():
    huge = dataclasses.replace(reports.ERROR, error="x" * 3_000_000)
    text = step_summary([huge, reports.CLASSIFIER])
    assert len(text.encode()) < 10_000
    assert "### variance FAIL" in text
    assert "0 rows of the table, 1 findings" in text
