"""How often an unchanged model drifts, how small a change is found: python benchmarks/drift.py [RUNS]

A profile is made once per network; then the same factory is compared with it under other root seeds, and
factories are in which one layer's weights are drawn with another standard deviation.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import pytest_initcheck as ic
from pytest_initcheck.engine import Subject, judge

RUNS = 100
FACTORS = (0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
DEPTH = 6


def network(width: int, activation: str, draw: str, factor: float = 1.0) -> Callable[[Any], Any]:
    """Return a factory of DEPTH hidden layers; the third one's weights are multiplied by a factor."""

    def layer(rng: np.random.Generator, index: int) -> tuple[Any, ...]:
        std = math.sqrt((2 if activation == "relu" else 1) / width) * (factor if index == 2 else 1)
        shape = (width, width)
        if draw == "normal":
            w = rng.normal(0, std, shape)
        elif draw == "uniform":
            w = rng.uniform(-std * math.sqrt(3), std * math.sqrt(3), shape)
        else:
            w = np.linalg.qr(rng.normal(size=shape))[0] * std * math.sqrt(width)
        return w, rng.uniform(-0.05, 0.05, width), activation

    def factory(rng: np.random.Generator) -> list[tuple[Any, ...]]:
        head = rng.normal(0, math.sqrt(1 / width), (width, 10)), None, None
        return [*(layer(rng, index) for index in range(DEPTH)), head]

    return factory


def verdict(factory: Any, width: int, expected: Any, seed: int) -> str:
    """Return the verdict on drift, with the layer where it fails."""
    subject = Subject(
        factory,
        "network",
        inputs=ic.normal(width),
        only=("finite",),
        expected=expected,
        baseline="b.toml",
        root_seed=seed,
    )
    report = judge(subject)
    found = report.invariants["drift"].verdict
    return f"{found} at {report.findings[0].site}" if found == "fail" else found


def main(runs: int) -> int:
    wrong = 0
    print(f"{'network':<26}{'unchanged':<18}" + "".join(f"x{factor:<12}" for factor in FACTORS))
    for width in (16, 64, 256):
        for activation, draw in (("relu", "normal"), ("tanh", "uniform"), ("tanh", "orthogonal")):
            expected = judge(
                Subject(
                    network(width, activation, draw), "network", inputs=ic.normal(width), profiling=True
                )
            ).profile
            same = Counter(
                verdict(network(width, activation, draw), width, expected, seed + 1)
                for seed in range(runs)
            )
            wrong += same.total() - same["pass"]
            found = [
                verdict(network(width, activation, draw, factor), width, expected, 1)
                for factor in FACTORS
            ]
            name = f"{width} {activation}, {draw}"
            passed = f"{same['pass']} of {runs} pass"
            print(f"{name:<26}{passed:<18}" + "".join(f"{each:<13}" for each in found), flush=True)
    print(f"{wrong} unchanged runs that do not pass")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
