"""Each row of the test matrix proves which framework it exercises, and that no other is there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

import pytest_initcheck as ic
from pytest_initcheck import initializers, probes
from pytest_initcheck.networks import NetworkSpec

FRAMEWORKS = ("torch", "jax", "flax", "equinox", "haiku", "keras", "tensorflow")
ROWS = {
    ("numpy", ""): set(),
    ("torch", ""): {"torch"},
    ("jax", ""): {"jax", "flax", "equinox", "haiku"},
    ("keras", "torch"): {"keras", "torch"},
    ("keras", "jax"): {"keras", "jax"},
    ("keras", "tensorflow"): {"keras", "tensorflow"},
}
"""What is installed in each row: tox says which one this is."""

ROW = os.environ.get("INITCHECK_FRAMEWORK")
BACKEND = os.environ.get("KERAS_BACKEND", "") if ROW == "keras" else ""


@pytest.mark.skipif(ROW is None, reason="not a row of tox")
def test_the_row_has_its_framework_and_no_other():
    installed = {name for name in FRAMEWORKS if importlib.util.find_spec(name) is not None}
    assert installed == ROWS[ROW, BACKEND]


def test_a_network_of_this_row_is_judged_in_its_framework():
    framework = ROW or "numpy"
    spec = NetworkSpec((16, 16, 4), "tanh", initializers.xavier_normal())
    report = ic.check(spec.factory(framework), inputs=ic.normal(16))
    assert (report.framework, report.verdict) == (framework, "pass")
    assert framework in report.frameworks
    assert not BACKEND or sys.modules["keras"].backend.backend() == BACKEND


PROGRAM = """
import sys
import pytest_initcheck as ic
from pytest_initcheck import initializers
from pytest_initcheck.networks import NetworkSpec
spec = NetworkSpec((16, 16, 4), "tanh", initializers.xavier_normal())
assert ic.check(spec.factory("numpy"), inputs=ic.normal(16)).verdict == "pass"
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


def test_a_numpy_model_loads_no_framework():
    command = [sys.executable, "-c", PROGRAM, *FRAMEWORKS]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def test_the_loaded_frameworks_are_those_with_a_probe():
    found = {probe.FRAMEWORK for probe in probes.loaded()}
    assert found == {name for name in ("torch", "jax", "keras", "numpy") if name in sys.modules}
