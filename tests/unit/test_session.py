"""The header and the summary as text."""

from __future__ import annotations

import dataclasses

from pytest_initcheck.config import RunOptions, Setting
from pytest_initcheck.report.layout import USUAL, Layout
from pytest_initcheck.report.result import Finding, InvariantResult, Report
from pytest_initcheck.run_summary import header, summary, verdicts


def report(id: str, verdict: str, note: str | None = None, **changes: object) -> Report:
    worst = verdict if verdict in ("fail", "inconclusive") else "pass"
    result = InvariantResult(verdict, 3, None, "default", note=note)
    made = Report(id, "numpy", worst, 0, invariants={"dead-relu": result})
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def lines(
    *models: Report, failed: tuple[str, ...] = (), show_all: bool = False, layout: Layout = USUAL
) -> list[str]:
    return list(summary(models, failed, RunOptions(show_all=show_all), layout))


def test_the_header_names_limits_that_differ_from_the_default():
    limits = {"saturation": Setting(0.1, "ini initcheck_saturation")}
    text = header(RunOptions(root_seed=5, limits=limits, strict=True))
    assert text.startswith("initcheck: ")
    assert text.endswith("seed 5, saturation 0.1, strict")


def test_passing_models_say_nothing():
    assert lines(report("m", "pass")) == []


def test_what_was_not_tested_is_listed():
    assert lines(report("m", "vacuous", "too narrow"), report("n", "pass", "too narrow in part")) == [
        "vacuous, not tested:",
        "  dead-relu VACUOUS m  too narrow",
        "notes:",
        "  dead-relu PASS n  too narrow in part",
    ]


def test_what_is_inconclusive_says_why():
    finding = Finding(
        "dead-relu", "warning", "inconclusive", None, None, None, (None, None), "undecided", "", "", ""
    )
    assert lines(report("m", "inconclusive", findings=(finding,))) == [
        "inconclusive:",
        "  dead-relu INCONCLUSIVE m: undecided",
    ]


def test_skips_for_one_reason_are_one_line():
    models = [report(name, "skipped", "no rectifier") for name in ("a", "b", "c")]
    assert lines(*models, report("d", "skipped", "allowed at some sites")) == [
        "skipped:",
        "  dead-relu at a and 2 more  (no rectifier)",
        "  dead-relu at d  (allowed at some sites)",
    ]


def test_notes_are_listed_once():
    model = report("m", "pass", notes=("a note",))
    assert lines(model, dataclasses.replace(model, example="f(1)")) == ["notes:", "  m: a note"]


def test_a_failure_that_was_expected_has_no_table_unless_all_are_shown():
    model = report("m", "fail")
    assert lines(model) == []
    assert lines(model, failed=("m",))[0] == "FAIL m: dead-relu"
    assert lines(model, show_all=True)[0] == "FAIL m: dead-relu"


def test_models_are_counted_by_their_worst_example():
    models = [
        report("f", "pass", example="f(1)"),
        report("f", "fail", example="f(9)"),
        report("g", "pass"),
    ]
    assert verdicts(models) == "2 models: 1 pass, 1 fail"
