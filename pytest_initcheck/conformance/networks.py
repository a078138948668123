"""The reference networks: what they compute, their weights and their inputs, as plain data.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.conformance.reading import Array, Reading, Seen, zeros

SAMPLES = 16
_SEED = 20
_BIAS = 0.1
_KERNEL, _OFFSET = 1.4, -8.0
HEADS = 2


@dataclass(frozen=True, eq=False)
class Network:
    """One network in words and as a formula, with the shapes of its weights.

    * ``inputs`` is the shape of one sample, units last.
    * ``shapes`` are those of the weights, by name. A layer ``up`` has ``up.kernel`` and ``up.bias``,
      used as ``x @ kernel + bias``: a dense kernel is [in, out], that of a convolution [height, width,
      in, out]. A normalisation has ``norm.scale`` and ``norm.offset``.
    * ``off`` is the bias entry that keeps one unit inactive on every sample, where there is one.
    """

    name: str
    text: str
    inputs: tuple[int, ...]
    shapes: Mapping[str, tuple[int, ...]]
    forward: Callable[[Reading, Seen], Seen]
    off: tuple[str, int] | None = None

    def weights(self, seed: int = 0) -> dict[str, Array]:
        """Return the weights of one draw in float32, the same wherever it is made."""
        rng = np.random.default_rng([_SEED, seed])
        drawn = {name: self._drawn(rng, name, shape) for name, shape in self.shapes.items()}
        if self.off is not None:
            name, unit = self.off
            drawn[name][unit] = _OFFSET
        return drawn

    def _drawn(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
        values = rng.standard_normal(shape)
        if name.endswith(".kernel"):
            values *= _KERNEL / math.sqrt(math.prod(shape[:-1]))
        else:
            values = name.endswith(".scale") + _BIAS * values
        return values.astype(np.float32)

    def batch(self, samples: int = SAMPLES) -> Array:
        """Return N(0, 1) inputs in float32, units last."""
        rng = np.random.default_rng([_SEED, 1, samples])
        return rng.standard_normal((samples, *self.inputs)).astype(np.float32)

    def read(self, weights: Mapping[str, Array], x: Array) -> Reading:
        """Run the formula and return what was noted."""
        reading = Reading(weights)
        self.forward(reading, reading.input(x))
        return reading


def _dense(**layers: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {
        name: shape
        for layer, sides in layers.items()
        for name, shape in ((f"{layer}.kernel", sides), (f"{layer}.bias", sides[-1:]))
    }


def _norm(units: int) -> dict[str, tuple[int, ...]]:
    return {"norm.scale": (units,), "norm.offset": (units,)}


def _mlp(read: Reading, x: Seen) -> Seen:
    x = read.relu(read.linear("first", x))
    x = read.relu(read.linear("second", x))
    return read.linear("head", x)


def _tanh(read: Reading, x: Seen) -> Seen:
    x = read.tanh(read.linear("first", x))
    x = read.tanh(read.linear("second", x))
    return read.linear("head", x)


def _convnet(read: Reading, x: Seen) -> Seen:
    x = read.max_pool(read.relu(read.conv("first", x)))
    x = read.average_pool(read.relu(read.conv("second", x)))
    return read.linear("head", read.mean(x))


def _residual(read: Reading, x: Seen) -> Seen:
    x = read.linear("stem", x)
    up = read.gelu_tanh(read.linear("up", read.layer_norm("norm", x)))
    return read.linear("head", read.add(x, read.linear("down", up)))


def _attention(read: Reading, x: Seen) -> Seen:
    q, k, v = (read.linear(name, x) for name in ("query", "key", "value"))
    mixed = read.attention(q, k, v, HEADS)
    return read.linear("head", read.mean(read.add(x, read.linear("out", mixed))))


def _lstm(read: Reading, x: Seen) -> Seen:
    units = read.weights["cell.bias"].shape[0] // 4
    h, c = zeros(x, units), zeros(x, units)
    for step in range(x.value.shape[1]):
        z = read.linear("cell", read.joined(read.position(x, step), h))
        i, f, g, o = read.parts(z, 4)
        kept = read.mul(read.sigmoid(f), c)
        c = read.add(kept, read.mul(read.sigmoid(i), read.tanh(g)))
        h = read.mul(read.sigmoid(o), read.tanh(c))
    return read.linear("head", h)


NETWORKS = (
    Network(
        "mlp",
        "dense first, ReLU, dense second, ReLU, dense head",
        (12,),
        _dense(first=(12, 16), second=(16, 16), head=(16, 5)),
        _mlp,
        off=("second.bias", 3),
    ),
    Network(
        "tanh",
        "dense first, tanh, dense second, tanh, dense head",
        (12,),
        _dense(first=(12, 16), second=(16, 16), head=(16, 5)),
        _tanh,
    ),
    Network(
        "convnet",
        "3x3 convolution first with zeros around the image, ReLU, max pooling 2x2; 3x3 convolution "
        "second, likewise, ReLU, average pooling 2x2; mean over the image, dense head",
        (4, 8, 3),
        _dense(first=(3, 3, 3, 5), second=(3, 3, 5, 7), head=(7, 6)),
        _convnet,
        off=("second.bias", 2),
    ),
    Network(
        "residual",
        "dense stem; plus (layer norm with epsilon 1e-5, dense up, GELU approximated by tanh, dense "
        "down); dense head",
        (8,),
        {**_dense(stem=(8, 10)), **_norm(10), **_dense(up=(10, 14), down=(14, 10), head=(10, 5))},
        _residual,
    ),
    Network(
        "attention",
        "dense query, key and value in 2 heads; softmax of their products divided by the root of a "
        "head's width, times the values; the input plus dense out; mean over positions, dense head",
        (5, 6),
        _dense(query=(6, 6), key=(6, 6), value=(6, 6), out=(6, 6), head=(6, 4)),
        _attention,
    ),
    Network(
        "lstm",
        "an LSTM cell over 3 positions from zero states: dense cell of (x, h) gives i, f, g, o in this "
        "order; c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c); dense head on the last h",
        (3, 6),
        _dense(cell=(11, 20), head=(5, 4)),
        _lstm,
    ),
)


def network(name: str) -> Network:
    """Return a reference network by its name.

    >>> network("mlp").weights()["first.kernel"].shape
    (12, 16)
    """
    return {each.name: each for each in NETWORKS}[name]
