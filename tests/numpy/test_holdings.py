"""The arrays of a model: found wherever its code reads them, named as the code names them, put back."""

from __future__ import annotations

import functools
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes.numpy_holdings import holdings
from pytest_initcheck.probes.numpy_runs import seen

X = np.random.default_rng(0).normal(size=(16, 6))
GLOBAL = np.random.default_rng(1).normal(size=(6, 6))
IDS = np.arange(3)
Pair = namedtuple("Pair", ["w", "b"])


def draw():
    return np.random.default_rng(2).normal(size=(6, 6))


def dense(x):
    return x @ GLOBAL


class Layer:
    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return x @ self.w


class Slotted:
    __slots__ = ("w",)

    def __init__(self):
        self.w = draw()

    def __call__(self, x):
        return np.tanh(x @ self.w)


@dataclass(frozen=True)
class Frozen:
    w: np.ndarray

    def forward(self, x):
        return x @ self.w


class OfGlobals:
    def __call__(self, x):
        return self._inner(x)

    def _inner(self, x):
        return x @ GLOBAL


class Deep:
    def __init__(self):
        self.layers = [Layer(draw()), {"last": (Pair(draw(), np.zeros(6)),)}]

    def forward(self, x):
        pair = self.layers[1]["last"][0]
        return self.layers[0](x) @ pair.w + pair.b


def closed_over(w):
    return lambda x: x @ w


def with_default(x, w=draw(), *, b=np.zeros(6)):  # noqa: B008
    return x @ w + b


def indirect(x):
    return dense(np.tanh(dense(x)))


