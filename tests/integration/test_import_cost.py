"""An idle plugin imports four small modules of its own, and no numpy, Hypothesis or framework."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("numpy", "hypothesis", "torch")
OWN = {
    "pytest_initcheck",
    "pytest_initcheck.plugin",
    "pytest_initcheck.config",
    "pytest_initcheck.errors",
}
PROGRAM = """
import sys
import pytest
{before}
code = pytest.main(["--co", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
assert code == pytest.ExitCode.NO_TESTS_COLLECTED, code
print("MODULES", *sorted(sys.modules))
"""


def modules(folder: Path, *args: str, before: str = "") -> set[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before), *args],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES "))
    return set(line.split()[1:])


def added(folder: Path, before: str = "") -> set[str]:
    """What the plugin makes pytest import in an empty folder."""
    return modules(folder, "-p", "pytest_initcheck.plugin", before=before) - modules(folder)


def heavy(found: set[str]) -> set[str]:
    return {name for name in found if name.partition(".")[0] in HEAVY}


def test_an_idle_plugin_adds_its_four_modules_and_nothing_heavy(tmp_path):
    found = added(tmp_path)
    assert found == OWN
    assert not heavy(found)


def test_the_guard_can_fail(tmp_path):
    found = added(tmp_path, before="import pytest_initcheck.inputs")
    assert heavy(found)
    assert not found <= OWN
