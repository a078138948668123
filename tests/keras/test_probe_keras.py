"""What the probe sees of Keras models, and what it leaves as it was, on the backend that Keras runs on."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import pytest_initcheck as ic
from pytest_initcheck import probes
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import keras as probe
from pytest_initcheck.trace import Trace, Wanted

sys.path.insert(0, str(Path(__file__).parent))
import models

EVERYTHING = Wanted(site_gradients=True, noise=True, steps=True, kurtosis=True, histograms=True)


def batch(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((16, *shape), dtype=np.float32)


def traced(model: Any, *inputs: Any, mode: str = "train", wanted: Wanted = EVERYTHING) -> Trace:
    call = Call(inputs, {})
    model = probe.drawn(model, lambda: call, seed=1, keep=False)
    return probe.trace(model, call, mode=mode, seed=3, wanted=wanted)


def numbers(model: Any) -> dict[str, Any]:
    return {v.path: keras.ops.convert_to_numpy(v.value).copy() for v in model.variables}


def names(trace: Trace, kind: str) -> list[str]:
    return [site.name for site in trace.sites if site.kind == kind]


# -- which probe ----------------------------------------------------------------------------------


def test_a_keras_model_is_keras_on_every_backend():
    assert probes.probe_for(models.mlp()).FRAMEWORK == "keras"


def test_the_backend_runs_the_model(backend):
    modules = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}
    assert modules[backend] in sys.modules
    trace = traced(models.mlp(), batch(64))
    assert trace.framework == "keras"
    value = models.mlp().layers[0].kernel.value
    assert type(value).__module__.partition(".")[0].removesuffix("lib") == backend


# -- sites ----------------------------------------------------------------------------------------


def test_a_fused_activation_has_two_sites():
    trace = traced(models.mlp(depth=2), batch(64))
    assert [(s.name, s.kind) for s in trace.sites] == [
        ("input", "input"),
        ("dense", "linear"),
        ("dense.relu", "activation"),
        ("dense_1", "linear"),
        ("dense_1.relu", "activation"),
        ("dense_2", "linear"),
    ]
    before, after = trace.sites[1].value, trace.sites[2].value
    assert before.second_moment > 1.5 * after.second_moment > 0
    assert [s.weight.name for s in trace.sites if s.weight] == [
        "dense/kernel",
        "dense_1/kernel",
        "dense_2/kernel",
    ]
    assert [s.bias.name for s in trace.sites if s.bias] == ["dense/bias", "dense_1/bias", "dense_2/bias"]
    assert all(s.gradient is not None for s in trace.sites[1:])


def test_a_convnet_with_channels_last():
    trace = traced(models.functional(), batch(8, 8, 3))
    assert [(s.name, s.op, s.units) for s in trace.sites] == [
        ("input", "input", 3),
        ("stem", "conv", 8),
        ("norm", "batch_norm", 8),
        ("bend", "relu", 8),
        ("pool", "max_pool2d", 8),
        ("average", "mean", 8),
        ("head", "linear", 5),
        ("head.softmax", "softmax", 5),
    ]
    stem = trace.sites[1]
    assert (stem.weight.fan_in, stem.weight.fan_out) == (27, 72)
    assert stem.coverage == pytest.approx((22 / 24) ** 2)
    assert trace.logits == 6
    assert trace.output == 7
    assert trace.unobserved == ()


def test_a_subclassed_model_with_calls():
    trace = traced(models.Subclassed(), batch(16))
    assert names(trace, "linear") == ["dense", "dense_1", "dense_2", "dense_3"]
    assert [s.op for s in trace.sites if s.kind == "activation"] == ["relu"] * 3
    assert names(trace, "norm") == ["layer_normalization"]
    assert "mul" not in {s.op for s in trace.sites}  # dropout and noise are off


def test_attention_is_seen_inside():
    trace = traced(models.attention(), batch(6, 32))
    weights = {s.weight.name for s in trace.sites if s.weight is not None}
    assert {f"attend/{part}/kernel" for part in ("query", "key", "value", "attention_output")} <= weights
    assert any(s.kind in ("softmax", "attention") for s in trace.sites)
    assert [s.activation for s in trace.sites if s.kind == "activation"] == ["gelu"]
    fans = {s.weight.name: (s.weight.fan_in, s.weight.fan_out) for s in trace.sites if s.weight}
    assert fans["attend/query/kernel"] == (32, 32)
    assert fans["attend/attention_output/kernel"] == (32, 32)


@pytest.mark.parametrize(("model", "inputs"), [(models.lstm, None), (models.gru, (5, 8))])
def test_gates_of_recurrent_layers(model: Callable[[], Any], inputs: tuple[int, ...] | None):
    x = np.random.default_rng(0).integers(0, 50, (16, 5)) if inputs is None else batch(*inputs)
    trace = traced(model(), x)
    cells = [s for s in trace.sites if s.name.startswith("cells")]
    assert {s.activation for s in cells if s.kind == "activation"} == {"sigmoid", "tanh"}
    weights = {s.weight.name.rpartition("/")[2] for s in cells if s.weight is not None}
    assert weights == {"kernel", "recurrent_kernel"}
    assert trace.unobserved == ()
    assert trace.training.stuck == ()


def test_an_lstm_has_the_sites_of_its_formula():
    """z = W x + U h + b in parts i f g o; c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c)."""
    steps, gates = 3, 4
    model = keras.Sequential([keras.Input((steps, 8)), layers.LSTM(16, name="cells"), layers.Dense(4)])
    trace = traced(model, batch(steps, 8))
    kinds = Counter(s.kind for s in trace.sites if s.name.startswith("cells/"))
    assert kinds == {
        "linear": 2 * steps - 1,  # the first h is zero, and U h no signal
        "slice": gates * steps,
        "activation": (gates + 1) * steps,
        "mul": 3 * steps,
        "add": (steps - 1) + steps + steps,  # W x + U h, b, c
    }


def test_tokens_are_no_signal():
    trace = traced(models.lstm(), np.random.default_rng(0).integers(0, 50, (16, 5)))
    assert trace.inputs[0].exempt
    assert names(trace, "embedding") == ["embedding"]


def test_several_inputs_and_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    shared = layers.Concatenate()([a, b])
    model = keras.Model([a, b], {"x": layers.Dense(3)(shared), "y": layers.Dense(2)(shared)})
    trace = traced(model, batch(4), batch(6))
    assert len(trace.inputs) == 2
    assert len(trace.returned) == 2
    by_name = probe.trace(model, Call((), {"a": batch(4), "b": batch(6)}), mode="train", seed=1)
    assert len(by_name.inputs) == 2


def test_a_layer_that_is_used_twice_and_one_that_is_not():
    class Twice(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.idle = layers.Dense(8), layers.Dense(8)
            self.idle.build((None, 8))

        def call(self, x: Any) -> Any:
            return self.one(self.one(x))

    trace = traced(Twice(), batch(8))
    assert names(trace, "linear") == ["dense", "dense#2"]
    assert [p.name for p in trace.parameters if not p.used] == ["dense_1/kernel", "dense_1/bias"]
    assert any(place.startswith("dense_1") for place, _ in trace.unobserved)


def test_a_frozen_layer_is_no_state():
    model = models.mlp(depth=1)
    model.layers[0].trainable = False
    trace = traced(model, batch(64))
    assert {p.name: p.trainable for p in trace.parameters}["dense/kernel"] is False
    assert model.layers[0].trainable is False
    assert model.layers[1].trainable is True
    assert [p.name for p in traced(models.functional(), batch(8, 8, 3)).parameters] == [
        "stem/kernel",
        "norm/gamma",
        "norm/beta",
        "head/kernel",
        "head/bias",
    ]


def test_modes_of_batch_normalisation():
    model = models.functional()
    train = traced(model, batch(8, 8, 3))
    assert train.sites[2].value.second_moment == pytest.approx(1, abs=0.02)
    kept = traced(model, batch(8, 8, 3), mode="eval")
    # before training the moving averages are 0 and 1: nothing is normalised
    assert kept.sites[1].value.second_moment > 1.2
    ends = [s for s in kept.sites if s.kind == "activation"]
    assert ends[0].value.second_moment > 1.1 * train.sites[3].value.second_moment


@pytest.mark.parametrize("width", [8, 300])
def test_a_tensor_that_a_layer_holds_is_a_constant(width: int):
    model = keras.Sequential(
        [
            keras.Input((width,)),
            layers.Normalization(mean=np.full(width, 0.5), variance=np.full(width, 0.25)),
            layers.Dense(4),
        ]
    )
    x = batch(width)
    trace = traced(model, x)
    wanted = float(np.mean(((x - 0.5) / 0.5) ** 2))
    assert trace.sites[-2].value.second_moment == pytest.approx(wanted, rel=1e-4)
    assert [p.name for p in trace.parameters] == ["dense/kernel", "dense/bias"]
    assert trace.unobserved == ()


def test_a_users_loss():
    def loss(output: Any) -> Any:
        return keras.ops.mean(keras.ops.square(output))

    trace = traced(models.mlp(depth=1), batch(64), wanted=Wanted(steps=True, loss=loss))
    assert trace.training.stuck == ()
    assert trace.training.cut_off == ()


# -- names ----------------------------------------------------------------------------------------


def test_two_builds_have_the_same_names():
    first, second = traced(models.attention(), batch(6, 32)), traced(models.attention(), batch(6, 32))
    assert [s.name for s in first.sites] == [s.name for s in second.sites]
    assert [p.name for p in first.parameters] == [p.name for p in second.parameters]


def test_paths_reach_the_weights():
    model = models.Subclassed()
    traced_model = probe.drawn(model, lambda: Call((batch(16),), {}), seed=1, keep=False)
    trace = probe.trace(traced_model, Call((batch(16),), {}), mode="train", seed=1)
    for parameter in trace.parameters:
        reached = eval(parameter.path, {"model": model})
        assert tuple(reached.shape) == parameter.shape
    paths = {p.name: p.path for p in trace.parameters}
    assert paths["dense_1/kernel"] == "model.blocks[1].kernel"
    assert paths["dense_3/kernel"] == "model.head.kernel"
    by_name = traced(models.functional(), batch(8, 8, 3)).parameters[0]
    assert by_name.path == 'model.get_layer("stem").kernel'


# -- what is put back -----------------------------------------------------------------------------


@pytest.mark.parametrize("build", [models.functional, models.attention, models.gru])
def test_a_model_is_left_as_it_was(build: Callable[[], Any]):
    model = build()
    model.compile("sgd", "mse", metrics=["mae"])
    x = batch(*model.input_shape[1:])
    before = numbers(model)
    held = [(layer, dict(vars(layer))) for layer in model.layers]
    trace = traced(model, x)
    probe.glimpse(model, Call((x,), {}), mode="train", seed=2)
    assert trace.sensitivity is not None
    after = numbers(model)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for layer, attributes in held:
        assert vars(layer).keys() == attributes.keys()
        assert "call" not in vars(layer)
        for name in ("rate", "unroll", "use_cudnn", "dropout", "stddev"):
            assert attributes.get(name) == vars(layer).get(name)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_training_goes_on_afterwards():
    model = models.functional()
    model.compile("sgd", "sparse_categorical_crossentropy")
    traced(model, batch(8, 8, 3))
    before = numbers(model)
    model.fit(batch(8, 8, 3), np.zeros(16, np.int32), verbose=0)
    after = numbers(model)
    assert not np.array_equal(before["stem/kernel"], after["stem/kernel"])
    assert not np.array_equal(before["norm/moving_mean"], after["norm/moving_mean"])


def test_global_random_states_are_left_as_they_were():
    keras.random.normal((2,))
    drawn = []
    for check in (False, True):
        keras.utils.set_random_seed(7)
        keras.random.normal((2,))
        if check:
            ic.check(models.mlp, inputs=ic.normal(64))
        ours = keras.ops.convert_to_numpy(keras.random.normal((3,)))
        drawn.append([*ours, random.random(), np.random.random()])
    assert drawn[0] == drawn[1]


def test_a_global_generator_that_was_not_there_draws_as_it_would_have():
    keras.utils.set_random_seed(7)
    expected = keras.ops.convert_to_numpy(keras.random.normal((3,)))
    keras.utils.set_random_seed(7)
    ic.check(models.mlp, inputs=ic.normal(64))
    assert np.array_equal(keras.ops.convert_to_numpy(keras.random.normal((3,))), expected)


def test_one_seed_builds_one_model():
    def unseeded() -> Any:
        model = models.mlp(depth=1)
        kernel = model.layers[0].kernel
        kernel.assign(keras.random.normal(kernel.shape, stddev=0.18))
        return model

    report = ic.check(unseeded, inputs=ic.normal(64))
    assert report.verdict == "pass", str(report)


def drawn(backend: str, *shape: int) -> Any:
    """Draw from the backend's own global generator; JAX has none, and its users take NumPy's."""
    if backend == "torch":
        return sys.modules["torch"].randn(shape)
    if backend == "tensorflow":
        return sys.modules["tensorflow"].random.normal(shape)
    return np.random.standard_normal(shape)


def test_one_seed_builds_one_model_that_the_backend_draws(backend: str):
    def unseeded() -> Any:
        model = models.mlp(depth=1)
        kernel = model.layers[0].kernel
        kernel.assign(0.18 * drawn(backend, *kernel.shape))
        return model

    report = ic.check(unseeded, inputs=ic.normal(64))
    assert report.verdict == "pass", str(report)


def test_the_backend_draws_after_a_check_what_it_would_have_drawn(backend: str):
    found = []
    for check in (False, True):
        keras.utils.set_random_seed(7)
        drawn(backend, 2)
        if check:
            ic.check(models.mlp, inputs=ic.normal(64))
        found.append(np.asarray(drawn(backend, 3)))
    assert np.array_equal(*found)


def test_a_model_that_the_backend_draws_in_has_one_trace(backend: str):
    class Noisy(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(4)

        def call(self, x: Any) -> Any:
            return self.head(x + drawn(backend, 16, 8))

    x = batch(8)
    model = probe.drawn(Noisy(), lambda: Call((x,), {}), seed=1, keep=False)
    first, second = (traced(model, x, wanted=Wanted()) for _ in range(2))
    assert first.sites[-1].value == second.sites[-1].value


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends always have a global seed"
)
def test_a_process_that_nobody_seeded_is_left_so():
    tensorflow = sys.modules["tensorflow"]
    found = []
    for _ in range(2):
        tensorflow.random.set_seed(None)
        with probe.preserved():
            probe.seed(7)
        found.append(np.asarray(drawn("tensorflow", 3)))
    assert not np.array_equal(*found)


# -- verdicts -------------------------------------------------------------------------------------


GOOD = {
    "mlp": (models.mlp, ic.normal(64)),
    "selu": (lambda: models.mlp("lecun_normal", "selu"), ic.normal(64)),
    "tanh": (lambda: models.mlp("glorot_normal", "tanh"), ic.normal(64)),
    "convnet": (models.functional, None),
    "subclassed": (models.Subclassed, ic.normal(32)),
    "attention": (models.attention, None),
    "lstm": (models.lstm, None),
    "gru": (models.gru, None),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_models_pass(name: str):
    model, inputs = GOOD[name]
    report = ic.check(model, inputs=inputs)
    assert report.verdict == "pass", str(report)
    assert report.framework == "keras"


def zeros_in_the_middle() -> Any:
    model = models.mlp()
    model.layers[3].kernel.assign(keras.ops.zeros((64, 64)))
    return model


def equal_units() -> Any:
    return keras.Sequential(
        [
            keras.Input((16,)),
            models.dense(16, keras.initializers.Constant(0.2), "tanh"),
            layers.Dense(4, kernel_initializer=keras.initializers.Constant(0.2)),
        ]
    )


def dead() -> Any:
    model = models.mlp(depth=2)
    model.layers[0].bias.assign(keras.ops.full((64,), -100.0))
    return model


BAD = {
    "too small": (models.too_small, ic.normal(64), "variance", "dense"),
    "too large": (
        lambda: models.mlp(keras.initializers.RandomNormal(stddev=2.0)),
        ic.normal(64),
        "variance",
        "dense",
    ),
    "saturated": (
        lambda: models.mlp(keras.initializers.RandomNormal(stddev=1.0), "tanh"),
        ic.normal(64),
        "saturation",
        "dense",
    ),
    "equal units": (equal_units, ic.normal(16), "symmetry", "dense"),
    "dead": (dead, ic.normal(64), "dead-relu", "dense"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults_fail_at_their_layer(name: str):
    model, inputs, invariant, place = BAD[name]
    report = ic.check(model, inputs=inputs)
    assert report.verdict == "fail", str(report)
    first = str(report)
    assert any(line.startswith(f"{invariant}") and "FAIL" in line for line in first.splitlines()), first
    assert place in first
