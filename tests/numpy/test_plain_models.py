"""Plain forward functions checked: good ones pass, faults are found where they are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes.numpy_runs import seen
from pytest_initcheck.trace import Wanted

WIDTH = 128
HE = math.sqrt(2 / WIDTH)


def relu(h):
    return np.maximum(h, 0)


def sigmoid(h):
    return 1 / (1 + np.exp(-h))


def mlp(rng, depth=20, std=HE, activation=relu, bias=0.0, zero=-1, uniform=False):
    def draw():
        bound = 1 / math.sqrt(WIDTH)
        return (
            rng.uniform(-bound, bound, (WIDTH, WIDTH)) if uniform else rng.normal(0, std, (WIDTH, WIDTH))
        )

    W = [draw() * (index != zero) for index in range(depth)]
    b = [np.full(WIDTH, bias) for _ in range(depth)]
    head = rng.normal(0, 1 / math.sqrt(WIDTH), (WIDTH, 10))

    def forward(x):
        for weight, offset in zip(W, b, strict=True):
            x = activation(x @ weight + offset)
        return x @ head

    return forward


def gated(rng, gate=0.0):
    a, b = rng.normal(0, math.sqrt(2 / 64), (2, 64, 64))
    scale, head = np.full(1, gate), rng.normal(0, 0.1, (64, 10))
    return lambda x: (x + scale * (relu(x @ a) @ b)) @ head


def both_factors_zero(rng):
    a, b = np.zeros((2, 64, 64))
    first, head = rng.normal(0, 0.15, (64, 64)), rng.normal(0, 0.1, (64, 10))

    def forward(x):
        h = x @ first
        return (h + np.tanh(h @ a) @ b) @ head

    return forward


def constant_weights(rng):
    a, b, head = np.full((64, 32), 0.02), np.full((32, 32), 0.02), np.full((32, 10), 0.1)
    return lambda x: np.tanh(np.tanh(x @ a) @ b) @ head


FAULTS = {
    "b": (lambda rng: mlp(rng, uniform=True), WIDTH, "variance", "W.0"),
    "c": (
        lambda rng: mlp(rng, std=3 / math.sqrt(WIDTH), activation=np.tanh),
        WIDTH,
        "saturation",
        "W.0",
    ),
    "d": (lambda rng: mlp(rng, depth=6, bias=-3.0), WIDTH, "dead-relu", "W.0"),
    "e": (lambda rng: mlp(rng, depth=6, zero=2), WIDTH, "dead-relu", "W.2"),
    "f": (lambda rng: mlp(rng, depth=8, std=1.0, activation=sigmoid), WIDTH, "saturation", "W.0"),
    "both factors zero": (both_factors_zero, 64, "trainable", "a"),
    "constant weights": (constant_weights, 64, "symmetry", "a"),
}


@pytest.mark.parametrize("factory", [mlp, gated], ids=["a", "zero gate"])
def test_good_models_pass(factory):
    report = ic.check(factory, inputs=ic.normal(WIDTH if factory is mlp else 64))
    assert report.verdict == "pass", str(report)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_fail_at_their_layer(fault):
    factory, width, invariant, place = FAULTS[fault]
    report = ic.check(factory, inputs=ic.normal(width))
    assert report.verdict == "fail"
    first = report.findings[0]
    assert (first.invariant, first.place.removesuffix(".relu").split(" ")[0]) == (invariant, place), str(
        report
    )


def test_a_fix_is_spelled_in_the_code_s_own_names():
    report = ic.check(lambda rng: mlp(rng, depth=6, zero=2), inputs=ic.normal(WIDTH))
    assert "W[2][...] = rng.normal(0, " in str(report)
    assert ", W[2].shape)" in str(report)
    assert "tried   passes" in str(report)


def test_a_plain_function_shows_what_the_layer_list_shows():
    rng = np.random.default_rng(0)
    layers = [(rng.normal(0, 0.25, (32, 32)), rng.normal(0, 0.1, 32), "relu") for _ in range(3)]
    layers.append((rng.normal(0, 0.25, (32, 7)), None, "tanh"))

    def forward(x):
        for w, b, _ in layers[:-1]:
            x = np.maximum(x @ w + b, 0)
        return np.tanh(x @ layers[-1][0])

    x = np.random.default_rng(1).normal(size=(64, 32))
    wanted = Wanted(site_gradients=True, noise=True, steps=True, histograms=True)
    by_list, traced = (
        probe.trace(model, Call((x,), {}), mode="train", seed=3, wanted=wanted)
        for model in (layers, forward)
    )
    assert [(s.kind, s.op, s.reads, s.units, s.activation) for s in traced.sites] == [
        (s.kind, s.op, s.reads, s.units, s.activation) for s in by_list.sites
    ]
    for one, other in zip(traced.sites, by_list.sites, strict=True):
        assert one.value.second_moment == pytest.approx(other.value.second_moment, rel=1e-12)
        assert one.value.batch_variance == pytest.approx(other.value.batch_variance, rel=1e-12)
        assert (one.saturated, one.dead, one.pre_activations) == (
            other.saturated,
            other.dead,
            other.pre_activations,
        )
    assert (traced.output, traced.logits) == (by_list.output, by_list.logits)
    assert [p.path for p in traced.parameters][:2] == ["layers[0][0]", "layers[0][1]"]
    assert (traced.training.stuck, traced.training.equal) == ((), ())


def dropout(rate):
    w, v = np.random.default_rng(0).normal(0, 0.3, (2, 16, 16))

    def forward(x):
        h = np.maximum(x @ w, 0)
        mask = np.random.random(h.shape) < 1 - rate
        return (h * mask / (1 - rate)) @ v

    return forward


def inverted_dropout(rate):
    w, v = np.random.default_rng(0).normal(0, 0.3, (2, 16, 16))
    rng = np.random.default_rng(5)

    def forward(x):
        h = np.maximum(x @ w, 0)
        return (h * (rng.binomial(1, 1 - rate, h.shape) / (1 - rate))) @ v

    return forward


@pytest.mark.parametrize("make", [dropout, inverted_dropout])
def test_dropout_is_known_by_what_is_drawn(make):
    x = np.random.default_rng(1).normal(size=(64, 16))
    trace = probe.trace(make(0.3), Call((x,), {}), mode="train", seed=0)
    assert [site.op for site in trace.sites if site.kind != "mul"] == [
        "input",
        "linear",
        "relu",
        "linear",
    ]
    assert trace.sites[-1].weight.name == "v"
    flow = seen(make(0.3), Call((x,), {}), seed=0)
    assert [node.dtype for node in flow.graph.nodes if node.op == "random"] == ["bool"]


def test_noise_that_is_drawn_is_drawn_once():
    w = np.random.default_rng(0).normal(0, 0.3, (16, 16))

    def forward(x):
        return (x + 0.1 * np.random.standard_normal(x.shape)) @ w

    x = np.random.default_rng(1).normal(size=(64, 16))
    flow = seen(forward, Call((x,), {}), seed=0)
    assert [node.op for node in flow.graph.nodes].count("random") == 1
    np.testing.assert_array_equal(flow.outputs()[0], flow.outputs()[0])


def test_draws_that_decide_what_runs_are_said_to():
    w = np.random.default_rng(0).normal(0, 0.3, (16, 16))

    def forward(x):
        for _ in range(int(np.random.randint(1, 1000))):
            x = np.tanh(x @ w)
        return x

    x = np.random.default_rng(1).normal(size=(8, 16))
    flow = seen(forward, Call((x,), {}), seed=0)
    assert ("random numbers", "they decide which operations run") in flow.unobserved


def test_a_linear_function_is_known_to_be_linear():
    report = ic.check(lambda rng: _linear(rng.normal(0, 0.25, (16, 4))), inputs=ic.normal(16))
    assert report.verdict == "pass"


def _linear(w):
    return lambda x: x @ w


def test_token_ids_look_a_table_up():
    def factory(rng):
        table, w = rng.normal(size=(50, 16)), rng.normal(0, 0.25, (16, 4))
        return lambda ids: np.tanh(table[ids] @ w).mean(1) @ w.T

    report = ic.check(factory, inputs=ic.tokens(8, vocabulary=50))
    assert report.verdict == "pass", str(report)
    trace = probe.trace(
        factory(np.random.default_rng(0)),
        Call((np.arange(64).reshape(8, 8) % 50,), {}),
        mode="train",
        seed=0,
    )
    assert [site.kind for site in trace.sites][:3] == ["input", "embedding", "linear"]


def test_the_user_s_loss_is_traced():
    w = np.random.default_rng(0).normal(0, 0.25, (16, 4))
    flow = seen(lambda x: (x @ w, {"h": x}), Call((np.ones((8, 16)),), {}), seed=0)
    found = flow.step_gradients({"w": w}, None, lambda output: np.mean(output[0] ** 2))
    np.testing.assert_allclose(found["w"], np.ones((8, 16)).T @ (2 * np.ones((8, 16)) @ w / 32))
    found = flow.step_gradients({"w": w}, None, lambda output, x: (output[0] * x[:, :4]).sum())
    np.testing.assert_allclose(found["w"], np.full((16, 4), 8.0))


def test_a_loss_that_leaves_the_trace():
    w = np.random.default_rng(0).normal(0, 0.25, (16, 4))

    def factory(rng):
        drawn = rng.normal(0, 0.25, (16, 4))
        return lambda x: np.tanh(x @ drawn)

    report = ic.check(factory, inputs=ic.normal(16), loss=lambda y: float(np.mean(y**2)))
    assert report.verdict == "error"
    assert "becomes a plain float" in report.error
    flow = seen(lambda x: x @ w, Call((np.ones((8, 16)),), {}), seed=0)
    with pytest.raises(ModelError, match="not one number"):
        flow.step_gradients({"w": w}, None, lambda y: y)


KERNEL = np.random.default_rng(3).normal(0, 0.3, (4, 3, 3, 3))


def convolution_into_zeros(x):
    """A convolution as it is first written: channels first, position by position."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(x), 4, *x.shape[2:]))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            patch = padded[:, :, i : i + 3, j : j + 3]
            out[:, :, i, j] = np.tensordot(patch, KERNEL, axes=([1, 2, 3], [1, 2, 3]))
    return np.maximum(out, 0)


