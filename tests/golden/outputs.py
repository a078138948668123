"""The golden outputs: whole texts as a terminal shows them, each kept in a file of its name.

``python tests/golden/outputs.py`` writes them anew after a change that is meant; look at ``git diff``
then as a reader of the failure would. No test ever writes them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import reports  # noqa: E402

import pytest_initcheck as ic  # noqa: E402
from pytest_initcheck.explain import explained  # noqa: E402
from pytest_initcheck.report.layout import Layout, door_of_item, door_of_spec  # noqa: E402
from pytest_initcheck.report.terminal import render  # noqa: E402

sys.path.remove(str(FOLDER))

ITEM = "test_models.py::classifier::variance"


def item(report: ic.Report = reports.CLASSIFIER, invariant: str = "variance", **layout: object) -> str:
    door = door_of_item(f"{report.id}::{invariant}")
    return render(report, invariant, Layout(**layout), door)  # type: ignore[arg-type]


# -- real models -----------------------------------------------------------------------------------


def dense(sigma_w2: float, act: str, bias: float = 0.0) -> Callable[..., object]:
    def net(rng: np.random.Generator) -> object:
        def layer(units: int, activation: str | None) -> tuple[np.ndarray, np.ndarray, str | None]:
            return rng.normal(0, (sigma_w2 / 64) ** 0.5, (64, units)), np.full(units, bias), activation

        return [*(layer(64, act) for _ in range(16)), layer(10, None)]

    return net


def real(factory: Callable[..., object], inputs: object = None, **limits: float) -> str:
    report = ic.check(factory, inputs=inputs or ic.normal(64), id="net", **limits)
    return timeless(str(report))


def timeless(text: str) -> str:
    return re.sub(r"\d+\.\d+( ?)s\b", r"0.00\1s", text)


# -- whole runs ------------------------------------------------------------------------------------

_MODELS = """
import pytest_initcheck as ic

@ic.model(inputs=ic.normal(256))
def classifier(rng):
    raise AssertionError("its report is fixed")
"""
_CONFTEST = """
import sys
sys.path.insert(0, {folder!r})
import reports
from pytest_initcheck import engine

def pytest_configure(config):
    engine.judge = lambda subject, watch=None: reports.CLASSIFIER
"""


def run(*args: str, **environment: str) -> str:
    """Return what pytest prints for a model whose report is fixed, from the first dots on."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_models.py").write_text(_MODELS, encoding="utf-8")
        Path(folder, "conftest.py").write_text(_CONFTEST.format(folder=str(FOLDER)), encoding="utf-8")
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        dropped = ("CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "PYTEST_ADDOPTS")
        inherited = {key: value for key, value in os.environ.items() if key not in dropped}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--initcheck", "-p", "no:cacheprovider", *args],
            cwd=folder, capture_output=True, encoding="utf-8", errors="strict",
            env={**inherited, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment},
        )  # fmt: skip
    text = timeless(done.stdout).replace("\x1b", "\\e")
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if "collected" in line), -1)
    return "\n".join(lines[start + 1 :]) + done.stderr


OUTPUTS: dict[str, Callable[[], str]] = {
    "item-80": item,
    "item-40": lambda: item(width=40),
    "item-120": lambda: item(width=120),
    "item-quiet": lambda: item(detail="line"),
    "item-whole": lambda: item(detail="whole"),
    "item-ascii": lambda: item(ascii=True),
    "item-long-names": lambda: item(reports.LONG_NAMES),
    "item-long-names-40": lambda: item(reports.LONG_NAMES, width=40),
    "item-not-finite": lambda: item(reports.NOT_FINITE, "finite"),
    "item-drawn-arguments": lambda: item(reports.DRAWN),
    "item-of-a-spec": lambda: render(
        reports.CLASSIFIER, "variance", door=door_of_spec("zoo:net", "normal:256")
    ),
    "shared-cause": lambda: render(reports.CLASSIFIER, "saturation", elsewhere=ITEM),
    "shared-cause-40": lambda: render(reports.CLASSIFIER, "saturation", Layout(40), elsewhere=ITEM),
    "shared-cause-alone": lambda: item(invariant="saturation"),
    "inconclusive": lambda: item(reports.INCONCLUSIVE, "dead-relu"),
    "error": lambda: render(reports.ERROR),
    "library": lambda: str(reports.TWO_FAULTS),
    "library-passing": lambda: str(reports.PASSING),
    "real-vanishing": lambda: real(dense(0.5, "relu")),
    "real-saturated": lambda: real(dense(90.0, "tanh")),
    "real-dead": lambda: real(dense(2.0, "relu", bias=-9.0)),
    "real-raw-inputs": lambda: real(dense(2.0, "relu"), ic.uniform(64, high=255)),
    "real-by-the-map": lambda: real(dense(1.0, "relu"), variance=10),
    "explain-variance": lambda: "\n".join(explained("variance")),
    "run": run,
    "run-quiet": lambda: run("-q"),
    "run-verbose": lambda: run("-v"),
    "run-colours": lambda: run("--color=yes"),
    "run-ascii": lambda: run(PYTHONIOENCODING="ascii"),
}


def written() -> Iterator[str]:
    """Write every golden output and yield the names of those that changed."""
    for name, output in OUTPUTS.items():
        path = FOLDER / f"{name}.txt"
        text = output() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            yield name
    for path in FOLDER.glob("*.txt"):
        if path.stem not in OUTPUTS:
            path.unlink()
            yield f"{path.stem} (removed)"


if __name__ == "__main__":
    for name in written():
        print(name)  # noqa: T201
