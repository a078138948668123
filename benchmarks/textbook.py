"""Textbook networks that Hypothesis draws never fail, and networks of a wrong gain do.

    python benchmarks/textbook.py [--examples 150] [--weights 150000000]

Widths run from 16 to 1024 and depths from 1 to 100, as far as a network has no more weights than asked
for.  The tests run the same properties on fewer and smaller networks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import strategies as ist
from pytest_initcheck import theory
from pytest_initcheck.networks import TEXTBOOK_ACTIVATIONS, NetworkSpec

WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
JUDGED = ("variance", "saturation", "dead-relu")


@dataclass(frozen=True)
class Wrong:
    """A gain that has to be found: sigma_w^2 for an activation, from a depth on, under a limit."""

    name: str
    activations: tuple[str, ...]
    sigma_w2: Callable[[str], float]
    least_depth: int
    invariant: str
    limit: float | None = None


def scaled(factor: float) -> Callable[[str], float]:
    """Multiply the second moment by this factor per layer, literally: SELU is not homogeneous."""

    def sigma_w2(name: str) -> float:
        if name != "selu":
            return factor * theory.gain(name) ** 2
        reached = 1e-6 if factor < 1 else 1e6
        return factor * reached / theory.second_moment("selu", reached)

    return sigma_w2


RECTIFIERS = ("relu", "leaky_relu(0.01)", "leaky_relu(0.2)")
FAULTS = (
    ("second moment x2", RECTIFIERS, scaled(2.0), 12, "variance"),
    ("second moment x0.5", RECTIFIERS, scaled(0.5), 30, "variance"),
    ("second moment x4", ("selu",), scaled(4.0), 20, "variance"),
    ("second moment x0.25", ("selu",), scaled(0.25), 20, "variance"),
    ("sigma_w^2 0.25", ("tanh",), lambda name: 0.25, 20, "variance"),
    ("sigma_w^2 11", ("tanh",), lambda name: 11.0, 1, "saturation"),
)
WRONG = (
    *(Wrong(f"{name}, unasked", acts, sigma, least, inv) for name, acts, sigma, least, inv in FAULTS),
    *(
        Wrong(f"{name}, preserves_variance()", acts, sigma, 10, "variance", 10.0)
        for name, acts, sigma, _, _ in FAULTS
    ),
    *(
        Wrong(f"second moment x{factor:g}, limit 2", RECTIFIERS, scaled(factor), 5, "variance", 2.0)
        for factor in (2.0, 0.5)
    ),
)


@st.composite
def textbook(draw: st.DrawFn, most_weights: int) -> NetworkSpec:
    """Draw a matched network of at most so many weights; every scheme that matches, orthogonal too."""
    name = draw(st.sampled_from(TEXTBOOK_ACTIVATIONS))
    width = draw(st.sampled_from(WIDTHS))
    deepest = max(1, min(100, most_weights // width**2))
    return draw(
        ist.networks(
            framework="numpy", activation=name, min_width=width, max_width=width, max_depth=deepest
        )
    )


@st.composite
def faulty(draw: st.DrawFn, wrong: Wrong, most_weights: int) -> NetworkSpec:
    """Draw a network with this fault, at widths from 64."""
    name = draw(st.sampled_from(wrong.activations))
    width = draw(st.sampled_from([width for width in WIDTHS if width >= 64]))
    deepest = min(wrong.least_depth + 30, most_weights // width**2)
    assume(deepest >= wrong.least_depth)
    depth = draw(st.integers(wrong.least_depth, deepest))
    make = draw(st.sampled_from([init.lecun_normal, init.lecun_uniform, init.lecun_truncated_normal]))
    scheme = make(wrong.sigma_w2(name) ** 0.5)
    return NetworkSpec((width, *[width] * depth, 10), name, scheme)


def run(
    strategy: st.SearchStrategy[NetworkSpec], examples: int, judge: Callable[[NetworkSpec], str]
) -> Counter[str]:
    """Judge the networks that are drawn and count the verdicts."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def judged(spec: NetworkSpec) -> None:
        seen[judge(spec)] += 1

    judged()
    return seen


def textbook_verdict(spec: NetworkSpec) -> str:
    """Return pass, fail, inconclusive or vacuous, and print what is not a pass."""
    report = ic.check(spec.factory(), inputs=spec.inputs, only=JUDGED, id=spec.text)
    states = {name: result.verdict for name, result in report.invariants.items()}
    vacuous = report.verdict == "pass" and "vacuous" in states.values()
    verdict = "vacuous" if vacuous else report.verdict
    if verdict != "pass":
        print(f"  {verdict:12} {spec.text}  {states}", flush=True)
    return verdict


def fault_verdict(wrong: Wrong) -> Callable[[NetworkSpec], str]:
    """Return what judges a network with this fault: found, or the verdict that missed it."""
    limits: dict[str, Any] = {} if wrong.limit is None else {"variance": wrong.limit}

    def judge(spec: NetworkSpec) -> str:
        only = (wrong.invariant,)
        asked = {"only": only, "id": spec.text, "try_fixes": False, **limits}
        report = ic.check(spec.factory(), inputs=spec.inputs, **asked)
        verdict = report.invariants[wrong.invariant].verdict
        if verdict != "fail":
            print(f"  missed ({verdict}) {wrong.name}: {spec.text}", flush=True)
        return "found" if verdict == "fail" else verdict

    return judge


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=150)
    parser.add_argument("--weights", type=int, default=150_000_000)
    options = parser.parse_args()
    started = time.perf_counter()
    counts = run(textbook(options.weights), options.examples, textbook_verdict)
    weak = counts["vacuous"] + counts["inconclusive"]
    print(
        f"textbook networks: {counts.total()}, {dict(counts)}; weak {100 * weak / counts.total():.1f} %"
    )
    good = counts["fail"] + counts["error"] == 0 and weak <= 0.05 * counts.total()
    for wrong in WRONG:
        examples = max(4, options.examples // 10)
        found = run(faulty(wrong, options.weights // 10), examples, fault_verdict(wrong))
        print(f"{wrong.name:45} {found['found']:4} of {found.total():4} found", flush=True)
        good &= found["found"] == found.total()
    print(f"{time.perf_counter() - started:.0f} s")
    print("\nholds" if good else "\ndoes not hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
