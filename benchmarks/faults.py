"""Drawn networks with one fault each: is the fault the place that is named, does the fix pass?

    python benchmarks/faults.py              # 100 networks
    python benchmarks/faults.py --count 400 --seed 7

A network is correct but for its fault: a weight that is scaled, zero, constant, shifted or not a
number, a bias, in one layer or in all, or inputs that are scaled. Faults that do no harm pass, and are
counted by themselves. Prints what was named wrongly or not mended, and the counts.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import pytest_initcheck as ic

ACTIVATIONS: dict[str, tuple[Any, float]] = {
    "relu": (nn.ReLU, 2**0.5),
    "leaky_relu": (lambda: nn.LeakyReLU(0.1), (2 / 1.01) ** 0.5),
    "tanh": (nn.Tanh, 1.0),
    "selu": (nn.SELU, 1.0),
    "elu": (nn.ELU, 1.2457),
}
SIZES: dict[str, tuple[float, ...]] = {
    "scale": (0.01, 0.1, 0.3, 3, 10, 100),
    "zero": (0,),
    "constant": (0.1, 1),
    "mean": (1, 5),
    "bias": (-10, -3, 10, 50),
    "nan": (math.nan,),
    "inputs": (20, 255, 1e4),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong, how much, and in which layer; None for all of them."""

    kind: str
    size: float
    layer: int | None


@dataclass(frozen=True)
class Plan:
    """A network: its kind, its activation and its shape; ``biases`` are left as torch draws them."""

    kind: str
    activation: str
    width: int
    depth: int
    biases: bool
    fault: Fault

    @property
    def inputs(self) -> Any:
        shape = (3, 12, 12) if self.kind == "conv" else (self.width,)
        if self.fault.kind == "inputs":
            return ic.uniform(*shape, high=self.fault.size)
        return ic.normal(*shape)

    @property
    def names(self) -> list[str]:
        """The names of the layers that may be at fault."""
        step, end = (1, ".a") if self.kind == "residual" else (2, "")
        return [f"{step * index}{end}" for index in range(self.depth)]

    @property
    def site(self) -> str:
        """Where the fault starts."""
        return "input" if self.fault.kind == "inputs" else self.names[self.fault.layer or 0]


class Block(nn.Module):
    """A residual block behind a norm, its branch scaled down by the depth."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(plan.width)
        self.a, self.b = (_drawn(nn.Linear(plan.width, plan.width), plan) for _ in range(2))
        self.act = ACTIVATIONS[plan.activation][0]()
        with torch.no_grad():
            self.b.weight.mul_(plan.depth**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.b(self.act(self.a(self.norm(x))))
        return out


def _drawn(layer: Any, plan: Plan) -> Any:
    gain = ACTIVATIONS[plan.activation][1]
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if not plan.biases:
        nn.init.zeros_(layer.bias)
    return layer


def build(plan: Plan) -> nn.Module:
    """Return a fresh network with its fault."""
    act = ACTIVATIONS[plan.activation][0]
    if plan.kind == "residual":
        blocks = [Block(plan) for _ in range(plan.depth)]
        model = nn.Sequential(*blocks, nn.LayerNorm(plan.width), nn.Linear(plan.width, 5))
    else:
        layers: list[nn.Module] = []
        for index in range(plan.depth):
            if plan.kind == "conv":
                layer: nn.Module = nn.Conv2d(8 if index else 3, 8, 3, padding=1)
            else:
                layer = nn.Linear(plan.width, plan.width)
            layers += [_drawn(layer, plan), act()]
        ends = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)]
        model = nn.Sequential(*layers, *(ends if plan.kind == "conv" else [nn.Linear(plan.width, 5)]))
    faulty = plan.names if plan.fault.layer is None else [plan.names[plan.fault.layer]]
    with torch.no_grad():
        for name in faulty:
            _spoil(model.get_submodule(name), plan.fault)
    return model


def _spoil(layer: Any, fault: Fault) -> None:
    if fault.kind == "scale":
        layer.weight.mul_(fault.size)
    elif fault.kind in ("zero", "constant"):
        layer.weight.fill_(fault.size)
    elif fault.kind == "mean":
        layer.weight.add_(fault.size)
    elif fault.kind == "bias":
        layer.bias.fill_(fault.size)
    elif fault.kind == "nan":
        layer.weight.view(-1)[3] = fault.size


def drawn_plan(rng: random.Random) -> Plan:
    """Draw a network and its fault."""
    kind = rng.choice(["mlp", "mlp", "conv", "residual"])
    depth = rng.choice([3, 6] if kind == "conv" else [3, 6, 12])
    fault = rng.choice(["scale", "scale", *SIZES])
    layer = rng.choice([None, 0, depth // 2, depth - 1])
    size = rng.choice(SIZES[fault])
    return Plan(
        kind,
        rng.choice(list(ACTIVATIONS)),
        rng.choice([32, 64, 128]),
        depth,
        rng.random() < 0.5,
        Fault(fault, size, layer),
    )


def graded(plan: Plan, seed: int) -> tuple[ic.Report, bool, bool]:
    """Return the report, and whether its first place is the fault's and its last fix passes."""
    report = ic.check(lambda: build(plan), inputs=plan.inputs, id=repr(plan), seed=seed)
    if report.verdict != "fail":
        return report, False, False
    last = report.failures[-1].fixes[0]
    mended = bool(last.helped) and last.result.startswith("passes")
    return report, report.failures[0].site == plan.site, mended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    counts: Counter[str] = Counter()
    for _ in range(asked.count):
        plan = drawn_plan(rng)
        report, placed, mended = graded(plan, asked.seed)
        counts[report.verdict] += 1
        if report.verdict != "fail":
            continue
        counts["placed"] += placed
        counts["mended"] += mended
        counts["one cause"] += len(report.failures) == 1
        if not (placed and mended and len(report.failures) == 1):
            print(f"{plan}: expected {plan.site}\n{report}\n", flush=True)
    failed = counts["fail"]
    print(
        f"harmless: {counts['pass']} pass, {counts['inconclusive']} undecided, {counts['error']} errors"
    )
    print(f"harmful: {failed}; place named {counts['placed']}, fix passes {counts['mended']}, ", end="")
    print(f"one cause told {counts['one cause']}")
    return int(counts["placed"] < failed or counts["mended"] < failed)


if __name__ == "__main__":
    sys.exit(main())
