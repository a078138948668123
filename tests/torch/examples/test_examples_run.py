"""The torch examples do what they say: pytest on a copy of the models, and the demo as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_models_pass(pytester):
    shutil.copy(EXAMPLES / "models.py", pytester.path)
    result = pytester.runpytest_inprocess("--initcheck", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=10, skipped=1)


def test_the_demo_shows_the_examples_of_torch_as_expected():
    command = [sys.executable, str(EXAMPLES / "demo.py"), "torch"]  # numpy's: tests/examples
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    assert lines[-1] == "everything came out as expected"
    good, broken = lines.index("good, expected to pass"), lines.index("broken, expected to fail")
    verdicts = [line.split()[:2] for line in lines[good:broken] if "::" in line]
    assert verdicts == [["pass", "torch"]] * 2
    verdicts = [line.split()[:2] for line in lines[broken:] if line.startswith("  fail")]
    assert verdicts == [["fail", "torch"]] * 5
    assert sum(line.startswith("        fix: ") for line in lines) >= 5
    assert [line[2:].partition(":")[0] for line in lines if re.match(r"  [A-Z]\w+: ", line)] == [
        "Scale",
        "Mean",
        "Depth",
    ]
