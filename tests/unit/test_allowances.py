"""What a failure says how to allow it does take the failure back."""

from __future__ import annotations

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.numpy import tap
from pytest_initcheck.sentences import allowable


def layers(gain: float = 2**0.5, depth: int = 6, act: str = "relu", bias: float = 0.0, width: int = 32):
    def factory(rng):
        draw = lambda units: rng.normal(0, gain / width**0.5, (width, units))  # noqa: E731
        return [*((draw(width), np.full(width, bias), act) for _ in range(depth)), (draw(4), None, None)]

    return factory


def tapped(**gains: float):
    def factory(rng):
        weights = {name: rng.normal(0, gain / 32**0.5, (32, 32)) for name, gain in gains.items()}

        def forward(x):
            for name, w in weights.items():
                x = np.tanh(tap(name, x @ w, activation="tanh", weight=w))
            return x

        return forward

    return factory


def zeros(rng):
    return [(np.zeros((32, 32)), None, "relu"), (np.zeros((32, 4)), None, None)]


def nan(rng):
    return [(np.full((32, 32), np.nan), None, "relu"), (rng.normal(0, 0.2, (32, 4)), None, None)]


MODELS = {
    "vanishing": (layers(0.1), {}),
    "exploding": (layers(20.0), {}),
    "by the map": (layers(0.3), {"variance": 10}),
    "saturated": (layers(30.0, act="tanh"), {}),
    "dead": (layers(bias=-30.0), {}),
    "raw inputs": (layers(), {"inputs": ic.uniform(32, high=255)}),
    "all zero": (zeros, {}),
    "not a number": (nan, {}),
    "unmatched": (layers(1.0), {"matched_init": 0.05}),
    "one site": (tapped(**{"encoder.fc[0]": 30.0, "head": 1.0}), {"only": ["saturation"]}),
    "a module": (
        tapped(**{"stem": 1.0, "encoder.a": 30.0, "encoder.b": 30.0, "head": 1.0}),
        {"only": ["saturation"]},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_allowance_as_it_is_printed_takes_the_finding_back(name):
    factory, asked = MODELS[name]
    asked = {"inputs": ic.normal(32), **asked}
    report = ic.check(factory, **asked)
    assert report.failures
    for finding in report.failures:
        allow = ic.allow(finding.invariant, at=finding.allow_at, reason="known")
        again = ic.check(factory, allow=[allow], **asked)
        left = [each for each in again.failures if each.invariant == finding.invariant]
        assert finding.direction not in [each.direction for each in left]
        assert not again.notes


class Place:
    def __init__(self, *names: str) -> None:
        self.sites = [type("Site", (), {"name": name}) for name in names]

    def at(self, *sites: int) -> str:
        measures = [type("Measure", (), {"site": site}) for site in sites]
        return allowable(measures, self)  # type: ignore[arg-type]


def test_the_narrowest_glob_of_several_sites():
    trace = Place("encoder.0.fc", "encoder.1.fc", "encoder.1.relu", "head", "encoder", "fc[1]")
    assert trace.at(3) == "head"
    assert trace.at(0, 1) == "encoder.*"
    assert trace.at(1, 2) == "encoder.1.*"
    assert trace.at(0, 3) == "*"
    assert trace.at(0, 4) == "*"
    assert trace.at(0, -1) == "*"
    assert trace.at(5) == "fc[[]1]"
    assert trace.at() == "*"
