"""A graph that is made by hand -> a trace: sites, statistics, gradients, noise and steps."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.graph.tracing import glimpse, trace
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import Wanted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6))
W1, B1 = RNG.normal(size=(6, 8)) / 2, RNG.normal(size=8)
W2, B2 = RNG.normal(size=(8, 3)) / 3, RNG.normal(size=3)


def mlp(made, phi="tanh"):
    h = made.make(phi, made.dense(made.input(X), "fc1", W1, B1))
    return made.dense(h, "out", W2, B2)


def traced(made, *outputs, wanted=None, batch=32, **flow):
    return trace(
        made.flow(*outputs, **flow), framework="made", batch=batch, seed=0, wanted=wanted or Wanted()
    )


def test_sites_of_a_network(made):
    found = traced(made, mlp(made))
    assert [(s.name, s.kind, s.op, s.reads, s.units) for s in found.sites] == [
        ("input", "input", "input", (), 6),
        ("fc1", "linear", "linear", (0,), 8),
        ("fc1.tanh", "activation", "tanh", (1,), 8),
        ("out", "linear", "linear", (2,), 3),
    ]
    assert (found.framework, found.batch, found.output, found.logits, found.returned) == (
        "made",
        32,
        3,
        3,
        (3,),
    )
    assert found.unobserved == ()


def test_what_is_measured(made):
    found = traced(made, mlp(made), wanted=Wanted(histograms=True, kurtosis=True))
    z = X @ W1 + B1
    value = found.sites[1].value
    assert value.mean == pytest.approx(z.mean())
    assert value.second_moment == pytest.approx((z**2).mean())
    assert value.batch_variance == pytest.approx(z.var(0).mean())
    assert (value.count, value.low, value.high) == (z.size, z.min(), z.max())
    assert found.sites[2].saturated == pytest.approx(np.mean(np.tanh(z) ** 2 > 0.95))
    assert sum(found.sites[2].pre_activations.counts) == z.size
    weight, bias = found.sites[1].weight, found.sites[1].bias
    assert (weight.name, weight.fan_in, weight.fan_out) == ("fc1.kernel", 6, 8)
    assert weight.second_moment == pytest.approx((W1**2).mean())
    assert weight.kurtosis == pytest.approx((W1**4).mean() / (W1**2).mean() ** 2)
    assert bias.name == "fc1.bias"
    (column,) = found.inputs
    assert column.largest_column == pytest.approx(np.sqrt((X**2).mean(0)).max())


def test_dead_units(made):
    w = W1.copy()
    w[:, 2] = 0
    h = made.make("maximum", made.dense(made.input(X), "fc1", w, np.minimum(B1, -0.1)), 0.0)
    found = traced(made, made.dense(h, "out", W2))
    z = X @ w + np.minimum(B1, -0.1)
    assert found.sites[2].activation == "relu"
    assert found.sites[2].dead == np.mean(z.max(0) <= 0) >= 1 / 8


def test_roles_of_parameters(made):
    x = made.dense(made.input(X), "fc1", W1, B1)
    x = made.make("add", made.make("tanh", x), made.parameter("offset", B1))
    x = made.make("mul", x, made.parameter("gain", B1))
    made.parameter("unread", B1)
    made.parameter("lost.kernel", W1)
    made.parameter("lost.bias", B1)
    found = traced(made, x)
    roles = {p.name: (p.multiplicative, p.used) for p in found.parameters}
    assert roles == {
        "fc1.kernel": (True, True),
        "fc1.bias": (False, True),
        "offset": (False, True),
        "gain": (True, True),
        "unread": (False, False),
        "lost.kernel": (False, False),
        "lost.bias": (False, False),
    }
    assert found.unobserved == (
        ("unread", "no operation reads it on these inputs"),
        ("lost", "never called on these inputs: its 2 parameters are not judged"),
    )
    # an offset that is no layer's bias moves no outputs together
    assert found.gradient.matrices == 2


def test_gradients_are_those_of_the_readouts(made):
    found = traced(made, mlp(made), wanted=Wanted(site_gradients=True))
    difference, common, positions = readouts((32, 3), 0)
    h = np.tanh(X @ W1 + B1)

    def squares(cotangent):
        delta = cotangent @ W2.T * (1 - h**2)
        grads = (X.T @ delta, delta.sum(0), h.T @ cotangent, cotangent.sum(0))
        return [float((g**2).sum()) for g in grads], delta

    by_difference, delta = squares(difference)
    by_common, _ = squares(common)
    assert found.gradient.difference == pytest.approx(by_difference[0] + by_difference[2], rel=1e-5)
    assert found.gradient.common == pytest.approx(sum(by_common) / positions, rel=1e-5)
    assert (found.gradient.live_matrices, found.gradient.matrices) == (2, 2)
    ratio = math.sqrt(by_difference[0] / 48 / (by_difference[2] / 24))
    assert found.gradient.first_over_last == pytest.approx(ratio, rel=1e-5)
    assert found.sites[1].gradient.second_moment == pytest.approx((delta**2).mean(), rel=1e-5)
    assert found.sites[0].gradient is None
    assert {p.name: p.gradient for p in found.parameters}["out.kernel"] == pytest.approx(
        by_difference[2], rel=1e-5
    )


def test_the_logits_are_behind_a_closing_squash(made):
    for closing in ("sigmoid", "tanh"):
        maker = type(made)()
        found = traced(maker, maker.make(closing, mlp(maker)))
        assert (found.output, found.logits) == (4, 3)
    found = traced(made, made.make("softmax", mlp(made), axis=1))
    assert (found.output, found.logits, found.sites[4].kind) == (4, 3, "softmax")


NO_GRADIENT = {
    "few samples": (4, "fewer than 8 samples: differences between inputs cannot be judged"),
    "equal samples": (32, "all samples are equal: differences between inputs cannot be judged"),
}


@pytest.mark.parametrize("case", NO_GRADIENT)
def test_why_there_is_no_gradient(made, case):
    batch, reason = NO_GRADIENT[case]
    x = np.repeat(X[:1], batch, 0) if case == "equal samples" else X[:batch]
    found = traced(made, made.dense(made.input(x), "fc", W1), batch=batch)
    assert found.gradient is None
    assert found.unobserved == (("gradient", reason),)


def test_no_gradient_without_a_batch_axis(made):
    y = made.make("sum", made.dense(made.input(X), "fc", W1), axes=(0,), keepdims=False)
    assert traced(made, y).unobserved == (("gradient", "the output has no batch axis"),)


def test_no_gradient_where_nothing_is_trained(made):
    y = made.make("tanh", made.input(X))
    reason = "the output does not depend on a trainable parameter through autograd"
    assert traced(made, y).unobserved == (("gradient", reason),)


def test_a_flow_without_gradients(made):
    found = traced(made, mlp(made), gradients=False, wanted=Wanted(noise=True, steps=True))
    assert found.gradient is None
    assert found.training is None
    assert found.sensitivity is not None
    assert found.unobserved == (("gradient", "no gradient is known of this forward pass"),)


def test_noise_enters_before_the_first_parameter(made):
    x = made.make("mul", made.input(X), 3.0)
    found = traced(made, made.dense(x, "fc", W1), wanted=Wanted(noise=True))
    # noise of 1 % of the signal, spread over units as the signal is
    y = 3 * X @ W1
    expected = (0.01**2) * (9 * (X**2).mean()) * (W1**2).sum(0).mean() / (2 * y.var(0).mean())
    assert found.sensitivity.change == pytest.approx(expected, rel=0.3)
    assert math.isnan(found.sensitivity.growth)


def test_noise_of_ids_enters_behind_the_table(made):
    ids = made.input(RNG.integers(0, 5, (32, 4)))
    y = made.make("take", made.parameter("table", W1[:5]), ids, axis=0)
    found = traced(made, y, wanted=Wanted(noise=True))
    assert 1e-5 < found.sensitivity.change < 1e-3


def test_a_chaotic_network_amplifies_a_faint_noise(made):
    x = made.input(X)
    for layer in range(12):
        x = made.make("sin", made.dense(x, f"fc{layer}", 40 * RNG.normal(size=(6, 6))))
    found = traced(made, x, wanted=Wanted(noise=True))
    assert found.sensitivity.change > 0.5
    assert found.sensitivity.growth > 1e3


def test_steps_show_what_is_stuck(made):
    # both factors are zero: neither ever moves
    h = made.dense(made.input(X), "a", np.zeros((6, 4)))
    y = made.make(
        "add", made.dense(h, "b", np.zeros((4, 3))), made.dense(made.input(X), "skip", W1[:, :3])
    )
    found = traced(made, y, wanted=Wanted(steps=True))
    assert set(found.training.stuck) == {"a.kernel", "b.kernel"}
    assert found.training.steps == 3


def test_steps_show_what_stays_equal(made):
    h = made.make("tanh", made.dense(made.input(X), "a", np.full((6, 4), 0.3)))
    y = made.dense(h, "b", np.full((4, 3), 0.2))
    assert traced(made, y, wanted=Wanted(steps=True)).training.equal == ("a.kernel", "b.kernel")


def test_twins_that_move_alike(made):
    x = made.input(X)
    h = made.make("add", made.dense(x, "a", W1), made.dense(x, "b", W1))
    found = traced(made, made.dense(made.make("tanh", h), "c", W2), wanted=Wanted(steps=True))
    assert found.training.twins == (("a.kernel", "b.kernel"),)


def test_steps_down_the_users_loss(made):
    y = mlp(made)
    found = traced(made, y, wanted=Wanted(steps=True, loss=lambda out: (out[:, :1] ** 2).sum()))
    assert found.training.stuck == ()
    found = traced(made, y, wanted=Wanted(steps=True, loss=lambda out: 0 * out.sum()))
    assert set(found.training.stuck) == {"fc1.kernel", "fc1.bias", "out.kernel", "out.bias"}


def test_a_branch_that_nothing_reads_is_said(made):
    y = mlp(made)
    made.make("tanh", made.dense(y, "aside", W1[:3, :2]))
    found = traced(made, y)
    assert found.unobserved == (
        ("aside.kernel", "the model computes with it and returns nothing of that"),
    )
    assert not next(p for p in found.parameters if p.name == "aside.kernel").used
    assert len(found.sites) == 4


def test_what_ran_closed_is_said(made):
    x = made.dense(made.input(X), "fc", W1)
    y = made.opaque(np.tanh(made.values[x]), x, label="a host callback: not seen inside")
    found = traced(made, y)
    assert found.unobserved[0] == ("fc.opaque", "a host callback: not seen inside")
    assert found.sites[2].kind == "other"


def test_several_outputs(made):
    h = made.dense(made.input(X), "fc", W1)
    scalar = made.make("sum", h, axes=(0, 1), keepdims=False)
    head = made.dense(h, "head", W2)
    found = traced(made, scalar, head, h)
    assert found.output == found.sites[-1].index
    assert found.returned == (1, found.output)


def test_a_single_number_is_no_output(made):
    y = made.make("sum", made.dense(made.input(X), "fc", W1), axes=(0, 1), keepdims=False)
    with pytest.raises(ModelError, match="returned a single number, a loss perhaps; wrap it so that"):
        traced(made, y)


def test_whole_numbers_are_no_output(made):
    y = made.make("gt", made.dense(made.input(X), "fc", W1), 0.0)
    with pytest.raises(ModelError, match="returned no floating-point array; return its output"):
        traced(made, y)


def test_no_samples(made):
    with pytest.raises(ModelError, match="hold no samples"):
        traced(made, made.dense(made.input(X[:0]), "fc", W1), batch=0)


def test_values_that_are_not_finite_are_counted(made):
    w = W1.copy()
    w[0, 0] = np.nan
    found = traced(made, made.dense(made.input(X), "fc", w))
    assert found.sites[1].value.non_finite == 32
    assert found.parameters[0].non_finite == 1
    assert found.gradient.non_finite == () or found.gradient.non_finite == ("fc.kernel",)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_half_precision_does_not_overflow(made, dtype):
    x = made.input((100 * X).astype(dtype))
    y = made.make("mul", x, np.asarray(100, dtype))
    value = traced(made, y).sites[1].value
    assert value.non_finite == 0
    assert value.second_moment == pytest.approx(1e8 * (X**2).mean(), rel=1e-2)


def test_a_glimpse_of_a_good_network(made):
    y = mlp(made)
    found = glimpse(made.flow(y), batch=32)
    assert found.quiet
    assert found.length == pytest.approx((made.values[y] ** 2).mean())


LOUD = ("dead", "not finite", "constant", "a parameter")


@pytest.mark.parametrize("case", LOUD)
def test_a_glimpse_of_a_rare_event(made, case):
    x = made.input(X)
    if case == "dead":
        h = made.make("maximum", made.make("sub", made.dense(x, "a", W1), 1e3), 0.0)
        y = made.make("add", made.dense(h, "b", W2), made.dense(x, "skip", W1[:, :3]))
    elif case == "not finite":
        y = made.make("log", made.dense(x, "a", W1))
    elif case == "constant":
        y = made.dense(x, "a", 0 * W1, B1)
    else:
        y = made.dense(x, "a", W1)
        made.parameter("unread", [np.inf])
    assert not glimpse(made.flow(y), batch=32).quiet


def test_a_trace_is_the_same_again(made):
    flow = made.flow(mlp(made))
    wanted = Wanted(site_gradients=True, noise=True, steps=True)
    one, other = (trace(flow, framework="made", batch=32, seed=3, wanted=wanted) for _ in range(2))
    assert one == dataclasses.replace(other) or repr(one) == repr(other)