def decorated(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(np.asarray(x)) + SHIFT

    return wrapper


SHIFT = np.float64(0.5)


@decorated
def behind_a_decorator(x):
    return np.asarray(x) @ GLOBAL


MODELS = {
    "closure": (closed_over(draw()), {"w": "w"}),
    "global": (dense, {"GLOBAL": "GLOBAL"}),
    "a global of a function that is called": (indirect, {"GLOBAL": "GLOBAL"}),
    "defaults": (with_default, {"w": "w", "b": "b"}),
    "partial": (functools.partial(lambda w, x: x @ w, draw()), {"0": "model.args[0]"}),
    "decorated": (behind_a_decorator, {"GLOBAL": "GLOBAL"}),
    "keyword of a partial": (
        functools.partial(lambda x, w: x @ w, w=draw()),
        {"w": "model.keywords['w']"},
    ),
    "callable object": (Layer(draw()), {"w": "model.w"}),
    "slots": (Slotted(), {"w": "model.w"}),
    "frozen": (Frozen(draw()), {"w": "model.w"}),
    "globals of methods": (OfGlobals(), {"GLOBAL": "GLOBAL"}),
    "bound method": (Layer(draw()).__call__, {"w": "self.w"}),
    "nested": (
        Deep(),
        {
            "layers.0.w": "model.layers[0].w",
            "layers.1.last.0.0": "model.layers[1]['last'][0][0]",
            "layers.1.last.0.1": "model.layers[1]['last'][0][1]",
        },
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_names_and_paths(kind):
    model, paths = MODELS[kind]
    assert probe.owns(model)
    found = {held.name: held.path for held in holdings(model).arrays.values()}
    assert found == paths


@pytest.mark.parametrize("kind", MODELS)
def test_every_array_that_is_found_is_read_in_the_graph(kind):
    model, paths = MODELS[kind]
    trace = probe.trace(model, Call((X,), {}), mode="train", seed=0)
    assert {p.name for p in trace.parameters if p.used} == set(paths)
    assert trace.gradient.difference > 0
    assert trace.unobserved == ()


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_is_what_it_was(kind):
    model, _ = MODELS[kind]
    before = {name: (id(h.array), h.array.copy()) for name, h in named(model).items()}
    probe.trace(model, Call((X,), {}), mode="train", seed=0)
    for name, held in named(model).items():
        assert type(held.array) is np.ndarray
        assert id(held.array) == before[name][0]
        np.testing.assert_array_equal(held.array, before[name][1])


def named(model):
    return {held.name: held for held in holdings(model).arrays.values()}


def test_a_model_that_raises_is_put_back_too():
    layer = Layer(draw())

    def model(x):
        layer.cache = layer(x)
        raise ValueError("no")

    with pytest.raises(Exception, match="raised ValueError"):
        probe.trace(model, Call((X,), {}), mode="train", seed=0)
    assert list(vars(layer)) == ["w"]
    assert type(layer.w) is np.ndarray


class Stateful:
    def __init__(self):
        self.w, self.mean, self.calls = draw(), np.zeros(6), []
        self.rng = np.random.default_rng(3)

    def __call__(self, x):
        h = x @ self.w
        self.mean *= 0.9
        self.mean += 0.1 * h.mean(0)
        self.cache = h
        self.calls.append(h)
        self.last = self.rng.normal()
        return (h - h.mean(0)) * 1.0


def test_running_statistics_caches_and_generators_are_put_back():
    model = Stateful()
    state = model.rng.bit_generator.state
    probe.trace(model, Call((X,), {}), mode="train", seed=0)
    assert sorted(vars(model)) == ["calls", "mean", "rng", "w"]
    assert model.calls == []
    assert (model.mean == 0).all()
    assert model.rng.bit_generator.state == state


def test_the_global_random_state_is_put_back():
    w = draw()

    def model(x):
        return x @ w * (np.random.random(6) < 0.5)

    np.random.seed(5)
    probe.trace(model, Call((X,), {}), mode="train", seed=0)
    after = np.random.random()
    np.random.seed(5)
    assert after == np.random.random()


def test_tied_arrays_are_one_parameter_with_two_names():
    w = draw()
    model = Deep()
    model.layers[0].w = w
    model.layers[1]["last"] = (Pair(w, np.zeros(6)),)
    trace = probe.trace(model.forward, Call((X,), {}), mode="train", seed=0)
    tied = next(p for p in trace.parameters if p.name == "layers.0.w")
    assert tied.aliases == ("layers.1.last.0.0",)


def test_two_globals_of_one_name_are_told_apart():
    other = {"GLOBAL": draw(), "__name__": "elsewhere"}
    exec("def outer(x):\n    return x @ GLOBAL", other)
    second = other["outer"]

    def model(x):
        return second(dense(x))

    assert sorted(named(model)) == ["GLOBAL", "GLOBAL#2"]


def test_integers_modules_and_classes_are_no_parameters():
    def model(x):
        assert Layer is not None
        return x[:, IDS] @ GLOBAL[IDS]

    assert list(named(model)) == ["GLOBAL"]
    assert not probe.owns(Layer)
    assert not probe.owns({"w": GLOBAL})
    assert not probe.owns(object())
    assert not probe.owns(Pair(1, 2))


def test_an_attribute_that_bears_a_global_s_name_is_none():
    def model(x):
        return np.dense(x) if hasattr(np, "dense") else x @ w

    w = draw()
    assert list(named(model)) == ["w"]


@pytest.mark.parametrize(
    ("view", "ops"),
    [
        (lambda w: w.T, ["transpose"]),
        (lambda w: w.reshape(-1)[:36].reshape(6, 6), []),
        (lambda w: w[:, ::-1].T[::-1], ["transpose"]),
        (lambda w: w[1:4], ["slice"]),
        (lambda w: w[:, 2], ["slice", "reshape"]),
        (lambda w: w[::2, 1::2], ["slice"]),
    ],
)
def test_a_view_that_the_code_kept_is_known_as_the_parameter(view, ops):
    class Holder:
        """Its view is out of reach: no attribute, no closure of the model."""

        def __init__(self):
            self.w = draw()

        def __call__(self, x):
            mine = outside[0]
            return x[:, : len(mine)] @ mine + 0 * self.w[0, 0]

    model = Holder()
    outside = Hidden([view(model.w)])
    flow = seen(model, Call((X,), {}), seed=0)
    recorded = [
        node.op for node in flow.graph.nodes if node.op in ("transpose", "slice", "reshape", "take")
    ]
    assert recorded[: len(ops)] == ops
    product = next(node for node in flow.graph.nodes if node.op == "matmul")
    assert not any(flow.graph.nodes[read].op == "constant" for read in product.reads)


class Hidden:
    __slots__ = ()
    _kept = {}  # noqa: RUF012

    def __init__(self, items):
        Hidden._kept[id(self)] = items

    def __getitem__(self, index):
        return Hidden._kept[id(self)][index]
