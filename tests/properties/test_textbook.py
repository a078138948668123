"""Networks that are drawn from the textbook never fail, those of a wrong gain do: benchmarks/textbook.py,
on fewer and smaller networks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "textbook.py"


def load():
    spec = importlib.util.spec_from_file_location("textbook_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TEXTBOOK = load()


@pytest.mark.slow
def test_textbook_networks_never_fail():
    counts = TEXTBOOK.run(TEXTBOOK.textbook(150_000), 27, TEXTBOOK.textbook_verdict)
    assert counts["fail"] + counts["error"] == 0
    assert counts["pass"] >= 0.95 * counts.total()
    assert counts.total() >= 25


@pytest.mark.slow
@pytest.mark.parametrize("wrong", TEXTBOOK.WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_gain_is_found(wrong):
    found = TEXTBOOK.run(TEXTBOOK.faulty(wrong, 500_000), 3, TEXTBOOK.fault_verdict(wrong))
    assert set(found) == {"found"}, found


def test_a_gain_that_is_right_would_be_reported_as_missed():
    right = TEXTBOOK.Wrong("nothing", ("relu",), TEXTBOOK.scaled(1.0), 10, "variance")
    found = TEXTBOOK.run(TEXTBOOK.faulty(right, 100_000), 2, TEXTBOOK.fault_verdict(right))
    assert set(found) == {"pass"}


def test_the_drawn_networks_cover_the_textbook():
    seen = set()
    TEXTBOOK.run(
        TEXTBOOK.textbook(20_000_000),
        150,
        lambda spec: seen.add((spec.activation, spec.scheme.draw, spec.features)) or "drawn",
    )
    assert {name for name, _, _ in seen} >= {"relu", "tanh", "selu", "gelu", "elu", "silu", "mish"}
    assert {draw for _, draw, _ in seen} >= {"normal", "uniform", "orthogonal"}
    assert max(features for _, _, features in seen) >= 1024
