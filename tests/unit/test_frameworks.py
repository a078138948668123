"""Each row of the test matrix proves which framework it exercises."""

from __future__ import annotations

import importlib.util
import os

import pytest_initcheck as ic
from pytest_initcheck import initializers
from pytest_initcheck.networks import NetworkSpec


def test_the_row_has_its_framework_and_no_other():
    row = os.environ.get("INITCHECK_FRAMEWORK")
    has_torch = importlib.util.find_spec("torch") is not None
    assert row is None or has_torch == (row == "torch")


def test_a_network_of_this_row_is_judged_in_its_framework():
    framework = os.environ.get("INITCHECK_FRAMEWORK", "numpy")
    spec = NetworkSpec((16, 16, 4), "tanh", initializers.xavier_normal())
    assert ic.check(spec.factory(framework), inputs=ic.normal(16)).framework == framework
