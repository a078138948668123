"""Further passes over a numpy model: gradient steps on layer lists, noise on the inputs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import steps
from pytest_initcheck.probes.numpy_gradients import NumpyLayer, backpropagate, pre_activations
from pytest_initcheck.probes.numpy_sites import memory
from pytest_initcheck.trace import CHAOTIC, FAINT_NOISE, NOISE, Sensitivity, Training

Array = NDArray[Any]
_ROUNDING = 1e-13


def training(layers: list[NumpyLayer], x: Array, seed: int) -> Training | None:
    """Take normalised gradient steps down a random linear loss, on copies (principles.md R2, R3)."""
    weights = _named([f"{layer.name}.W" for layer in layers], [layer.weight for layer in layers])
    biases = _named([f"{layer.name}.b" for layer in layers], [layer.bias for layer in layers])
    parameters = {name: array for name, array in (*weights, *biases) if name}

    def gradients(at: Mapping[str, Array]) -> dict[str, Array]:
        now = [
            replace(layer, weight=at[weight], bias=at[bias] if bias else None)
            for layer, (weight, _), (bias, _) in zip(layers, weights, biases, strict=True)
        ]
        reads = _reads(now, x)
        shape = (*reads[-1].shape[:-1], layers[-1].weight.shape[1])
        readout = np.random.default_rng(seed).standard_normal(shape)
        found = backpropagate(now, reads, readout / math.sqrt(readout.size), skip_last_phi=False)
        total: dict[str, Array] = {}
        for named, each in ((weights, found.weights), (biases, found.biases)):
            for (name, array), gradient in zip(named, each, strict=True):
                if name:
                    total[name] = total.get(name, 0) + _shaped(gradient, array.shape)
        return total

    return steps.training(parameters, frozenset(), gradients)


def _named(names: Sequence[str], arrays: Sequence[Any]) -> list[tuple[str, Array]]:
    """Name each array, one that two layers share by the first; what is absent has no name."""
    first: dict[Hashable, str] = {}
    named: list[tuple[str, Array]] = []
    for name, array in zip(names, arrays, strict=True):
        own = np.asarray(array)
        named.append(("" if array is None else first.setdefault(memory(own), name), own))
    return named


def _shaped(gradient: Array, shape: tuple[int, ...]) -> Array:
    """A bias may be one number for all units, or have an axis more."""
    return gradient.reshape(shape) if shape else np.asarray(gradient.sum())


def _reads(layers: list[NumpyLayer], x: Array) -> list[Array]:
    """Return what each layer reads."""
    reads: list[Array] = []
    for layer in layers:
        reads.append(x)
        z = pre_activations([layer], [x])[0]
        x = z if layer.phi is None else layer.phi.phi(z)
    return reads


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
