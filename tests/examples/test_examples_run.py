"""The examples that need no framework do what they say, as pytest runs them on a copy."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTCOMES = {
    "test_numpy_network.py": {"passed": 14, "skipped": 2},
    "test_family.py": {"passed": 3},
    "test_fixture.py": {"passed": 4},
}


def test_every_example_is_tested():
    elsewhere = {"models.py", "normalization.py", "demo.py", "broken/torch_models.py"}  # tests/torch
    elsewhere |= {"broken/numpy_models.py", "pitfalls/torch_initialisers.py"}  # their own tests
    files = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    assert files == set(OUTCOMES) | elsewhere


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_example_passes(pytester, name):
    shutil.copy(EXAMPLES / name, pytester.path)
    result = pytester.runpytest_inprocess("--initcheck", "-p", "no:cacheprovider")
    result.assert_outcomes(**OUTCOMES[name])


def test_the_fixture_example_needs_no_option(pytester):
    shutil.copy(EXAMPLES / "test_fixture.py", pytester.path)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_the_family_shrinks_the_fault_that_its_docstring_suggests(pytester):
    source = (EXAMPLES / "test_family.py").read_text(encoding="utf-8")
    broken = source.replace("rng.normal(0, np.sqrt(2 / width)", "rng.normal(0, np.sqrt(1 / width)")
    assert broken != source
    pytester.makepyfile(test_family=broken)
    result = pytester.runpytest_inprocess("--initcheck", "-k", "variance", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, deselected=2)
    # at half per layer a factor of 10 takes 4 of them, and the luck that is allowed a few more
    result.stdout.re_match_lines([r"variance FAIL .*mlp\(depth=[4-9], width=\d+\)"])


def test_broken_models_are_collected_only_when_they_are_named(pytester):
    folder = pytester.mkdir("examples")
    (folder / "broken").mkdir()
    for name in ("test_fixture.py", "broken/numpy_models.py"):
        shutil.copy(EXAMPLES / name, folder / name)
    every = pytester.runpytest_inprocess("--initcheck", "--co", "-q", "examples")
    every.stdout.no_fnmatch_line("*broken*")
    every.stdout.fnmatch_lines(["*test_every_code_size*"])
    named = pytester.runpytest_inprocess("--initcheck", "--co", "-q", "examples/broken/numpy_models.py")
    named.stdout.fnmatch_lines(["*numpy_models.py::zero_layer::dead-relu*", "40 tests collected*"])


def run_without_torch(script: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process in which torch cannot be imported."""
    path = str(EXAMPLES / script)
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        f"runpy.run_path({path!r}, run_name='__main__')\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_demo_without_torch_checks_numpy_and_says_what_is_missing():
    run = run_without_torch("demo.py")
    lines = run.stdout.splitlines()
    assert run.returncode == 1
    assert [line for line in lines if line.startswith("UNEXPECTED")] == [
        "UNEXPECTED  torch is not installed, so its examples were not checked; "
        "run: python -m pip install 'pytest-initcheck[torch]'"
    ]
    assert sum(line.startswith("  fail  numpy") for line in lines) == 5
    assert sum(line.startswith("  pass  numpy") for line in lines) == 6
    assert run.stderr == ""


def test_the_demo_of_an_unknown_framework_says_which_there_are():
    command = [sys.executable, str(EXAMPLES / "demo.py"), "tensorflow"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == "no examples of tensorflow: there are some of numpy and torch\n"


ZERO_LAYER = """
import numpy as np
import pytest_initcheck as ic

@ic.model(inputs=ic.normal(32))
def zero_layer(rng):
    he = rng.normal(0, 0.25, (32, 32))
    return [(he, None, "relu"), (0 * he, None, "relu"), (he, None, None)]
"""


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The demo's functions, with one broken model that fails at its second layer."""
    (tmp_path / "few.py").write_text(ZERO_LAYER)
    names = runpy.run_path(str(EXAMPLES / "demo.py"))
    for files in (names["GOOD"], names["BROKEN"]):
        monkeypatch.setitem(files, "numpy", (str(tmp_path / "few.py"),))
    names["FAULTS"].clear()
    return names


def test_the_demo_accepts_the_fault_that_it_expects(demo):
    demo["FAULTS"]["zero_layer"] = ("dead-relu", 1)
    assert demo["show_broken"]("numpy") == []


def test_the_demo_reports_another_place_and_a_missing_model(demo):
    demo["FAULTS"].update(zero_layer=("dead-relu", 2), dead_relu=("dead-relu", 0))
    assert demo["show_broken"]("numpy") == [
        "numpy zero_layer: [('dead-relu', '1')] instead of [('dead-relu', '2')]",
        "numpy dead_relu: not checked instead of [('dead-relu', '0')]",
    ]


def test_the_demo_reports_a_broken_model_that_it_does_not_know(demo):
    unexpected = demo["show_broken"]("numpy")
    assert unexpected == ["numpy zero_layer: [('dead-relu', '1')] instead of nothing"]


def test_the_demo_reports_a_good_model_that_fails(demo, capsys):
    unexpected = demo["show_good"](["numpy"])
    assert unexpected[0].endswith("few.py::zero_layer: fail")
    assert unexpected[-1] == "pytest ended with exit code 1 on the good examples"
    assert "short test summary" in capsys.readouterr().out


def test_normalization_without_torch_is_one_clear_line():
    run = run_without_torch("normalization.py")
    assert run.returncode == 1
    assert run.stderr == (
        "this example needs torch; run: python -m pip install 'pytest-initcheck[torch]'\n"
    )
