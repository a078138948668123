"""Pre-LN transformer blocks, built for torch, JAX and Keras.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_initcheck.activations import activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import dense
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks import jax_layers, keras_layers
from pytest_initcheck.networks.frameworks import (
    Framework,
    checked_framework,
    factory_of,
    not_numpy,
)
from pytest_initcheck.networks.torch_layers import linear, torch_activation, torch_nn


@dataclass(frozen=True)
class TransformerSpec:
    """Blocks of attention and a feed-forward part, each behind a layer norm; a final norm and head.

    * ``width`` is that of the stream, ``heads`` divide it, ``tokens`` is the length of a sequence.
    * ``scheme`` draws every weight; with ``residual_scale`` the last layer of each branch is divided
      by sqrt(2 blocks), as GPT-2 does (principles.md 1.9).

    Raises ConfigError for what cannot be built.
    """

    width: int
    heads: int
    blocks: int
    tokens: int
    activation: str
    scheme: Scheme
    residual_scale: bool = True
    outputs: int = 10
    framework: Framework = "torch"

    def __post_init__(self) -> None:
        activation(self.activation)
        not_numpy("a transformer", checked_framework(self.framework))
        if min(self.width, self.heads, self.blocks, self.tokens, self.outputs) < 1:
            raise ConfigError("width, heads, blocks, tokens and outputs are at least 1")
        if self.width % self.heads:
            raise ConfigError(f"heads must divide the width, got {self.width} and {self.heads}")

    @property
    def inputs(self) -> Normal:
        """N(0, 1) sequences of the right shape."""
        return Normal((self.tokens, self.width))

    @property
    def text(self) -> str:
        """The canonical text.

        >>> TransformerSpec(16, 2, 3, 8, "gelu", lecun_normal()).text
        'torch(transformer 16 with 2 heads x3, 8 tokens, gelu, lecun_normal)'
        """
        shape = f"transformer {self.width} with {self.heads} heads x{self.blocks}"
        parts = [shape, f"{self.tokens} tokens", self.activation, self.scheme.text]
        parts += [] if self.residual_scale else ["branches unscaled"]
        parts += [f"{self.outputs} outputs"] if self.outputs != 10 else []
        return f"{self.framework}({', '.join(parts)})"

    @property
    def branch_scale(self) -> float:
        """What the last weight of each branch is multiplied by."""
        return 1 / math.sqrt(2 * self.blocks) if self.residual_scale else 1.0

    @property
    def shapes(self) -> tuple[Layer, Layer, Layer]:
        """The shapes of an attention's weights, and of the two of a feed-forward part."""
        wide = 4 * self.width
        return dense(self.width, self.width), dense(self.width, wide), dense(wide, self.width)

    def factory(self, framework: Framework | None = None) -> Callable[..., Any]:
        """Return a factory of freshly initialised networks."""
        spec = replace(self, framework=checked_framework(framework or self.framework))
        return factory_of(spec, torch=build_torch, jax=build_jax, keras=build_keras)


def build_torch(spec: TransformerSpec) -> Any:
    """Return the module of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    square, wide, narrow = spec.shapes

    class Attention(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.out = (linear(square, spec.scheme) for _ in range(4))

        def forward(self, x: Any) -> Any:
            def split(values: Any) -> Any:
                return values.unflatten(-1, (spec.heads, -1)).transpose(1, 2)

            q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
            shares = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            return self.out((shares @ v).transpose(1, 2).flatten(2))

    class Block(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
            self.attention = Attention()
            self.up, self.down = linear(wide, spec.scheme), linear(narrow, spec.scheme)
            self.phi = torch_activation(spec.activation)
            for last in (self.attention.out, self.down):
                last.weight.data.mul_(spec.branch_scale)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.down(self.phi(self.up(self.norm2(x))))

    head = linear(dense(spec.width, spec.outputs), lecun_normal())
    return nn.Sequential(*(Block() for _ in range(spec.blocks)), nn.LayerNorm(spec.width), head)


def build_jax(spec: TransformerSpec, rng: np.random.Generator) -> tuple[Callable[..., Any], Any]:
    """Return (apply, params) of a fresh draw.

    Raises ModelError where JAX is not installed.
    """
    phi, jnp = jax_layers.jax_activation(spec.activation), jax_layers.jax_numpy()
    square, wide, narrow = spec.shapes
    scale = spec.branch_scale

    def block() -> dict[str, Any]:
        return {
            **{name: jax_layers.drawn(rng, square, spec.scheme) for name in "qkv"},
            "out": jax_layers.drawn(rng, square, spec.scheme, scale=scale),
            "up": jax_layers.drawn(rng, wide, spec.scheme),
            "down": jax_layers.drawn(rng, narrow, spec.scheme, scale=scale),
            "norm1": jax_layers.norm(spec.width),
            "norm2": jax_layers.norm(spec.width),
        }

    params = {
        "blocks": [block() for _ in range(spec.blocks)],
        "norm": jax_layers.norm(spec.width),
        "head": jax_layers.drawn(rng, dense(spec.width, spec.outputs), lecun_normal()),
    }

    def attention(p: Any, x: Any) -> Any:
        from jax import nn

        def split(name: str) -> Any:
            return jax_layers.dense(p[name], x).reshape(*x.shape[:2], spec.heads, -1)

        q, k, v = map(split, "qkv")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        mixed = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores, -1), v)
        return jax_layers.dense(p["out"], mixed.reshape(x.shape))

    def apply(params: Any, x: Any) -> Any:
        for p in params["blocks"]:
            x = x + attention(p, jax_layers.layer_norm(p["norm1"], x))
            z = phi(jax_layers.dense(p["up"], jax_layers.layer_norm(p["norm2"], x)))
            x = x + jax_layers.dense(p["down"], z)
        return jax_layers.dense(params["head"], jax_layers.layer_norm(params["norm"], x))

    return apply, params


def build_keras(spec: TransformerSpec, rng: np.random.Generator) -> Any:
    """Return a functional ``keras.Model`` of a fresh draw, its attention Keras' own.

    Raises ModelError where Keras is not installed.
    """
    keras = keras_layers.keras_module()
    phi = keras_layers.keras_activation(spec.activation)
    square, wide, narrow = spec.shapes
    scale, heads = spec.branch_scale, spec.heads
    x = h = keras.Input((spec.tokens, spec.width), name="x")

    def norm(name: str) -> Any:
        return keras.layers.LayerNormalization(epsilon=1e-5, name=name)

    for index in range(spec.blocks):
        mixer = keras.layers.MultiHeadAttention(heads, spec.width // heads, name=f"{index}_attention")
        read = norm(f"{index}_norm1")(h)
        mixed = mixer(read, read)
        keras_layers.draw_attention(mixer, rng, square, spec.scheme, scale=scale)
        h = h + mixed
        up = keras_layers.linear(rng, wide, spec.scheme, name=f"{index}_up")
        down = keras_layers.linear(rng, narrow, spec.scheme, name=f"{index}_down", scale=scale)
        h = h + down(phi(up(norm(f"{index}_norm2")(h))))
    head = keras_layers.linear(rng, dense(spec.width, spec.outputs), lecun_normal(), name="head")
    return keras.Model(x, head(norm("norm")(h)))
