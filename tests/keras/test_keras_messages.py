"""What is said of Keras models that cannot be checked, and of inputs: one line, with the remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Normal, Tokens
from pytest_initcheck.probes import keras as probe
from pytest_initcheck.trace import Wanted

sys.path.insert(0, str(Path(__file__).parent))
import models


def message(call: Callable[[], Any]) -> str:
    with pytest.raises(ModelError) as caught:
        call()
    return str(caught.value).splitlines()[0]


def traced(model: Any, width: int, **wanted: Any) -> Any:
    call = Call((np.zeros((16, width), np.float32),), {})
    model = probe.drawn(model, lambda: call, seed=1, keep=False)
    return probe.trace(model, call, mode="train", seed=1, wanted=Wanted(**wanted))


# -- inputs ---------------------------------------------------------------------------------------


class Told(models.Subclassed):
    def example_inputs(self) -> Any:
        return np.zeros((4, 7), np.float32)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.mlp, Normal((64,))),
        (models.functional, Normal((8, 8, 3))),
        (models.gru, Normal((5, 8))),
        (models.lstm, Tokens((5,), 50)),
        (lambda: keras.Sequential([keras.Input((None, 8)), layers.GRU(4)]), Normal((16, 8))),
        (
            lambda: keras.Sequential([keras.Input((None,)), layers.Embedding(9, 4), layers.GRU(4)]),
            Tokens((16,), 9),
        ),
        (lambda: keras.Sequential([layers.Embedding(9, 4), layers.GRU(4)]), Tokens((16,), 9)),
    ],
)
def test_inputs_of_the_model(model: Callable[[], Any], expected: Any):
    assert probe.infer_inputs(model()) == expected


def test_inputs_of_several_inputs_and_of_the_model_itself():
    a, b = keras.Input((4,)), keras.Input((6,))
    both = probe.infer_inputs(keras.Model([a, b], layers.Concatenate()([a, b])))
    assert both == Call((Normal((4,)), Normal((6,))), {})
    assert probe.infer_inputs(Told()).args[0].shape == (4, 7)
    called = models.Subclassed()
    called(np.zeros((2, 7), np.float32))
    assert probe.infer_inputs(called) == Normal((7,))


def test_inputs_that_are_not_known():
    text = message(lambda: probe.infer_inputs(models.Subclassed()))
    assert text.startswith(
        "the inputs cannot be inferred: the first layer does not tell the inputs; pass "
    )
    open_ended = keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D()])
    text = message(lambda: probe.infer_inputs(open_ended))
    assert "(None, None, None, 3), with a size left open; pass inputs=ic.normal(...)" in text


def test_inputs_that_do_not_fit():
    text = message(lambda: traced(models.mlp(), 63))
    assert text.startswith("the model raised ValueError on ")
    assert (
        "expected axis -1 of input shape to have value 64" in text or "expected shape=(None, 64)" in text
    )
    assert text.endswith("; pass inputs= of the shape and dtype that it takes")


def test_a_name_that_is_not_defined_is_no_matter_of_the_inputs():
    class Slip(keras.layers.Dense):
        def call(self, x):
            return actvation(super().call(x))  # noqa: F821

    text = message(lambda: traced(Slip(2), 63))
    assert "NameError" in text
    assert re.search(r"; mend that at test_keras_messages\.py:\d+$", text)


class Raises(keras.Model):
    def call(self, x: Any) -> Any:
        raise RuntimeError("out of order")


def test_a_model_that_raises():
    text = message(lambda: traced(Raises(), 4))
    assert text.startswith("the model raised RuntimeError on input (")
    assert "out of order" in text


# -- models ---------------------------------------------------------------------------------------


def test_a_model_without_weights_yet_is_built_on_the_inputs():
    model = models.Subclassed()
    whole = probe.drawn(model, lambda: Call((np.zeros((4, 6), np.float32),), {}), seed=1, keep=False)
    assert whole is model
    assert model.built
    assert len(probe.fingerprints(model)) == 10


def test_a_model_that_was_passed_in_stays_unbuilt():
    model = keras.Sequential([models.dense(8), layers.Dense(3)])
    whole = probe.drawn(model, lambda: Call((np.zeros((4, 6), np.float32),), {}), seed=1, keep=True)
    assert whole.built
    assert not model.built
    assert model.weights == []


def test_a_model_that_is_not_built():
    text = message(lambda: probe.fingerprints(models.Subclassed()))
    assert text == (
        f"the Keras model {models.Subclassed().name.rpartition('_')[0]}"
        f"_{int(models.Subclassed().name.rpartition('_')[2]) - 2} is not built and has no weights yet; "
        "call it on inputs in the factory, or start it with keras.Input(shape)"
    )


def test_an_unbuilt_model_that_cannot_be_copied():
    model = models.Subclassed()
    model.lock = (each for each in ())  # a generator
    text = message(
        lambda: probe.drawn(model, lambda: Call((np.zeros((4, 6), np.float32),), {}), seed=1, keep=True)
    )
    assert text.startswith(f"the Keras model {model.name} is not built and cannot be copied (")
    assert text.endswith("call it on inputs first, or pass the factory")


def test_a_backend_without_gradients(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    assert message(lambda: probe.fingerprints(models.mlp())) == (
        "Keras runs on numpy, which has no gradients; set KERAS_BACKEND to torch, jax or tensorflow"
    )


def test_a_model_of_another_backend(monkeypatch: pytest.MonkeyPatch, backend: str):
    other = next(name for name in ("torch", "jax") if name != backend)
    model = models.mlp()
    monkeypatch.setattr(keras.backend, "backend", lambda: other)
    path = model.variables[0].path
    assert message(lambda: probe.fingerprints(model)) == (
        f"the model's {path} is of {backend} and Keras runs on {other}; set KERAS_BACKEND={backend}, "
        f"or build the model in a process that runs on {other}"
    )


def test_a_loss_that_is_no_number():
    text = message(lambda: traced(models.mlp(), 64, steps=True, loss=lambda output: output))
    assert text.startswith("loss= must return a")
    assert "with one number, got shape" in text


def test_keras_is_not_loaded_for_other_models():
    program = (
        "import sys, numpy as np, pytest_initcheck as ic;"
        "ic.check([(np.eye(16), None, None)], inputs=ic.normal(16)); print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
