"""What does observing cost, against the same model that nobody looks at and against the usual hooks?

    python benchmarks/probe_overhead.py [mlp] [resnet] [gpt] [--rounds 15] [--time|--memory|--process]

Runs plain, observed and hooked passes in turn in one process and prints medians of the paired ratios
of CPU time, on one thread.  The usual hooks are what is commonly written by hand: per tensor and per
unit x.mean(), x.var() and (x == 0).float().mean() of every leaf module's output, and of its gradient.

A check needs the gradients of two readouts, hence two backward passes (2b) where training has one,
and one more forward pass for its noise.  It is shown against a training step, and against a plain
run of the same passes.  Peak memory is VmHWM of one child process per variant, with what it has when
model and batch are built.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from probe_networks import CASES, Case
from torch import Tensor, nn

import pytest_initcheck as ic
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.probes.torch_state import undisturbed
from pytest_initcheck.replicates import _Run
from pytest_initcheck.subject import Subject
from pytest_initcheck.trace import NOTHING_MORE, Wanted

Pass = Callable[[], Any]
DEFAULT = _Run(Subject(factory=None, id="")).wanted
"""What the default invariants ask of a trace."""


# -- the usual hooks -------------------------------------------------------------------------------


def usual_statistics(x: Tensor, kept: list[float | Tensor]) -> None:
    x = x.detach()
    kept += [float(x.mean()), float(x.var()), float((x == 0).float().mean())]
    if x.dim() < 2:
        return
    unit = 1 if x.dim() >= 4 else x.dim() - 1
    others = [axis for axis in range(x.dim()) if axis != unit]
    kept += [x.mean(others), x.var(others), (x == 0).float().mean(others)]


@contextmanager
def usual_hooks(model: nn.Module, *, gradients: bool) -> Iterator[None]:
    kept: list[float | Tensor] = []

    def look(module: nn.Module, args: Any, out: Tensor) -> None:
        usual_statistics(out, kept)
        if gradients:
            out.register_hook(lambda gradient: usual_statistics(gradient, kept))

    leaves = [part for part in model.modules() if next(part.children(), None) is None]
    handles = [part.register_forward_hook(look) for part in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# -- passes ----------------------------------------------------------------------------------------


def passes(model: nn.Module, x: Tensor) -> dict[str, Pass]:
    """Return every variant; each leaves the model without gradients."""
    parameters = list(model.parameters())
    call = Call((x,), {})
    cotangent: list[Tensor] = []

    def plain(backward: int) -> None:
        y = model(x)
        if not cotangent:
            cotangent.append(torch.randn_like(y) / y.numel() ** 0.5)
        for left in reversed(range(backward)):
            torch.autograd.grad(y, parameters, cotangent[0], retain_graph=left > 0)

    def hooked(backward: int) -> None:
        with usual_hooks(model, gradients=backward > 0):
            plain(backward)

    def observed_forward() -> None:
        with undisturbed(model, "train") as kept, torch.enable_grad():
            probe._record(model, call, kept, 0, NOTHING_MORE, rare_only=False)

    def traced(wanted: Wanted) -> None:
        trace = probe.trace(model, call, mode="train", seed=0, wanted=wanted)
        assert trace.gradient is not None

    def glimpsed() -> None:
        probe.glimpse(model, call, mode="train", seed=0)

    def ungraphed() -> None:
        with torch.no_grad():
            model(x)

    return {
        "plain f": lambda: plain(0),
        "observed f": observed_forward,
        "hooks f": lambda: hooked(0),
        "plain f+b": lambda: plain(1),
        "plain f+2b": lambda: plain(2),
        "plain f+2b+f": lambda: (plain(2), ungraphed()),
        "two readouts": lambda: traced(NOTHING_MORE),
        "check": lambda: traced(DEFAULT),
        "hooks f+b": lambda: hooked(1),
        "no_grad f": ungraphed,
        "glimpse": glimpsed,
    }


PAIRS = (
    ("forward, observed / plain", "observed f", "plain f"),
    ("forward, usual hooks / plain", "hooks f", "plain f"),
    ("f + b, usual hooks / plain", "hooks f+b", "plain f+b"),
    ("two readouts / plain f + b", "two readouts", "plain f+b"),
    ("  of that the passes: plain f + 2b / f + b", "plain f+2b", "plain f+b"),
    ("  of that observing: two readouts / plain f + 2b", "two readouts", "plain f+2b"),
    ("whole check / plain f + b", "check", "plain f+b"),
    ("whole check / the same passes, plain", "check", "plain f+2b+f"),
    ("glimpse / plain f without a graph", "glimpse", "no_grad f"),
)


def timed(variants: dict[str, Pass], rounds: int) -> dict[str, list[float]]:
    """Return CPU seconds per variant and round; the first round warms up and is dropped."""
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds + 1):
        shift = index % len(names)
        for name in (*names[shift:], *names[:shift]):
            started = time.process_time()
            variants[name]()
            if index:
                seconds[name].append(time.process_time() - started)
    return seconds


def overhead(case: Case, rounds: int) -> None:
    torch.manual_seed(0)
    model = case.build()
    seconds = timed(passes(model, case.batch()), rounds)
    print(f"\n{case.name}: {rounds} rounds, CPU time on one thread")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print("  " + ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in medians.items()))
    for text, over, under in PAIRS:
        ratios = [a / b for a, b in zip(seconds[over], seconds[under], strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        print(f"  {text:50} {quarters[1]:5.2f}   (quartiles {quarters[0]:.2f} to {quarters[2]:.2f})")


# -- memory ----------------------------------------------------------------------------------------


def _status(key: str) -> float:
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(key))


def memory_child(case: Case, variant: str) -> None:
    """Print what the process has with model and batch built, and its peak after one pass, in MB."""
    torch.manual_seed(0)
    variants = passes(case.build(), case.batch())
    built = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    variants[variant]()
    print(built, _status("VmHWM"))


def memory(key: str, case: Case) -> None:
    print(f"\n{case.name}: peak memory in MB, one process each")
    reference = 0.0
    for variant in ("plain f", "observed f", "plain f+b", "check", "hooks f+b"):
        command = [sys.executable, __file__, key, "--child", variant]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        built, peak = (float(word) for word in done.stdout.split())
        if variant.startswith("plain"):
            reference = peak
        print(
            f"  {variant:12} {peak:7.0f}, {peak - built:6.0f} above the built model, "
            f"{peak / reference:.2f} of plain"
        )


# -- small models ----------------------------------------------------------------------------------


def tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def verdict_seconds(repeats: int = 15) -> tuple[float, float]:
    """Return the median wall and CPU seconds of a verdict on a tiny model, in a warm process."""
    walls, cpus = [], []
    for index in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        report = ic.check(tiny, inputs=ic.normal(784))
        assert report.verdict == "pass", report.verdict
        if index:
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


_TEST = """
import torch
from torch import nn
import pytest_initcheck as ic

