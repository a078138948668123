"""Forward functions that show their values: tap, its sites, and its finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.trace import Wanted

X = np.random.default_rng(0).standard_normal((64, 32))


def layers(activation="relu", sigma_w2=2.0, depth=6, width=32, seed=1, dtype=np.float64, bias=0.0):
    rng = np.random.default_rng(seed)
    draw = lambda: rng.normal(0, math.sqrt(sigma_w2 / width), (width, width)).astype(dtype)  # noqa: E731
    hidden = [(draw(), np.full(width, bias, dtype), activation) for _ in range(depth)]
    return [*hidden, (draw()[:, :5] / math.sqrt(sigma_w2), np.zeros(5, dtype), None)]


def tapped(stack, weight=lambda w: w):
    def forward(x):
        for index, (w, b, name) in enumerate(stack):
            z = ic.numpy.tap(f"fc{index}", x @ w + b, activation=name, weight=weight(w), bias=b)
            x = z if name is None else ic.activations.activation(name).phi(z)
        return x

    return forward


def trace(model, x=X):
    return probe.trace(model, Call((x,), {}), mode="train", seed=3)


def rho(gradient):
    return math.log2(gradient.difference / max(gradient.common, 1.0))


def test_outside_a_check_tap_returns_the_very_array():
    z = np.ones(3)
    assert ic.numpy.tap("fc", z, activation="never looked at") is z


def test_the_sites_are_those_of_the_layer_list():
    stack = layers("tanh")
    by_tap, by_list = trace(tapped(stack)), trace(stack)
    assert [s.name for s in by_tap.sites] == [
        s.name.replace("input", "fc").replace("fc", "input", 1) if s.name == "input" else f"fc{s.name}"
        for s in by_list.sites
    ]
    for one, other in zip(by_tap.sites, by_list.sites, strict=True):
        assert (one.kind, one.op, one.reads, one.units) == (
            other.kind,
            other.op,
            other.reads,
            other.units,
        )
        assert one.value == other.value
        assert (one.saturated, one.dead) == (other.saturated, other.dead)
    assert by_tap.sites[1].weight.fan_in == 32
    assert by_tap.sites[1].bias.name == "fc0.b"


def test_a_repeated_tap_is_numbered():
    w = np.random.default_rng(0).normal(size=(32, 32)) / 6

    def forward(x):
        for _ in range(3):
            x = np.tanh(ic.numpy.tap("cell", x @ w, activation=np.tanh, weight=w))
        return x

    found = trace(forward)
    cells = [s for s in found.sites if s.kind == "linear"]
    assert [s.name for s in cells] == ["cell", "cell#2", "cell#3"]
    assert {s.weight.name for s in cells} == {"cell.W"} == {p.name for p in found.parameters}


@pytest.mark.parametrize(
    ("activation", "sigma_w2", "depth", "dtype"),
    [
        ("relu", 2.0, 3, np.float64),
        ("relu", 2.0, 12, np.float64),
        ("relu", 2.0, 12, np.float32),
        ("relu", 0.5, 12, np.float64),
        ("tanh", 1.0, 12, np.float64),
        ("tanh", 0.1, 8, np.float32),
    ],
)
def test_finite_differences_estimate_rho(activation, sigma_w2, depth, dtype):
    stack = layers(activation, sigma_w2, depth, dtype=dtype)
    x = X.astype(dtype)
    assert rho(trace(tapped(stack), x).gradient) == pytest.approx(rho(trace(stack, x).gradient), abs=1.5)


def test_the_weights_are_put_back():
    stack = layers()
    saved = [(w.copy(), b.copy()) for w, b, _ in stack]
    trace(tapped(stack))
    for (w, b, _), (w_before, b_before) in zip(stack, saved, strict=True):
        np.testing.assert_array_equal(w, w_before)
        np.testing.assert_array_equal(b, b_before)


def test_the_weights_are_put_back_when_the_model_raises_half_way():
    stack, calls = layers(), []
    inner = tapped(stack)

    def forward(x):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return inner(x)

    saved = [w.copy() for w, _, _ in stack]
    with pytest.raises(KeyboardInterrupt):
        trace(forward)
    assert all((w == before).all() for (w, _, _), before in zip(stack, saved, strict=True))


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (lambda w: w.copy(), "copy"),
        (lambda w: w.astype(np.float32), "copy"),
        (lambda w: None, "weight="),
    ],
    ids=["copy", "conversion", "none"],
)
def test_weights_that_cannot_be_varied_are_said_to_be_unobserved(weight, reason):
    result = trace(tapped(layers(), weight))
    assert result.gradient is None
    assert [(place, reason in text) for place, text in result.unobserved] == [("gradient", True)]


def test_a_read_only_weight_is_said_to_be_unobserved():
    stack = layers()
    stack[0][0].flags.writeable = False
    assert trace(tapped(stack)).gradient is None


def test_a_transposed_view_is_no_copy():
    stored = [np.ascontiguousarray(w.T) for w, _, _ in layers()]

    def forward(x):
        for index, w in enumerate(stored):
            x = np.tanh(ic.numpy.tap(f"fc{index}", x @ w.T, activation="tanh", weight=w.T))
        return x

    assert trace(forward).gradient.difference > 0


def test_a_copied_weight_does_not_look_like_a_dead_network():
    def factory(rng):
        w, v = rng.normal(0, 0.25, (32, 32)), rng.normal(0, 0.2, (32, 4))

        def forward(x):
            z = ic.numpy.tap("fc", x @ w, activation="relu", weight=w.copy())
            return ic.numpy.tap("out", np.maximum(z, 0) @ v, weight=v.copy())

        return forward

    assert ic.check(factory, inputs=ic.normal(32)).verdict == "pass"


def test_a_forward_function_that_writes_to_its_input_changes_nothing():
    x = X.copy()

    def forward(x):
        x -= x.mean()
        return tapped(layers())(x)

    trace(forward, x)
    np.testing.assert_array_equal(x, X)


def test_the_arrays_of_objects_partials_and_nested_functions_are_parameters():
    import functools

    class Layer:
        def __init__(self, rng):
            self.w = rng.normal(size=(3, 3))

        def __call__(self, x):
            return x @ self.w

    class Net:
        def __init__(self, rng):
            self.first, self.rest = Layer(rng), {"last": [Layer(rng)]}

        def forward(self, x):
            return self.rest["last"][0](self.first(x))

    rng = np.random.default_rng(0)

    def nested(w):
        inner = lambda x: x @ w  # noqa: E731
        return lambda x: inner(x)

    names = lambda model: [p.name for p in probe.fingerprints(model)]  # noqa: E731
    assert names(Net(rng).forward) == ["first.w", "rest.last.0.w"]
    assert names(nested(np.ones((2, 2)))) == ["inner.w"]
    assert names(functools.partial(lambda w, x: x @ w, np.ones((2, 2)))) == ["0"]


def test_an_object_that_holds_itself_is_walked_once():
    class Net:
        def __init__(self):
            self.w, self.me = np.ones((2, 2)), self

        def forward(self, x):
            return x @ self.w

    assert len(probe.fingerprints(Net().forward)) == 1


@pytest.mark.parametrize("value", [np.float64(1.0), 3.0])
def test_a_tapped_value_has_a_batch_axis(value):
    w = np.ones((32, 2))

    def forward(x):
        ic.numpy.tap("loss", value)
        return x @ w

    with pytest.raises(ConfigError, match=r"tap.*wants an array"):
        trace(forward)


def test_an_unknown_activation_is_a_clear_line():
    with pytest.raises(ConfigError, match="did you mean 'relu'"):
        trace(lambda x: ic.numpy.tap("fc", x, activation="rellu"))


def test_a_function_whose_name_is_unknown_is_a_clear_line():
    with pytest.raises(ConfigError, match="given by its name"):
        trace(lambda x: ic.numpy.tap("fc", x, activation=lambda z: z))


def test_a_forward_function_that_returns_no_array():
    with pytest.raises(ModelError, match="returned float; return an array"):
        trace(lambda x: 3.0)


def test_a_forward_function_that_raises_names_shapes_and_keeps_the_users_traceback():
    w = np.ones((7, 2))

    def forward(x):
        return x @ w

    with pytest.raises(
        ModelError, match=r"raised ValueError on \(64, 32\) float64: .*pass inputs="
    ) as caught:
        trace(forward)
    assert "return x @ w" in caught.value.traceback_text
    assert "/pytest_initcheck/probes" not in caught.value.traceback_text


def test_a_batch_without_samples():
    with pytest.raises(ModelError, match="hold no samples"):
        trace(tapped(layers()), X[:0])


def test_the_inputs_of_a_function_cannot_be_inferred():
    with pytest.raises(ModelError, match="pass inputs="):
        probe.infer_inputs(lambda x: x)


def test_a_tap_without_an_array_input_reads_nothing():
    w = np.random.default_rng(0).normal(size=(8, 8))

    def forward(table):
        return np.tanh(ic.numpy.tap("fc", np.asarray(table["x"]) @ w, activation="tanh", weight=w))

    result = probe.trace(forward, Call(({"x": X[:, :8].tolist()},), {}), mode="train", seed=0)
    assert result.sites[0].reads == ()


def test_a_tap_that_shows_no_activation_is_an_error_and_no_pass():
    def factory(rng):
        w = rng.normal(size=(32, 3))
        return lambda x: np.tanh(ic.numpy.tap("fc", x @ w, weight=w))

    report = ic.check(factory, inputs=ic.normal(32))
    assert report.verdict == "error"
    assert "ic.numpy.tap" in report.error


# -- steps along directions ------------------------------------------------------------------------

RANK = 4


def steps(model, x=X):
    call = Call((x,), {})
    return probe.trace(model, call, mode="train", seed=3, wanted=Wanted(steps=True)).training


def residual(up, down, gate):
    def forward(x):
        low = np.tanh(ic.numpy.tap("up", x @ up, activation="tanh", weight=up))
        branch = ic.numpy.tap("gate", gate * ic.numpy.tap("down", low @ down, weight=down), weight=gate)
        return x + branch

    return forward


def drawn(*shape):
    return np.random.default_rng(shape).standard_normal(shape) / shape[0] ** 0.5


def test_a_gate_of_zero_moves_first_and_its_branch_with_the_second_step():
    found = steps(residual(drawn(32, RANK), drawn(RANK, 32), np.zeros(1)))
    assert (found.steps, found.stuck, found.equal) == (2, (), ())


def test_two_factors_of_zero_never_move():
    found = steps(residual(np.zeros((32, RANK)), np.zeros((RANK, 32)), np.ones(1)))
    assert (found.steps, set(found.stuck)) == (3, {"up.W", "down.W", "gate.W"})


def test_equal_units_under_equal_weights_stay_equal():
    found = steps(residual(np.full((32, RANK), 0.1), np.full((RANK, 32), 0.1), np.ones(1)))
    assert found.equal == ("up.W", "down.W")
    assert found.stuck == ()


def test_a_constant_layer_is_parted_by_weights_that_differ():
    found = steps(residual(np.full((32, RANK), 0.1), drawn(RANK, 32), np.ones(1)))
    assert (found.stuck, found.equal) == ((), ())


def test_a_constant_layer_under_zeros_stays_so():
    found = steps(residual(np.full((32, RANK), 0.1), np.zeros((RANK, 32)), np.ones(1)))
    assert (found.stuck, found.equal) == ((), ("up.W", "down.W"))


def test_biases_move_as_their_equal_units_do():
    w, b, head = np.full((32, RANK), 0.1), np.zeros(RANK), np.full((RANK, 3), 0.1)

    def forward(x):
        z = np.tanh(ic.numpy.tap("cell", x @ w + b, activation="tanh", weight=w, bias=b))
        return ic.numpy.tap("head", z @ head, weight=head)

    assert steps(forward).equal == ("cell.W", "head.W")


def test_what_few_samples_do_not_move_is_asked_of_all():
    w, rare = drawn(32, 32), drawn(32, 32)
    seldom = (np.arange(64) == 63)[:, None]

    def forward(x):
        z = np.tanh(ic.numpy.tap("w", x @ w, activation="tanh", weight=w))
        return z + ic.numpy.tap("rare", seldom[: len(x)] * (x @ rare), weight=rare)

    assert steps(forward).stuck == ()


def test_a_function_of_one_batch_size():
    w = drawn(32, 32)
    offsets = np.zeros((64, 1))

    def forward(x):
        return np.tanh(ic.numpy.tap("w", x @ w + offsets, activation="tanh", weight=w))

    assert steps(forward).stuck == ()


def test_a_cell_is_one_parameter_and_no_copy_of_itself():
    w, head = drawn(2 * 32, 32), drawn(32, 3)

    def forward(x):
        h = np.zeros((len(x), 32))
        for _ in range(2):
            h = np.tanh(ic.numpy.tap("cell", np.hstack([h, x]) @ w, activation="tanh", weight=w))
        return ic.numpy.tap("head", h @ head, weight=head)

    assert steps(forward).twins == ()


def test_copies_that_are_read_alike_stay_copies():
    w, heads = drawn(32, RANK), drawn(RANK, 3)

    def members(*weights):
        def forward(x):
            outputs = [
                np.tanh(ic.numpy.tap(f"member{i}", x @ a, activation="tanh", weight=a)) @ b
                for i, (a, b) in enumerate(weights)
            ]
            return sum(outputs)

        return forward

    assert steps(members((w, heads), (w.copy(), heads))).twins == (("member0.W", "member1.W"),)
    assert steps(members((w, heads), (w.copy(), drawn(RANK, 3)[::-1]))).twins == ()


def test_steps_put_the_weights_back_and_see_the_same_random_numbers():
    rng = np.random.default_rng(8)
    up, down, gate = drawn(32, RANK), drawn(RANK, 32), np.ones(1)
    inner = residual(up, down, gate)
    saved = [array.copy() for array in (up, down, gate)]
    state = rng.bit_generator.state

    def forward(x):
        return inner(x * (rng.random(x.shape) < 0.5))

    assert steps(forward).steps == 1
    assert rng.bit_generator.state == state
    for array, before in zip((up, down, gate), saved, strict=True):
        np.testing.assert_array_equal(array, before)
