"""Models with a known verdict: good ones never fail, bad ones fail for a reason that is theirs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import pytest_initcheck as ic
from pytest_initcheck import replicates

PATH = Path(__file__).parents[1] / "corpus" / "cases.py"


def load():
    spec = importlib.util.spec_from_file_location("initcheck_corpus_cases", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.CASES


# both factors are zero, so nothing trains: that is for the invariant `trainable` to say, which comes later
NEEDS_TRAINABLE = "sapt11_lora_both_zero"
CASES = [case for case in load() if not case.needs and case.name != NEEDS_TRAINABLE]

REASONS = {
    "vanishing_variance": {("variance", "vanishing")},
    "exploding_variance": {("variance", "exploding")},
    "saturated": {("saturation", None)},
    "dead_relu": {("dead-relu", None)},
    "seed_sensitive": {("dead-relu", None)},
    "unnormalised_input": {("inputs", None)},
    "nonfinite": {("finite", None)},
    "zero_init": {("variance", "vanishing"), ("variance", None), ("dead-relu", None)},
    "symmetric_init": {("variance", "vanishing"), ("variance", None), ("dead-relu", None)},
}
"""What a finding of the corpus is called here."""


def named(verdict):
    cases = [case for case in CASES if case.verdict == verdict]
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(autouse=True)
def _as_if_larger(monkeypatch):
    """Fewer seeds per replicate, as for models four times this size: the verdicts are the same."""
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", replicates._REPLICATE_ELEMENTS // 4)


def check(case):
    def inputs(rng):
        args, kwargs = case.inputs(int(rng.integers(0, 2**31)))
        return ic.call(*args, **kwargs)

    return ic.check(case.factory, inputs=inputs, id=case.name, mode=case.mode)


@named("good")
def test_a_good_model_passes(case):
    report = check(case)
    assert report.verdict == "pass", str(report)


@named("bad")
def test_a_bad_model_fails_for_its_reason(case):
    report = check(case)
    assert report.verdict == "fail", str(report)
    expected = set().union(*(REASONS.get(finding, set()) for finding in case.expect))
    assert {(item.invariant, item.direction) for item in report.failures} & expected, str(report)


def test_the_corpus_is_whole():
    assert len(CASES) == 25
    assert {case.verdict for case in CASES} == {"good", "bad"}
