"""A finding names the first place that is wrong, why, and what would mend it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pytest_initcheck as ic

WIDTH = 64
INPUTS = ic.normal(WIDTH)


def net(spoil=lambda model: None, act="relu", sigma_w2=2.0, depth=8, head=1.0):
    def factory(rng):
        draw = lambda s, m=WIDTH: rng.normal(0, math.sqrt(s / WIDTH), (WIDTH, m))  # noqa: E731
        model = [(draw(sigma_w2), np.zeros(WIDTH), act) for _ in range(depth)]
        model.append((draw(head, 10), np.zeros(10), None))
        spoil(model)
        return model

    return factory


def scaled(index, factor):
    def spoil(model):
        model[index][0][:] *= factor

    return spoil


def uniform_default(model):
    rng = np.random.default_rng(int(abs(model[0][0][0, 0]) * 1e12))
    for w, _, _ in model:
        w[:] = rng.uniform(-1, 1, w.shape) / math.sqrt(WIDTH)


def finding(factory, invariant, inputs=INPUTS, **kwargs):
    report = ic.check(factory, inputs=inputs, id="net", only=invariant, **kwargs)
    (found,) = [item for item in report.failures if item.invariant == invariant]
    return found


def test_the_default_init_is_recognised_under_relu():
    found = finding(net(uniform_default, depth=20), "variance")
    assert (found.direction, found.site) == ("vanishing", "0")
    assert found.message.startswith("0 (Linear 64->64, then relu): the signal falls ")
    assert "over 20 layers" in found.message
    assert "kaiming_uniform(a=sqrt(5)), PyTorch's default" in found.cause
    assert "relu needs 0.177 (gain 1.414)" in found.cause
    assert "std 0.177 = 1.414 / sqrt(64)" in found.fix
    assert "W = rng.normal(0, 0.177, W.shape)" in found.fix
    assert "13 of 13" in found.proof
    assert "p < 4e-13" in found.proof


@pytest.mark.parametrize(
    ("spoil", "site", "direction"),
    [(scaled(3, 20.0), "3", "exploding"), (scaled(5, 0.01), "5", "vanishing")],
)
def test_the_first_wrong_layer_is_named_and_not_what_suffers_from_it(spoil, site, direction):
    found = finding(net(spoil), "variance", variance=10)
    assert (found.site, found.direction) == (site, direction)
    assert found.value > 10 if direction == "exploding" else found.value < 0.1
    assert "limit 10x either way" in found.message


def test_a_head_that_is_too_large_is_named():
    found = finding(net(head=400.0), "variance")
    assert (found.site, found.direction) == ("8", "exploding")
    assert "the logits' variance is" in found.message
    assert found.value > 46


def test_raw_pixels_are_recognised():
    found = finding(net(), "inputs", ic.uniform(WIDTH, high=255))
    assert found.site == "input"
    assert found.message.startswith("input (input): E[x^2] is 2.1")
    assert "raw pixels 0..255" in found.cause
    assert found.fix.startswith("x = (x - 12")


def test_columns_that_differ_are_named():
    def inputs(rng):
        x = rng.standard_normal((64, WIDTH))
        x[:, 5] /= 1e4
        return x

    assert "against column 5" in finding(net(), "inputs", inputs).message


def test_saturated_units_name_the_layer_that_feeds_them_and_how_many_more():
    found = finding(net(act="tanh", sigma_w2=100.0), "saturation")
    assert found.site == "0"
    assert found.limit == (0.0, 0.25)
    assert "of its activations start saturated, at most 25 %; 7 later layers too" in found.message
    assert "tanh needs 0.125 to 0.208 (gain 1 to 1.667)" in found.cause
    assert "rng.normal(0, 0.208, W.shape)" in found.fix


def test_an_input_that_is_too_large_is_the_cause_of_saturation():
    found = finding(net(act="tanh", sigma_w2=1.0), "saturation", ic.normal(WIDTH, std=6))
    assert "its input is large: root mean square" in found.cause


def test_an_input_that_is_not_centred_is_the_cause_of_dead_units():
    inputs = ic.normal(WIDTH, mean=1.5, std=0.01)
    assert "not centred: mean 1.5" in finding(net(depth=1), "dead-relu", inputs, dead_relu=0.1).cause


def test_a_bias_that_outweighs_the_weights_is_the_cause():
    def offset(model):
        model[2][1][:] = -5.0

    found = finding(net(offset), "dead-relu")
    assert found.site == "2"
    assert "bias (-5 on average) outweighs" in found.cause
    assert "set 2.b to 0" in found.fix
    assert "a matched init shows" in found.message


@pytest.mark.parametrize(
    ("value", "cause"), [(0.0, "all zero"), (0.3, "all equal (0.3): its units compute the same")]
)
def test_constant_weights_are_the_cause(value, cause):
    def constant(model):
        for w, b, _ in model:
            w[:] = value
            b[:] = -1.0

    inputs = ic.normal(WIDTH, std=0.01)
    assert cause in finding(net(constant), "dead-relu", inputs).cause


def test_a_nan_parameter_is_named():
    def hole(model):
        model[3][0][1, 1] = np.nan

    found = finding(net(hole), "finite")
    assert found.site == "3"
    assert "3.W" in found.message
    assert "never initialised" in found.cause
    assert "seen in 7 of 7 fresh inits" in found.proof


def test_the_row_of_the_first_wrong_site_is_marked():
    report = ic.check(net(scaled(3, 20.0)), inputs=INPUTS, id="net", variance=10)
    assert [row.name for row in report.sites if row.first_wrong] == ["3"]


def test_findings_are_plain_data():
    report = ic.check(net(scaled(3, 20.0)), inputs=INPUTS, id="net", variance=10)
    assert set(report.failures[0].to_dict()) >= {"invariant", "site", "value", "limit", "cause", "fix"}
    for item in report.failures:
        assert "\n" not in item.message


def test_one_finding_per_invariant_and_direction():
    def both(model):
        model[1][0][:] *= 100.0
        model[4][0][:] /= 1e6

    report = ic.check(net(both), inputs=INPUTS, id="net", only="variance", variance=10)
    assert {item.direction for item in report.failures} == {"exploding", "vanishing"}
    assert len(report.failures) == 2


def test_what_is_seen_by_tap_alone_still_has_a_cause():
    def factory(rng):
        w = [rng.normal(0, 1.0, (WIDTH, WIDTH)) for _ in range(3)]

        def forward(x):
            for index, weight in enumerate(w):
                x = np.tanh(ic.numpy.tap(f"fc{index}", x @ weight, activation="tanh"))
            return x @ w[0]

        return forward

    found = finding(factory, "saturation")
    assert found.site == "fc0"
    assert found.cause
    assert found.fix
