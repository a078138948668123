"""The tests have one outcome wherever they run."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"])
def test_no_variable_of_a_ci_service_reaches_them(variable):
    assert variable not in os.environ
