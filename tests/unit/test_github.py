"""Workflow commands and step summaries: complete, bounded, and inert whatever names are in them."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_initcheck.report import github
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.github import commands, fenced, inert, step_summary

REPORTS = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "reports.py"))
HOSTILE = "x\n::error::y\r%0A::set-output name=a::b,file=c:d\x1b[2J"


def placed(name="CLASSIFIER", **more):
    return replace(REPORTS[name], path="tests/models.py", line=12, **more)


def test_a_finding_is_an_error_at_the_factorys_line():
    [line] = commands([placed()])
    assert line.startswith(
        "::error title=initcheck%3A variance,file=tests/models.py,line=12::variance FAIL classifier  "
        "features.4: signal falls 6.53x per layer%0Acause: weights have std"
    )
    assert "\n" not in line


def test_what_is_undecided_is_a_warning_and_what_could_not_be_judged_an_error():
    warning, error = commands([placed("INCONCLUSIVE"), placed("ERROR")])
    assert warning.startswith("::warning title=initcheck%3A dead-relu,")
    assert error.startswith("::error title=initcheck%3A error,")


def test_what_passes_or_is_known_says_nothing():
    known = replace(REPORTS["VANISHING"], severity="known", verdict="known", reason="legacy")
    assert list(commands([placed("PASSING", findings=()), placed(findings=(known,))])) == []


def test_a_model_of_no_file_has_no_place():
    [line] = commands([REPORTS["CLASSIFIER"]])
    assert line.startswith("::error title=initcheck%3A variance::")


def test_no_more_than_github_shows_and_how_many_more_there_are():
    lines = list(commands([placed(id=str(index)) for index in range(13)]))
    assert sum(line.startswith("::error ") for line in lines) == 10
    assert lines[-1] == "initcheck: 3 more errors, which GitHub would not show"


def test_no_name_can_end_a_property_or_begin_a_command():
    finding = replace(REPORTS["VANISHING"], site=HOSTILE, cause=HOSTILE, fix=HOSTILE)
    [line] = commands(
        [
            placed(id=HOSTILE, findings=(finding,)),
        ]
    )
    [hostile_path] = commands([replace(placed(), path=HOSTILE)])
    for each in (line, hostile_path):
        assert len(each.splitlines()) == 1
        assert not re.search(r"[\x00-\x1f]", each)
        properties, _, _ = each.removeprefix("::error ").partition("::")
        assert re.fullmatch(r"title=[^,:]*,file=[^,:]*,line=12", properties)
    assert "%250A" in line


def summary(*reports, **more):
    return step_summary(reports, claims=75, bound=3e-11, **more)


def test_a_sentence_a_table_and_what_fails():
    text = summary(placed(), placed("PASSING", findings=()))
    assert text.startswith("## initcheck: 1 of 2 models does not start in a trainable place\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2].startswith(
        "| fail | test\\_models.py\\:\\:classifier | variance at features.4\\: signal"
    )
    assert rows[3] == "| pass | Classifier |  |"
    assert (
        "75 claims evaluated; the chance that a correct model fails any of them is below 3.0e-11."
        in text
    )
    assert "```python\nfor m in model.features:" not in text
    assert "- **fix** start the biases" in text


def test_the_code_of_a_fix_is_a_block():
    fixes = REPORTS["VANISHING"].fixes[1:]
    text = summary(placed(findings=(replace(REPORTS["VANISHING"], fixes=fixes),)))
    assert "\n```python\nfor m in model.features:\n" in text
    assert "(passes, 1.02x per layer)" in text


def test_an_incomplete_run_says_so():
    text = summary(placed(), course=Course(3, 1, "interrupted"))
    assert "**This run is incomplete.** interrupted\\: 1 of 3 items" in text


def test_it_stays_below_githubs_limit(monkeypatch):
    monkeypatch.setattr(github, "MOST_BYTES", 5000)
    text = summary(*(placed(id=f"model{index}") for index in range(12)))
    assert len(text.encode()) < 5100
    assert text.endswith("What else fails is in the log: there is no room for it here.\n")


@pytest.mark.parametrize(
    "text", ["<b>", "a|b", "[a](b)", "*a*", "`a`", "# a", "a\nb", "@octocat", "![](x)"]
)
def test_markdown_is_inert(text):
    found = inert(text)
    assert "<" not in found
    assert "\n" not in found
    assert not re.search(r"(?<!\\)[|`*\[\]#@!(]", found)


def test_hostile_names_make_no_markup():
    name = "x|y</td><script>\n# head\n```\n[a](javascript:b)"
    finding = replace(REPORTS["VANISHING"], site=name, cause=name)
    text = summary(placed(id=name, findings=(finding,)))
    assert "<script>" not in text
    assert not re.search(r"^# ", text, re.MULTILINE)
    assert "](javascript" not in text
    assert len([line for line in text.splitlines() if line.startswith("| fail")]) == 1


def test_a_fence_is_longer_than_any_in_the_code():
    assert fenced("a\n````\nb") == ["`````python", "a", "````", "b", "`````"]
