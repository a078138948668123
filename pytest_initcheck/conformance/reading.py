"""A forward pass read by hand: plain numpy in float64, each operation written out and noted.

Nothing here is shared with a probe.  What an operation returns knows which of the noted values it is, so
that a network is a few lines that look like its formula.  Values may be complex: a derivative is then
the imaginary part over the step, exact to machine precision (Squire and Trapp 1998), so kinks are
decided by real parts.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-5
"""Added to the variance by a layer norm."""


@dataclass(frozen=True)
class Step:
    """One operation: its kind, what it reads, its value with samples first and units last.

    * ``tied``: it chose among equal values, so the gradient of what it reads is not unique.
    """

    kind: str
    reads: tuple[int, ...]
    value: Array
    activation: str | None = None
    layer: str | None = None
    coverage: float = 1.0
    tied: bool = False


@dataclass(frozen=True)
class Seen:
    """A value, and which step made it; a value that depends on no input has none."""

    value: Array
    step: int | None


@dataclass
class Reading:
    """Notes the steps of one pass over the weights, ``layer.kernel`` and so on.

    ``nudge`` is added to the value of one step.
    """

    weights: Mapping[str, Array]
    nudge: tuple[int, Array] | None = None
    steps: list[Step] = field(default_factory=list)

    def note(self, kind: str, value: Array, *read: Seen, **details: Any) -> Seen:
        """Note a step and return its value."""
        index = len(self.steps)
        if self.nudge is not None and self.nudge[0] == index:
            value = value + self.nudge[1]
        reads = tuple(dict.fromkeys(seen.step for seen in read if seen.step is not None))
        self.steps.append(Step(kind, reads, value, **details))
        return Seen(value, index)

    def input(self, x: Array) -> Seen:
        return self.note("input", x)

    def linear(self, layer: str, x: Seen) -> Seen:
        z = x.value @ self.weights[f"{layer}.kernel"] + self.weights[f"{layer}.bias"]
        return self.note("linear", z, x, layer=layer)

    def conv(self, layer: str, x: Seen) -> Seen:
        """Convolve with a kernel of odd sides, zeros around the image."""
        kernel = self.weights[f"{layer}.kernel"]
        z = _convolved(x.value, kernel)
        taps = _convolved(np.ones((1, *x.value.shape[1:3], 1)), np.ones((*kernel.shape[:2], 1, 1)))
        coverage = float(taps.mean()) / math.prod(kernel.shape[:2])
        return self.note("linear", z + self.weights[f"{layer}.bias"], x, layer=layer, coverage=coverage)

    def relu(self, x: Seen) -> Seen:
        return self.note("activation", x.value * (x.value.real > 0), x, activation="relu")

    def tanh(self, x: Seen) -> Seen:
        return self.note("activation", np.tanh(x.value), x, activation="tanh")

    def sigmoid(self, x: Seen) -> Seen:
        return self.note("activation", 1 / (1 + np.exp(-x.value)), x, activation="sigmoid")

    def gelu_tanh(self, x: Seen) -> Seen:
        """GELU in Hendrycks and Gimpel's approximation by a tanh."""
        z = x.value
        inner = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)
        return self.note("activation", 0.5 * z * (1 + np.tanh(inner)), x, activation="gelu_tanh")

    def max_pool(self, x: Seen) -> Seen:
        """Keep the largest of each square of 2x2 pixels."""
        windows = _squares(x.value)
        at = windows.real.argmax(-1)[..., None]
        ordered = np.sort(windows.real, -1)
        tied = bool((ordered[..., -1] == ordered[..., -2]).any())
        return self.note("pool", np.take_along_axis(windows, at, -1)[..., 0], x, tied=tied)

    def average_pool(self, x: Seen) -> Seen:
        """Average over each square of 2x2 pixels."""
        return self.note("pool", _squares(x.value).mean(-1), x)

    def mean(self, x: Seen) -> Seen:
        """Average over all positions."""
        return self.note("pool", x.value.mean(tuple(range(1, x.value.ndim - 1))), x)

    def layer_norm(self, layer: str, x: Seen) -> Seen:
        centred = x.value - x.value.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        z = scaled * self.weights[f"{layer}.scale"] + self.weights[f"{layer}.offset"]
        return self.note("norm", z, x, layer=layer)

    def attention(self, q: Seen, k: Seen, v: Seen, heads: int) -> Seen:
        """Mix values by the softmax of scaled products of queries and keys, in heads."""
        batch, tokens, width = q.value.shape
        split = (batch, tokens, heads, width // heads)
        queries, keys, values = (seen.value.reshape(split) for seen in (q, k, v))
        scores = self.note("matmul", np.einsum("bqhd,bkhd->bhqk", queries, keys), q, k)
        scaled = self.note("mul", scores.value / math.sqrt(width // heads), scores)
        shares = self.softmax(scaled)
        # the heads are an axis of their own until they are put together again
        mixed = self.note("matmul", np.einsum("bhqk,bkhd->bhqd", shares.value, values), shares, v)
        return Seen(np.moveaxis(mixed.value, 1, 2).reshape(q.value.shape), mixed.step)

    def softmax(self, x: Seen) -> Seen:
        e = np.exp(x.value - x.value.real.max(-1, keepdims=True))
        return self.note("softmax", e / e.sum(-1, keepdims=True), x)

    def add(self, x: Seen, y: Seen) -> Seen:
        return self.note("add", x.value + y.value, x, y)

    def mul(self, x: Seen, y: Seen) -> Seen:
        return self.note("mul", x.value * y.value, x, y)

    def position(self, x: Seen, index: int) -> Seen:
        """Take one position of a sequence."""
        return self.note("slice", x.value[:, index], x)

    def parts(self, x: Seen, count: int) -> tuple[Seen, ...]:
        """Split the units into equal parts, in order."""
        return tuple(self.note("slice", part, x) for part in np.split(x.value, count, axis=-1))

    def joined(self, x: Seen, y: Seen) -> Seen:
        """Put the units of both next to each other."""
        return self.note("cat", np.concatenate([x.value, y.value], -1), x, y)


def zeros(x: Seen, units: int) -> Seen:
    """Return a state of zeros for each sample, which reads nothing."""
    return Seen(np.zeros((len(x.value), units)), None)


def _convolved(x: Array, kernel: Array) -> Array:
    height, width = kernel.shape[:2]
    around = ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, around), (height, width), axis=(1, 2))
    result: Array = np.einsum("nyxcij,ijco->nyxo", windows, kernel)
    return result


def _squares(x: Array) -> Array:
    """Return (batch, height / 2, width / 2, channels, 4)."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    split = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return np.moveaxis(split, (2, 4), (4, 5)).reshape(batch, height // 2, width // 2, channels, 4)
