"""Import the whole package once.

A pytester run in this process forgets the modules that it was first to import: numpy does not survive
that, and the package's own classes would exist twice.
"""

from __future__ import annotations

import importlib
import pkgutil

import hypothesis.strategies  # noqa: F401 - for nested runs
import numpy as np  # noqa: F401 - for nested runs

import pytest_initcheck

for found in pkgutil.walk_packages(pytest_initcheck.__path__, "pytest_initcheck."):
    if ".torch" not in found.name:
        importlib.import_module(found.name)
