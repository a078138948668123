"""What does it cost to shrink a family to its smallest conclusive failure?

    python benchmarks/shrinking.py

Each family has one fault, a layer 30 times too large from a depth on.  Prints the example that
Hypothesis shrinks to, how many examples were judged and the CPU time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck.engine import judge
from pytest_initcheck.families import Explored, Family
from pytest_initcheck.subject import Subject

Layers = list[tuple[Any, None, str | None]]


def network(rng: np.random.Generator, depth: int, width: int, faulty_from: int) -> Layers:
    """Return a He network; its layer number ``faulty_from`` has 30 times the standard deviation."""
    layers: Layers = []
    for index in range(depth):
        std = (30 if index == faulty_from - 1 else 1) * np.sqrt(2 / width)
        layers.append((rng.normal(0, std, (width, width)), None, "relu"))
    return [*layers, (rng.normal(0, width**-0.5, (width, 5)), None, None)]


def shrunk(faulty_from: int) -> tuple[Explored, int, int]:
    """Explore the family; return what was found, and how many examples and initialisations it took."""
    judged: list[int] = []

    def look(arguments: Mapping[str, Any], inputs: Any, tries: bool) -> Any:
        subject = Subject(
            factory=lambda rng, depth, width: network(rng, depth, width, faulty_from),
            id="network",
            inputs=inputs,
            example=dict(arguments),
            tries=tries,
        )
        report = judge(subject)
        judged.append(report.seeds)
        return report

    family = Family(
        name="network",
        strategies={"depth": st.integers(1, 40), "width": st.integers(8, 128)},
        inputs=ic.inputs_from(lambda width, **_: ic.normal(width)),
        judge=look,
        key="0 network",
    )
    return family.explore("variance"), len(judged), sum(judged)


def main() -> int:
    good = True
    for faulty_from in (3, 8, 13, 20):
        started = time.process_time()
        found, examples, inits = shrunk(faulty_from)
        seconds = time.process_time() - started
        example = found.report.example if found.report is not None else "nothing"
        cost = f"{examples} examples, {inits} inits, {seconds:.0f} s"
        print(f"fault from depth {faulty_from:2}: {example}, {cost}")
        good &= found.verdict == "fail" and f"depth={faulty_from}," in str(example) and seconds < 60
    print("\nholds" if good else "\ndoes not hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
