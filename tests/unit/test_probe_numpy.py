"""The layer list: what its trace holds, against formulas and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import activations
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Normal
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes import numpy_gradients as gradients
from pytest_initcheck.probes.numpy_gradients import NumpyLayer
from pytest_initcheck.probes.numpy_sites import columns, moments
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import Wanted

X = np.random.default_rng(0).standard_normal((64, 16))


def stack(*specs, seed=1):
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, (2 / n) ** 0.5, (n, m)), rng.normal(0, 0.1, m) if bias else None, name)
        for n, m, name, bias in specs
    ]


def trace(model, x=X, seed=3):
    return probe.trace(model, Call((x,), {}), mode="train", seed=seed)


def test_names_kinds_and_reads():
    result = trace(stack((16, 8, "relu", True), (8, 3, None, False)))
    assert [(s.name, s.kind, s.op, s.reads, s.units) for s in result.sites] == [
        ("input", "input", "input", (), 16),
        ("0", "linear", "linear", (0,), 8),
        ("0.relu", "activation", "relu", (1,), 8),
        ("1", "linear", "linear", (2,), 3),
    ]
    assert [p.name for p in result.parameters] == ["0.W", "0.b", "1.W"]
    assert [p.multiplicative for p in result.parameters] == [True, False, True]
    assert (result.output, result.logits, result.batch) == (3, 3, 64)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "log_sigmoid"])
def test_the_logits_are_in_front_of_a_closing_squash(name):
    result = trace(stack((16, 8, "relu", True), (8, 3, name, True)))
    assert (result.output, result.logits) == (4, 3)


def test_a_closing_relu_is_not_looked_through():
    result = trace(stack((16, 8, "relu", True), (8, 3, "relu", True)))
    assert result.logits == result.output == 4


def test_moments_against_numpy():
    values = np.random.default_rng(0).normal(1e4, 1e-3, (64, 5, 3))
    found = moments(values)
    assert found.second_moment == pytest.approx((values**2).mean(), rel=1e-9)
    assert found.batch_variance == pytest.approx(values.var(0).mean(), rel=1e-5)
    assert (found.count, found.low, found.high) == (960, values.min(), values.max())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_moments_count_what_is_not_finite_and_judge_the_rest(bad):
    values = np.array([[1.0, bad], [3.0, 1.0]])
    found = moments(values)
    assert (found.non_finite, found.second_moment) == (1, pytest.approx(11 / 3))
    assert moments(np.full((2, 2), bad)).non_finite == 4


def test_saturated_and_dead_shares_against_a_count():
    model = stack((16, 8, "tanh", True), (8, 6, "relu", True), (6, 2, None, False))
    model[1][1][:2] = -100.0
    result = trace(model)
    z = X @ model[0][0] + model[0][1]
    slope = 1 - np.tanh(z) ** 2
    assert result.sites[2].saturated == pytest.approx((slope < 0.05).mean())
    assert result.sites[4].dead == pytest.approx(2 / 6)
    assert result.sites[2].dead is None
    assert result.sites[4].saturated is None


def difference_and_common(model, x, cotangents, squash):
    """Squared gradients by central differences in every single weight."""

    def logits():
        value = x
        for index, (w, b, name) in enumerate(model):
            value = value @ w + (0 if b is None else b)
            if name is not None and not (squash and index == len(model) - 1):
                value = activations.activation(name).phi(value)
        return value

    def squared(array, cotangent):
        total = 0.0
        for position in np.ndindex(array.shape):
            kept, ends = array[position], []
            for step in (1e-6, -1e-6):
                array[position] = kept + step
                ends.append(float((logits() * cotangent).sum()))
            array[position] = kept
            total += ((ends[0] - ends[1]) / 2e-6) ** 2
        return total

    difference, common, positions = cotangents
    weights = [w for w, _, _ in model]
    biases = [b for _, b, _ in model if b is not None]
    by_difference = sum(squared(w, difference) for w in weights)
    by_common = sum(squared(a, common) for a in (*weights, *biases)) / positions
    return by_difference, by_common


@pytest.mark.parametrize(
    ("specs", "squash"),
    [
        (((6, 5, "tanh", True), (5, 4, None, True)), False),
        (((6, 5, "softplus", True), (5, 4, "gelu", False), (4, 3, None, False)), False),
        (((6, 5, "silu", False), (5, 1, "sigmoid", True)), True),
    ],
)
def test_the_gradients_against_central_differences(specs, squash):
    model, x = stack(*specs), np.random.default_rng(5).standard_normal((9, 6))
    cotangents = readouts((9, specs[-1][1]), 3)
    expected = difference_and_common(model, x, cotangents, squash)
    found = trace(model, x).gradient
    assert (found.difference, found.common) == pytest.approx(expected, rel=1e-6)


def test_the_readouts_sum_to_zero_and_are_shared():
    difference, common, positions = readouts((8, 5, 3), 0)
    np.testing.assert_allclose(difference.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(common, np.broadcast_to(common[0, 0], common.shape))
    assert np.linalg.norm(difference) == pytest.approx(1)
    assert np.linalg.norm(common) == pytest.approx(1)
    assert positions == 40


def test_a_dead_network_has_no_live_matrix():
    model = stack((16, 8, "relu", True), (8, 3, None, True))
    model[0][1][:] = -1000.0
    gradient = trace(model).gradient
    assert (gradient.difference, gradient.live_matrices, gradient.matrices) == (0, 0, 2)


def test_gradients_that_are_not_finite_are_named_by_layer():
    model = stack((16, 8, "relu", True), (8, 3, None, True))
    model[1][0][0, 0] = np.nan
    assert trace(model).gradient.non_finite != ()


def test_the_ratio_of_first_to_last_gradient():
    layers = [NumpyLayer("0", np.eye(2), None, None), NumpyLayer("1", 3 * np.eye(2), None, None)]
    x = np.random.default_rng(0).standard_normal((8, 2))
    evidence, _ = gradients.backward(layers, [x, x], 0, skip_last_phi=False)
    assert evidence.first_over_last == pytest.approx(3.0)
    alone, _ = gradients.backward(layers[:1], [x], 0, skip_last_phi=False)
    assert math.isnan(alone.first_over_last)


def test_a_weight_that_two_layers_share_is_one_parameter():
    w = np.random.default_rng(2).normal(0, 0.2, (16, 16))
    model = [(w, None, "tanh"), (w, None, "tanh")]
    wanted = Wanted(site_gradients=True, steps=True)
    found = probe.trace(model, Call((X,), {}), mode="train", seed=3, wanted=wanted)
    assert [p.name for p in found.parameters] == ["0.W"]
    assert found.training.twins == ()
    # the closing tanh is passed over, and w is counted twice in the list and once here
    by_difference, _ = difference_and_common(model, X, readouts((64, 16), 3), True)
    assert found.parameters[0].gradient == pytest.approx(by_difference / 2, rel=1e-6)


def test_a_sequence_is_judged_position_by_position():
    x = np.random.default_rng(0).standard_normal((32, 7, 16))
    result = trace(stack((16, 8, "relu", True), (8, 3, None, True)), x)
    assert result.sites[1].units == 8
    assert result.sites[1].value.count == 32 * 7 * 8
    assert result.gradient.difference > 0


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (
            stack((16, 8, None, False)),
            np.ones((4, 15)),
            r"first W is \[in, out\] = \(16, 8\); pass inputs=",
        ),
        (stack((16, 8, None, False), (7, 2, None, False)), X, r"layer 1: W .*layer before has 8 units"),
        ([(np.ones((2, 2, 2)), None, None)], X, "layer 0: W must be"),
        ([(np.ones((16, 2)), np.ones(3), None)], X, r"layer 0: b has shape \(3,\)"),
        ([(np.ones((16, 2)), None, "rellu")], X, "layer 0: unknown activation 'rellu'; did you mean"),
        (stack((16, 8, None, False)), np.ones(16), "batch axis"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(model, x, message):
    with pytest.raises(ModelError, match=message):
        trace(model, x)


def test_a_list_takes_one_input():
    with pytest.raises(ModelError, match="one input array"):
        probe.trace(stack((16, 8, None, False)), Call((X, X), {}), mode="train", seed=0)


def test_the_inputs_of_a_list_are_inferred():
    assert probe.infer_inputs(stack((16, 8, "relu", False))) == Normal((16,))


def test_shorter_layers_and_callables():
    w = np.eye(16)
    assert [s.op for s in trace([(w,), (w, None), (w, None, np.tanh)]).sites[1:]] == [
        "linear", "linear", "linear", "tanh",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "quiet"),
    [
        (lambda model: None, True),
        (lambda model: model[0][0].__setitem__((0, 0), np.nan), False),
        (lambda model: model[0][1].__setitem__(slice(None), -1e4), False),
        (lambda model: model[1][0].__setitem__(slice(None), 0.0), False),
    ],
    ids=["clean", "nan", "dead", "constant output"],
)
def test_a_glimpse_sees_rare_events(change, quiet):
    model = stack((16, 8, "relu", True), (8, 3, None, True))
    change(model)
    assert probe.glimpse(model, Call((X,), {}), mode="train", seed=0).quiet is quiet


def test_fingerprints_tell_draws_and_constants_apart():
    one, two = stack((4, 4, None, True), seed=1), stack((4, 4, None, True), seed=2)
    assert probe.fingerprints(one) == probe.fingerprints(stack((4, 4, None, True), seed=1))
    assert {p.digest for p in probe.fingerprints(one)}.isdisjoint(
        p.digest for p in probe.fingerprints(two)
    )
    assert [p.constant for p in probe.fingerprints([(np.eye(8), np.zeros(8), None)])] == [True, True]
    few = np.random.default_rng(0).normal(size=(2, 1))
    assert not probe.fingerprints([(few, None, None)])[0].constant
    assert not probe.fingerprints([(np.random.default_rng(0).normal(size=(8, 8)), None, None)])[
        0
    ].constant


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ((np.eye(8), "relu"), r"layer 0: b is the text 'relu'; write \(W, None, 'relu'\)"),
        ((np.full((8, 8), None), None, "relu"), "layer 0: W holds no numbers, but object"),
        ((np.eye(8), np.array(["x"] * 8), "relu"), "layer 0: b holds no numbers, but <U1"),
    ],
)
def test_a_layer_that_is_none(layer, message):
    with pytest.raises(ModelError, match=message):
        probe.fingerprints([layer])


def test_inputs_of_text():
    with pytest.raises(ModelError, match="the inputs hold no numbers, but <U1"):
        trace(stack((2, 2, None, False)), np.array([["a", "b"]] * 8))


def test_columns_of_a_table():
    x = np.random.default_rng(0).normal(size=(64, 3)) * [1, 1000, 0]
    found = columns("input", x)
    assert (found.largest_index, found.smallest_index, found.exempt) == (1, 0, False)
    assert found.largest_column / found.smallest_column == pytest.approx(1000, rel=0.4)


def test_a_pixel_that_is_rarely_on_is_not_a_small_column():
    x = np.random.default_rng(0).uniform(0, 1, (64, 9))
    x[:, 3] = 0
    x[20:30, 3] = 1 / 255
    found = columns("input", x)
    assert found.largest_column / found.smallest_column < 256


def test_a_few_samples_tell_no_scale_of_a_column():
    x = np.array([[1.0, 1e-5], [-1.0, 1e-5]])
    assert math.isnan(columns("input", x).largest_column)
    found = columns("input", np.tile(x, (4, 1)))
    assert found.largest_column / found.smallest_column == pytest.approx(1e5)


@pytest.mark.parametrize(
    "x", [np.eye(4), np.arange(8).reshape(4, 2), np.zeros((4, 2))], ids=["one-hot", "ids", "zeros"]
)
def test_ids_one_hot_rows_and_zeros_are_exempt(x):
    assert columns("input", x).exempt


def test_single_precision_inputs_meet_double_precision_weights():
    report = ic.check(
        lambda rng: [
            (rng.normal(0, 0.4, (16, 16)), None, "relu"),
            (rng.normal(0, 0.2, (16, 2)), None, None),
        ],
        inputs=ic.normal(16),
    )
    assert report.verdict == "pass"
