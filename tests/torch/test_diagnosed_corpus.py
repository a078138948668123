"""The 14 bad cases of the corpus and the broken examples: place, cause, and a fix that passes.

What is expected is argued from each case's source in tests/corpus/diagnoses.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import pytest_initcheck as ic
from pytest_initcheck import replicates

ROOT = Path(__file__).parents[2]


def load(path):
    spec = importlib.util.spec_from_file_location(f"diagnosed_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


EXPECTATIONS = load(ROOT / "tests" / "corpus" / "expectations.py")
KNOWN = load(ROOT / "tests" / "corpus" / "diagnoses.py")
BAD = {case.name: case for case in EXPECTATIONS.load_cases() if case.verdict == "bad"}


@pytest.fixture(autouse=True)
def _as_if_larger(monkeypatch):
    """Fewer seeds per replicate, as for models four times this size: the verdicts are the same."""
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", replicates._REPLICATE_ELEMENTS // 4)


def test_every_bad_case_has_an_argued_diagnosis():
    assert KNOWN.CORPUS.keys() == BAD.keys()
    assert all(len(each.because) > 20 for each in (*KNOWN.CORPUS.values(), *KNOWN.BROKEN.values()))


def is_mended(report):
    """Every cause has a fix that helped, and with the last of them the model passes."""
    return bool(report.failures) and all(
        any(fix.helped for fix in finding.fixes) for finding in report.failures
    )


def assert_found(report, expected):
    first = report.failures[0]
    assert (first.site, first.kind) == (expected.site, expected.kind), report
    assert first.costs
    failed = {name for name, result in report.invariants.items() if result.verdict == "fail"}
    told = [name for finding in report.failures for name in (finding.invariant, *finding.also)]
    assert sorted(told) == sorted(failed), "each invariant that fails is told once"
    assert is_mended(report), report
    assert "passes" in report.failures[-1].fixes[0].result


@pytest.mark.parametrize("name", BAD)
def test_a_bad_case_is_diagnosed_and_mended(name):
    case = BAD[name]
    report = ic.check(case.factory, inputs=EXPECTATIONS.inputs_of(case), id=name, seed=1)
    assert_found(report, KNOWN.CORPUS[name])


@pytest.mark.parametrize("name", KNOWN.BROKEN)
@pytest.mark.parametrize("framework", ["torch", "numpy"])
def test_a_broken_example_is_diagnosed_and_mended(framework, name):
    models = load(ROOT / "examples" / "broken" / f"{framework}_models.py")
    expected = KNOWN.BROKEN[name]
    if framework == "numpy" and name in KNOWN.NUMPY_SITES:
        expected = KNOWN.Diagnosis(KNOWN.NUMPY_SITES[name], expected.kind, expected.because)
    report = ic.check(getattr(models, name), id=name, seed=1)
    assert_found(report, expected)


def test_the_grading_can_fail():
    """A wrong site, a wrong kind, an untold invariant and a fix that does not help are noticed."""
    models = load(ROOT / "examples" / "broken" / "numpy_models.py")
    report = ic.check(models.zero_layer, id="zero_layer")
    wrong = [KNOWN.Diagnosis("0", "constant weights", ""), KNOWN.Diagnosis("2", "init gain", "")]
    for expected in wrong:
        with pytest.raises(AssertionError):
            assert_found(report, expected)
    untried = ic.check(models.zero_layer, id="zero_layer", try_fixes=False)
    with pytest.raises(AssertionError):
        assert_found(untried, KNOWN.Diagnosis("2", "constant weights", ""))
