"""Architectures as flax shows them: they start in a trainable place, and pass."""

from __future__ import annotations

from itertools import pairwise

import jax.numpy as jnp
import pytest
from flax import linen, nnx

import pytest_initcheck as ic

IMAGES = ic.normal(16, 16, 3)
TOKENS = ic.tokens(12, vocabulary=50)


class Block(nnx.Module):
    """Two convolutions, the second norm's scale at zero, as in flax's ImageNet example."""

    def __init__(self, channels, filters, stride, rngs):
        def conv(size, strides, fan_in):
            return nnx.Conv(
                fan_in, filters, (size, size), strides, use_bias=False, kernel_init=HE, rngs=rngs
            )

        self.one, self.two = conv(3, stride, channels), conv(3, 1, filters)
        self.norm = nnx.BatchNorm(filters, rngs=rngs)
        self.last = nnx.BatchNorm(filters, scale_init=nnx.initializers.zeros, rngs=rngs)
        narrows = stride > 1 or channels != filters
        self.shortcut = conv(1, stride, channels) if narrows else None
        self.beside = nnx.BatchNorm(filters, rngs=rngs) if narrows else None

    def __call__(self, x):
        y = self.last(self.two(nnx.relu(self.norm(self.one(x)))))
        return nnx.relu(y + (x if self.shortcut is None else self.beside(self.shortcut(x))))


HE = nnx.initializers.he_normal()


class ResNet(nnx.Module):
    """Three blocks, two of which halve the image."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 16, (3, 3), use_bias=False, kernel_init=HE, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        widths = [16, 16, 32, 64]
        self.blocks = nnx.List([Block(n, m, 2 if m > n else 1, rngs) for n, m in pairwise(widths)])
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


class Gpt(linen.Module):
    """A GPT with linen's own attention."""

    width: int = 64
    layers: int = 2

    @linen.compact
    def __call__(self, ids):
        small = linen.initializers.normal(0.02)
        table = linen.Embed(50, self.width, embedding_init=small)
        place = self.param("position", small, (ids.shape[1], self.width))
        x, mask = table(ids) + place, linen.make_causal_mask(ids)
        for _ in range(self.layers):
            y = linen.LayerNorm()(x)
            x += linen.MultiHeadDotProductAttention(num_heads=4)(y, mask=mask)
            y = linen.gelu(linen.Dense(4 * self.width)(linen.LayerNorm()(x)))
            x += linen.Dense(self.width)(y)
        return linen.Dense(50)(linen.LayerNorm()(x))


GOOD = {
    "nnx ResNet": (lambda rngs: ResNet(rngs), IMAGES),
    "linen GPT": (lambda: Gpt(), TOKENS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_an_architecture_passes(name):
    factory, inputs = GOOD[name]
    report = ic.check(factory, inputs=inputs)
    assert report.verdict == "pass", str(report)


class Saturated(linen.Module):
    """Tanh layers with weights of N(0, 1), as a first draft has them."""

    @linen.compact
    def __call__(self, ids):
        x = linen.Embed(50, 64, embedding_init=linen.initializers.normal(1.0))(ids)
        for _ in range(4):
            x = jnp.tanh(linen.Dense(64, kernel_init=linen.initializers.normal(1.0))(x))
        return linen.Dense(50)(x)


def test_a_broken_one_fails():
    report = ic.check(lambda: Saturated(), inputs=TOKENS)
    assert report.verdict == "fail"
    assert "saturation" in {finding.invariant for finding in report.findings}
