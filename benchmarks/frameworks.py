"""Does every framework get the same verdict? Nine models, each written natively in each library.

    python benchmarks/frameworks.py [--only nnx,torch] [--seed 0] [--allow-missing] [--show]

A row per library, a column per model: a cell has the verdict and the invariant of the first finding,
and WRONG where it is not the expected one. Each row runs in a process of its own, Keras once on each
backend.
Exits with 1 if a cell is wrong, or a library is not installed and ``--allow-missing`` is not given.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest_initcheck as ic

MODELS = {
    # 20 ReLU layers under He: the length of the signal is kept
    "good": ("a", "pass"),
    # 20 ReLU layers, weights of variance 1 / (3 n): each layer keeps a sixth of the second moment
    "default_init": ("b", "fail variance"),
    # 20 tanh layers, std 3 / sqrt(n): activations keep their size, 40 % have no slope (peers.md 3)
    "saturated_tanh": ("c", "fail saturation"),
    # He under ReLU with a bias of -3: from the second layer on no unit is ever active
    "dead_relu": ("d", "fail dead-relu"),
    # a layer in the middle is all zero: every unit behind it is off, so dead, and nothing learns
    "zero_layer": ("e", "fail dead-relu"),
    # 8 sigmoid layers, N(0, 1): pre-activations of std 16, four units in five at 0 or 1
    "saturated_sigmoid": ("f", "fail saturation"),
    # a residual branch times a gate of zero: the gate learns in the first step, the branch in the second
    "zero_gate": ("zero gate", "pass"),
    # B A with both zero: each one's gradient is the other, so neither ever moves
    "zero_factors": ("both zero", "fail trainable"),
    # two layers of one constant each: all units compute the same, and go on doing so
    "constant": ("constant", "fail symmetry"),
}
"""Each model's column and what is right: what torch says, and why."""


@dataclass(frozen=True)
class Row:
    """A library: the module that has its models, what must be installed, Keras' backend."""

    module: str
    needs: tuple[str, ...] = ()
    backend: str = ""
    without: tuple[str, ...] = ()


ROWS = {
    "numpy layers": Row("numpy_layers", without=("zero_gate", "zero_factors")),
    "numpy tap": Row("numpy_tapped", ("scipy",)),
    "numpy traced": Row("numpy_traced"),
    "torch": Row("torch_modules", ("torch",)),
    "jax": Row("plain_jax", ("jax",)),
    "nnx": Row("flax_nnx", ("jax", "flax")),
    "linen": Row("flax_linen", ("jax", "flax")),
    "equinox": Row("equinox_modules", ("jax", "equinox")),
    "haiku": Row("haiku_functions", ("jax", "haiku")),
    "keras torch": Row("keras_models", ("keras", "torch"), "torch"),
    "keras jax": Row("keras_models", ("keras", "jax"), "jax"),
    "keras tf": Row("keras_models", ("keras", "tensorflow"), "tensorflow"),
}


@dataclass(frozen=True)
class Cell:
    """What one model of one library was judged as."""

    verdict: str
    detail: str
    seconds: float


def judged(factory: Any, seed: int) -> Cell:
    started = time.perf_counter()
    report = ic.check(factory, inputs=ic.normal(256), seed=seed)
    first = report.findings[0] if report.findings else None
    verdict = f"{report.verdict} {first.invariant}" if first is not None else report.verdict
    detail = report.error or (f"{first.place}: {first.message}" if first is not None else "")
    return Cell(verdict, detail, time.perf_counter() - started)


def print_cells(row: Row, seed: int) -> None:
    """Judge a row's models in this process, and print a line of JSON for each."""
    models = importlib.import_module(f"framework_models.{row.module}")
    for name in MODELS:
        if name in row.without:
            continue
        cell = judged(getattr(models, name), seed)
        print(json.dumps([name, cell.verdict, cell.detail, cell.seconds]), flush=True)


def cells(name: str, seed: int) -> dict[str, Cell]:
    """Judge a row's models in a process of their own.

    Raises CalledProcessError where that fails.
    """
    command = [sys.executable, __file__, "--row", name, "--seed", str(seed)]
    keras = {"KERAS_BACKEND": ROWS[name].backend} if ROWS[name].backend else {}
    run = subprocess.run(
        command, env={**os.environ, **keras}, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]
    return {model: Cell(verdict, detail, seconds) for model, verdict, detail, seconds in lines}


def told(model: str, cell: Cell | None) -> str:
    """Return a cell's text: - where a library cannot express the model."""
    if cell is None:
        return "-"
    return cell.verdict if cell.verdict == MODELS[model][1] else f"WRONG {cell.verdict}"


def show(name: str, found: dict[str, Cell], details: bool) -> int:
    """Print a row and return how many of its cells are wrong."""
    texts = [told(model, found.get(model)) for model in MODELS]
    seconds = sum(cell.seconds for cell in found.values())
    print(f"{name:<13}" + "".join(f"{text:<18}" for text in texts) + f"{seconds:6.1f} s", flush=True)
    for model, cell in found.items():
        expected = MODELS[model][1]
        if details or cell.verdict != expected:
            print(f"    {model}: expected {expected}, got {cell.verdict}; {cell.detail}", flush=True)
    return sum(text.startswith("WRONG") for text in texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="rows, by name, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--show", action="store_true", help="what was found in each cell")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print_cells(ROWS[options.row], options.seed)
        return 0
    names = options.only.split(",") if options.only else list(ROWS)
    if unknown := set(names) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    print(f"{'':<13}" + "".join(f"{column:<18}" for column, _ in MODELS.values()))
    wrong = missing = judged_cells = 0
    for name in names:
        absent = [need for need in ROWS[name].needs if importlib.util.find_spec(need) is None]
        if absent:
            print(f"{name:<13}not installed: {', '.join(absent)}", flush=True)
            missing += 1
            continue
        found = cells(name, options.seed)
        wrong += show(name, found, options.show)
        judged_cells += len(found)
    print(f"{judged_cells - wrong} of {judged_cells} cells right, {missing} rows not installed")
    return 1 if wrong or (missing and not options.allow_missing) else 0


if __name__ == "__main__":
    sys.exit(main())
