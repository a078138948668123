"""Import the whole package once.

A pytester run in this process forgets the modules that it was first to import: numpy does not survive
that, and the package's own classes would exist twice.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re

import hypothesis
import hypothesis.strategies
import numpy as np  # noqa: F401 - for nested runs

import pytest_initcheck

# a run of these tests has one outcome, here and in CI, where pytest repeats whole messages in its summary
# and the plugin adds to what GitHub shows
for variable in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
    os.environ.pop(variable, None)
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("same")

for found in pkgutil.walk_packages(pytest_initcheck.__path__, "pytest_initcheck."):
    if not re.search(r"\.probes\.(torch|jax|keras|tensorflow)", found.name):
        importlib.import_module(found.name)
