"""A family shrinks to the smallest conclusive failure: benchmarks/shrinking.py, as a test."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pytest_initcheck.report.terminal import render

PATH = Path(__file__).parents[2] / "benchmarks" / "shrinking.py"


def load():
    spec = importlib.util.spec_from_file_location("shrinking_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHRINKING = load()


@pytest.mark.slow
def test_a_fault_that_starts_at_depth_8_is_shrunk_to_it():
    found, examples, _ = SHRINKING.shrunk(8)
    assert found.verdict == "fail"
    assert found.report.example.startswith("network(depth=8, width=")
    width = int(found.report.example.partition("width=")[2].rstrip(")"))
    assert 8 <= width < 32
    assert examples < 100
    first, *rest = render(found.report, "variance").splitlines()
    assert first.startswith(f"variance FAIL network(depth=8, width={width})  7: signal")
    assert any(line.startswith("  fix     draw 7.W with std") for line in rest)


def test_a_fault_at_any_width_is_shrunk_to_the_narrowest():
    found, _, _ = SHRINKING.shrunk(1)
    assert found.report.example == "network(depth=1, width=8)"