@ic.model(inputs=ic.normal(784))
def tiny():
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
"""
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def process(rounds: int = 7) -> None:
    """Print the wall time of pytest --initcheck on one tiny model, beside what it cannot do without."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_tiny.py").write_text(_TEST)
        (Path(folder) / "empty").mkdir()
        commands = {
            "import torch, pytest": ("-c", "import torch, pytest"),
            "empty pytest run": (*_PYTEST, "empty"),
            "pytest --initcheck": (*_PYTEST, "--initcheck", "test_tiny.py"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for index in range(rounds + 1):
            for name, arguments in commands.items():
                started = time.perf_counter()
                done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True)
                assert done.returncode in (0, 5), done.stdout.decode() + done.stderr.decode()
                if index:
                    seconds[name].append(time.perf_counter() - started)
    wall, _ = verdict_seconds()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\nOne tiny torch model, wall time, median of {rounds} processes")
    for name, value in medians.items():
        print(f"  {name:24} {value:.2f} s")
    allowed = 1.3 * (medians["import torch, pytest"] + medians["empty pytest run"]) + wall
    print(f"  {'allowed':24} {allowed:.2f} s (1.3 x the first two, and the verdict's {wall:.2f} s)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--time", action="store_true", help="ratios of time alone")
    parser.add_argument("--memory", action="store_true", help="peak memory alone")
    parser.add_argument("--process", action="store_true", help="a tiny model and a whole process alone")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = {key: CASES[key] for key in options.cases or CASES}
    if options.child:
        memory_child(next(iter(chosen.values())), options.child)
        return 0
    everything = not (options.memory or options.process or options.time)
    if everything or options.time:
        for case in chosen.values():
            overhead(case, options.rounds)
    if everything or options.memory:
        for key, case in chosen.items():
            memory(key, case)
    if everything or options.process:
        wall, cpu = verdict_seconds()
        print(f"\nVerdict on a 784-128-10 MLP, warm process: {wall:.2f} s, CPU {cpu:.2f} s")
        process()
    return 0


if __name__ == "__main__":
    sys.exit(main())
