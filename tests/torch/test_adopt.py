"""The guide of docs/adopt.md, executed: its files are written, its commands run, its output is printed."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

GUIDE = runpy.run_path(str(Path(__file__).parents[1] / "guide.py"))
BLOCKS = [block for block in GUIDE["blocks"]() if not block.text.startswith("# packages: ")]


def test_the_guide_from_nothing_to_a_guarded_repository(pytester: pytest.Pytester) -> None:
    ran = [GUIDE["follow"](block, pytester) for block in BLOCKS[:-1]]
    assert ran.count("command") >= 5
    assert ran.count("file") == 3
    assert ran.count("change") == 1
    assert "reason = " in (pytester.path / "initcheck.toml").read_text(encoding="utf-8")


def test_the_workflow_runs_what_exists(pytester: pytest.Pytester) -> None:
    [workflow] = [block for block in BLOCKS if block.kind == "yaml"]
    [command] = re.findall(r"- run: (pytest .*)", workflow.text)
    pytester.makepyfile(
        models="""
        import pytest_initcheck as ic
        @ic.model(inputs=ic.normal(16))
        def net(rng):
            return [(rng.normal(0, 0.35, (16, 16)), None, "relu"), (rng.normal(0, 0.25, (16, 4)), None, None)]
        """
    )
    assert GUIDE["run"](command, pytester).ret == 0
    for name in ("initcheck.sarif", "initcheck.json", "junit.xml"):
        assert (pytester.path / name).exists()


def test_output_that_is_not_printed_is_found(pytester: pytest.Pytester) -> None:
    block = GUIDE["Block"]("console", "$ pytest --initcheck-only -q\nthis is never said\n")
    with pytest.raises(AssertionError, match="this is never said"):
        GUIDE["follow"](block, pytester)
