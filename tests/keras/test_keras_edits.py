"""Edits of Keras models: the code that is shown does what was tried."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import keras as probe
from pytest_initcheck.trace import Parameter

sys.path.insert(0, str(Path(__file__).parent))
import models


def parameters(model: Any, width: int = 64) -> dict[str, Parameter]:
    call = Call((np.random.default_rng(0).standard_normal((16, width), dtype=np.float32),), {})
    return {p.name: p for p in probe.trace(model, call, mode="train", seed=1).parameters}


def host(variable: Any) -> Any:
    return keras.ops.convert_to_numpy(variable.value)


FIRST = ("dense/kernel",)
CASES = [
    (
        Edit("draw", FIRST, (0.125,), "relu"),
        "model.layers[0].kernel.assign(keras.random.normal(model.layers[0].kernel.shape, stddev=0.125))",
        lambda w: abs(w.std() - 0.125) < 0.01,
    ),
    (
        Edit("orthogonal", FIRST, (2.0,)),
        "model.layers[0].kernel.assign("
        "keras.initializers.Orthogonal(gain=2)(model.layers[0].kernel.shape))",
        lambda w: np.allclose(w @ w.T, 4 * np.eye(64), atol=1e-4),
    ),
    (
        Edit("fill", FIRST, (0.0,)),
        "model.layers[0].kernel.assign(keras.ops.zeros(model.layers[0].kernel.shape))",
        lambda w: not w.any(),
    ),
    (
        Edit("fill", FIRST, (1.0,)),
        "model.layers[0].kernel.assign(keras.ops.ones(model.layers[0].kernel.shape))",
        lambda w: (w == 1).all(),
    ),
    (
        Edit("fill", FIRST, (0.5,)),
        "model.layers[0].kernel.assign(keras.ops.full(model.layers[0].kernel.shape, 0.5))",
        lambda w: (w == 0.5).all(),
    ),
]


@pytest.mark.parametrize(("edit", "code", "holds"), CASES)
def test_an_edit_is_spelled_and_made(edit: Edit, code: str, holds: Callable[[Any], bool]):
    model = models.mlp(depth=1)
    assert probe.spell([edit], parameters(model)) == code
    exec(code, {"model": model, "keras": keras})
    assert holds(host(model.layers[0].kernel))
    other = models.mlp(depth=1)
    probe.apply(other, [edit])
    assert holds(host(other.layers[0].kernel))


def test_scaling():
    model, other = models.mlp(depth=1), models.mlp(depth=1)
    other.set_weights(model.get_weights())
    before = host(model.layers[0].kernel).copy()
    code = probe.spell([Edit("scale", FIRST, (0.25,))], parameters(model))
    assert code == "model.layers[0].kernel.assign(model.layers[0].kernel * 0.25)"
    exec(code, {"model": model, "keras": keras})
    probe.apply(other, [Edit("scale", FIRST, (0.25,))])
    assert np.allclose(host(model.layers[0].kernel), before / 4)
    assert np.allclose(host(other.layers[0].kernel), before / 4)


def test_removing_a_layer():
    model = models.functional()
    x = np.random.default_rng(0).standard_normal((16, 8, 8, 3), dtype=np.float32)
    probe.apply(model, [Edit("remove", ("bend",))])
    trace = probe.trace(model, Call((x,), {}), mode="train", seed=1)
    assert "relu" not in {site.op for site in trace.sites}
    code = probe.spell([Edit("remove", ("norm",))], {p.name: p for p in trace.parameters})
    assert code == 'model.get_layer("norm").call = lambda inputs, **kwargs: inputs'
    exec(code, {"model": model})
    trace = probe.trace(model, Call((x,), {}), mode="train", seed=1)
    assert "norm" not in {site.kind for site in trace.sites}


def test_what_the_model_does_not_have():
    with pytest.raises(ModelError, match="the model has no weight 'nothing/kernel'"):
        probe.apply(models.mlp(), [Edit("fill", ("nothing/kernel",), (0.0,))])
    with pytest.raises(ModelError, match=r"dense\.relu is a call in the forward pass, and no layer"):
        probe.apply(models.mlp(), [Edit("remove", ("dense.relu",))])


def test_the_fix_of_a_report_mends_the_model():
    report = ic.check(models.too_small, inputs=ic.normal(64))
    assert report.verdict == "fail"
    assert "for i in range(0, 8):" in str(report)
    assert "model.layers[i].kernel.assign(" in str(report)
    assert "tried   passes" in str(report)
    mended = ic.check(lambda: report.fixes[0].apply(models.too_small()), inputs=ic.normal(64))
    assert mended.verdict == "pass", str(mended)
