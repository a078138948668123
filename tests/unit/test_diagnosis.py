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
    assert found.place == "0 (Linear 64->64, then relu)"
    assert found.message.startswith("signal falls ")
    assert "over 20 layers" in found.detail
    assert "kaiming_uniform(a=sqrt(5)), PyTorch's default" in found.cause
    assert "relu needs 0.177 (gain 1.414)" in found.cause
    assert "std 0.177 = 1.414 / sqrt(64)" in found.fix
    assert "layers[i][0][...] = rng.normal(0, 0.177, layers[i][0].shape)" in found.fix
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
    assert "limit 10x" in found.message


def test_a_head_that_is_too_large_is_named():
    found = finding(net(head=400.0), "variance")
    assert (found.site, found.direction) == ("8", "exploding")
    assert "logits' variance is" in found.message
    assert found.value > 46


def test_raw_pixels_are_recognised():
    found = finding(net(), "inputs", ic.uniform(WIDTH, high=255))
    assert found.site == "input"
    assert found.place == "input (input)"
    assert found.message.startswith("E[x^2] is 2.1")
    assert "raw pixels 0..255" in found.cause
    assert found.fixes[0].code.startswith("x = (x - 12")


def test_columns_that_differ_are_named():
    def inputs(rng):
        x = rng.standard_normal((64, WIDTH))
        x[:, 5] /= 1e4
        return x

    assert "against column 5" in finding(net(), "inputs", inputs).detail


def test_saturated_units_name_the_layer_that_feeds_them_and_how_many_more():
    found = finding(net(act="tanh", sigma_w2=100.0), "saturation")
    assert found.site == "0"
    assert found.limit == (0.0, 0.25)
    assert "start saturated, at most 25 %" in found.message
    assert found.detail == "7 later layers too"
    assert "tanh needs 0.125 to 0.208 (gain 1 to 1.667)" in found.cause
    assert found.fixes[0].advice == "draw 0.W and 7 more with std 0.125 = 1 / sqrt(64)"
    assert found.fixes[0].code.startswith("for i in range(0, 8):\n    layers[i][0][...] = rng.normal(")


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
    assert "bias (-5 on average, root mean square 5) outweighs" in found.cause
    assert "set 2.b to 0" in found.fix
    assert "a matched init shows" in found.detail


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
    assert "3.W" in found.detail
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


def test_the_fix_of_every_layer_that_is_wrong_alike_is_one_loop():
    found = finding(net(sigma_w2=0.02, depth=12), "variance")
    assert "; 11 more layers like it" in found.cause
    assert found.fix.startswith(
        "draw 0.W and 11 more with std 0.177 = 1.414 / sqrt(64):\nfor i in range(0, 12)"
    )


def test_a_bias_is_the_cause_before_weights_that_are_also_small():
    def spoiled(model):
        model[0][1][:] = -50.0
        model[0][0][:] *= 0.3

    found = finding(net(spoiled, depth=1), "dead-relu")
    assert "bias (-50 on average" in found.cause
    assert "set 0.b to 0" in found.fix


def test_weights_with_a_mean_are_named_as_such():
    def positive(model):
        for w, _, _ in model:
            w[:] = np.abs(w)

    found = finding(net(positive), "variance")
    assert "its weights have mean 0.14" in found.cause
    assert "every unit sees the same sum" in found.cause


def test_a_column_that_stands_out_is_scaled_by_itself():
    def inputs(rng):
        x = rng.standard_normal((64, WIDTH))
        x[:, 3] *= 5000
        return x

    report = ic.check(net(), inputs=inputs, id="net")
    found = next(item for item in report.failures if item.invariant == "inputs")
    assert "column 3 has root mean square " in found.cause
    assert "x = (x - x.mean(0)) / x.std(0)" in found.fix


def test_inputs_that_are_zero_are_the_cause():
    found = finding(net(), "dead-relu", np.zeros((64, WIDTH)))
    assert found.cause == "its input is zero everywhere"


def test_what_an_operation_makes_of_finite_parameters():
    def factory(rng):
        w = rng.normal(0, 0.1, (WIDTH, WIDTH))

        def forward(x):
            z = ic.numpy.tap("fc", x @ w, activation="relu", weight=w)
            return ic.numpy.tap("log", np.log(np.maximum(z, 0)))

        return forward

    found = finding(factory, "finite")
    assert "never initialised" not in found.cause
    assert "the parameters are finite" in found.cause


def test_too_narrow_is_said_only_where_width_explains_it():
    def factory(rng):
        draw = lambda n, m: rng.normal(0, math.sqrt(2 / n), (n, m))  # noqa: E731
        return [(draw(WIDTH, 2), None, "relu"), (draw(2, 8), None, "relu"), (draw(8, 1), None, "relu")]

    report = ic.check(factory, inputs=INPUTS, id="narrow", only="dead-relu", dead_relu=0.01)
    assert all("too narrow" not in item.cause for item in report.findings)
    found = finding(net(head=4000.0), "variance")
    assert "too narrow" not in found.cause
    assert found.site == "8"


def test_the_rate_per_layer_is_that_of_the_table():
    # tanh is bounded: its signal does not grow from layer to layer, however large its weights
    found = finding(net(act="tanh", sigma_w2=400.0, head=400.0), "variance")
    assert "per layer" not in found.message
    report = ic.check(net(uniform_default, depth=20), inputs=INPUTS, id="net", only="variance")
    rows = [row.batch_variance for row in report.sites if row.op == "linear"][:-1]
    fall = (rows[0] / rows[-1]) ** (1 / (len(rows) - 1))
    said = float(report.failures[0].message.split("falls ")[1].split("x")[0])
    assert said == pytest.approx(fall, rel=0.5)
