"""The packages of docs/adopt.md are judged as it shows."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

GUIDE = runpy.run_path(str(Path(__file__).parents[2] / "guide.py"))


def test_three_packages_from_pypi(pytester: pytest.Pytester) -> None:
    models, output = GUIDE["blocks"]()[-2:]
    assert models.text.startswith("# packages: ")
    assert GUIDE["follow"](models, pytester) == "file"
    assert GUIDE["follow"](output, pytester) == "command"
