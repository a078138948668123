"""The corpus' models of libraries: all of them are good, and none fails."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest

import pytest_initcheck as ic


def load():
    path = Path(__file__).parents[2] / "corpus" / "expectations.py"
    spec = importlib.util.spec_from_file_location("initcheck_corpus_expectations", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


expectations = load()
SCHEMAS = runpy.run_path(str(Path(__file__).parents[2] / "schemas.py"))
CASES = [case for case in expectations.load_cases() if case.needs]


def test_there_are_cases_of_every_library():
    assert {name for case in CASES for name in case.needs} == {"torchvision", "timm", "transformers"}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_good_model_passes(case, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    inputs = expectations.inputs_of(case)
    report = ic.check(case.factory, inputs=inputs, id=case.name, mode=case.mode)
    assert expectations.is_right(case, report), str(report)
    SCHEMAS["validate"](report)
