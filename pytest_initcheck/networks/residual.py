"""Residual networks of dense blocks, built for every framework.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from pytest_initcheck.activations import Array, activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers import lecun_normal, zeros
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
from pytest_initcheck.numpy import tap

Branch = Literal["scaled", "zero", "pre_norm"]
BRANCHES: tuple[Branch, ...] = get_args(Branch)


@dataclass(frozen=True)
class ResidualSpec:
    """A linear stem, blocks x + s W2 phi(W1 x), a linear head (principles.md 1.9).

    * ``branch`` keeps the stream's length: "scaled" has s = 1 / sqrt(blocks), "zero" starts W2 at
      zero (Fixup, Zhang et al. 2019), "pre_norm" reads a layer norm and ends in one; numpy has none.
    * ``unscaled`` leaves s at 1, which doubles the second moment in every block.

    Raises ConfigError for what cannot be built.
    """

    features: int
    width: int
    blocks: int
    activation: str
    scheme: Scheme
    branch: Branch = "scaled"
    outputs: int = 10
    unscaled: bool = False
    framework: Framework = "torch"

    def __post_init__(self) -> None:
        activation(self.activation)
        checked_framework(self.framework)
        if self.branch not in BRANCHES:
            raise ConfigError(f"unknown branch {self.branch!r}{did_you_mean(self.branch, BRANCHES)}")
        if min(self.features, self.width, self.blocks, self.outputs) < 1:
            raise ConfigError("features, width, blocks and outputs are at least 1")
        if self.branch == "pre_norm":
            not_numpy("branch='pre_norm'", self.framework)

    @property
    def scale(self) -> float:
        """The factor s of every branch."""
        return 1.0 if self.unscaled or self.branch == "pre_norm" else 1 / math.sqrt(self.blocks)

    @property
    def inputs(self) -> Normal:
        """N(0, 1) inputs of the right shape."""
        return Normal((self.features,))

    @property
    def text(self) -> str:
        """The canonical text.

        >>> ResidualSpec(8, 16, 4, "relu", lecun_normal()).text
        'torch(residual 8-16x4-10, scaled, relu, lecun_normal)'
        """
        shape = f"residual {self.features}-{self.width}x{self.blocks}-{self.outputs}"
        parts = [shape, self.branch, self.activation, self.scheme.text]
        parts += ["unscaled"] if self.unscaled else []
        return f"{self.framework}({', '.join(parts)})"

    @property
    def schemes(self) -> tuple[Scheme, Scheme]:
        """The schemes of W1, which reads the stream, and of W2, which reads the activation."""
        return lecun_normal(), zeros() if self.branch == "zero" else self.scheme

    def factory(self, framework: Framework | None = None) -> Callable[..., Any]:
        """Return a factory of freshly initialised networks: ``factory(rng)`` for numpy."""
        spec = replace(self, framework=checked_framework(framework or self.framework))
        return factory_of(spec, numpy=build_numpy, torch=build_torch, jax=build_jax, keras=build_keras)


def build_numpy(spec: ResidualSpec, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Return the forward function of a fresh draw; it shows its layers by ``ic.numpy.tap``."""
    block = dense(spec.width, spec.width)
    stem = lecun_normal().sample(rng, dense(spec.features, spec.width))
    inner, outer = spec.schemes
    pairs = [(inner.sample(rng, block), outer.sample(rng, block)) for _ in range(spec.blocks)]
    head = lecun_normal().sample(rng, dense(spec.width, spec.outputs))
    phi, scale = activation(spec.activation).phi, spec.scale

    def forward(x: Array) -> Array:
        h = tap("stem", x @ stem, weight=stem)
        for index, (w1, w2) in enumerate(pairs):
            z = tap(f"{index}.w1", h @ w1, activation=spec.activation, weight=w1)
            h = h + scale * tap(f"{index}.w2", phi(z) @ w2, weight=w2)
        return np.asarray(tap("head", h @ head, weight=head))

    return forward


def build_torch(spec: ResidualSpec) -> Any:
    """Return the module of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()
    block = dense(spec.width, spec.width)
    inner, outer = spec.schemes
    normalised = spec.branch == "pre_norm"

    class Block(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(spec.width) if normalised else nn.Identity()
            self.w1, self.w2 = linear(block, inner), linear(block, outer)
            self.phi = torch_activation(spec.activation)

        def forward(self, x: Any) -> Any:
            return x + spec.scale * self.w2(self.phi(self.w1(self.norm(x))))

    stem = linear(dense(spec.features, spec.width), lecun_normal())
    head = linear(dense(spec.width, spec.outputs), lecun_normal())
    last = [nn.LayerNorm(spec.width)] if normalised else []
    return nn.Sequential(stem, *(Block() for _ in range(spec.blocks)), *last, head)


def build_jax(spec: ResidualSpec, rng: np.random.Generator) -> tuple[Callable[..., Any], Any]:
    """Return (apply, params) of a fresh draw.

    Raises ModelError where JAX is not installed.
    """
    phi, block = jax_layers.jax_activation(spec.activation), dense(spec.width, spec.width)
    inner, outer = spec.schemes
    normalised = spec.branch == "pre_norm"

    def normed() -> dict[str, Any]:
        return {"norm": jax_layers.norm(spec.width)} if normalised else {}

    params = {
        "stem": jax_layers.drawn(rng, dense(spec.features, spec.width), lecun_normal()),
        "blocks": [
            {
                "w1": jax_layers.drawn(rng, block, inner),
                "w2": jax_layers.drawn(rng, block, outer),
                **normed(),
            }
            for _ in range(spec.blocks)
        ],
        "head": jax_layers.drawn(rng, dense(spec.width, spec.outputs), lecun_normal()),
        **normed(),
    }

    def apply(params: Any, x: Any) -> Any:
        h = jax_layers.dense(params["stem"], x)
        for p in params["blocks"]:
            read = jax_layers.layer_norm(p["norm"], h) if normalised else h
            z = phi(jax_layers.dense(p["w1"], read))
            h = h + spec.scale * jax_layers.dense(p["w2"], z)
        h = jax_layers.layer_norm(params["norm"], h) if normalised else h
        return jax_layers.dense(params["head"], h)

    return apply, params


def build_keras(spec: ResidualSpec, rng: np.random.Generator) -> Any:
    """Return a functional ``keras.Model`` of a fresh draw.

    Raises ModelError where Keras is not installed.
    """
    keras = keras_layers.keras_module()
    phi, block = keras_layers.keras_activation(spec.activation), dense(spec.width, spec.width)
    inner, outer = spec.schemes
    x = keras.Input((spec.features,), name="x")

    def normalised(h: Any, name: str) -> Any:
        norm = keras.layers.LayerNormalization(epsilon=1e-5, name=name)
        return norm(h) if spec.branch == "pre_norm" else h

    def linear(layer: Layer, scheme: Scheme, name: str) -> Any:
        return keras_layers.linear(rng, layer, scheme, name=name)

    h = linear(dense(spec.features, spec.width), lecun_normal(), "stem")(x)
    for index in range(spec.blocks):
        z = phi(linear(block, inner, f"{index}_w1")(normalised(h, f"{index}_norm")))
        h = h + spec.scale * linear(block, outer, f"{index}_w2")(z)
    head = linear(dense(spec.width, spec.outputs), lecun_normal(), "head")
    return keras.Model(x, head(normalised(h, "norm")))