def convolution_by_columns(x):
    """The same by ids of rows and columns (im2col)."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    k, di, dj = (a.reshape(-1, 1) for a in np.indices((c, 3, 3)))
    i, j = (a.reshape(1, -1) for a in np.indices((h, w)))
    columns = padded[:, k, di + i, dj + j].transpose(1, 2, 0).reshape(c * 9, -1)
    out = KERNEL.reshape(4, -1).dot(columns).reshape(4, h, w, n).transpose(3, 0, 1, 2)
    return np.maximum(out, 0)


@pytest.mark.parametrize("model", [convolution_into_zeros, convolution_by_columns])
def test_convolutions_without_a_library_keep_their_samples_channels_and_fans(model):
    x = np.random.default_rng(1).normal(size=(16, 3, 5, 5))
    trace = probe.trace(model, Call((x,), {}), mode="train", seed=0)
    assert trace.gradient.difference > 0
    assert trace.unobserved == ()
    assert {site.weight.fan_in for site in trace.sites if site.weight is not None} == {27}
    last = trace.sites[-1]
    assert (last.activation, last.units) == ("relu", 4)
    assert last.value.second_moment == pytest.approx(float((model(x) ** 2).mean()))


def test_an_escape_inside_scipy_is_told_where_the_user_called_it():
    special = pytest.importorskip("scipy.special")
    w = np.random.default_rng(0).normal(size=(16, 4))

    def model(x):
        return special.softmax(x @ w, axis=1)

    with pytest.raises(ModelError, match=r"test_plain_models.py:\d+ in model, `return special.softmax"):
        probe.trace(model, Call((np.ones((8, 16)),), {}), mode="train", seed=0)


def test_ufuncs_of_scipy_are_known_by_name():
    special = pytest.importorskip("scipy.special")
    w = np.random.default_rng(0).normal(size=(16, 16))

    def model(x):
        h = special.expit(x @ w) @ w
        return 0.5 * h * (1 + special.erf(h / math.sqrt(2))) @ w

    x = np.random.default_rng(1).normal(size=(16, 16))
    trace = probe.trace(model, Call((x,), {}), mode="train", seed=0)
    assert [s.activation for s in trace.sites if s.activation] == ["sigmoid", "gelu"]
    assert trace.gradient.difference > 0


def test_a_weight_before_a_rounding_is_told_in_the_words_of_numpy():
    def rounded(rng):
        first, second = rng.normal(0, 1 / 8, (2, 64, 64))
        return lambda x: np.round(x @ first) @ second

    report = ic.check(rounded, inputs=ic.normal(64), only=["trainable"])
    (finding,) = report.failures
    assert finding.site == "first"
    assert "behind a rounding, a comparison or an argmax" in finding.cause
    assert "remove that, keep it out of network(parameters=...)" in " ".join(str(report).split())


def test_a_name_that_is_not_defined_is_no_matter_of_the_inputs():
    def slip(rng):
        w = rng.normal(0, 1, (8, 8))
        return lambda x: actvation(x @ w)  # noqa: F821

    report = ic.check(slip, inputs=ic.normal(8))
    assert report.error.startswith("the model raised NameError on (64, 8) float32: name 'actvation'")
    assert re.search(r"; mend that at test_plain_models\.py:\d+$", report.error)


def karpathy(rng, std):
    """min-char-rnn: columns are samples, and characters are written one-hot into plain zeros."""
    ids_, width = 40, 64
    Wxh, Whh = rng.normal(0, std, (width, ids_)), rng.normal(0, std, (width, width))
    Why = rng.normal(0, std, (ids_, width))

    def forward(ids):
        h = np.zeros((width, len(ids)))
        for t in range(ids.shape[1]):
            x = np.zeros((ids_, len(ids)))
            x[ids[:, t], np.arange(len(ids))] = 1
            h = np.tanh(Wxh @ x + Whh @ h)
        return (Why @ h).T

    return forward


def test_characters_that_are_written_one_hot_are_followed():
    inputs = ic.tokens(6, vocabulary=40)
    good = ic.check(lambda rng: karpathy(rng, 0.125), inputs=inputs)
    assert good.verdict == "pass", str(good)
    bad = ic.check(lambda rng: karpathy(rng, 1.0), inputs=inputs)
    # with h at zero Whh @ h is added alone, which makes no bias of Whh
    assert bad.failures[0].kind == "init gain", str(bad)
    assert "Whh" in bad.failures[0].fixes[0].code
    assert bad.failures[0].fixes[0].helped
