"""How should inputs be scaled?  Measured: ``python examples/normalization.py``  (needs torch).

A plain MLP, five hidden layers of width 128, with ReLU or tanh, five input scales, three inits, with and
without BatchNorm: what the check says, and the figures behind it, each a median over fresh inits.
"""

import functools
import math
import statistics
from collections import OrderedDict
from dataclasses import dataclass
from itertools import product

import numpy as np

import pytest_initcheck as ic
from pytest_initcheck import probes

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    raise SystemExit(
        "this example needs torch; run: python -m pip install 'pytest-initcheck[torch]'"
    ) from None

WIDTH, DEPTH, CLASSES, BATCH, SEEDS = 128, 5, 10, 64, 7
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
INPUTS = {
    "N(0,1)": ic.normal(WIDTH),
    "U(-1,1)": ic.uniform(WIDTH, low=-1, high=1),
    "U(0,1)": ic.uniform(WIDTH, low=0, high=1),
    "U(0,5)": ic.uniform(WIDTH, low=0, high=5),
    "0..255": ic.uniform(WIDTH, low=0, high=255),
}
INITS = {
    "default": lambda weight: None,  # what nn.Linear does by itself
    "Xavier": nn.init.xavier_normal_,
    "He": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
}


@dataclass(frozen=True)
class Row:
    """One network, and what was measured on it."""

    activation: str
    inputs: str
    init: str
    batch_norm: bool
    inputs_verdict: str
    failed: tuple[str, ...]
    saturated: float | None  # share of the first hidden layer's (unit, sample) pairs
    dead: float | None  # share of units that no sample activates, in the worst layer
    gain_first: float  # second moment after the first Linear over that of the input
    gain_depth: float  # second moment of the last hidden activation over that of the first
    gradient: float  # of the first weight relative to the last, root mean square
    spread: float  # from seed to seed: standard deviation of log2 of the output's second moment
    note: str


def mlp(activation, init, batch_norm):
    """Return a freshly initialised network."""
    layers = OrderedDict()
    for number in range(1, DEPTH + 1):
        layers[f"fc{number}"] = nn.Linear(WIDTH, WIDTH)
        if batch_norm:
            layers[f"norm{number}"] = nn.BatchNorm1d(WIDTH)
        layers[f"act{number}"] = ACTIVATIONS[activation]()
    layers["head"] = nn.Linear(WIDTH, CLASSES)
    for layer in layers.values():
        if isinstance(layer, nn.Linear):
            INITS[init](layer.weight)
            if init != "default":
                nn.init.zeros_(layer.bias)
    return nn.Sequential(layers)


@functools.cache
def measure(activation, inputs, init, batch_norm=False):
    """Return the row of one network: the verdict from the check, the figures from its probe."""

    def factory():
        return mlp(activation, init, batch_norm)

    name = f"{activation} {inputs} {init} {batch_norm}"
    report = ic.check(factory, inputs=INPUTS[inputs], id=name, try_fixes=False)
    traces = [traced(factory, INPUTS[inputs], seed) for seed in range(SEEDS)]
    sites = [{site.name: site for site in trace.sites} for trace in traces]

    def length(name):
        return [each[name].value.second_moment for each in sites]

    def ratio(above, below):
        return statistics.median(a / b for a, b in zip(length(above), length(below), strict=True))

    def share(field, pick):
        found = [
            [s for s in (getattr(site, field) for site in trace.sites) if s is not None]
            for trace in traces
        ]
        return statistics.median(pick(each) for each in found) if found[0] else None

    return Row(
        activation,
        inputs,
        init,
        batch_norm,
        report.invariants["inputs"].verdict,
        tuple(dict.fromkeys(finding.invariant for finding in report.failures)),
        share("saturated", lambda each: each[0]),
        share("dead", max),
        ratio("fc1", "input"),
        ratio(f"act{DEPTH}", "act1"),
        statistics.median(trace.gradient.first_over_last for trace in traces),
        statistics.stdev(math.log2(value) for value in length("head")),
        offset(traces[0].inputs[0].value),
    )


