"""torch and its probe do not survive being imported twice either."""

from __future__ import annotations

import importlib
import pkgutil

import torch

import pytest_initcheck.probes

torch.set_num_threads(1)
for found in pkgutil.iter_modules(pytest_initcheck.probes.__path__, "pytest_initcheck.probes."):
    if found.name.rpartition(".")[2].startswith("torch"):
        importlib.import_module(found.name)
