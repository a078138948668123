"""Every Python block of the README is run: declared models are checked, tests are executed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_has_blocks() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_block(block: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_block=block)
    result = pytester.runpytest("--initcheck", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) == 0
    assert outcomes.get("errors", 0) == 0
    if "@ic.model" in block or "def test_" in block:
        assert outcomes.get("passed", 0) >= 1
