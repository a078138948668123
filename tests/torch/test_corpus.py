"""Models with a known verdict: good ones never fail, bad ones fail for a reason that is theirs."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import pytest_initcheck as ic
from pytest_initcheck import replicates

PATH = Path(__file__).parents[1] / "corpus" / "expectations.py"


def load():
    spec = importlib.util.spec_from_file_location("initcheck_corpus_expectations", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


expectations = load()
SCHEMAS = runpy.run_path(str(PATH.parents[1] / "schemas.py"))
CASES = [case for case in expectations.load_cases() if not case.needs]


def named(verdict):
    cases = [case for case in CASES if case.verdict == verdict]
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(autouse=True)
def _as_if_larger(monkeypatch):
    """Fewer seeds per replicate, as for models four times this size: the verdicts are the same."""
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", replicates._REPLICATE_ELEMENTS // 4)


def check(case):
    return ic.check(
        case.factory,
        inputs=expectations.inputs_of(case),
        id=case.name,
        mode=case.mode,
        try_fixes=False,  # fixes are tried in test_diagnosed_corpus.py
    )


@named("good")
def test_a_good_model_passes(case):
    report = check(case)
    assert report.verdict == "pass", str(report)
    SCHEMAS["validate"](report)


@named("bad")
def test_a_bad_model_fails_for_its_reason(case):
    report = check(case)
    assert report.verdict == "fail", str(report)
    assert expectations.is_right(case, report), str(report)
    SCHEMAS["validate"](report)


def test_the_corpus_is_whole():
    assert len(CASES) == 26
    assert {case.verdict for case in CASES} == {"good", "bad"}
    findings = set().union(*(case.expect for case in expectations.load_cases()))
    assert findings <= set(expectations.REASONS)


def report_of(verdict, *failures):
    found = [SimpleNamespace(invariant=i, direction=d, also=()) for i, d in failures]
    return SimpleNamespace(verdict=verdict, failures=found)


@pytest.mark.parametrize(
    ("verdict", "expect", "report", "right"),
    [
        ("good", (), report_of("pass"), True),
        ("good", (), report_of("inconclusive"), True),
        ("good", (), report_of("error"), False),
        ("good", (), report_of("fail", ("variance", "vanishing")), False),
        ("bad", ("vanishing_variance",), report_of("fail", ("variance", "vanishing")), True),
        ("bad", ("vanishing_variance",), report_of("fail", ("variance", "exploding")), False),
        ("bad", ("vanishing_variance",), report_of("pass"), False),
        ("bad", ("dead_relu", "saturated"), report_of("fail", ("saturation", None)), True),
        ("bad", ("zero_init",), report_of("fail", ("trainable", None)), True),
        ("bad", ("symmetric_init",), report_of("fail", ("variance", "vanishing")), False),
    ],
)
def test_what_is_right_about_a_case(verdict, expect, report, right):
    assert expectations.is_right(SimpleNamespace(verdict=verdict, expect=expect), report) is right
