"""What a newcomer gets wrong first, and what the messages say then."""

from __future__ import annotations

import numpy as np
import pytest

import pytest_initcheck as ic


def stack(rng, std, activation, depth=6, width=64, zero=None):
    layers = [(rng.normal(0, std, (width, width)), None, activation) for _ in range(depth)]
    if zero is not None:
        layers[zero] = (np.zeros((width, width)), None, activation)
    return [*layers, (rng.normal(0, 0.125, (width, 10)), None, None)]


def test_model_without_brackets():
    with pytest.raises(ic.ConfigError, match="is called first"):

        @ic.model
        def network(rng):
            return stack(rng, 0.18, "relu")


def test_a_built_object_is_no_factory():
    class Built:
        def __call__(self, x):
            return x

    with pytest.raises(ic.ConfigError, match="a Built that is built already"):
        ic.model(inputs=ic.normal(4))(Built())


def test_a_family_of_lists():
    with pytest.raises(ic.ConfigError, match=r"depth is no Hypothesis strategy but \[1, 2\]"):
        ic.family(depth=[1, 2])


def test_a_misspelt_name():
    with pytest.raises(AttributeError, match="did you mean 'preserves_variance'"):
        _ = ic.preserve_variance


def test_a_zero_layer_does_not_preserve_variance():
    report = ic.check(
        lambda rng: stack(rng, 0.177, "relu", zero=2), inputs=ic.normal(64), only="variance", variance=10
    )
    (finding,) = report.findings
    assert (finding.verdict, finding.direction, finding.site) == ("fail", "vanishing", "2")
    assert finding.cause == "its weights are all zero"


def test_unseen_gradients_leave_variance_untested():
    def tapped(rng):
        w = rng.normal(0, 0.177, (64, 64))

        def forward(x):
            return np.maximum(ic.numpy.tap("hidden", x @ w, activation="relu"), 0)

        return forward

    report = ic.check(tapped, inputs=ic.normal(64))
    assert report.verdict == "pass"
    assert report.invariants["variance"].verdict == "vacuous"
    assert "gradients were not seen" in report.invariants["variance"].note


def test_small_weights_do_not_explode():
    """Raw inputs are the cause, however small the weights are beside them."""
    report = ic.check(lambda rng: stack(rng, 0.06, "relu", 2), inputs=ic.uniform(64, high=2550.0))
    (found,) = report.findings
    assert (found.invariant, found.also) == ("inputs", ("variance",))
    assert found.kind == "input scale"


def test_a_sigmoid_stack_is_told_about_its_activation():
    report = ic.check(lambda rng: stack(rng, 0.24, "sigmoid", depth=12), inputs=ic.normal(64))
    (finding,) = report.findings
    assert finding.direction == "vanishing"
    assert "sigmoid passes" in finding.cause


def test_a_strict_saturation_limit_is_not_a_matter_of_width():
    report = ic.check(
        lambda rng: stack(rng, 5 / 3 / 8, "tanh"),
        inputs=ic.normal(64),
        saturation=0.01,
        only="saturation",
    )
    assert report.verdict == "fail"
    assert "standard deviation" in report.findings[0].cause
    assert "smaller gain" in report.findings[0].fix


def test_a_drawn_argument_that_is_not_there():
    def network(rng, width):
        return stack(rng, 0.18, "relu", width=width)

    from pytest_initcheck.factory import filled_parameter

    with pytest.raises(ic.ConfigError, match=r"needs .*width, which is not among the drawn arguments"):
        filled_parameter(network, {"widht": 8})


def test_zero_weights_everywhere_are_one_cause():
    zeros = np.zeros((64, 10))
    report = ic.check(
        lambda: [(zeros, None, "sigmoid"), (np.zeros((10, 4)), np.zeros(4), None)], inputs=ic.normal(64)
    )
    assert report.verdict == "fail"
    assert {finding.cause for finding in report.findings} == {"its weights are all zero"}
    assert "per layer" not in report.findings[0].message
