"""A jaxpr becomes a graph that computes the same values and the same gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import jax as probe
from pytest_initcheck.probes.jax_models import functional

KEYS = jax.random.split(jax.random.key(7), 8)
PARAMS = {
    "a": jax.random.normal(KEYS[0], (6, 6)) / 6**0.5,
    "b": jax.random.normal(KEYS[1], (6, 6)) / 6**0.5,
    "c": jax.random.normal(KEYS[2], (6,)),
}
X = jax.random.normal(KEYS[3], (9, 6))


def flow_of(apply, params=None, *inputs):
    model = functional((apply, PARAMS if params is None else params), "train")
    flow, _ = probe._flow(model, Call(inputs or (X,), {}), 0)
    return flow


@jax.custom_vjp
def straight_through(x):
    return jnp.sign(x)


straight_through.defvjp(lambda x: (jnp.sign(x), None), lambda _, g: (g,))


@jax.custom_vjp
def reversal(x):
    return x


reversal.defvjp(lambda x: (x, None), lambda _, g: (-3 * g,))


@jax.custom_vjp
def clipped_gradient(x):
    return x * 1.0 + 0.5


clipped_gradient.defvjp(lambda x: (x * 1.0 + 0.5, None), lambda _, g: (jnp.clip(g, -1e-3, 1e-3),))


@jax.custom_jvp
def softened(x):
    return jnp.where(x > 0, x, 0) * 1.0


@softened.defjvp
def _(primals, tangents):
    return softened(*primals), jax.nn.sigmoid(4 * primals[0]) * tangents[0]


@jax.custom_jvp
def two_results(x):
    return x * 2, jnp.tanh(x)


@two_results.defjvp
def _(primals, tangents):
    return two_results(*primals), (tangents[0], 5 * tangents[0])


def between(function):
    """Put a function between two layers."""
    return lambda p, x: function(x @ p["a"] + p["c"]) @ p["b"]


def of_scan(p, x):
    def cell(h, t):
        h = jnp.tanh(h @ p["a"] + t * p["c"])
        return h, h @ p["b"]

    return lax.scan(cell, x, jnp.arange(4.0))


def of_scan_backwards(p, x):
    return lax.scan(lambda h, w: (jnp.sin(h @ w), h), x, jnp.stack([p["a"], p["b"]]), reverse=True)


def of_scan_with_rule(p, x):
    return lax.scan(lambda h, _: (straight_through(h @ p["a"]) + reversal(h), None), x, None, length=3)[
        0
    ]


def of_empty_scan(p, x):
    return lax.scan(lambda h, w: (h @ w, h), x @ p["a"], jnp.zeros((0, 6, 6)))


def of_cond(p, x):
    return lax.cond(jnp.sum(x) > 1e9, lambda h: h @ p["a"], lambda h: jnp.exp(h @ p["b"]), x)


def of_switch(p, x):
    return lax.switch(2, [jnp.tanh, jnp.sin, lambda h: h @ p["a"]], x)


def of_fori(p, x):
    return lax.fori_loop(0, 3, lambda i, h: jnp.tanh(h @ p["a"] + i), x)


def of_vmap(p, x):
    return jax.vmap(lambda row: jax.nn.softmax(row @ p["a"]) + p["c"])(x)


def of_vmapped_cond(p, x):
    one = lambda row: lax.cond(row[0] > 0, lambda r: r @ p["a"], lambda r: r @ p["b"], row)  # noqa: E731
    return jax.vmap(one)(x)


def of_remat(p, x):
    return jax.checkpoint(lambda h: jax.nn.gelu(h @ p["a"]))(x) @ p["b"]


def of_jit(p, x):
    return jax.jit(lambda h: jax.jit(jax.nn.relu)(h @ p["a"]))(x) @ p["b"]


def of_powers(p, x):
    h = x @ p["a"]
    return h**2 + h**3 + h**-1 + 2.0 ** (h / 9)


def of_pieces(p, x):
    left, right = jnp.split(x @ p["a"], 2, axis=1)
    whole = jnp.concatenate([left[:, ::-1], right, jnp.pad(left, ((0, 0), (1, 2)))], 1)
    return jnp.clip(lax.dynamic_slice(whole, (1, 2), (4, 5)), -1, 1)


def of_updates(p, x):
    buffer = jnp.zeros((9, 12)).at[:, 2:8].set(x @ p["a"]).at[:, 0].add(p["c"][0])
    return jnp.sort(buffer, axis=-1), lax.top_k(x @ p["b"], 2)[0]


def of_embedding(p, x):
    ids = jnp.array([[1, 2, 5], [0, 0, 3]])
    return jnp.take(p["a"], ids, axis=0) @ p["b"] + p["c"][ids][..., None]


def of_windows(p, x):
    image = (x @ p["a"]).reshape(9, 6, 1, 1) * jnp.ones((1, 1, 4, 2))
    pooled = lax.reduce_window(image, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")
    return pooled, lax.reduce_window(image, 0.0, lax.add, (1, 2, 2, 1), (1, 1, 1, 1), "VALID")


def of_convolution(p, x):
    image = x.reshape(9, 6, 1)
    kernel = p["a"].reshape(3, 1, 12)
    return lax.conv_general_dilated(image, kernel, (2,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"))


MODELS = {
    "relu at zero": between(lambda h: jax.nn.relu(h * 0.0)),
    "jax.nn.silu, logsumexp": between(lambda h: jax.nn.silu(h) + jax.nn.logsumexp(h, -1, keepdims=True)),
    "a straight-through estimator": between(straight_through),
    "a reversed gradient": between(reversal),
    "a clipped gradient": between(clipped_gradient),
    "a slope of its own": between(softened),
    "rules for two results": between(lambda h: sum(two_results(h))),
    "a stopped gradient": between(lambda h: lax.stop_gradient(h) + h),
    "scan": of_scan,
    "scan, reversed": of_scan_backwards,
    "scan, with rules": of_scan_with_rule,
    "scan, of nothing": of_empty_scan,
    "cond": of_cond,
    "switch": of_switch,
    "fori_loop": of_fori,
    "vmap": of_vmap,
    "cond under vmap": of_vmapped_cond,
    "remat": of_remat,
    "jit in jit": of_jit,
    "powers": of_powers,
    "pieces": of_pieces,
    "updates, sorted": of_updates,
    "embedding": of_embedding,
    "windows": of_windows,
    "convolution": of_convolution,
}


@pytest.mark.parametrize("apply", MODELS.values(), ids=MODELS)
def test_values_are_those_of_the_function(apply):
    for ours, theirs in zip(flow_of(apply).outputs(), jax.tree.leaves(apply(PARAMS, X)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("apply", MODELS.values(), ids=MODELS)
def test_gradients_are_those_of_jax(apply):
    flow = flow_of(apply)
    rng = np.random.default_rng(3)
    cotangents = tuple(rng.normal(size=np.shape(out)).astype(np.float32) for out in flow.outputs())

    def readout(params):
        found = jax.tree.leaves(apply(params, X))
        return sum(jnp.sum(out * c) for out, c in zip(found, cotangents, strict=True))

    theirs = jax.grad(readout)(PARAMS)
    ours = flow.step_gradients(
        {name: np.asarray(value) for name, value in PARAMS.items()}, cotangents, None
    )
    assert ours is not None
    for name, gradient in theirs.items():
        np.testing.assert_allclose(ours.get(name, 0), gradient, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("apply", MODELS.values(), ids=MODELS)
def test_every_node_can_be_asked_for(apply):
    flow = flow_of(apply)
    wanted = [node.index for node in flow.graph.nodes if "key" not in node.dtype]
    for index, value in flow.run(wanted):
        node = flow.graph.nodes[index]
        assert value.shape == node.shape
        assert all(read < index for read in node.reads)


def test_a_while_loop_is_unrolled_as_often_as_it_ran():
    def apply(p, x):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.tanh(s[1] @ p["a"])), (0, x))[
            1
        ]

    flow = flow_of(apply)
    assert sum(node.op == "matmul" for node in flow.graph.nodes) == 3
    np.testing.assert_allclose(flow.outputs()[0], apply(PARAMS, X), rtol=1e-5, atol=1e-6)
    assert flow.unobserved == ()


def test_a_while_loop_that_depends_on_the_signal_is_unrolled():
    def apply(p, x):
        return lax.while_loop(lambda h: jnp.sum(h**2) < 1e4, lambda h: 2 * h @ p["a"] + h, x)

    np.testing.assert_allclose(flow_of(apply).outputs()[0], apply(PARAMS, X), rtol=1e-4)


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_a_loop_that_runs_too_often_is_listed(loop):
    def scan(p, x):
        return lax.scan(lambda h, _: (jnp.sin(h + p["c"]), None), x, None, length=30_000)[0] @ p["a"]

    def whiled(p, x):
        long = lax.while_loop(lambda s: s[0] < 30_000, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))[1]
        return long @ p["a"]

    flow = flow_of({"scan": scan, "while": whiled}[loop])
    assert [place for place, _ in flow.unobserved] == [loop]
    apply = {"scan": scan, "while": whiled}[loop]
    np.testing.assert_allclose(flow.outputs()[0], apply(PARAMS, X), rtol=1e-4, atol=1e-5)


def test_what_runs_outside_of_jax_is_listed():
    def apply(p, x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return x @ p["a"] + jax.pure_callback(lambda v: np.tanh(v), shape, x)

    flow = flow_of(apply)
    assert any("pure_callback" in reason for _, reason in flow.unobserved)
    np.testing.assert_allclose(flow.outputs()[0], apply(PARAMS, X), rtol=1e-5, atol=1e-6)


def test_noise_is_added_to_an_operand_or_a_value():
    flow = flow_of(lambda p, x: jnp.where(x @ p["a"] > 0, x @ p["b"], x * 3))
    graph = flow.graph
    (choice,) = [node for node in graph.nodes if node.op == "where"]
    plain = flow.outputs()[0]
    added = np.full(choice.shape, 2.0, np.float32)
    np.testing.assert_allclose(flow.outputs(noise={(choice.index, -1): added})[0], plain + 2, rtol=1e-5)
    chosen = dict(flow.run([choice.reads[0]]))[choice.reads[0]]
    moved = flow.outputs(noise={(choice.index, 1): added})[0]
    np.testing.assert_allclose(moved, np.where(chosen, plain + 2, plain), rtol=1e-5)


def test_one_operand_of_a_square_is_one_of_two():
    flow = flow_of(lambda p, x: (x @ p["a"]) * (x @ p["b"]))
    square = flow_of(lambda p, x: (lambda h: h * h)(x @ p["a"]))
    for each in (flow, square):
        (product,) = [node for node in each.graph.nodes if node.op == "mul"]
        left, right = (dict(each.run(product.reads))[read] for read in product.reads)
        ones = np.ones(product.shape, np.float32)
        for place, kept in enumerate((right, left)):
            moved = each.outputs(noise={(product.index, place): ones})[0]
            np.testing.assert_allclose(moved, left * right + kept, rtol=1e-4, atol=1e-5)


def test_the_gradient_at_a_node_is_that_of_what_is_added_to_it():
    flow = flow_of(lambda p, x: jnp.tanh(x @ p["a"] + p["c"]) @ p["b"])
    (hidden,) = [node for node in flow.graph.nodes if node.op == "tanh"]
    target = flow.graph.outputs[0]
    found = flow.gradients(target, np.ones((9, 6), np.float32), ["a", "b", "c"], [hidden.index])
    assert found is not None
    np.testing.assert_allclose(found.nodes[hidden.index], np.ones((9, 6)) @ PARAMS["b"].T, rtol=1e-4)
    assert set(found.parameters) == {"a", "b", "c"}


def test_a_parameter_that_the_target_does_not_depend_on_is_left_out():
    flow = flow_of(lambda p, x: x @ p["a"] + lax.stop_gradient(p["c"]))
    found = flow.gradients(flow.graph.outputs[0], np.ones((9, 6), np.float32), list(PARAMS))
    assert found is not None
    assert set(found.parameters) == {"a"}


def test_two_derivatives_of_one_function_are_not_confused():
    """Programs are compiled once for all that are alike; a derivative is part of what they are."""

    def model(factor):
        @jax.custom_vjp
        def scaled(x):
            return jnp.tanh(x)

        scaled.defvjp(lambda x: (jnp.tanh(x), None), lambda _, g: (factor * g,))
        return between(scaled)

    def gradient(factor):
        flow = flow_of(model(factor))
        found = flow.gradients(flow.graph.outputs[0], np.ones((9, 6), np.float32), ["a"])
        assert found is not None
        return found.parameters["a"]

    np.testing.assert_allclose(gradient(4.0), 4 * gradient(1.0), rtol=1e-5)


def test_two_constants_of_one_shape_are_not_confused():
    one, two = (
        flow_of(lambda p, x, c=c: x @ p["a"] * c).outputs()[0] for c in (jnp.ones(6), 2 * jnp.ones(6))
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)
    big = [
        flow_of(lambda p, x, c=c: (x @ p["a"])[:, :1] * c[None]).outputs()[0] for c in big_constants()
    ]
    np.testing.assert_allclose(big[1], 2 * big[0], rtol=1e-6)


def big_constants():
    many = jax.random.normal(KEYS[4], (5000,))
    return many, many * jnp.where(jnp.arange(5000) >= 0, 2.0, 1.0)


def test_programs_alike_are_one():
    first, second = flow_of(of_jit), flow_of(of_jit, jax.tree.map(lambda v: 2 * v, PARAMS))
    assert first.program == second.program
    assert hash(first.program) == hash(second.program)
    assert first.program != flow_of(of_remat).program
