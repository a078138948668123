"""ic.numpy.network: which arrays are trained, and a backward pass that the user wrote."""

from __future__ import annotations

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe

X = np.random.default_rng(0).normal(size=(32, 12))


class Net:
    """A perceptron with a hand-written backward pass, right or wrong in one way."""

    def __init__(self, rng, wrong="", dtype=np.float64):
        self.W1 = rng.normal(0, np.sqrt(2 / 12), (12, 24)).astype(dtype)
        self.b1 = np.zeros(24, dtype)
        self.W2 = rng.normal(0, 0.2, (24, 5)).astype(dtype)
        self.wrong = wrong

    def forward(self, x):
        self.x, self.z = x, x @ self.W1 + self.b1
        self.h = np.maximum(self.z, 0)
        return self.h @ self.W2

    def backward(self, dy):
        dz = dy @ self.W2.T
        if self.wrong != "no mask":
            dz = dz * (self.z > 0)
        found = {"W1": self.x.T @ dz, "b1": dz.sum(0), "W2": self.h.T @ dy}
        if self.wrong == "mean":
            found = {name: gradient / len(dy) for name, gradient in found.items()}
        if self.wrong == "sign":
            found["W2"] = -found["W2"]
        if self.wrong == "shape":
            found["W2"] = found["W2"].T
        if self.wrong == "missing":
            del found["b1"]
        if self.wrong == "few":
            return [found["W1"]]
        if self.wrong == "raises":
            raise ValueError("shapes differ")
        return found


def check(wrong="", dtype=np.float64, **options):
    def factory(rng):
        net = Net(rng, wrong, dtype)
        return ic.numpy.network(net.forward, backward=net.backward, **options)

    return ic.check(factory, inputs=ic.normal(12))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_backward_passes(dtype):
    assert check(dtype=dtype).verdict == "pass"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "no mask",
            r"backward is wrong for W1: .* changes by \S+ in the forward pass, by \S+ says backward; mend",
        ),
        ("sign", "backward is wrong for W2: "),
        (
            "mean",
            r"backward is wrong for W1: .*, which is \d+ times less: it divides by the number of samples",
        ),
        ("shape", r"backward returned a gradient of shape \(5, 24\) for W2, which has shape \(24, 5\)"),
        ("missing", "backward returned no gradient of b1; return one for every parameter"),
        ("few", "backward returned 1 gradients for 3 parameters; return them in the order W1, b1, W2"),
        ("raises", r"backward raised ValueError: shapes differ; it is called as backward\(dy\)"),
    ],
)
def test_a_wrong_backward_is_an_error_with_the_parameter_and_both_slopes(wrong, message):
    import re

    report = check(wrong)
    assert report.verdict == "error"
    assert re.search(message, report.error)
    assert "\n" not in report.error


def test_a_backward_that_takes_the_inputs_and_returns_a_list():
    w = np.random.default_rng(0).normal(size=(12, 4))
    network = ic.numpy.network(
        lambda x: np.tanh(x @ w),
        parameters=[w],
        backward=lambda x, dy: [x.T @ (dy * (1 - np.tanh(x @ w) ** 2))],
    )
    trace = probe.trace(network, Call((X,), {}), mode="train", seed=0)
    assert [p.name for p in trace.parameters] == ["w"]
    assert trace.gradient.difference > 0


def test_a_backward_of_a_function_that_taps_is_held_against_it_too():
    w = np.random.default_rng(0).normal(size=(12, 4))

    def forward(x):
        return np.tanh(ic.numpy.tap("fc", x @ w, activation="tanh", weight=w))

    def backward(x, dy):
        return [x.T @ dy]

    wrong = ic.numpy.network(forward, parameters=[w], backward=backward)
    before = w.copy()
    assert "backward is wrong for w" in ic.check(wrong, inputs=ic.normal(12)).error
    np.testing.assert_array_equal(w, before)


def test_the_user_s_gradients_stand_in_where_an_operation_has_no_rule():
    w = np.random.default_rng(0).normal(size=(12, 4))

    def forward(x):
        return np.apply_along_axis(lambda row: row * 2, 1, x @ w)

    alone = probe.trace(forward, Call((X,), {}), mode="train", seed=0)
    assert alone.gradient is None
    network = ic.numpy.network(forward, backward=lambda x, dy: [x.T @ dy * 2])
    trace = probe.trace(network, Call((X,), {}), mode="train", seed=0)
    plain = probe.trace(lambda x: x @ w * 2.0, Call((X,), {}), mode="train", seed=0)
    assert trace.gradient.difference == pytest.approx(plain.gradient.difference, rel=1e-6)


def test_only_the_parameters_that_are_named_are_trained():
    w, fixed = np.random.default_rng(0).normal(size=(12, 4)), np.full((12, 12), 0.1)

    def forward(x):
        return np.tanh(x @ fixed @ w)

    found = probe.trace(forward, Call((X,), {}), mode="train", seed=0)
    assert sorted(p.name for p in found.parameters) == ["fixed", "w"]
    chosen = ic.numpy.network(forward, parameters={"head": w})
    trace = probe.trace(chosen, Call((X,), {}), mode="train", seed=0)
    assert [p.name for p in trace.parameters] == ["head"]
    assert [p.name for p in probe.fingerprints(chosen)] == ["head"]


def test_a_parameter_that_the_forward_pass_reaches_in_no_known_way_is_known_by_identity():
    w = np.random.default_rng(0).normal(size=(12, 4))
    items = iter([w] * 8)
    network = ic.numpy.network(lambda x: np.tanh(x @ next(items)), parameters=[w])
    trace = probe.trace(network, Call((X,), {}), mode="train", seed=0)
    assert [(p.name, p.used) for p in trace.parameters] == [("0", True)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward": 3}, "forward is int, and not callable"),
        ({"backward": 3}, "backward is int, and not callable"),
        ({"parameters": []}, "parameters is empty; leave it out"),
        ({"parameters": {"w": [1.0]}}, r"parameters\['w'\] is no floating-point array, but list"),
        ({"parameters": [np.arange(3)]}, r"parameters\[0\] is no floating-point array, but ndarray"),
    ],
)
def test_arguments_that_make_no_network(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ic.numpy.network(**{"forward": lambda x: x, **arguments})


def test_a_built_network_is_judged_by_facts_and_not_copied():
    net = Net(np.random.default_rng(0))
    net.b1[...] = -100.0
    report = ic.check(ic.numpy.network(net.forward), inputs=ic.normal(12))
    assert report.verdict == "fail"
    assert (net.b1 == -100.0).all()
    assert "pass the factory that returns it" in str(report)
