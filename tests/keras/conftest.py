"""The backend that this row is for runs, and its modules are imported once for nested runs."""

from __future__ import annotations

import importlib
import os
import pkgutil

import keras
import pytest

import pytest_initcheck.probes

BACKEND = keras.backend.backend()
ROW = os.environ.get("INITCHECK_FRAMEWORK", "keras")
assert ROW.startswith("keras"), f"tests of Keras in the row {ROW}"
WANTED = {"keras-tf": "tensorflow"}.get(
    ROW, ROW.partition("-")[2] or os.environ.get("KERAS_BACKEND", "")
)
assert WANTED in ("", BACKEND), f"this row is for Keras on {WANTED}, and Keras runs on {BACKEND}"

OTHERS = {"torch", "jax", "tensorflow"} - {BACKEND}
for found in pkgutil.iter_modules(pytest_initcheck.probes.__path__, "pytest_initcheck.probes."):
    room = found.name.rpartition(".")[2]
    if not any(room.startswith((other, f"keras_{other}")) for other in OTHERS):
        importlib.import_module(found.name)


@pytest.fixture
def backend() -> str:
    return BACKEND
