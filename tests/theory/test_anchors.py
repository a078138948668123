"""Every published figure of benchmarks/anchors.py, as a test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load() -> ModuleType:
    """Import the benchmark as a script would, its folder first on the path while it loads."""
    spec = importlib.util.spec_from_file_location("anchors", BENCHMARKS / "anchors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["anchors"] = module  # dataclasses look their module up
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
        del sys.modules["anchors"]
        sys.modules.pop("anchor_networks", None)
    return module


ANCHORS = load()


def case(row):
    marks = [pytest.mark.slow] if row.simulated else []
    return pytest.param(row, id=f"{row.id} {row.source}", marks=marks)


@pytest.mark.parametrize("row", [case(row) for row in ANCHORS.ROWS])
def test_the_published_figure_is_reproduced(row):
    assert row.ours() == pytest.approx(row.published, rel=0, abs=row.tolerance)


def test_rows_have_ids_of_their_own_and_tolerances_that_can_fail():
    ids = [row.id for row in ANCHORS.ROWS]
    assert len(set(ids)) == len(ids) >= 60
    for row in ANCHORS.ROWS:
        allowed = 0.11 if row.simulated else 0.01
        assert 0 < row.tolerance <= allowed * max(abs(row.published), 0.1), row.id


def test_every_row_of_the_table_is_printed_and_a_wrong_one_is_seen(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["anchors.py", "--only", "Poole"])
    assert ANCHORS.main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert last.startswith("9 rows, 0 of them simulated, 0 out of tolerance; nearest to its tolerance:")
    wrong = ANCHORS.Anchor("wrong", "a paper", "a setting", 1.0, 1e-3, lambda: 1.01)
    monkeypatch.setattr(ANCHORS, "ROWS", (wrong,))
    monkeypatch.setattr(sys, "argv", ["anchors.py"])
    assert ANCHORS.main() == 1
    out = capsys.readouterr().out
    assert "OUT OF 1.0e-03" in out
    assert "1 rows, 0 of them simulated, 1 out of tolerance" in out
