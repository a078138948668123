"""Small networks in numpy, drawn with fixed seeds, whose statistics the papers predict."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from pytest_initcheck.activations import activation

Array = Any


def generator(*key: int) -> np.random.Generator:
    return np.random.default_rng([2015, *key])


def rectified(z: Array) -> Array:
    return np.maximum(z, 0.0)


def xavier_on_relu(width: int = 512, layers: int = 29, nets: int = 16) -> float:
    """log2 of E z^2 after 29 more Xavier layers under ReLU, over the first one's; geometric mean."""
    logs = []
    for net in range(nets):
        rng = generator(4, net)
        first = z = rng.standard_normal(width)
        for _ in range(layers):
            z = rng.standard_normal((width, width)) @ rectified(z) / math.sqrt(width)
        logs.append(math.log2((z**2).mean() / (first**2).mean()))
    # a geometric mean lies below the mean by half of the variance of the logarithm, 5 / n per layer
    return float(np.mean(logs)) + 2.5 * layers / width / math.log(2)


def mean_singular_value(sigma_w2: float, width: int = 500) -> float:
    bound = math.sqrt(3 * sigma_w2 / width)
    weight = generator(5).uniform(-bound, bound, (width, width))
    return float(np.linalg.svd(weight, compute_uv=False).mean())


def relu_correlation(layers: int, width: int = 1000, nets: int = 4) -> float:
    """The correlation of the pre-activations of two inputs that start orthogonal."""
    found = []
    for net in range(nets):
        rng = generator(28, net)
        x, y = rng.standard_normal((2, width))
        y -= (x @ y) / (x @ x) * x
        pair = np.array([x, y])
        pair *= math.sqrt(width) / np.linalg.norm(pair, axis=1, keepdims=True)
        for _ in range(layers + 1):
            z = pair @ rng.standard_normal((width, width)) * math.sqrt(2 / width)
            pair = rectified(z)
        found.append(float(z[0] @ z[1] / np.linalg.norm(z[0]) / np.linalg.norm(z[1])))
    return float(np.mean(found))


def batch_norm(name: str, batch: int, width: int = 400, layers: int = 12, nets: int = 6) -> float:
    """Growth of the squared gradient per layer of phi(batch norm(W a)), backwards."""
    act = activation(name)
    logs = []
    for net in range(nets):
        rng = generator(47, batch, net)
        a = rng.standard_normal((batch, width))
        tape = []
        for _ in range(layers):
            weight = rng.standard_normal((width, width)) / math.sqrt(width)
            z = a @ weight
            std = z.std(0)
            y = (z - z.mean(0)) / std
            tape.append((weight, std, y))
            a = act.phi(y)
        delta = rng.standard_normal((batch, width))
        sizes = []
        for weight, std, y in reversed(tape):
            delta = delta * act.derivative(y)
            delta = (delta - delta.mean(0) - y * (delta * y).mean(0)) / std
            delta = delta @ weight.T
            sizes.append((delta**2).mean())
        # the first layer reads N(0, 1) inputs and not phi of a batch norm
        logs.append(math.log(sizes[-2] / sizes[0]) / (layers - 2))
    return math.exp(float(np.mean(logs)))


@lru_cache(maxsize=4)
def log_length(width: int, layers: int, nets: int = 20_000) -> tuple[float, float]:
    """Mean and variance of ln of E a^2 over networks, against the first layer's input."""
    rng = generator(49, width)
    a = np.ones((nets, width))
    for _ in range(layers):
        for part in np.array_split(np.arange(nets), 20):
            weight = rng.standard_normal((len(part), width, width)) * math.sqrt(2 / width)
            a[part] = rectified(np.einsum("nij,nj->ni", weight, a[part]))
    logs = np.log((a**2).mean(1))
    return float(logs.mean()), float(logs.var())


def moment_ratio(width: int, weights: str, draws: int = 120_000) -> float:
    """E m^2 / E[m]^2 of one ReLU layer, m its mean square over an input of fixed length."""
    rng = generator(50, width)
    found = []
    for _ in range(20):
        count = draws // 20
        x = rng.standard_normal((count, width))
        x *= math.sqrt(width) / np.linalg.norm(x, axis=1, keepdims=True)
        if weights == "orthogonal":
            # a Haar matrix turns any input into a uniform direction
            z = rng.standard_normal((count, width))
            z *= math.sqrt(width) / np.linalg.norm(z, axis=1, keepdims=True)
        else:
            shape = (count, width, width)
            if weights == "normal":
                w = rng.standard_normal(shape)
            elif weights == "uniform":
                w = rng.uniform(-math.sqrt(3), math.sqrt(3), shape)
            else:
                w = rng.integers(0, 2, shape) * 2.0 - 1
            z = np.einsum("nij,nj->ni", w, x) / math.sqrt(width)
        found.append((2 * rectified(z) ** 2).mean(1))
    m = np.concatenate(found)
    return float((m**2).mean() / m.mean() ** 2)