def traced(factory, inputs, seed):
    """Return what the torch probe measures on one fresh init: forward, and backward from the logits."""
    torch.manual_seed(seed)
    batch = inputs.sample(np.random.default_rng(seed), BATCH)
    return probes.named("torch").trace(factory(), ic.call(batch), mode="train", seed=seed)


def offset(value):
    """Say so where the mean makes up more than half of the second moment."""
    if value.mean**2 <= value.second_moment / 2:
        return ""
    spread = math.sqrt(value.second_moment - value.mean**2)
    return f"not centred: mean {value.mean:.1f}, spread {spread:.1f}"


LEGEND = """
saturated   share of the first hidden layer's tanh units with under 5 % of their slope
dead        share of ReLU units that no sample activates, in the worst layer
gain 1st    second moment after the first Linear, over that of the input
gain depth  second moment of the last hidden activation, over that of the first
gradient    of the first weight over that of the last, root mean square
spread      from seed to seed: standard deviation of log2 of the output's second moment
"""


def table(rows):
    """Return the rows as aligned text."""
    head = ("act", "inputs", "init", "norm", "`inputs`", "saturated", "dead", "gain 1st", "gain depth")
    cells = [(*head, "gradient", "spread", "fails besides", "note")] + [
        (
            row.activation,
            row.inputs,
            row.init,
            "batch" if row.batch_norm else "-",
            "FAIL" if row.inputs_verdict == "fail" else row.inputs_verdict,
            percent(row.saturated),
            percent(row.dead),
            f"{row.gain_first:.2g}",
            f"{row.gain_depth:.2g}",
            f"{row.gradient:.2g}",
            f"{row.spread:.2f}",
            ", ".join(name for name in row.failed if name != "inputs") or "-",
            row.note,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def percent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def span(texts):
    """Return ``"a to b"`` for the first and last text, or the one that all of them are."""
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} to {texts[-1]}"


def reading():
    """Return three sentences on the rows, with their numbers."""
    unit = [measure("tanh", inputs, "Xavier") for inputs in ("N(0,1)", "U(-1,1)", "U(0,1)")]
    wide = measure("tanh", "U(0,5)", "Xavier")
    positive = [measure("relu", inputs, "He") for inputs in ("U(0,1)", "U(0,5)", "0..255")]
    centred = measure("relu", "U(-1,1)", "He")
    he, default = (measure("relu", "N(0,1)", init) for init in ("He", "default"))
    normed = [measure(*each, "He", True) for each in product(ACTIVATIONS, INPUTS)]
    dead = span([percent(share) for share in sorted(row.dead for row in positive)])
    he_normed = measure("relu", "N(0,1)", "He", True)
    kept = span([f"{gain:.2g}" for gain in sorted(row.gain_depth for row in normed)])
    return (
        "Scale: N(0,1), [-1,1] and [0,1] pass under every init and raw 0..255 fails `inputs`; [0,5] "
        f"passes `inputs`, but {percent(wide.saturated)} of the first tanh layer starts saturated under "
        f"Xavier, where the first three saturate {percent(max(row.saturated for row in unit))} at most.",
        "Mean: ReLU under He loses units to the offset of the inputs, not to their scale: [0,1], [0,5] "
        f"and 0..255 leave {dead} of a layer dead, where the centred [-1,1] leaves "
        f"{percent(centred.dead)}.",
        f"Depth: over {DEPTH} layers ReLU keeps {he.gain_depth:.2g} of the second moment under He and "
        f"{default.gain_depth:.2g} under PyTorch's default; He with BatchNorm keeps {kept} whatever the "
        f"scale of the inputs, 0..255 included, and its spread from seed to seed falls from "
        f"2^{he.spread:.2f} to 2^{he_normed.spread:.2f}.",
    )


if __name__ == "__main__":
    rows = [measure(*each) for each in product(ACTIVATIONS, INPUTS, INITS, (False, True))]
    print(table(rows))
    print(LEGEND)
    print("\n".join(reading()))
