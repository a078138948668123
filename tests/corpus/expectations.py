"""Which verdict of ours is right about a case of the corpus; shared by the tests and the benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

REASONS = {
    "vanishing_variance": {("variance", "vanishing")},
    "exploding_variance": {("variance", "exploding")},
    "saturated": {("saturation", None)},
    "dead_relu": {("dead-relu", None)},
    "seed_sensitive": {("dead-relu", None)},
    "vanishing_gradient": {("gradient", "vanishing")},
    "exploding_gradient": {("gradient", "exploding")},
    "unnormalised_input": {("inputs", None)},
    "nonfinite": {("finite", None)},
    "symmetric_init": {("symmetry", None)},
    "zero_init": {("trainable", None)},
    "no_gradient": {("trainable", None)},
}
"""What a finding of the corpus is called here: invariant and direction, None for any direction."""


LOSSES = {"stoix72_twin_critics_alike": lambda output: (output - 1).square().mean()}
"""What the report trains a model with, where that is the bug: both critics regress on one target."""


def load_cases() -> list[Any]:
    """Return the cases; cases.py is kept word for word and is no part of a package."""
    return _load("cases")


def load_reported() -> list[Any]:
    """Return the models of reported.py, which builds on cases.py."""
    _load("cases")
    return _load("reported")


def _load(file: str) -> list[Any]:
    name = f"initcheck_corpus_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{file}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    cases: list[Any] = sys.modules[name].CASES
    return cases


def inputs_of(case: Any) -> Any:
    """Return the case's inputs as a function of ``rng``."""
    import pytest_initcheck as ic

    def inputs(rng: Any) -> Any:
        args, kwargs = case.inputs(int(rng.integers(0, 2**31)))
        return ic.call(*args, **kwargs)

    return inputs


def accepted(case: Any) -> set[tuple[str, str | None]]:
    """Return the reasons for which a bad case may fail."""
    found = set().union(*(REASONS[finding] for finding in case.expect))
    if "zero_init" in case.expect:
        # the layers behind a zero layer see no input at all: that the signal ends there says the same
        found.add(("variance", "vanishing"))
    return found


def failed_for(report: Any, reasons: set[tuple[str, str | None]]) -> bool:
    """Tell whether one of the failures is one of the reasons, or of the same cause as one that is."""
    return any(
        (finding.invariant == invariant and direction in (None, finding.direction))
        or invariant in finding.also
        for finding in report.failures
        for invariant, direction in reasons
    )


def is_right(case: Any, report: Any) -> bool:
    """Tell whether the verdict is right: a good case does not fail, a bad one fails for its reason."""
    if case.verdict == "good":
        return report.verdict not in ("fail", "error")
    return report.verdict == "fail" and failed_for(report, accepted(case))
