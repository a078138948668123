"""Drawn networks with one fault each: the place that is named is that of the fault, and its fix passes."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

from pytest_initcheck import replicates

PATH = Path(__file__).parents[2] / "benchmarks" / "faults.py"


def load():
    spec = importlib.util.spec_from_file_location("faults_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FAULTS = load()
SEED = 0


@pytest.fixture(autouse=True)
def _as_if_larger(monkeypatch):
    """Fewer seeds per replicate, as for models many times this size: the verdicts are the same."""
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", replicates._REPLICATE_ELEMENTS // 16)


def plans(seed, count):
    rng = random.Random(seed)
    return [FAULTS.drawn_plan(rng) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("plan", plans(SEED, 24), ids=range(24))
def test_a_fault_is_placed_and_mended(plan):
    report, placed, mended = FAULTS.graded(plan, seed=SEED)
    assert report.verdict in ("fail", "pass"), report
    if report.verdict == "fail":
        assert (placed, mended) == (True, True), report


def test_enough_of_them_do_harm():
    """A fault that the next normalisation takes back passes, and grades nothing."""
    kinds = [plan.fault.kind for plan in plans(SEED, 24)]
    assert set(kinds) == set(FAULTS.SIZES)


def test_a_wrong_place_is_noticed():
    from dataclasses import replace

    plan = FAULTS.Plan("mlp", "relu", 32, 6, False, FAULTS.Fault("nan", float("nan"), 2))
    report, placed, mended = FAULTS.graded(plan, seed=0)
    assert (report.verdict, placed, mended) == ("fail", True, True)
    elsewhere = replace(plan, fault=replace(plan.fault, layer=3))
    assert elsewhere.site != report.failures[0].site
