"""Reverse mode over recorded graphs, against finite differences of the recorded calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.reverse import NoRule, pullback
from pytest_initcheck.probes.numpy_runs import seen

SMOOTH = {
    name: getattr(np, name)
    for name in (
        *("negative", "square", "exp", "exp2", "expm1", "tanh", "sinh", "cosh", "sin", "cos", "arctan"),
        *("arcsinh", "abs", "sign", "floor", "deg2rad", "rad2deg", "cbrt", "reciprocal"),
    )
} | {
    "sqrt": lambda x: np.sqrt(np.abs(x) + 0.5),
    "log": lambda x: np.log(np.abs(x) + 0.5),
    "log1p": lambda x: np.log1p(x * x),
    "log2": lambda x: np.log2(np.abs(x) + 0.5),
    "log10": lambda x: np.log10(np.abs(x) + 0.5),
    "tan": lambda x: np.tan(0.3 * np.tanh(x)),
    "arcsin": lambda x: np.arcsin(0.9 * np.tanh(x)),
    "arccos": lambda x: np.arccos(0.9 * np.tanh(x)),
    "arctanh": lambda x: np.arctanh(0.9 * np.tanh(x)),
    "arccosh": lambda x: np.arccosh(1.5 + x * x),
    "power": lambda x: np.power(np.abs(x) + 0.5, 1.7),
    "cube": lambda x: x**3,
    "exponent": lambda x: np.power(2.5, x),
    "relu": lambda x: np.maximum(x, 0.1),
    "clip": lambda x: np.clip(x, -0.7, 0.9),
    "where": lambda x: np.where(x > 0.2, 3 * x, x * x),
    "nan_to_num": lambda x: np.nan_to_num(x * x),
    "cast": lambda x: x.astype(np.float64) * 2,
    "fmod": lambda x: np.round(x) + x,
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": lambda a, b: a / (np.abs(b) + 0.5),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": lambda a, b: (np.abs(a) + 0.5) ** b,
    "logaddexp": np.logaddexp,
    "hypot": lambda a, b: np.hypot(a + 3, b),
    "arctan2": lambda a, b: np.arctan2(a + 3, b),
    "matmul": lambda a, b: np.tanh(a @ b.T) @ b,
    "outer": lambda a, b: np.outer(a[0], b[0])[: len(a), : a.shape[1]] + 0 * a,
    "concatenate": lambda a, b: np.concatenate([a, b], 1)[:, ::2],
    "stack": lambda a, b: np.stack([a, b]).prod(0),
    "einsum": lambda a, b: np.einsum("ij,ik->ik", a, b),
    "where": lambda a, b: np.where(a > b, a, -b),
}
SHAPING = {
    "reshape": lambda x: x.reshape(-1, x.shape[0]).T,
    "double transpose": lambda x: x.T.copy().T[::-1],
    "mean": lambda x: x - x.mean(0),
    "sum": lambda x: x / (1 + np.abs(x.sum(1, keepdims=True))),
    "var": lambda x: x * x.var(axis=1, keepdims=True),
    "std": lambda x: x * np.std(x, 0, ddof=1),
    "max": lambda x: x - x.max(1, keepdims=True),
    "min": lambda x: x * x.min(),
    "prod": lambda x: x + np.prod(x, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "take": lambda x: x[:, [0, -1, 0, 1]][:, : x.shape[1]],
    "pairs": lambda x: x + x[[0, 1], [1, 0]].sum(),
    "two axes": lambda x: np.stack([x, 2 * x], 1)[:, [0, 1, 1], [1, 0, 1]],
    "gather": lambda x: np.take_along_axis(x, np.argsort(np.arange(x.size).reshape(x.shape) % 3, 1), 1),
    "sort": lambda x: np.sort(x, axis=1),
    "pad": lambda x: np.pad(x, ((0, 0), (1, 1)))[:, : x.shape[1]],
    "reflect": lambda x: np.pad(x, ((0, 0), (1, 0)), mode="reflect")[:, : x.shape[1]],
    "roll": lambda x: np.roll(x, 1, axis=1) * x,
    "repeat": lambda x: np.repeat(x, 2, axis=1)[:, 1::2],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape) * x,
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1).sum(-1),
    "window max": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1).max(-1),
    "window mean": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1)[:, ::2].mean(-1),
    "mask": lambda x: _masked(x),
    "part": lambda x: _part_written(x),
    "norm": lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
    "ptp": lambda x: x * np.ptp(x),
    "average": lambda x: x - np.average(x, axis=1, weights=np.arange(1.0, x.shape[1] + 1))[:, None],
    "triangle": lambda x: np.tril(x @ x.T) @ x,
    "split": lambda x: np.hstack(np.split(x, [1], axis=1)[::-1]),
}


def _masked(x):
    y = x * 1.0
    y[y < 0] *= 0.3
    return y


def _part_written(x):
    y = np.zeros_like(x)
    y[:, 1:] = x[:, :-1] ** 2
    y[:, 0] += x[:, -1]
    return y


def slopes(function, *arrays, seed=0):
    """Return (reverse mode, finite differences) of the slope along one direction in all arrays."""
    rng = np.random.default_rng(seed)
    arrays = [np.array(a) for a in arrays]
    first, rest = arrays[0], arrays[1:]

    def model(x):
        return function(first, *rest) + 0 * x.sum()

    flow = seen(model, Call((np.ones((len(first), 1)),), {}), seed=0)
    readout = rng.normal(size=flow.outputs()[0].shape)
    names = [leaf.name for leaf in flow.leaves]
    found = flow.gradients(flow.graph.outputs[0], readout, names)
    assert found is not None
    directions = {leaf.name: rng.normal(size=leaf.value.shape) for leaf in flow.leaves}
    step = 1e-6
    ends = [
        (
            flow.outputs(
                {leaf.name: leaf.value + sign * step * directions[leaf.name] for leaf in flow.leaves}
            )[0]
            * readout
        ).sum()
        for sign in (1, -1)
    ]
    reverse = sum(
        float((found.parameters[n] * directions[n]).sum()) for n in names if n in found.parameters
    )
    return reverse, (ends[0] - ends[1]) / (2 * step)


def arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("name", SMOOTH)
def test_functions_of_one_array(name):
    reverse, difference = slopes(SMOOTH[name], *arrays(1, (4, 5)))
    assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays(name):
    reverse, difference = slopes(BINARY[name], *arrays(2, (4, 5), (4, 5)))
    assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum", "logaddexp", "where"])
@pytest.mark.parametrize("shape", [(5,), (4, 1), (1, 5), ()])
def test_operands_that_are_broadcast(name, shape):
    for order in (slice(None), slice(None, None, -1)):
        one, other = arrays(3, (4, 5), shape)
        function = BINARY[name]
        both = [one, other][order]

        def ordered(a, b, function=function, order=order):
            return function(*[a, b][order])

        reverse, difference = slopes(ordered, one, other)
        assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6), both


@pytest.mark.parametrize("name", SHAPING)
def test_views_reductions_and_joins(name):
    reverse, difference = slopes(SHAPING[name], *arrays(4, (4, 6)))
    assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ((2, 3, 4), (4, 5), "bij,jk->bik"),
        ((2, 3, 4), (2, 4, 5), "bij,bjk->bik"),
        ((2, 3, 4), (5, 4, 3), "bij,kji->bk"),
        ((3, 2, 4), (4, 2, 3), "ijk,kjl->lij"),
        ((3, 4), (3, 4), "ij,ij->i"),
        ((3, 4), (3, 4), "ij,ij->"),
        ((3, 4), (5, 6), "ij,kl->kj"),
        ((3, 4), (4,), "ij,j"),
        ((2, 3, 4), (1, 4, 5), "bij,bjk->bik"),
        ((3, 4, 2), (3, 4), "...i,...->i..."),
    ],
)
def test_contractions(left, right, text):
    one, other = arrays(5, left, right)
    function = lambda a, b: np.einsum(text, a, b)  # noqa: E731
    flow = seen(
        lambda x: np.atleast_1d(function(one, other)) + 0 * x.sum(), Call((np.ones((2, 1)),), {}), seed=0
    )
    np.testing.assert_allclose(flow.outputs()[0], function(one, other), rtol=1e-12)
    reverse, difference = slopes(lambda a, b: np.atleast_1d(function(a, b)), one, other)
    assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("left", "right"),
    [((4, 5), (5, 3)), ((4,), (4, 3)), ((4, 5), (5,)), ((2, 4, 5), (5, 3)), ((2, 4, 5), (2, 5, 3)), ((2, 4, 5), (5,)),
     ((4, 5), (2, 5, 3)), ((4,), (2, 4, 3)), ((2, 1, 4, 5), (3, 5, 2)), ((2, 4, 5), (1, 5, 3))],
)  # fmt: skip
def test_matrix_products_of_every_shape(left, right):
    one, other = arrays(6, left, right)
    flow = seen(lambda x: one @ other + 0 * x.sum(), Call((np.ones((2, 1)),), {}), seed=0)
    np.testing.assert_allclose(flow.outputs()[0], one @ other, rtol=1e-12)
    reverse, difference = slopes(lambda a, b: a @ b, one, other)
    assert reverse == pytest.approx(difference, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    chain=st.lists(
        st.one_of(
            st.sampled_from(
                sorted(
                    {*SMOOTH} - {"exp", "exp2", "expm1", "sinh", "cosh", "cube", "reciprocal", "cbrt"}
                )
            ).map(SMOOTH.get),
            st.sampled_from(sorted({*SHAPING} - {"prod", "var", "two axes"})).map(SHAPING.get),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_chains_of_operations(seed, chain):
    def function(x):
        for link in chain:
            x = link(np.tanh(x)) if x.shape[1] > 2 else np.tanh(x) * x
        return x

    reverse, difference = slopes(function, *arrays(seed, (4, 12)))
    assert reverse == pytest.approx(difference, rel=1e-4, abs=1e-4)


def node(index, op, reads=(), shape=(2,), **settings):
    return Node(index, op, reads, shape, "float64", settings)


def test_an_operation_without_a_rule_is_named():
    graph = Graph((node(0, "parameter"), node(1, "mystery", (0,))), (1,))
    with pytest.raises(NoRule) as caught:
        pullback(graph, {0: np.ones(2), 1: np.ones(2)}, (None, np.array), {1: np.ones(2)}, {0})
    assert caught.value.node.op == "mystery"


def test_an_operation_without_a_rule_is_passed_over_where_nothing_is_asked_behind_it():
    graph = Graph(
        (node(0, "input"), node(1, "mystery", (0,)), node(2, "parameter"), node(3, "mul", (1, 2))), (3,)
    )
    values = dict.fromkeys(range(4), np.full(2, 3.0))
    found = pullback(graph, values, (None,) * 4, {3: np.ones(2)}, {2})
    np.testing.assert_array_equal(found[2], [3.0, 3.0])


def test_a_rectifier_is_flat_at_its_kink_and_two_values_that_tie_share():
    zeros = np.zeros((2, 3))
    reverse, _ = slopes(lambda w: np.maximum(w, 0), zeros)
    assert reverse == 0
    flow = seen(lambda x: np.maximum(zeros, TIED) + 0 * x.sum(), Call((np.ones((2, 1)),), {}), seed=0)
    found = flow.gradients(flow.graph.outputs[0], np.ones((2, 3)), ["zeros", "TIED"])
    assert all((gradient == 0.5).all() for gradient in found.parameters.values())
    assert len(found.parameters) == 2


TIED = np.zeros((2, 3))


def test_nothing_comes_of_nothing_however_steep():
    def function(w):
        return np.where(w > 1, np.sqrt(np.abs(w) - 1), 0.0) + 0 * w

    flow = seen(lambda x: function(ONES) + 0 * x.sum(), Call((np.ones((2, 1)),), {}), seed=0)
    found = flow.gradients(flow.graph.outputs[0], np.ones((2, 3)), ["ONES"])
    assert np.isfinite(found.parameters["ONES"]).all()


ONES = np.ones((2, 3))
