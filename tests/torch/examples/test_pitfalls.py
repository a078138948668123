"""Every shipped bug of ``examples/pitfalls`` fails for its own reason, and its repair passes."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "examples" / "pitfalls" / "torch_initialisers.py"
CAUSES = {
    "fan_out of a grouped convolution": "fan_out counts all 64 channels although groups=8",
    "fan_out of a depthwise convolution": "fan_out counts all 64 channels although groups=64",
    "fans of a transposed convolution": "fan_in was read as 512 = 32 x 16 taps",
    "Xavier over query, key and value as one": "192 units although 3 blocks of 64",
    "absolute bounds at a large standard deviation": "takes away 49% of the variance",
    "absolute bounds at a small standard deviation": "a and b are values, not standard deviations",
    "a normal where a truncated one was meant": "nothing is cut",
    "the gain 3/4 for SELU": "calculate_gain('selu')",
    "kaiming_uniform(a=sqrt(5))": "PyTorch's default",
    "a weight stored as [in, out]": "stored as [in, out], torch.nn.init reads [out, in]",
    "blocks from one seed": "blocks 0 and 1 of 3 are copies",
    "one row for all units": "units 0 and 1 are equal",
}
EXAMPLES = runpy.run_path(str(FILE), run_name="pitfalls")
PITFALLS = {pitfall.name: pitfall for pitfall in EXAMPLES["PITFALLS"]}


def test_every_pitfall_is_tested():
    assert set(PITFALLS) == set(CAUSES)


@pytest.mark.parametrize("name", CAUSES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_wrong_initialiser_fails_for_its_own_reason(name, seed):
    pitfall = PITFALLS[name]
    check = EXAMPLES["ic"].check_initializer
    report = check(pitfall.wrong, pitfall.layer, raises=False, seed=seed, **pitfall.asked)
    assert report.verdict == "fail"
    first = report.findings[0]
    assert first.invariant == pitfall.invariant
    assert CAUSES[name] in first.cause
    assert first.fix


@pytest.mark.parametrize("name", CAUSES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_repaired_initialiser_passes(name, seed):
    pitfall = PITFALLS[name]
    check = EXAMPLES["ic"].check_initializer
    assert check(pitfall.right, pitfall.layer, seed=seed, **pitfall.asked).verdict == "pass"


def test_the_script_shows_them():
    run = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("repaired: pass") == len(PITFALLS)
