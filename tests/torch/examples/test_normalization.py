"""What ``examples/normalization.py`` prints is true: tolerant inequalities on its measured rows."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from itertools import product
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "examples" / "normalization.py"
INITS = ("default", "Xavier", "He")
UNIT_SCALE = ("N(0,1)", "U(-1,1)", "U(0,1)")
INPUTS = (*UNIT_SCALE, "U(0,5)", "0..255")


@pytest.fixture(scope="module")
def run():
    """The script's globals and its output, from one run."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        script = runpy.run_path(str(SCRIPT), run_name="__main__")
    return script, printed.getvalue()


@pytest.fixture(scope="module")
def rows(run):
    return {(r.activation, r.inputs, r.init, r.batch_norm): r for r in run[0]["rows"]}


def test_every_combination_is_measured(rows):
    assert set(rows) == set(product(("relu", "tanh"), INPUTS, INITS, (False, True)))


def test_only_raw_pixels_fail_inputs(rows):
    assert {r.inputs for r in rows.values() if r.inputs_verdict == "fail"} == {"0..255"}
    assert {r.inputs for r in rows.values() if r.inputs_verdict == "pass"} == {*UNIT_SCALE, "U(0,5)"}
    assert sum(r.inputs_verdict == "fail" for r in rows.values()) == 12


def test_unit_scale_passes_under_every_init(rows):
    assert {r.failed for r in rows.values() if r.inputs in UNIT_SCALE} == {()}


def test_0_to_5_saturates_tanh_and_unit_scale_does_not(rows):
    wide = rows["tanh", "U(0,5)", "Xavier", False]
    assert wide.saturated > 0.25
    assert wide.failed == ("saturation",)
    assert all(rows["tanh", inputs, "Xavier", False].saturated < 0.1 for inputs in UNIT_SCALE)
    assert rows["tanh", "0..255", "Xavier", False].saturated > 0.9


def test_an_offset_is_noted_and_a_centred_input_is_not(rows):
    notes = {inputs: rows["relu", inputs, "He", False].note for inputs in INPUTS}
    assert notes["N(0,1)"] == notes["U(-1,1)"] == ""
    assert notes["U(0,1)"] == "not centred: mean 0.5, spread 0.3"
    assert re.fullmatch(r"not centred: mean 2\.[45], spread 1\.[45]", notes["U(0,5)"])
    assert re.fullmatch(r"not centred: mean 12\d\.\d, spread 7\d\.\d", notes["0..255"])


def test_relu_loses_units_to_the_offset_and_not_to_the_scale(rows):
    centred = rows["relu", "U(-1,1)", "He", False]
    positive = [rows["relu", inputs, "He", False] for inputs in ("U(0,1)", "U(0,5)", "0..255")]
    assert all(row.dead > 1.5 * centred.dead for row in positive)
    assert max(row.dead for row in positive) - min(row.dead for row in positive) < 0.03


def test_gains_and_gradients_follow_the_init(rows):
    gains = {init: rows["relu", "N(0,1)", init, False] for init in INITS}
    assert 0.5 < gains["He"].gain_depth < 2
    assert gains["Xavier"].gain_depth < 0.15
    assert gains["default"].gain_depth < 0.05
    assert 1.7 < gains["He"].gain_first < 2.3
    assert 0.85 < gains["Xavier"].gain_first < 1.15
    # behind saturated units the first weight still reads inputs of size 150
    raw, unit = (rows["tanh", inputs, "Xavier", False] for inputs in ("0..255", "N(0,1)"))
    assert raw.gradient > 3 * unit.gradient


@pytest.mark.parametrize(("activation", "init"), [*product(("relu", "tanh"), INITS)])
def test_batch_norm_makes_the_scale_harmless_downstream(rows, activation, init):
    normed = [rows[activation, inputs, init, True] for inputs in INPUTS]
    for field in ("gain_depth", "gradient"):
        values = [getattr(row, field) for row in normed]
        assert max(values) < 1.15 * min(values), field
    for row in normed:
        assert (row.saturated or 0.0) < 0.1
        assert (row.dead or 0.0) < 0.05
        assert set(row.failed) <= {"inputs"}
        # a seven-seed estimate is too coarse to compare other pairs of rows by
        if (activation, init) == ("relu", "He"):
            assert row.spread < 0.8 * rows[activation, row.inputs, init, False].spread


def test_the_output_is_the_table_its_legend_and_three_sentences(run):
    script, printed = run
    table, legend, reading = printed.rstrip().split("\n\n")
    header, *lines = table.splitlines()
    assert len(lines) == 60
    assert header.split()[:4] == ["act", "inputs", "init", "norm"]
    assert sum("FAIL" in line for line in lines) == 12
    assert {line.split("  ")[0] for line in legend.splitlines()} <= {*re.split(r" {2,}", header)}
    assert [line.partition(":")[0] for line in reading.splitlines()] == ["Scale", "Mean", "Depth"]
    assert reading.splitlines() == [*script["reading"]()]


def test_the_sentences_quote_the_rows(run, rows):
    scale, mean, depth = run[0]["reading"]()
    percent = run[0]["percent"]
    wide = rows["tanh", "U(0,5)", "Xavier", False]
    assert f"but {percent(wide.saturated)} of the first tanh layer" in scale
    centred = rows["relu", "U(-1,1)", "He", False]
    assert f"[-1,1] leaves {percent(centred.dead)}." in mean
    he, default = (rows["relu", "N(0,1)", init, False] for init in ("He", "default"))
    assert f"ReLU keeps {he.gain_depth:.2g} of" in depth
    assert f"under He and {default.gain_depth:.2g} under" in depth
    normed = rows["relu", "N(0,1)", "He", True]
    assert depth.endswith(f"falls from 2^{he.spread:.2f} to 2^{normed.spread:.2f}.")
