"""Pre-LN transformer blocks, built for torch.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_initcheck.activations import activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import dense
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks.frameworks import Framework, factory_of
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
        if self.framework != "torch":
            raise ConfigError("a transformer needs framework='torch'")
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

    def factory(self) -> Callable[..., Any]:
        """Return a factory of freshly initialised modules, drawn from torch's generator."""
        return factory_of(self, build_torch, _no_numpy)


def _no_numpy(spec: TransformerSpec, rng: np.random.Generator) -> Any:
    raise ConfigError("a transformer needs framework='torch'")


def build_torch(spec: TransformerSpec) -> Any:
    """Return the module of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    square, wide = dense(spec.width, spec.width), dense(spec.width, 4 * spec.width)
    narrow = dense(4 * spec.width, spec.width)
    scale = 1 / math.sqrt(2 * spec.blocks) if spec.residual_scale else 1.0

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
                last.weight.data.mul_(scale)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.down(self.phi(self.up(self.norm2(x))))

    head = linear(dense(spec.width, spec.outputs), lecun_normal())
    return nn.Sequential(*(Block() for _ in range(spec.blocks)), nn.LayerNorm(spec.width), head)
