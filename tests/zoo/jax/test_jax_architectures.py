"""Architectures of equinox and haiku start in a trainable place, and pass."""

from __future__ import annotations

import equinox as eqx
import haiku as hk
import jax
import pytest

import pytest_initcheck as ic

IMAGES = ic.normal(16, 16, 3)
TOKENS = ic.tokens(12, vocabulary=50)


class Layer(eqx.Module):
    """A pre-norm layer of equinox's own attention and MLP."""

    attention: eqx.nn.MultiheadAttention
    mlp: eqx.nn.MLP
    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]

    def __init__(self, width, key):
        one, two = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(4, width, key=one)
        self.mlp = eqx.nn.MLP(width, width, 4 * width, 1, jax.nn.gelu, key=two)
        self.norms = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)

    def __call__(self, x):
        y = jax.vmap(self.norms[0])(x)
        x += self.attention(y, y, y)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norms[1])(x))


class Transformer(eqx.Module):
    """An encoder over tokens, of one sequence."""

    table: eqx.nn.Embedding
    place: jax.Array
    layers: list[Layer]
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, key):
        table, place, head, *layers = jax.random.split(key, 5)
        self.table = eqx.nn.Embedding(50, 64, key=table)
        self.place = jax.random.normal(place, (12, 64)) * 0.02
        self.layers = [Layer(64, each) for each in layers]
        self.norm, self.head = eqx.nn.LayerNorm(64), eqx.nn.Linear(64, 10, key=head)

    def __call__(self, ids):
        x = jax.vmap(self.table)(ids) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x.mean(0)))


def haiku_resnet():
    """Return haiku's own ResNet, with a block in each group."""
    return hk.nets.ResNet((1, 1, 1, 1), 10, bottleneck=False, channels_per_group=(16, 32, 64, 128))


def haiku_mobile_net():
    """Return haiku's own MobileNet, whole."""
    return hk.nets.MobileNetV1(num_classes=10)


def haiku_net(make):
    """Return a network of ``hk.nets``, as a transformed function with state."""
    return hk.transform_with_state(lambda x: make()(x, is_training=True))


GOOD = {
    "equinox transformer": (lambda key: Transformer(key), TOKENS),
    "haiku ResNet": (lambda: haiku_net(haiku_resnet), IMAGES),
    "haiku MobileNetV1": (lambda: haiku_net(haiku_mobile_net), IMAGES),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_an_architecture_passes(name):
    factory, inputs = GOOD[name]
    report = ic.check(factory, inputs=inputs)
    assert report.verdict == "pass", str(report)