def dead_at_a_point(width: int, depth: int, nets: int = 40_000) -> float:
    rng = generator(52, width)
    a = np.abs(rng.standard_normal((nets, width)))
    for _ in range(depth):
        a = rectified(np.einsum("nij,nj->ni", rng.standard_normal((nets, width, width)), a))
    return float((a.max(1) == 0).mean())


def born_dead(width: int, depth: int, nets: int = 100_000) -> float:
    """The share of nets of one input whose last hidden layer is dead at both x = 1 and x = -1."""
    rng = generator(26, width)
    first = rng.standard_normal((nets, width))
    both = np.stack([rectified(first), rectified(-first)], axis=1)
    for _ in range(depth - 1):
        both = rectified(np.einsum("nij,nsj->nsi", rng.standard_normal((nets, width, width)), both))
    return float((both.max((1, 2)) == 0).mean())


def dead_share(inputs: str, batch: int, layers: int, width: int = 1000, nets: int = 6) -> float:
    found = []
    for net in range(nets):
        rng = generator(53, net)
        a = rng.standard_normal((batch, width)) if inputs == "N(0,1)" else rng.random((batch, width))
        for _ in range(layers):
            z = a @ rng.standard_normal((width, width)) * math.sqrt(2 / width)
            a = rectified(z)
        found.append(float((z.max(0) <= 0).mean()))
    return float(np.mean(found))


def jacobian_spread(name: str, weights: str, q: float, width: int = 300, layers: int = 10) -> float:
    """Variance of the squared singular values of a deep Jacobian over the square of their mean."""
    act = activation(name)
    found = []
    for net in range(3):
        rng = generator(54, net)
        jacobian = np.eye(width)
        for _ in range(layers):
            weight = rng.standard_normal((width, width)) / math.sqrt(width)
            if weights == "orthogonal":
                weight, upper = np.linalg.qr(weight)
                weight = weight * np.sign(np.diag(upper))
            slopes = act.derivative(math.sqrt(q) * rng.standard_normal(width))
            jacobian = slopes[:, None] * (weight @ jacobian)
        squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
        found.append(squares.var() / squares.mean() ** 2)
    return float(np.mean(found))


def saturated_share(width: int = 500, batch: int = 64, nets: int = 16) -> float:
    """The share in a first Xavier layer; inputs that correlate by .75 make single layers differ."""
    found = []
    for net in range(nets):
        rng = generator(57, net)
        z = rng.uniform(0, 5, (batch, width)) @ rng.standard_normal((width, width)) / math.sqrt(width)
        found.append(float((np.abs(np.tanh(z)) > 0.97).mean()))
    return float(np.mean(found))


@lru_cache(maxsize=1)
def _convolution_lengths(channels: int = 48, size: int = 8, nets: int = 40) -> tuple[float, ...]:
    totals = np.zeros(20)
    for net in range(nets):
        rng = generator(570, net)
        z = rng.standard_normal((channels, size, size))
        z /= math.sqrt((z**2).mean())
        for layer in range(20):
            padded = np.pad(z, ((0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
            patches = windows.transpose(0, 3, 4, 1, 2).reshape(channels * 9, size * size)
            weight = rng.standard_normal((channels, channels * 9)) / math.sqrt(channels * 9)
            z = (weight @ patches).reshape(channels, size, size)
            totals[layer] += (z**2).mean()
    return tuple(totals / nets)


def convolutions(depth: int) -> float:
    """E z^2 after linear 3x3 convolutions of an 8x8 image with zero padding."""
    return _convolution_lengths()[depth - 1]


def residual_blocks(blocks: int, width: int = 500, nets: int = 8) -> float:
    """Growth of E x^2 per block x + W x."""
    logs = []
    for net in range(nets):
        rng = generator(210, net)
        first = x = rng.standard_normal(width)
        for _ in range(blocks):
            x = x + rng.standard_normal((width, width)) @ x / math.sqrt(width)
        logs.append(math.log((x**2).sum() / (first**2).sum()) / blocks)
    return math.exp(float(np.mean(logs)))


def attention(tokens: int, sigma: float, rows: int = 6000) -> float:
    """E sum w^2 of softmax weights over normal logits."""
    rng = generator(211, tokens)
    found = []
    for _ in range(10):
        weights = np.exp(sigma * rng.standard_normal((rows // 10, tokens)))
        weights /= weights.sum(1, keepdims=True)
        found.append((weights**2).sum(1))
    return float(np.concatenate(found).mean())
