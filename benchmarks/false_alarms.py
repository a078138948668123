"""Do textbook networks pass, do their broken twins fail, and is P(violation) at most 0.1 per claim?

    python benchmarks/false_alarms.py [--quick] [--jobs 2]

Prints three tables: correct networks (three root seeds each), broken twins, and, per claim of twelve
shapes, how often one replicate of a correct init violates its widened limit, with the 99 % upper bound
of Clopper and Pearson.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import pytest_initcheck as ic
from pytest_initcheck import evidence, probes, theory
from pytest_initcheck.config import resolve
from pytest_initcheck.factory import Seeds, number
from pytest_initcheck.inputs import parse, source
from pytest_initcheck.invariants import (
    dead_relu,
    finite,
    gradient,
    inputs,
    saturation,
    symmetry,
    trainable,
    variance,
)
from pytest_initcheck.networks import textbook_depth
from pytest_initcheck.trace import Wanted

WIDTHS = (16, 32, 64, 128, 256, 512)
DEPTHS = (1, 2, 5, 10, 20, 50)
INPUTS = ("normal(0,1)", "uniform(-1,1)", "uniform(0,1)")
INITS = (
    ("relu", "normal", 2.0),
    ("relu", "uniform", 2.0),
    ("leaky_relu(0.2)", "normal", 2 / 1.04),
    ("selu", "normal", 1.0),
    ("tanh", "normal", 1.0),
    ("tanh", "uniform", 25 / 9),
    ("elu", "normal", theory.gain("elu") ** 2),
    ("gelu", "normal", theory.gain("gelu") ** 2),
    ("silu", "normal", theory.gain("silu") ** 2),
    ("mish", "uniform", theory.gain("mish") ** 2),
)
SEEDS = (0, 1, 2)
LARGEST = 256 * 50
"""Width times depth up to which every activation is run; beyond it ReLU and tanh stand for all."""
BROKEN_FACTORS = (4.0, 0.25)


@dataclass(frozen=True)
class Net:
    """A plain network: sigma_w^2 per hidden layer, the first one scaled for unstable activations."""

    activation: str
    draw: str
    sigma_w2: float
    width: int
    depth: int
    inputs: str

    @property
    def text(self) -> str:
        return (
            f"{self.activation}/{self.draw}/{self.sigma_w2:.4g} {self.width}x{self.depth} {self.inputs}"
        )

    @property
    def distribution(self) -> Any:
        return parse(f"{self.inputs}:{self.width}")

    def factory(self) -> Callable[[np.random.Generator], list[Any]]:
        def network(rng: np.random.Generator) -> list[Any]:
            layers = []
            for index in range(self.depth):
                variance = (self.first if index == 0 else self.sigma_w2) / self.width
                layers.append((self.weight(rng, variance, self.width), None, self.activation))
            return [*layers, (self.weight(rng, 1 / self.width, 10), None, None)]

        return network

    @property
    def first(self) -> float:
        unstable = theory.length_slope(self.activation) > 1 + 1e-9
        return self.sigma_w2 / self.matched / second_moment(self.inputs) if unstable else self.sigma_w2

    @property
    def matched(self) -> float:
        return theory.gain(self.activation) ** 2

    def weight(self, rng: np.random.Generator, variance: float, units: int) -> Any:
        shape = (self.width, units)
        if self.draw == "normal":
            return rng.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(variance))
        return (rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(math.sqrt(3 * variance))


def second_moment(name: str) -> float:
    return 1.0 if name.startswith("normal") else 1 / 3


def correct_networks(quick: bool) -> Iterator[Net]:
    turn = 0
    for activation, draw, sigma_w2 in INITS:
        for width in WIDTHS:
            for depth in DEPTHS:
                if depth > textbook_depth(activation, width):
                    continue
                if width * depth > LARGEST and activation not in ("relu", "tanh"):
                    continue
                turn += 1
                if quick and (turn % 5 or width * depth > 3000):
                    continue
                yield Net(activation, draw, sigma_w2, width, depth, INPUTS[turn % len(INPUTS)])


def length_factor(net: Net, factor: float) -> float:
    """Return the weight variance for which the second moment changes by ``factor`` per layer.

    SELU is not homogeneous: where its length is small or large, phi has another slope.
    """
    if net.activation != "selu":
        return net.sigma_w2 * factor
    small = 1e-6 if factor < 1 else 1e6
    return factor * small / theory.second_moment("selu", small)


def broken_twins(net: Net) -> Iterator[tuple[Net, dict[str, Any]]]:
    """Yield the twins that have to fail, with the arguments of the check."""
    if net.width < 64:
        return
    asked = {"only": "variance", "variance": 10.0}
    homogeneous = net.activation in ("relu", "leaky_relu(0.2)", "selu")
    broken = []
    if homogeneous:
        broken = [(factor, length_factor(net, factor)) for factor in BROKEN_FACTORS]
    elif net.activation == "tanh":
        broken = [(4.0, 16.0), (0.25, 0.25)]
    for factor, sigma_w2 in broken:
        twin = Net(net.activation, net.draw, sigma_w2, net.width, net.depth, net.inputs)
        least = 20 if factor < 1 else (1 if net.activation == "tanh" else 10)
        if net.depth >= least:
            yield twin, {}
        if net.depth >= 10:
            yield twin, asked
    if not broken and net.depth >= 10:
        for factor in BROKEN_FACTORS:
            yield (
                Net(net.activation, net.draw, net.sigma_w2 * factor, net.width, net.depth, net.inputs),
                asked,
            )


def judge(task: tuple[Net, int, dict[str, Any]]) -> tuple[Net, str, str, float, dict[str, Any]]:
    net, seed, arguments = task
    started = time.perf_counter()
    report = ic.check(net.factory(), inputs=net.distribution, seed=seed, id=net.text, **arguments)
    states = [result.verdict for result in report.invariants.values()]
    # a claim that nothing could be said about is listed beside the verdict of the model
    verdict = "vacuous" if report.verdict == "pass" and "vacuous" in states else report.verdict
    detail = "; ".join(f.message for f in report.findings) or "; ".join(
        f"{name}: {result.note}"
        for name, result in report.invariants.items()
        if result.verdict == "vacuous"
    )
    return net, verdict, detail, time.perf_counter() - started, arguments


def correct_table(nets: list[Net], pool: Any) -> bool:
    tasks = [(net, seed, {}) for net in nets for seed in SEEDS]
    tasks += [(net, SEEDS[0], {"only": "variance", "variance": 10.0}) for net in nets]
    counts: dict[str, Counter[str]] = {"default": Counter(), "preserves_variance()": Counter()}
    print(f"correct networks: {len(nets)}, {len(SEEDS)} root seeds each; preserves_variance(): one seed")
    for net, verdict, detail, _, arguments in pool.imap(judge, tasks):
        kind = "preserves_variance()" if arguments else "default"
        counts[kind][verdict] += 1
        if verdict != "pass":
            print(f"  {verdict:12} {kind:20} {net.text}: {detail}", flush=True)
    for kind, count in counts.items():
        total = count.total()
        weak = count["vacuous"] + count["inconclusive"]
        print(
            f"{kind}: {total} verdicts, {count['pass']} pass, {count['fail']} fail, "
            f"{count['vacuous']} vacuous, {count['inconclusive']} inconclusive "
            f"({100 * weak / total:.1f} %), {count['error']} error"
        )
    return counts["default"]["fail"] + counts["default"]["error"] == 0


def twin_table(nets: list[Net], pool: Any) -> bool:
    tasks = [(twin, 0, arguments) for net in nets for twin, arguments in broken_twins(net)]
    counts: dict[tuple[str, str], Counter[str]] = {}
    missed = 0
    for net, verdict, _, _, arguments in pool.imap(judge, tasks):
        kind = "preserves_variance()" if arguments else "default"
        counts.setdefault((net.activation, kind), Counter())[verdict] += 1
        if verdict != "fail":
            missed += 1
            print(f"  missed ({verdict}) {kind}: {net.text}", flush=True)
    print(f"\nbroken twins: {len(tasks)}")
    for (activation, kind), count in sorted(counts.items()):
        print(f"  {activation:16} {kind:22} {count['fail']:4} of {count.total():4} fail")
    share = 1 - missed / max(len(tasks), 1)
    print(f"failed: {100 * share:.2f} % of {len(tasks)}")
    return share >= 0.99


SHAPES = (
    ("relu", "normal", 2.0, 16, 10, "uniform(0,1)"),
    ("relu", "normal", 2.0, 64, 50, "normal(0,1)"),
    ("relu", "uniform", 2.0, 128, 20, "uniform(-1,1)"),
    ("relu", "normal", 2.0, 512, 100, "normal(0,1)"),
    ("leaky_relu(0.2)", "normal", 2 / 1.04, 32, 20, "uniform(0,1)"),
    ("tanh", "normal", 1.0, 16, 50, "normal(0,1)"),
    ("tanh", "normal", 25 / 9, 256, 50, "normal(0,1)"),
    ("tanh", "uniform", 25 / 9, 64, 10, "uniform(-1,1)"),
    ("selu", "normal", 1.0, 64, 100, "normal(0,1)"),
    ("elu", "normal", theory.gain("elu") ** 2, 32, 20, "uniform(-1,1)"),
    ("gelu", "normal", theory.gain("gelu") ** 2, 256, 13, "normal(0,1)"),
    ("silu", "normal", theory.gain("silu") ** 2, 512, 12, "uniform(0,1)"),
)


def upper_bound(hits: int, draws: int, confidence: float = 0.99) -> float:
    """Return the Clopper-Pearson upper bound, by bisection on the binomial tail."""
    low, high = hits / draws, 1.0
    for _ in range(60):
        p = (low + high) / 2
        tail = sum(
            math.exp(
                math.lgamma(draws + 1)
                - math.lgamma(k + 1)
                - math.lgamma(draws - k + 1)
                + k * math.log(p)
                + (draws - k) * math.log1p(-p)
            )
            for k in range(hits + 1)
        )
        low, high = (p, high) if tail > 1 - confidence else (low, p)
    return high


def violations(task: tuple[tuple[Any, ...], int]) -> tuple[Net, int, int, dict[tuple[str, str], int]]:
    """Count, per claim, the replicates of a correct init outside the widened limit."""
    shape, draws = task
    net = Net(*shape)
    asked, default = resolve(("call", {"variance": 10.0, "gradient": 10.0})), resolve()
    unasked = (finite, inputs, saturation, dead_relu, variance, gradient, trainable, symmetry)
    modules = [*((module, default) for module in unasked), (variance, asked), (gradient, asked)]
    wanted = Wanted(site_gradients=True, noise=True, steps=True)
    inputs_of = source(net.distribution)
    seeds = Seeds(12345, net.text)
    hits: Counter[tuple[str, str]] = Counter()
    per_replicate, drawn = 1, 0

    def trace() -> Any:
        nonlocal drawn
        weights, draw = seeds.of(drawn)
        drawn += 1
        model = net.factory()(np.random.default_rng(number(weights)))
        call = inputs_of.sample(np.random.default_rng(draw))
        return probes.probe_for(model).trace(model, call, mode="train", seed=number(draw), wanted=wanted)

    first = trace()
    affordable = max(1, 2**26 // first.elements)
    per_replicate = min(max(m.seeds_wanted(first, limits) for m, limits in modules), affordable, 16)
    for _ in range(draws):
        traces = [trace() for _ in range(per_replicate)]
        for module, limits in modules:
            name = module.NAME + ("(10)" if limits is asked else "")
            group = [module.measure(t, limits, per_replicate) for t in traces]
            for measure in evidence.averaged(group):
                hits[name, measure.claim] += measure.violated and measure.vacuous is None
            for measures in group[:1]:
                for measure in measures:
                    if measure.fatal is not None:
                        hits[name, measure.claim] += measure.violated
    return net, per_replicate, draws, dict(hits)


def violation_table(quick: bool, pool: Any) -> bool:
    draws = 40 if quick else 200
    shapes = [shape for shape in SHAPES if not quick or shape[3] * shape[4] < 3000]
    worst_of_all = 0.0
    print(f"\nP(one replicate of a correct init violates), {draws} replicates each, 99 % upper bound")
    for net, seeds, done, hits in pool.imap(violations, [(shape, draws) for shape in shapes]):
        by_invariant: dict[str, tuple[int, str, int]] = {}
        for (name, claim), count in hits.items():
            most, where, claims = by_invariant.get(name, (-1, "", 0))
            by_invariant[name] = (
                (count, claim, claims + 1) if count > most else (most, where, claims + 1)
            )
        print(f"  {net.text} ({seeds} seeds a replicate)")
        for name, (count, claim, claims) in by_invariant.items():
            bound = upper_bound(count, done)
            worst_of_all = max(worst_of_all, bound)
            worst = f"worst {claim}: {count} of {done}, at most {bound:.3f}"
            print(f"    {name:14} {claims:4} claims, {worst}", flush=True)
    print(f"largest upper bound: {worst_of_all:.3f} (at most 0.1)")
    return worst_of_all <= 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the networks, the small shapes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("correct", "twins", "violations"))
    options = parser.parse_args()
    nets = list(correct_networks(options.quick))
    good = True
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        if options.only in (None, "correct"):
            good &= correct_table(nets, pool)
        if options.only in (None, "twins"):
            good &= twin_table(nets, pool)
        if options.only in (None, "violations"):
            good &= violation_table(options.quick, pool)
    print("\nholds" if good else "\ndoes not hold")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
