"""How hand-written networks are spelled in NumPy: each is traced with its values, sites and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes.numpy_runs import seen
from pytest_initcheck.trace import Wanted

rng = np.random.default_rng(7)
W1, W2 = rng.normal(0, 0.4, (12, 16)), rng.normal(0, 0.35, (16, 5))
b1, b2 = rng.normal(0, 0.1, 16), rng.normal(0, 0.1, 5)
LAYERS = [(W1, b1), (W2, b2)]
K = rng.normal(0, 0.3, (3, 3, 2, 4))
IMAGES = rng.normal(size=(16, 8, 8, 2))
X = rng.normal(size=(16, 12))


def maximum(x):
    return np.maximum(x @ W1 + b1, 0) @ W2 + b2


def mask_multiply(x):
    h = x @ W1 + b1
    return (h * (h > 0)) @ W2


def where(x):
    h = x.dot(W1) + b1
    return np.where(h > 0, h, 0.0).dot(W2)


def in_place_mask(x):
    h = x @ W1 + b1
    h[h < 0] = 0
    return h @ W2


def in_place_leaky(x):
    h = x @ W1
    h += b1
    h[h < 0] *= 0.01
    return h @ W2


def in_place_elu(x):
    h = x @ W1 + b1
    low = h < 0
    h[low] = np.exp(h[low]) - 1
    return h @ W2


def out_traced(x):
    h = x @ W1
    np.add(h, b1, out=h)
    np.maximum(h, 0, out=h)
    return h @ W2


def clip(x):
    return np.clip(x @ W1 + b1, 0, 6) @ W2


def clip_method(x):
    return (x @ W1 + b1).clip(0) @ W2


def clip_none(x):
    return np.clip(x @ W1, None, 1.0) @ W2


def fmax(x):
    return np.fmax(0, np.dot(x, W1)) @ W2


def leaky(x):
    h = x @ W1
    return np.maximum(0.1 * h, h) @ W2


def relu_by_abs(x):
    h = x @ W1
    return (0.5 * (h + abs(h))) @ W2


def einsum(x):
    h = np.tanh(np.einsum("bi,ij->bj", x, W1) + b1)
    return np.einsum("...i,ij", h, W2)


def einsum_three(x):
    return np.einsum("bi,ij,jk->bk", x, W1, W2)


def einsum_outer(x):
    h = np.tanh(x @ W1)
    return np.einsum("bi,bj->bij", h, h).reshape(len(x), -1)


def tensordot(x):
    return np.tensordot(np.tanh(np.tensordot(x, W1, axes=1)), W2, axes=([1], [0]))


def inner_and_outer_shapes(x):
    return np.inner(np.tanh(np.inner(x, W1.T)), W2.T.copy())


def astype(x):
    return np.tanh(x.astype(np.float32) @ W1.astype(np.float32)) @ W2.astype("f4")


def sigmoid_by_exp(x):
    return (1 / (1 + np.exp(-(x @ W1)))) @ W2


def stable_sigmoid(x):
    z = x @ W1
    return (
        np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))
        @ W2
    )


def softmax(x):
    z = np.tanh(x @ W1) @ W2
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    z = np.tanh(x @ W1) @ W2
    z = z - np.max(z, -1, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))


def softplus(x):
    return np.logaddexp(0, x @ W1) @ W2


def log1p_softplus(x):
    return np.log1p(np.exp(x @ W1)) @ W2


def gelu_tanh(x):
    h = x @ W1
    return (0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))) @ W2


def silu(x):
    h = x @ W1
    return (h / (1 + np.exp(-h))) @ W2


def piecewise(x):
    h = x @ W1
    return np.piecewise(h, [h < 0, h >= 0], [lambda v: 0.1 * v, lambda v: v]) @ W2


def piecewise_otherwise(x):
    h = x @ W1
    return np.piecewise(h, [h < 0], [0, lambda v: v]) @ W2


def select(x):
    h = x @ W1
    return np.select([h < 0, h > 6], [0.1 * h, 6.0], default=h) @ W2


def layer_norm(x):
    h = np.maximum(x @ W1, 0)
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return h @ W2


def standardised(x):
    h = x @ W1
    return ((h - np.mean(h, axis=0)) / (np.std(h, axis=0) + 1e-3)) @ W2


def l2_normalised(x):
    h = np.tanh(x @ W1)
    return (h / np.linalg.norm(h, axis=1, keepdims=True)) @ W2


def concatenate(x):
    h = np.concatenate([x[:, :6], np.tanh(x[:, 6:])], axis=1)
    return np.hstack([h @ W1[:, :8], np.maximum(h @ W1[:, 8:], 0)]) @ W2


def stack(x):
    h = np.stack([np.tanh(x @ W1), np.sin(x @ W1)], axis=1)
    return h.mean(axis=1) @ W2


def split(x):
    a, gate = np.split(x @ W1, 2, axis=1)
    return a * (1 / (1 + np.exp(-gate)))


def homogeneous_bias(x):
    return np.tanh(np.c_[x, np.ones(len(x))] @ np.vstack([W1, b1])) @ W2


def homogeneous_by_hstack(x):
    return np.tanh(np.hstack([x, np.ones((len(x), 1))]) @ np.vstack([W1, b1])) @ W2


def loop_over_layers(x):
    for w, b in LAYERS[:-1]:
        x = np.maximum(0, x @ w + b)
    w, b = LAYERS[-1]
    return x @ w + b


def residual(x):
    h = x @ W1
    for _ in range(3):
        h = h + np.maximum(h, 0) @ W2 @ W2.T
    return h


def transposed_batch(x):
    a = W1.T @ x.T + b1[:, None]
    return (W2.T @ np.tanh(a)).T


def recurrent(x):
    h = np.zeros((x.shape[0], 16))
    for t in range(3):
        h = np.tanh(x[:, 4 * t : 4 * t + 4] @ W1[:4] + h @ W1.T @ W1 + b1)
    return h @ W2


def one_hot_rows(x):
    hot = np.zeros((len(x), 12))
    hot[np.arange(len(x)), np.argmax(x, axis=1)] = 1
    return np.tanh((x + hot) @ W1) @ W2


def one_hot_columns(x):
    hot = np.zeros((12, len(x)))
    hot[np.argmax(x, axis=1), np.arange(len(x))] = 1
    return (W2.T @ np.tanh(W1.T @ (x.T + hot))).T


def accumulated(x):
    total = np.zeros((len(x), 16))
    for part in range(3):
        total += x[:, part::3] @ W1[part::3]
    return np.tanh(total) @ W2


def zeros_like(x):
    out = np.zeros_like(x)
    out[:, :6] = np.tanh(x[:, 6:])
    out[:, 6:] = np.maximum(x[:, :6], 0)
    return out @ W1 @ W2


def view_written(x):
    h = x @ W1
    left = h[:, :8]
    left[left < 0] = 0
    right = h[:, 8:]
    right *= 0.5
    return h @ W2


def rolled(x):
    return np.tanh(np.roll(x, 1, axis=1) @ W1) @ W2


def padded(x):
    return np.tanh(np.pad(x[:, :10], ((0, 0), (1, 1))) @ W1) @ W2


def convolution_by_windows(x):
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (1, 2)
    )
    h = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, K), 0)
    pooled = np.lib.stride_tricks.sliding_window_view(h, (2, 2), axis=(1, 2))[:, ::2, ::2].max(
        axis=(-1, -2)
    )
    return pooled.reshape(len(x), -1)


def convolution_by_strides(x):
    n, h, w, c = x.shape
    s = x.strides
    windows = np.lib.stride_tricks.as_strided(
        x, (n, h - 2, w - 2, 3, 3, c), (s[0], s[1], s[2], s[1], s[2], s[3])
    )
    return np.tanh(np.tensordot(windows, K, axes=3)).mean(axis=(1, 2))


def convolution_by_loops(x):
    _, h, w, _ = x.shape
    total = 0
    for i in range(3):
        for j in range(3):
            total = total + x[:, i : h - 2 + i, j : w - 2 + j] @ K[i, j]
    return np.maximum(total, 0).sum((1, 2))


def pooling_by_reshape(x):
    n, h, w, c = x.shape
    return np.tanh(x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4)) @ K[0, 0]).reshape(n, -1)


def max_of_two(x):
    h = (x @ W1).reshape(len(x), 8, 2)
    return h.max(-1) @ W2[:8]


def attention(x):
    t = x.reshape(len(x), 3, 4)
    q, k, v = t @ W1[:4, :4], t @ W1[:4, 4:8], t @ W1[:4, 8:12]
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(4)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ v).reshape(len(x), -1)


def masked_attention(x):
    t = x.reshape(len(x), 3, 4)
    scores = np.einsum("btd,bsd->bts", t, t)
    scores[:, np.triu_indices(3, 1)[0], np.triu_indices(3, 1)[1]] = -1e9
    scores -= scores.max(-1, keepdims=True)
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bts,bsd->btd", weights, t).reshape(len(x), -1) @ W1


def converted_weights(x):
    return np.tanh(x @ np.asarray(W1)) @ np.array(W2)


def scaled_weights(x):
    return np.tanh(x @ (W1 * math.sqrt(2 / 12))) @ W2


def normalised_weights(x):
    return np.tanh(x @ (W1 / np.linalg.norm(W1, axis=0))) @ W2


def prefactor_out(x):
    return np.multiply(x @ W1, 0.5, where=x @ W1 > 0, out=np.zeros_like(x @ W1)) @ W2


def sorted_values(x):
    return np.tanh(np.sort(x @ W1, axis=-1)) @ W2


def one_number(x):
    h = x @ W1
    return h / (1 + np.abs(h)) * (h.size / h.shape[0] / h.ndim) @ W2


def asarray(x):
    return np.tanh(np.asarray(x) @ W1) @ W2


def array_copy(x):
    h = np.array(x @ W1)
    return np.maximum(h, 0) @ W2


def preallocated(x):
    out = np.zeros((len(x), 16))
    out[:] = np.tanh(x @ W1)
    return out @ W2


def vectorized(x):
    return np.vectorize(lambda v: max(0.0, v))(x @ W1) @ W2


def hidden_escape(x):
    h = x @ W1
    return (h + np.maximum(np.asarray(h), 0)) @ W2


def dot_into_plain(x):
    out = np.empty((len(x), 16))
    np.dot(x, W1, out=out)
    return np.maximum(out, 0) @ W2


def add_into_plain(x):
    out = np.empty((len(x), 16))
    np.add(x @ W1, b1, out=out)
    return np.maximum(out, 0) @ W2


def plain_index(x):
    return np.eye(3)[(x @ W1).argmax(1) % 3]


IDIOMS = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and not isinstance(value, type)
}
OF_IMAGES = {
    "convolution_by_windows",
    "convolution_by_strides",
    "convolution_by_loops",
    "pooling_by_reshape",
}
EVERYTHING = Wanted(site_gradients=True, noise=True, steps=True, histograms=True)


def inputs_of(name):
    return IMAGES if name in OF_IMAGES else X


@pytest.mark.parametrize("name", IDIOMS)
def test_the_recorded_calls_give_what_the_function_gives(name):
    x = inputs_of(name)
    flow = seen(IDIOMS[name], Call((x,), {}), seed=0)
    assert flow.unobserved == ()
    for again in (flow.outputs()[0], dict(flow.run(flow.graph.outputs))[flow.graph.outputs[0]]):
        np.testing.assert_allclose(again, IDIOMS[name](x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", IDIOMS)
def test_gradients_are_those_of_finite_differences(name):
    single = name == "astype"
    step, tolerance = (1e-2, 0.05) if single else (1e-6, 1e-5)
    flow = seen(IDIOMS[name], Call((inputs_of(name),), {}), seed=0)
    readout = np.random.default_rng(0).normal(size=flow.outputs()[0].shape)
    found = flow.gradients(flow.graph.outputs[0], readout, [leaf.name for leaf in flow.leaves])
    assert found.parameters or name == "plain_index"
    for leaf in flow.leaves:
        direction = np.random.default_rng(1).normal(size=leaf.value.shape)
        ends = [
            float((flow.outputs({leaf.name: leaf.value + sign * step * direction})[0] * readout).sum())
            for sign in (1, -1)
        ]
        slope = float((found.parameters.get(leaf.name, np.zeros_like(direction)) * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=tolerance, abs=tolerance), (
            leaf.name
        )


ACTIVATIONS = {
    **dict.fromkeys(
        ("maximum", "mask_multiply", "where", "in_place_mask", "out_traced", "clip_method"), "relu"
    ),
    **dict.fromkeys(
        ("fmax", "relu_by_abs", "piecewise_otherwise", "loop_over_layers", "array_copy"), "relu"
    ),
    **dict.fromkeys(("vectorized", "hidden_escape", "dot_into_plain", "add_into_plain"), "relu"),
    **dict.fromkeys(
        ("view_written", "residual", "convolution_by_windows", "convolution_by_loops"), "relu"
    ),
    **dict.fromkeys(("leaky", "piecewise"), "leaky_relu(0.1)"),
    **dict.fromkeys(("einsum", "tensordot", "inner_and_outer_shapes", "astype", "asarray"), "tanh"),
    **dict.fromkeys(("transposed_batch", "recurrent", "accumulated", "preallocated"), "tanh"),
    **dict.fromkeys(("one_hot_rows", "one_hot_columns"), "tanh"),
    **dict.fromkeys(
        ("converted_weights", "scaled_weights", "normalised_weights", "homogeneous_bias"), "tanh"
    ),
    **dict.fromkeys(("sigmoid_by_exp", "stable_sigmoid", "split"), "sigmoid"),
    **dict.fromkeys(("softplus", "log1p_softplus"), "softplus"),
    "in_place_leaky": "leaky_relu(0.01)",
    "in_place_elu": "elu",
    "clip": "relu6",
    "gelu_tanh": "gelu_tanh",
    "silu": "silu",
    "one_number": "softsign",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_activation_is_known(name):
    trace = probe.trace(IDIOMS[name], Call((inputs_of(name),), {}), mode="train", seed=0)
    assert ACTIVATIONS[name] in [site.activation for site in trace.sites]


KINDS = {
    "layer_norm": "layer_norm",
    "standardised": "batch_norm",
    "softmax": "softmax",
    "attention": "softmax",
    "masked_attention": "softmax",
    "log_softmax": "log_softmax",
    "convolution_by_windows": "max_pool2d",
}


@pytest.mark.parametrize("name", KINDS)
def test_layers_that_are_spelled_out_are_known(name):
    trace = probe.trace(IDIOMS[name], Call((inputs_of(name),), {}), mode="train", seed=0)
    assert KINDS[name] in [site.op for site in trace.sites]


@pytest.mark.parametrize("name", sorted(set(IDIOMS) - {"plain_index"}))
def test_every_idiom_makes_a_whole_trace(name):
    trace = probe.trace(
        IDIOMS[name], Call((inputs_of(name),), {}), mode="train", seed=0, wanted=EVERYTHING
    )
    assert trace.gradient is not None
    assert trace.gradient.difference > 0
    assert any(site.weight is not None for site in trace.sites if site.kind == "linear")
    assert trace.training.stuck == ()


def test_sites_are_called_by_their_weights_and_what_stands_before_them_by_its_line():
    trace = probe.trace(concatenate, Call((X,), {}), mode="train", seed=0)
    names = [site.name for site in trace.sites]
    line = concatenate.__code__.co_firstlineno + 1
    assert f"concatenate:{line}.tanh" in names
    assert {"W1", "W1.relu", "W2"} <= set(names)


def test_fans_of_a_convolution_by_windows():
    trace = probe.trace(convolution_by_windows, Call((IMAGES,), {}), mode="train", seed=0)
    site = next(site for site in trace.sites if site.weight is not None)
    assert (site.op, site.weight.fan_in, site.units) == ("conv", 18, 4)
    assert site.coverage == pytest.approx((22 / 24) ** 2)
