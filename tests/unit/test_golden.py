"""Whole outputs as a terminal shows them, compared with the files in tests/golden."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from pytest_initcheck.report.prose import columns

FOLDER = Path(__file__).parents[1] / "golden"
OUTPUTS = runpy.run_path(str(FOLDER / "outputs.py"))["OUTPUTS"]
HOW = "if this change is meant, run: python tests/golden/outputs.py"


def kept(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


@pytest.mark.parametrize("name", OUTPUTS)
def test_output(name):
    assert OUTPUTS[name]() == kept(name), HOW


def test_every_file_has_an_output():
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(OUTPUTS)


@pytest.mark.parametrize(
    ("name", "width"), [("item-80", 80), ("item-40", 40), ("item-long-names-40", 40)]
)
def test_prose_and_tables_keep_to_the_width(name, width):
    # two columns more than prose: code; what is typed stands behind a label
    code = (" " * 12 + "for", " " * 12 + "    ", "  repeat", "  allow", "  more")
    lines = [line for line in kept(name).splitlines() if not line.startswith(code)]
    assert max(map(columns, lines)) <= width


@pytest.mark.parametrize(
    "name", [name for name in OUTPUTS if name.startswith(("item", "shared", "real"))]
)
def test_first_lines_keep_to_80_columns(name):
    if not name.endswith("40"):
        assert columns(kept(name).splitlines()[0]) <= 80


def test_no_color_is_the_run_without_colours():
    run = OUTPUTS["run"]
    assert run(NO_COLOR="1") == kept("run")
    assert run("--color=no", FORCE_COLOR="1") == kept("run")
    assert "\\e[" in kept("run-colours")


def test_colours_are_on_demand():
    assert OUTPUTS["run"](FORCE_COLOR="1") == kept("run-colours")
