"""A check of a torch model loads neither torch's compiler nor sympy: each takes as long as the check."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import torch
from torch import nn
before = set(sys.modules)
import pytest_initcheck as ic
report = ic.check(lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)), inputs=ic.normal(64))
print(report.verdict, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print(*(name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules))
"""


def test_what_a_check_loads():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (verdict, *loaded), compilers = map(str.split, done.stdout.splitlines())
    assert verdict == "pass"
    assert not {"sympy", "scipy", "hypothesis", "pytest"} & set(loaded)
    assert compilers == []
