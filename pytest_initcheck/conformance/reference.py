"""A reading -> what any probe's Trace has to say, to float64's precision. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_initcheck.conformance.networks import Network
from pytest_initcheck.conformance.reading import Array, Reading, Step
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import GradientEvidence, Moments

_NUDGE = 1e-30
"""Imaginary step of a derivative: nothing is subtracted, so it may be as small as it likes."""
_FEW = 0.05
"""A slope below this share of the largest is a saturated one, and so for p (1 - p) of a softmax."""


@dataclass(frozen=True)
class Weight:
    """A parameter: its moments, what it is used for, its squared gradient for the difference."""

    name: str
    count: int
    mean: float
    second_moment: float
    multiplicative: bool
    gradient: float


@dataclass(frozen=True)
class Expected:
    """What a Trace says of one site, names aside."""

    kind: str
    reads: tuple[int, ...]
    units: int
    value: Moments
    activation: str | None
    saturated: float | None
    dead: float | None
    fans: tuple[int, int] | None
    kernel: str | None
    coverage: float
    gradient: Moments | None


@dataclass(frozen=True)
class Reference:
    """What a Trace of the network says, with the readouts of one seed."""

    sites: tuple[Expected, ...]
    weights: tuple[Weight, ...]
    gradient: GradientEvidence
    output: Array


def moments(value: Array) -> Moments:
    """Return the statistics of a value whose first axis has the samples."""
    return Moments(
        value.size,
        float(value.mean()),
        float((value**2).mean()),
        float(value.var(axis=0).mean()),
        float(value.min()),
        float(value.max()),
        int((~np.isfinite(value)).sum()),
    )


@functools.lru_cache(maxsize=64)
def reference(network: Network, seed: int) -> Reference:
    """Return the reference for a network's first draw, its own batch and the readouts of this seed."""
    weights = {key: array.astype(np.float64) for key, array in network.weights().items()}
    x = network.batch().astype(np.float64)
    steps = network.read(weights, x).steps
    output = steps[-1].value
    difference, common, positions = readouts(output.shape, seed)
    pulled = {key: _pulled(network, weights, x, key, difference, common) for key in weights}
    squares = {key: tuple(float((g**2).sum()) for g in both) for key, both in pulled.items()}
    matrices = [key for key in weights if key.endswith((".kernel", ".scale"))]
    added = [key for key in weights if key.endswith((".bias", ".offset"))]
    kernels = [key for key in weights if key.endswith(".kernel")]
    first, last = (squares[key][0] / weights[key].size for key in (kernels[0], kernels[-1]))
    evidence = GradientEvidence(
        difference=sum(squares[key][0] for key in matrices),
        common=sum(squares[key][1] for key in (*matrices, *added)) / positions,
        live_matrices=sum(squares[key][0] > 0 for key in matrices),
        matrices=len(matrices),
        non_finite=(),
        first_over_last=math.sqrt(first / last),
    )
    return Reference(
        tuple(_expected(network, weights, x, steps, index, difference) for index in range(len(steps))),
        tuple(_weight(key, weights[key], key in matrices, squares[key][0]) for key in weights),
        evidence,
        output,
    )


def _weight(name: str, value: Array, multiplicative: bool, gradient: float) -> Weight:
    square = float((value**2).mean())
    return Weight(name, value.size, float(value.mean()), square, multiplicative, gradient)


def _entries(shape: tuple[int, ...]) -> Iterator[tuple[Any, Array]]:
    """Yield each index of a shape, with an imaginary step there."""
    for index in np.ndindex(*shape):
        nudge = np.zeros(shape, np.complex128)
        nudge[index] = 1j * _NUDGE
        yield index, nudge


def _pulled(
    network: Network,
    weights: Mapping[str, Array],
    x: Array,
    key: str,
    *cotangents: Array,
) -> tuple[Array, ...]:
    """Return the gradients of each readout with respect to one weight, entry by entry."""
    found = tuple(np.zeros(weights[key].shape) for _ in cotangents)
    for index, nudge in _entries(weights[key].shape):
        steps = network.read({**weights, key: weights[key] + nudge}, x).steps
        slope = steps[-1].value.imag / _NUDGE
        for gradient, cotangent in zip(found, cotangents, strict=True):
            gradient[index] = float((slope * cotangent).sum())
    return found


def _at_site(
    network: Network, weights: Mapping[str, Array], x: Array, at: int, shape: tuple[int, ...], to: Array
) -> Array:
    """Return the gradient of a readout with respect to a site's value.

    A sample's output depends on its own values alone, so one entry is moved in all samples at once.
    """
    found = np.zeros(shape)
    for index, nudge in _entries(shape[1:]):
        reading = Reading(weights, (at, nudge))
        network.forward(reading, reading.input(x))
        slope = reading.steps[-1].value.imag / _NUDGE
        found[(slice(None), *index)] = (slope * to).reshape(len(to), -1).sum(1)
    return found


def _expected(
    network: Network,
    weights: Mapping[str, Array],
    x: Array,
    steps: list[Step],
    index: int,
    difference: Array,
) -> Expected:
    step = steps[index]
    gradient = None
    unique = not any(step.tied and index in step.reads for step in steps)
    if unique and _depends_on_weights(steps, index):
        gradient = moments(_at_site(network, weights, x, index, step.value.shape, difference))
    kernel = f"{step.layer}.kernel" if f"{step.layer}.kernel" in weights else None
    return Expected(
        step.kind,
        step.reads,
        step.value.shape[-1],
        moments(step.value),
        step.activation,
        _saturated(step),
        _dead(step),
        None if kernel is None else _fans(weights[kernel].shape),
        kernel,
        step.coverage,
        gradient,
    )


def _depends_on_weights(steps: list[Step], index: int) -> bool:
    return steps[index].layer is not None or any(
        _depends_on_weights(steps, read) for read in steps[index].reads
    )


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _saturated(step: Step) -> float | None:
    value = step.value
    slopes: Mapping[str | None, Any] = {"tanh": 1 - value**2, "sigmoid": 4 * value * (1 - value)}
    if step.activation in slopes:
        return float((slopes[step.activation] < _FEW).mean())
    if step.kind == "softmax":
        largest = value.max(-1)
        return float(((largest > 0.5) & (4 * largest * (1 - largest) < _FEW)).mean())
    return None


def _dead(step: Step) -> float | None:
    if step.activation != "relu":
        return None
    return float((step.value == 0).all(tuple(range(step.value.ndim - 1))).mean())
