"""Sites can be left out by glob: in a call, by the decorator, by the marker, for the fixture."""

from __future__ import annotations

import pytest
import torch  # noqa: F401  # an in-process run must not import it anew
from torch import nn

import pytest_initcheck as ic


def with_a_dead_part():
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    nn.init.constant_(model[2].bias, -50.0)
    return model


@pytest.mark.parametrize(
    ("globs", "verdict"),
    [((), "fail"), ("3", "pass"), (["*"], "pass"), (["0", "1"], "fail"), (["[3-4]"], "pass")],
    ids=str,
)
def test_in_a_call(globs, verdict):
    report = ic.check(with_a_dead_part, inputs=ic.normal(16), only="dead-relu", ignore_sites=globs)
    assert report.verdict == verdict, str(report)


def test_by_a_declaration_that_is_called():
    declared = ic.model(inputs=ic.normal(16), only=["dead-relu"], ignore_sites="3")(with_a_dead_part)
    assert ic.check(declared).verdict == "pass"
    assert ic.check(declared, ignore_sites="1").verdict == "pass"


def test_the_mode_of_a_declaration_that_is_called():
    def normalised():
        return nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    declared = ic.model(inputs=ic.normal(16), mode="eval")(normalised)
    row = next(r for r in ic.check(declared).sites if "batch_norm" in r.op)
    assert row.second_moment < 0.9  # the running statistics of a fresh model normalise nothing


MODULE = """
import pytest, torch
import pytest_initcheck as ic
from torch import nn

def dead():
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    nn.init.constant_(model[2].bias, -50.0)
    return model

"""
WRITTEN = {
    "decorator": "@ic.model(inputs=ic.normal(16), only=['dead-relu'] {})\ndef model():\n    return dead()\n",
    "marker": (
        "@pytest.mark.initcheck(only=['dead-relu'] {})\n"
        "def test_it(initcheck):\n    initcheck(dead, inputs=ic.normal(16))\n"
    ),
    "fixture": (
        "def test_it(initcheck):\n    initcheck(dead, inputs=ic.normal(16), only=['dead-relu'] {})\n"
    ),
}


@pytest.mark.parametrize("where", WRITTEN)
@pytest.mark.parametrize("globs", ["", ", ignore_sites='3'", ", ignore_sites=['1', '3']"])
def test_where_it_is_written(where, globs, pytester):
    pytester.makepyfile(test_models=MODULE + WRITTEN[where].format(globs))
    result = pytester.runpytest_inprocess("--initcheck", "-p", "no:cacheprovider", "-W", "ignore")
    outcomes = result.parseoutcomes()
    assert ("failed" in outcomes) is (globs == ""), result.stdout.str()
    assert "passed" in outcomes or globs == ""
