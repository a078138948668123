"""Further passes over a numpy model: gradient steps on layer lists, noise on the inputs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.numpy_gradients import NumpyLayer, backpropagate, pre_activations
from pytest_initcheck.trace import CHAOTIC, FAINT_NOISE, NOISE, STEP, STEPS, Sensitivity, Training

Array = NDArray[Any]
_ROUNDING = 1e-13
_ALIKE = 0.01
"""Rows whose changes differ by less than this share have moved alike: sums round differently."""


def training(layers: list[NumpyLayer], x: Array, seed: int) -> Training:
    """Take normalised gradient steps down a random linear loss, on copies (principles.md R2, R3)."""
    layers = [
        replace(
            layer,
            weight=layer.weight.copy(),
            bias=None if layer.bias is None else np.atleast_1d(layer.bias).copy(),
        )
        for layer in layers
    ]
    weights = {f"{layer.name}.W": layer.weight for layer in layers}
    biases = {f"{layer.name}.b": layer.bias for layer in layers if layer.bias is not None}
    everything: Mapping[str, Array] = {**weights, **biases}
    equal = {name for name, weight in weights.items() if equal_rows(weight)}
    before = {name: weight.copy() for name, weight in weights.items()}
    moved: set[str] = set()
    steps = 0
    while steps < STEPS and (steps == 0 or equal or moved != set(everything)):
        reads = _reads(layers, x)
        shape = (*reads[-1].shape[:-1], layers[-1].weight.shape[1])
        readout = np.random.default_rng(seed).standard_normal(shape)
        found = backpropagate(layers, reads, readout / math.sqrt(readout.size), skip_last_phi=False)
        for layer, weight, bias in zip(layers, found.weights, found.biases, strict=True):
            if _step(layer.weight, weight):
                moved.add(f"{layer.name}.W")
            if layer.bias is not None and _step(layer.bias, bias):
                moved.add(f"{layer.name}.b")
        steps += 1
    return Training(
        steps,
        stuck=tuple(name for name in everything if name not in moved),
        cut_off=(),
        equal=tuple(n for n in weights if n in equal & moved and _stays_equal(before[n], weights[n])),
    )


def equal_rows(matrix: Array) -> bool:
    """Tell whether a matrix has more than one row and column, and all of either are equal."""
    if min(matrix.shape) < 2:
        return False
    return any(bool((rows == rows[:1]).all()) for rows in (matrix, matrix.T))


def _stays_equal(before: Array, after: Array) -> bool:
    """Tell whether rows (or columns) that were equal have moved alike, but for rounding."""
    changes = after.astype(np.float64) - before
    return any(
        bool((rows == rows[:1]).all())
        and float(np.mean((moved - moved.mean(0)) ** 2)) <= _ALIKE**2 * float(np.mean(moved**2))
        for rows, moved in ((before, changes), (before.T, changes.T))
    )


def _reads(layers: list[NumpyLayer], x: Array) -> list[Array]:
    """Return what each layer reads."""
    reads: list[Array] = []
    for layer in layers:
        reads.append(x)
        z = pre_activations([layer], [x])[0]
        x = z if layer.phi is None else layer.phi.phi(z)
    return reads


def _step(array: Array, gradient: Array) -> bool:
    """Move the array by a root mean square of STEP; tell whether there was a gradient."""
    gradient = gradient.reshape(array.shape) if gradient.size == array.size else np.sum(gradient)
    largest = np.max(np.abs(gradient), initial=0.0)
    if largest == 0:
        return False
    if np.isfinite(largest):
        unit = gradient / largest
        array -= (STEP / math.sqrt(np.mean(np.abs(unit) ** 2)) * unit).astype(array.dtype, copy=False)
    return True


def sensitivity(
    forward: Callable[[Call], Array], call: Call, output: Array, seed: int
) -> Sensitivity | None:
    """Compare the output with that under noise on the inputs (principles.md R9)."""
    values = np.asarray(output, dtype=np.float64)
    spread, size = float(values.var(0).mean()), float(np.mean(values**2))
    if not (math.isfinite(spread) and spread > _ROUNDING * size) or len(values) < 2:
        return None
    change = _change(forward, call, values, NOISE, seed)
    if not change <= 2 * CHAOTIC * spread:
        growth = _change(forward, call, values, FAINT_NOISE, seed) / spread / FAINT_NOISE**2
        return Sensitivity(change / (2 * spread), growth)
    return Sensitivity(change / (2 * spread))


def _change(
    forward: Callable[[Call], Array], call: Call, output: Array, size: float, seed: int
) -> float:
    rng = np.random.default_rng(seed)

    def noisy(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        scale = size * math.sqrt(float(np.mean(value.astype(np.float64) ** 2)))
        return (value + scale * rng.standard_normal(value.shape)).astype(value.dtype)

    own = Call(tuple(map(noisy, call.args)), {k: noisy(v) for k, v in call.kwargs.items()})
    again = np.asarray(forward(own), dtype=np.float64)
    return float(np.mean((again - output) ** 2))
