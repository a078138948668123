"""The three properties that the package is for, over drawn shapes, inputs, activations and schemes.

Activation variance is preserved under matched init; the saturated fraction stays bounded; the dead-ReLU
rate stays bounded.  Each is followed by the reverse: what breaks it is found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import strategies as ist
from pytest_initcheck import theory
from pytest_initcheck.networks import TEXTBOOK_ACTIVATIONS, NetworkSpec


def examples(most: int) -> settings:
    return settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@st.composite
def networks_and_inputs(draw, *, activation=None, max_mean=2.0, max_std=2.0, **sizes):
    """A matched numpy network and inputs for it; unstable lengths are told the scale of the inputs."""
    net = draw(ist.networks(framework="numpy", activation=activation, max_width=96, **sizes))
    inputs = draw(ist.input_distributions(shape=(net.features,), max_mean=max_mean, max_std=max_std))
    return (net.for_inputs(inputs.second_moment) if net.first_gain else net), inputs


def verdicts(run: Callable[[Counter[str]], Any]) -> Counter[str]:
    """Run a property once and return how often it came to each verdict."""
    seen: Counter[str] = Counter()
    run(seen)
    return seen


def test_activation_variance_is_preserved_under_matched_init():
    def run(seen: Counter[str]) -> None:
        @examples(40)
        @given(networks_and_inputs(max_depth=30))
        def preserved(case):
            net, inputs = case
            report = ic.check(net.factory(), inputs=inputs, only="variance", variance=10)
            assert report.ok, str(report)
            seen[report.verdict] += 1

        preserved()

    seen = verdicts(run)
    assert seen["pass"] >= 0.95 * seen.total()
    assert seen.total() >= 35


@pytest.mark.parametrize("name", TEXTBOOK_ACTIVATIONS)
def test_the_length_that_is_measured_is_the_one_that_theory_predicts(name):
    @examples(4)
    @given(networks_and_inputs(activation=name, min_width=64, max_depth=6, max_mean=0.0))
    def follows(case):
        net, inputs = case
        report = ic.check(net.factory(), inputs=inputs, only="variance", variance=10)
        lengths = [row.second_moment for row in report.sites if row.op == "linear"]
        predicted = inputs.second_moment
        for index, (layer, scheme) in enumerate(zip(net.layers, net.schemes, strict=True)):
            read = predicted if index == 0 else theory.second_moment(name, predicted)
            predicted = layer.fan_in * scheme.layer_variance(layer) * read
            if index < net.depth - 1:  # the last layer may have one unit
                fall, variance = theory.length_spread(net.widths[1 : index + 2], (name,) * (index + 1))
                luck = fall + 4 * math.sqrt(variance)
                assert abs(math.log(lengths[index] / predicted)) < luck

    follows()


def test_the_saturated_fraction_stays_bounded_under_matched_init():
    def run(seen: Counter[str]) -> None:
        @examples(30)
        @given(networks_and_inputs(activation="tanh", max_mean=0.5, max_std=1.0))
        def bounded(case):
            net, inputs = case
            report = ic.check(net.factory(), inputs=inputs, only="saturation", saturation=0.25)
            assert report.ok, str(report)
            shares = [row.saturated for row in report.sites if row.saturated is not None]
            assert len(shares) == net.depth - 1
            assert max(shares) < 0.4
            seen[report.verdict] += 1

        bounded()

    seen = verdicts(run)
    assert seen["pass"] >= 0.95 * seen.total()
    assert seen.total() >= 20


def test_the_dead_relu_rate_stays_bounded_under_matched_init():
    def run(seen: Counter[str]) -> None:
        @examples(20)
        @given(networks_and_inputs(activation="relu"))
        def bounded(case):
            net, inputs = case
            report = ic.check(net.factory(), inputs=inputs, only="dead-relu")
            assert report.ok, str(report)
            # the limit of theory at infinite depth is one half
            asked = ic.check(net.factory(), inputs=inputs, only="dead-relu", dead_relu=0.5)
            assert asked.ok, str(asked)
            seen.update([report.verdict, asked.verdict])

        bounded()

    seen = verdicts(run)
    assert seen["pass"] >= 0.9 * seen.total()
    assert seen.total() >= 30


def every_example_fails(
    invariant: str, cases: st.SearchStrategy[Any], *, most: int = 6, **limits: float
) -> None:
    """Check every drawn (factory, inputs); all must fail, and for this invariant."""

    @examples(most)
    @given(cases)
    def fails(case):
        factory, inputs = case
        report = ic.check(factory, inputs=inputs, only=invariant, try_fixes=False, **limits)
        assert report.invariants[invariant].verdict == "fail", str(report)
        assert {finding.invariant for finding in report.failures} == {invariant}

    fails()


@st.composite
def mismatched(draw, *, activation: str, factor: float, min_depth: int):
    """A network whose weights have this many times the matched second moment."""
    net = draw(
        ist.networks(
            framework="numpy", activation=activation, min_width=64, max_width=96, min_depth=min_depth
        )
    )
    wrong = init.lecun_normal(float(theory.matched_gains(activation)[factor > 1]) * factor**0.5)
    inputs = draw(ist.input_distributions(shape=(net.features,), max_mean=0.0))
    widths, name = net.widths, net.activation
    return NetworkSpec(widths, name, wrong, bias=draw(st.booleans())).factory(), inputs


@pytest.mark.parametrize(
    ("activation", "factor"),
    [
        ("relu", 4.0),
        ("relu", 0.25),
        ("leaky_relu(0.2)", 4.0),
        ("selu", 4.0),
        ("selu", 0.25),
        ("tanh", 0.25),
    ],
)
def test_variance_that_is_not_preserved_is_found(activation, factor):
    cases = mismatched(activation=activation, factor=factor, min_depth=10)
    every_example_fails("variance", cases, variance=10)


@pytest.mark.parametrize(
    ("activation", "factor", "min_depth"),
    [("relu", 4.0, 10), ("leaky_relu(0.2)", 0.25, 20), ("selu", 4.0, 10), ("selu", 0.12, 20)],
)
def test_harm_is_found_without_a_limit(activation, factor, min_depth):
    # near 0 a SELU layer multiplies by 2.1 what its weights keep: .12 makes x0.25 of it
    cases = mismatched(activation=activation, factor=factor, min_depth=min_depth)
    every_example_fails("variance", cases, most=3)


def test_schemes_made_for_another_activation_are_found():
    @st.composite
    def cases(draw):
        net = draw(ist.networks(framework="numpy", activation="relu", min_width=64, min_depth=10))
        scheme = draw(
            st.sampled_from((init.pytorch_default(), init.xavier_normal(), init.lecun_uniform()))
        )
        inputs = draw(ist.input_distributions(shape=(net.features,)))
        return NetworkSpec(net.widths, "relu", scheme).factory(), inputs

    every_example_fails("variance", cases(), variance=10)


@pytest.mark.parametrize("gain", [4.0, 20.0])
def test_saturation_is_found(gain):
    @st.composite
    def cases(draw):
        net = draw(ist.networks(framework="numpy", activation="tanh", min_width=64, max_depth=8))
        inputs = draw(ist.input_distributions(shape=(net.features,), max_mean=0.5, min_std=0.9))
        return NetworkSpec(net.widths, "tanh", init.lecun_normal(gain)).factory(), inputs

    every_example_fails("saturation", cases(), saturation=0.25)


def test_inputs_that_saturate_a_matched_network_are_found():
    @st.composite
    def cases(draw):
        net = draw(ist.networks(framework="numpy", activation="tanh", min_width=64, max_depth=8))
        return net.factory(), ic.uniform(net.features, high=draw(st.sampled_from((8.0, 20.0, 255.0))))

    every_example_fails("saturation", cases())


def lowered(net: NetworkSpec, by: float) -> Callable[[np.random.Generator], list[Any]]:
    """The network with every hidden bias lowered: its rectifiers hardly ever fire."""
    build = net.factory()

    def factory(rng: np.random.Generator) -> list[Any]:
        return [(w, b - by if name else b, name) for w, b, name in build(rng)]

    return factory


@pytest.mark.parametrize("limits", [{}, {"dead_relu": 0.5}])
def test_dead_units_are_found(limits):
    @st.composite
    def cases(draw):
        net = draw(ist.networks(framework="numpy", activation="relu", min_width=64, max_depth=8))
        inputs = draw(ist.input_distributions(shape=(net.features,), max_mean=0.5, max_std=1.0))
        return lowered(net, 8.0), inputs

    every_example_fails("dead-relu", cases(), **limits)
