"""What operations are together: activations, norms, softmax, means, masks, however they are written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck.activations import activation
from pytest_initcheck.probes.graph.tracing import trace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6))
W = RNG.normal(size=(6, 8))
G, B = 1 + RNG.normal(size=8) / 4, RNG.normal(size=8)


def sites(made, output, batch=16):
    return trace(made.flow(output), framework="made", batch=batch, seed=0).sites


def after(made, output, batch=16):
    """(kind, op, activation) of what comes behind the layer."""
    found = sites(made, output, batch)
    first = next(s.index for s in found if s.weight is not None)
    return [(s.kind, s.op, s.activation) for s in found[first + 1 :]]


def layer(made, shape=(16,)):
    x = made.input(RNG.normal(size=(*shape, 6)))
    return made.dense(x, "fc", W)


# -- activations -----------------------------------------------------------------------------------


def exponential_linear(m, z, alpha):
    positive = m.make("gt", z, 0.0)
    safe = m.make("where", positive, 0.0, z)
    return m.make("where", positive, z, m.make("mul", alpha, m.make("expm1", safe)))


def soft_plus(m, z):
    """As jax.numpy.logaddexp writes it, with its guard against nan."""
    peak = m.make("maximum", z, 0.0)
    delta = m.make("sub", z, 0.0)
    plain = m.make("add", z, 0.0)
    tail = m.make("log1p", m.make("exp", m.make("neg", m.make("abs", delta))))
    return m.make("where", m.make("ne", delta, delta), plain, m.make("add", peak, tail))


def gelu_tanh(m, z):
    cube = m.make("mul", 0.044715, m.make("power", z, 3.0))
    inner = m.make("mul", math.sqrt(2 / math.pi), m.make("add", z, cube))
    return m.make("mul", z, m.make("mul", 0.5, m.make("add", 1.0, m.make("tanh", inner))))


def relu6(m, z):
    return m.make("minimum", m.make("maximum", z, 0.0), 6.0)


SPELLINGS = {
    "relu": {
        "maximum": lambda m, z: m.make("maximum", z, 0.0),
        "maximum of zeros": lambda m, z: m.make("maximum", np.zeros(8), z),
        "where": lambda m, z: m.make("where", m.make("gt", z, 0.0), z, 0.0),
        "where the other way": lambda m, z: m.make("where", m.make("le", z, 0.0), 0.0, z),
        "mask": lambda m, z: m.make("mul", z, m.make("gt", z, 0.0)),
        "float mask": lambda m, z: m.make(
            "mul", z, m.make("cast", m.make("ge", z, 0.0), dtype="float64")
        ),
        "clip": lambda m, z: m.make("clip", z, 0.0, np.inf),
        "clip to a cap": lambda m, z: m.make("clip", z, 0.0, 20.0),
        "half of both": lambda m, z: m.make("mul", 0.5, m.make("add", z, m.make("abs", z))),
        "what is left": lambda m, z: m.make("sub", z, m.make("minimum", z, 0.0)),
        "kept name": lambda m, z: m.make("relu", z),
    },
    "relu6": {"both": relu6, "clip": lambda m, z: m.make("clip", z, 0.0, 6.0)},
    "leaky_relu(0.2)": {
        "maximum": lambda m, z: m.make("maximum", z, m.make("mul", 0.2, z)),
        "where": lambda m, z: m.make("where", m.make("ge", z, 0.0), z, m.make("mul", z, 0.2)),
        "kept name": lambda m, z: m.make("leaky_relu", z, slope=0.2),
    },
    "leaky_relu(0.25)": {
        "prelu": lambda m, z: m.make(
            "where",
            m.make("gt", z, 0.0),
            z,
            m.make("mul", m.parameter("slope", np.full(8, 0.25)), z),
        ),
        "prelu of two parts": lambda m, z: m.make(
            "add",
            m.make("maximum", z, 0.0),
            m.make("mul", m.parameter("slope", 0.25), m.make("minimum", z, 0.0)),
        ),
    },
    "elu": {"where": lambda m, z: exponential_linear(m, z, 1.0)},
    "elu(0.5)": {
        "where": lambda m, z: exponential_linear(m, z, 0.5),
        "kept name": lambda m, z: m.make("elu", z, alpha=0.5),
    },
    "celu(2)": {
        "two parts": lambda m, z: m.make(
            "add",
            m.make("maximum", z, 0.0),
            m.make("mul", 2.0, m.make("expm1", m.make("div", m.make("minimum", z, 0.0), 2.0))),
        ),
    },
    "selu": {
        "where": lambda m, z: m.make(
            "mul", 1.0507009873554805, exponential_linear(m, z, 1.6732632423543772)
        )
    },
    "softplus": {
        "guarded": soft_plus,
        "plain": lambda m, z: m.make("log", m.make("add", 1.0, m.make("exp", z))),
        "log1p": lambda m, z: m.make("log1p", m.make("exp", z)),
        "logaddexp": lambda m, z: m.make("logaddexp", z, 0.0),
    },
    "silu": {
        "sigmoid": lambda m, z: m.make("mul", z, m.make("sigmoid", z)),
        "exp": lambda m, z: m.make("div", z, m.make("add", 1.0, m.make("exp", m.make("neg", z)))),
    },
    "gelu": {
        "erf": lambda m, z: m.make(
            "mul",
            m.make("mul", 0.5, z),
            m.make("add", 1.0, m.make("erf", m.make("div", z, math.sqrt(2)))),
        ),
        "erfc": lambda m, z: m.make(
            "mul", m.make("mul", 0.5, z), m.make("erfc", m.make("mul", z, -math.sqrt(0.5)))
        ),
    },
    "gelu_tanh": {
        "tanh": gelu_tanh,
        "kept name": lambda m, z: m.make("gelu", z, approximate=True),
    },
    "mish": {"softplus": lambda m, z: m.make("mul", z, m.make("tanh", soft_plus(m, z)))},
    "sigmoid": {
        "primitive": lambda m, z: m.make("sigmoid", z),
        "exp": lambda m, z: m.make(
            "div", 1.0, m.make("add", 1.0, m.make("exp", m.make("mul", -1.0, z)))
        ),
        "tanh": lambda m, z: m.make(
            "mul", 0.5, m.make("add", 1.0, m.make("tanh", m.make("mul", 0.5, z)))
        ),
    },
    "log_sigmoid": {"softplus": lambda m, z: m.make("neg", soft_plus(m, m.make("neg", z)))},
    "tanh": {
        "primitive": lambda m, z: m.make("tanh", z),
        "exp": lambda m, z: m.make(
            "sub",
            1.0,
            m.make("div", 2.0, m.make("add", 1.0, m.make("exp", m.make("mul", 2.0, z)))),
        ),
    },
    "hardtanh": {
        "clip": lambda m, z: m.make("clip", z, -1.0, 1.0),
        "where": lambda m, z: m.make(
            "where",
            m.make("gt", z, 1.0),
            1.0,
            m.make("where", m.make("lt", z, -1.0), -1.0, z),
        ),
    },
    "hardsigmoid": {
        "relu6": lambda m, z: m.make("div", relu6(m, m.make("add", z, 3.0)), 6.0),
    },
    "hardswish": {
        "relu6": lambda m, z: m.make("mul", z, m.make("div", relu6(m, m.make("add", z, 3.0)), 6.0)),
    },
    "softsign": {"abs": lambda m, z: m.make("div", z, m.make("add", 1.0, m.make("abs", z)))},
    "erf": {"primitive": lambda m, z: m.make("erf", z)},
    "sin": {"primitive": lambda m, z: m.make("sin", z)},
}


@pytest.mark.parametrize(
    ("name", "spelling"), [(name, how) for name, hows in SPELLINGS.items() for how in hows]
)
def test_an_activation_however_it_is_written(made, name, spelling):
    z = layer(made)
    y = SPELLINGS[name][spelling](made, z)
    assert after(made, y) == [("activation", name.partition("(")[0], name)]
    if (dtype := made.nodes[y].dtype) == "float64" and spelling != "clip to a cap":
        assert dtype
        assert np.allclose(made.values[y], activation(name).phi(made.values[z]), atol=1e-6)


def test_a_shift_stays_a_site_of_its_own(made):
    y = made.make("maximum", made.make("sub", layer(made), 0.5), 0.0)
    assert after(made, y) == [("add", "sub", None), ("activation", "relu", "relu")]


def test_a_learnt_scale_is_no_part_of_the_activation(made):
    y = made.make("tanh", made.make("mul", layer(made), made.parameter("g", np.ones(8))))
    assert after(made, y) == [("mul", "mul", None), ("activation", "tanh", "tanh")]
    y = made.make("mul", made.make("maximum", layer(made), 0.0), made.parameter("g", np.ones(8)))
    assert after(made, y) == [("activation", "relu", "relu"), ("mul", "mul", None)]


def test_a_learnt_slope_is_multiplicative(made):
    y = SPELLINGS["leaky_relu(0.25)"]["prelu"](made, layer(made))
    found = trace(made.flow(y), framework="made", batch=16, seed=0)
    slope = next(p for p in found.parameters if p.name == "slope")
    assert slope.multiplicative
    assert slope.used


def test_polynomials_are_no_activations(made):
    z = layer(made)
    y = made.make("add", made.make("mul", z, z), z)
    assert after(made, y) == [("mul", "mul", None), ("add", "add", None)]


def test_a_gate_on_its_own_input_does_not_saturate(made):
    z = layer(made)
    y = made.make("mul", z, made.make("sigmoid", made.make("mul", 1.702, z)))
    assert after(made, y) == [
        ("mul", "mul", None),
        ("activation", "sigmoid", None),
        ("mul", "mul", None),
    ]


def test_a_gate_of_another_layer_saturates(made):
    x = made.input(X)
    y = made.make("mul", made.dense(x, "v", W), made.make("sigmoid", made.dense(x, "g", W)))
    gate = next(s for s in sites(made, y) if s.op == "sigmoid")
    assert gate.saturated is not None


def test_what_is_read_elsewhere_stays_a_site(made):
    z = layer(made)
    gate = made.make("sigmoid", z)
    y = made.make("add", made.make("mul", z, gate), gate)
    assert ("activation", "sigmoid", "sigmoid") in after(made, y)


# -- normalisations --------------------------------------------------------------------------------


def affine(m, x, names=("norm.scale", "norm.bias"), shape=(8,)):
    y = m.make("mul", x, m.parameter(names[0], np.resize(G, shape)))
    return m.make("add", y, m.parameter(names[1], np.resize(B, shape)))


def variance(m, x, axes, how):
    mean = m.mean(x, axes)
    if how == "of deviations":
        return mean, m.mean(m.make("square", m.make("sub", x, mean)), axes)
    if how == "product":
        deviation = m.make("sub", x, mean)
        return mean, m.mean(m.make("mul", deviation, deviation), axes)
    if how == "var":
        return mean, m.make("var", x, axes=axes, keepdims=True)
    power = m.mean(m.make("power", x, 2.0), axes)
    return mean, m.make("maximum", m.make("sub", power, m.make("square", mean)), 0.0)


def inverse(m, spread, how):
    spread = m.make("add", spread, 1e-5)
    if how == "rsqrt":
        return m.make("rsqrt", spread)
    if how == "power":
        return m.make("power", spread, -0.5)
    return m.make("div", 1.0, m.make("sqrt", spread))


@pytest.mark.parametrize("spread", ["of deviations", "product", "var", "of squares"])
@pytest.mark.parametrize("root", ["rsqrt", "power", "sqrt"])
def test_a_layer_norm_however_it_is_written(made, spread, root):
    x = layer(made, (16, 3))
    mean, var = variance(made, x, (2,), spread)
    y = affine(made, made.make("mul", made.make("sub", x, mean), inverse(made, var, root)))
    (found,) = sites(made, y)[2:]
    assert (found.kind, found.op, found.name, found.reads) == ("norm", "layer_norm", "norm", (1,))


AFFINE = {
    "scale first": lambda m, x, mean, inv, g, b: m.make(
        "add", m.make("mul", m.make("sub", x, mean), m.make("mul", inv, g)), b
    ),
    "shift": lambda m, x, mean, inv, g, b: m.make(
        "add",
        m.make("mul", x, m.make("mul", inv, g)),
        m.make("sub", b, m.make("mul", mean, m.make("mul", inv, g))),
    ),
    "shift of the negative": lambda m, x, mean, inv, g, b: m.make(
        "add",
        m.make("mul", x, m.make("mul", inv, g)),
        m.make("add", m.make("mul", m.make("neg", mean), m.make("mul", inv, g)), b),
    ),
    "no offset": lambda m, x, mean, inv, g, b: m.make(
        "mul", g, m.make("mul", inv, m.make("sub", x, mean))
    ),
    "none": lambda m, x, mean, inv, g, b: m.make("mul", inv, m.make("sub", x, mean)),
}


@pytest.mark.parametrize("how", AFFINE)
def test_the_affine_map_belongs_to_the_norm(made, how):
    x = layer(made)
    mean, var = variance(made, x, (1,), "var")
    g, b = made.parameter("n.g", G), made.parameter("n.b", B)
    y = AFFINE[how](made, x, mean, inverse(made, var, "rsqrt"), g, b)
    found = trace(made.flow(y), framework="made", batch=16, seed=0)
    assert [(s.kind, s.op) for s in found.sites[2:]] == [("norm", "layer_norm")]
    roles = {p.name: p.multiplicative for p in found.parameters if p.used}
    if how not in ("none", "no offset"):
        assert roles == {"fc.kernel": True, "n.g": True, "n.b": False}


def test_an_offset_of_a_norm_is_a_bias(made):
    x = layer(made)
    mean, var = variance(made, x, (1,), "var")
    y = affine(made, made.make("mul", made.make("sub", x, mean), inverse(made, var, "rsqrt")))
    z = made.dense(made.make("tanh", y), "out", W.T)
    found = trace(made.flow(z), framework="made", batch=16, seed=0)
    by_name = {p.name: p for p in found.parameters}
    assert not by_name["norm.bias"].multiplicative
    assert found.gradient.matrices == 3


def test_an_rms_norm(made):
    x = layer(made)
    inv = made.make("rsqrt", made.make("add", made.mean(made.make("square", x), (1,)), 1e-6))
    y = made.make("mul", made.make("mul", x, inv), made.parameter("rms.scale", G))
    assert after(made, y) == [("norm", "rms_norm", None)]
    y = made.make(
        "div", x, made.make("sqrt", made.make("add", made.mean(made.make("square", x), (1,)), 1e-6))
    )
    assert after(made, y) == [("norm", "rms_norm", None)]


def test_a_batch_norm(made):
    x = layer(made, (16, 3))
    mean, var = variance(made, x, (0, 1), "of squares")
    y = affine(made, made.make("mul", made.make("sub", x, mean), inverse(made, var, "rsqrt")))
    assert after(made, y) == [("norm", "batch_norm", None)]


def test_a_group_norm(made):
    x = layer(made, (16, 5))
    grouped = made.make("reshape", x, shape=(16, 5, 2, 4))
    mean, var = variance(made, grouped, (1, 3), "of deviations")
    y = made.make("mul", made.make("sub", grouped, mean), inverse(made, var, "rsqrt"))
    y = affine(made, made.make("reshape", y, shape=(16, 5, 8)))
    assert after(made, y) == [("norm", "group_norm", None)]


def test_running_statistics(made):
    x = layer(made)
    centred = made.make("sub", x, made.state(B))
    inv = made.make("rsqrt", made.make("add", made.state(np.abs(G)), 1e-5))
    y = affine(made, made.make("mul", centred, made.make("mul", inv, made.parameter("bn.scale", G))))
    assert after(made, y) == [("norm", "batch_norm", None)]


def test_statistics_of_something_else_are_no_norm(made):
    x = made.input(X)
    one, other = made.dense(x, "a", W), made.dense(x, "b", W)
    mean, var = variance(made, other, (1,), "of deviations")
    y = made.make("mul", made.make("sub", one, mean), inverse(made, var, "rsqrt"))
    assert "layer_norm" not in [s.op for s in sites(made, y)]


def test_a_mean_over_a_wrong_count_is_no_mean(made):
    x = layer(made)
    y = made.make("div", made.make("sum", x, axes=(1,), keepdims=True), 7.0)
    assert after(made, y) == [("pool", "sum", None), ("mul", "div", None)]


# -- softmax ---------------------------------------------------------------------------------------


def exponentials(m, z, how):
    if how == "plain":
        return m.make("exp", z)
    peak = m.make("max", z, axes=(1,), keepdims=True)
    if how == "guarded":
        peak = m.make("stop_gradient", m.make("maximum", -np.inf, peak))
    return m.make("exp", m.make("sub", z, peak))


@pytest.mark.parametrize("how", ["plain", "shifted", "guarded"])
def test_a_softmax_however_it_is_written(made, how):
    e = exponentials(made, layer(made), how)
    total = made.make("sum", e, axes=(1,), keepdims=True)
    for y in (
        made.make("div", e, total),
        made.make("mul", e, made.make("reciprocal", total)),
        made.make("div", e, made.make("add", total, 1e-9)),
    ):
        (found,) = sites(made, y)[2:]
        assert (found.kind, found.op, found.name) == ("softmax", "softmax", "fc.softmax")
        assert found.saturated == np.mean(made.values[y].max(1) > 0.9873)


def test_a_log_softmax(made):
    z = layer(made)
    peak = made.make("max", z, axes=(1,), keepdims=True)
    shifted = made.make("sub", z, peak)
    logarithm = made.make("log", made.make("sum", made.make("exp", shifted), axes=(1,), keepdims=True))
    for y in (
        made.make("sub", shifted, logarithm),
        made.make("sub", z, made.make("add", logarithm, peak)),
        made.make(
            "sub", z, made.make("log", made.make("sum", made.make("exp", z), axes=(1,), keepdims=True))
        ),
    ):
        assert after(made, y) == [("softmax", "log_softmax", None)]


def test_a_quotient_of_other_sums_is_no_softmax(made):
    z = layer(made)
    total = made.make("sum", made.make("exp", made.make("neg", z)), axes=(1,), keepdims=True)
    assert after(made, made.make("div", made.make("exp", z), total))[-1] == ("mul", "div", None)


def test_masked_rows_choose_nothing(made):
    scores = made.make("matmul", made.dense(made.input(X), "q", 9 * W[:, :4]), W[:, :4].T,
                       contract=((1,), (0,)), batch=((), ()))  # fmt: skip
    mask = np.zeros((16, 6), bool)
    mask[:, 0] = True
    y = made.make("softmax", made.make("where", mask, scores, -1e9), axis=1)
    assert sites(made, y)[-1].saturated is None


# -- means, pools, masks ---------------------------------------------------------------------------


def test_means_are_one_site(made):
    x = layer(made, (16, 5))
    assert after(made, made.mean(x, (1,), keepdims=False)) == [("pool", "mean", None)]
    y = made.make("mul", made.make("sum", x, axes=(1,), keepdims=False), 1 / 5)
    assert after(made, y) == [("pool", "mean", None)]
    assert after(made, made.make("max", x, axes=(1,), keepdims=False)) == [("pool", "amax", None)]


def image(made):
    return made.conv(made.input(RNG.normal(size=(16, 6, 6, 3))), "c", RNG.normal(size=(3, 3, 3, 4)))


WINDOW = {"size": (1, 2, 2, 1), "strides": (1, 2, 2, 1), "padding": ((0, 0),) * 4}


def test_pools_over_windows(made):
    x = image(made)
    assert after(made, made.make("window_max", x, **WINDOW)) == [("pool", "max_pool2d", None)]
    assert after(made, made.make("window_mean", x, **WINDOW)) == [("pool", "avg_pool2d", None)]
    y = made.make("div", made.make("window_sum", x, **WINDOW), 4.0)
    assert after(made, y) == [("pool", "avg_pool2d", None)]


def test_a_pool_that_counts_what_is_inside(made):
    same = {**WINDOW, "padding": ((0, 0), (0, 1), (0, 1), (0, 0)), "strides": (1, 1, 1, 1)}
    x = image(made)
    counts = made.make("window_sum", np.ones(made.nodes[x].shape), **same)
    y = made.make("div", made.make("window_sum", x, **same), counts)
    assert after(made, y) == [("pool", "avg_pool2d", None)]


DROPOUT = {
    "where": lambda m, x, kept: m.make("where", kept, m.make("div", x, 0.5), 0.0),
    "product": lambda m, x, kept: m.make("mul", m.make("div", x, 0.5), kept),
    "scaled mask": lambda m, x, kept: m.make(
        "mul", x, m.make("div", m.make("cast", kept, dtype="float64"), 0.5)
    ),
}


@pytest.mark.parametrize("how", DROPOUT)
def test_dropout_is_no_site(made, how):
    x = layer(made)
    kept = made.make("lt", made.random(RNG.uniform(size=(16, 8))), 0.5)
    y = made.make("tanh", DROPOUT[how](made, x, kept))
    assert after(made, y) == [("activation", "tanh", "tanh")]


def test_a_drawn_factor_is_a_signal(made):
    noise = made.random(RNG.normal(size=(16, 8)))
    assert after(made, made.make("mul", layer(made), noise)) == [("mul", "mul", None)]


def test_a_mask_is_no_signal(made):
    z = layer(made)
    y = made.make("where", np.tri(16, 8, dtype=bool), z, -1e9)
    assert after(made, y) == [("other", "where", None)]
