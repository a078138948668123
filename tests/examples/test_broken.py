"""The broken numpy examples fail for the right invariant and name the first wrong layer."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.declare import Declared

FILE = Path(__file__).parents[2] / "examples" / "broken" / "numpy_models.py"
FAULTS = {
    "default_init": ("variance", "vanishing", "0", "PyTorch's default"),
    "saturated_tanh": ("saturation", None, "0", "tanh needs 0.0625 to 0.104"),
    "dead_relu": ("dead-relu", None, "0", "its bias (-3 on average, root mean square 3) outweighs"),
    "zero_layer": ("dead-relu", None, "2", "its weights are all zero"),
    "saturated_sigmoid": ("saturation", None, "0", "sigmoid needs 0.115 to 0.25"),
}


@pytest.fixture(scope="module")
def models():
    return {name: each for name, each in runpy.run_path(str(FILE)).items() if type(each) is Declared}


def test_every_broken_model_is_tested(models):
    assert set(models) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_model_fails_where_it_is_wrong(models, name):
    invariant, direction, site, cause = FAULTS[name]
    report = ic.check(models[name], try_fixes=False)
    assert report.verdict == "fail"
    finding, *suffering = report.findings
    assert {each.invariant for each in suffering} <= {"gradient", "trainable"}
    assert {each.site for each in suffering} <= {site}
    assert (finding.invariant, finding.direction, finding.site) == (invariant, direction, site)
    assert finding.place.startswith(f"{site} (Linear 256->256, then ")
    assert cause in finding.cause
    assert [row.name for row in report.sites if row.first_wrong] == [site]


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_model_says_what_is_wrong_in_two_lines(models, name):
    assert len(models[name].__doc__.strip().splitlines()) == 2


def test_the_same_network_under_he_passes():
    def he_relu(rng):
        hidden = [(rng.normal(0, (2 / 256) ** 0.5, (256, 256)), None, "relu") for _ in range(20)]
        return [*hidden, (rng.normal(0, 1 / 16, (256, 10)), np.zeros(10), None)]

    assert ic.check(he_relu, inputs=ic.normal(256)).verdict == "pass"
