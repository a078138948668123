"""Exact gradients of layer lists. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import Activation
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import GradientEvidence

Array = NDArray[Any]


@dataclass(frozen=True)
class NumpyLayer:
    name: str
    weight: Array
    bias: Array | None
    phi: Activation | None


@dataclass(frozen=True)
class Backward:
    """Gradients of one readout: of each layer's weight, bias, pre-activation and output.

    The output of a closing layer whose activation is passed over has none.
    """

    weights: list[Array]
    biases: list[Array]
    deltas: list[Array]
    outputs: list[Array | None]


def pre_activations(layers: list[NumpyLayer], reads: list[Array]) -> list[Array]:
    return [
        a @ layer.weight if layer.bias is None else a @ layer.weight + layer.bias
        for a, layer in zip(reads, layers, strict=True)
    ]


def backpropagate(
    layers: list[NumpyLayer], reads: list[Array], cotangent: Array, *, skip_last_phi: bool
) -> Backward:
    """Backpropagate a readout through the list: dW = a^T delta, db = sum delta."""
    pre = pre_activations(layers, reads)
    weights, biases, deltas = [], [], []
    outputs: list[Array | None] = []
    delta = cotangent.astype(pre[-1].dtype, copy=False)
    for index in reversed(range(len(layers))):
        layer = layers[index]
        passed_over = skip_last_phi and index == len(layers) - 1
        outputs.append(None if passed_over else delta)
        if layer.phi is not None and not passed_over:
            delta = delta * layer.phi.derivative(pre[index])
        a = reads[index].reshape(-1, reads[index].shape[-1])
        flat = delta.reshape(-1, delta.shape[-1])
        weights.append(a.T @ flat)
        biases.append(np.zeros(0) if layer.bias is None else flat.sum(0))
        deltas.append(delta)
        delta = delta @ layer.weight.T
    return Backward(weights[::-1], biases[::-1], deltas[::-1], outputs[::-1])


def backward(
    layers: list[NumpyLayer], reads: list[Array], seed: int, *, skip_last_phi: bool
) -> tuple[GradientEvidence, Backward]:
    """Return the evidence of both readouts (principles.md R8) and the gradients of differences."""
    shape = (*reads[-1].shape[:-1], layers[-1].weight.shape[1])
    difference, common, positions = readouts(shape, seed)
    found = [
        backpropagate(layers, reads, cotangent, skip_last_phi=skip_last_phi)
        for cotangent in (difference, common)
    ]
    (by_difference, bias_difference), (by_common, bias_common) = (
        ([squared(g) for g in each.weights], [squared(g) for g in each.biases]) for each in found
    )
    total = [
        sum(group) for group in zip(by_difference, bias_difference, by_common, bias_common, strict=True)
    ]
    bad = tuple(
        layer.name for layer, value in zip(layers, total, strict=True) if not math.isfinite(value)
    )
    sizes = [layer.weight.size for layer in layers]
    ratio = math.nan
    if len(layers) > 1 and by_difference[-1] > 0:
        ratio = math.sqrt(by_difference[0] / sizes[0] / (by_difference[-1] / sizes[-1]))
    evidence = GradientEvidence(
        sum(by_difference),
        (sum(by_common) + sum(bias_common)) / positions,
        sum(value > 0 for value in by_difference),
        len(layers),
        bad,
        ratio,
    )
    return evidence, found[0]


def squared(gradient: Array) -> float:
    return float(np.vdot(gradient, gradient).real)
