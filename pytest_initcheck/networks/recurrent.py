"""Recurrent networks of one cell, built for every framework.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_initcheck.activations import Array, activation
from pytest_initcheck.distributions import Normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import lecun_normal
from pytest_initcheck.initializers.layer_kinds import dense
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.networks import jax_layers, keras_layers
from pytest_initcheck.networks.frameworks import Framework, checked_framework, factory_of
from pytest_initcheck.networks.torch_layers import linear, torch_activation, torch_nn
from pytest_initcheck.numpy import tap


@dataclass(frozen=True)
class RecurrentSpec:
    """A cell h' = phi(W [x, h]) over a sequence, and a linear head on the last state (Elman 1990).

    Raises ConfigError for what cannot be built.
    """

    features: int
    width: int
    steps: int
    activation: str
    scheme: Scheme
    outputs: int = 10
    framework: Framework = "torch"

    def __post_init__(self) -> None:
        activation(self.activation)
        checked_framework(self.framework)
        if min(self.features, self.width, self.steps, self.outputs) < 1:
            raise ConfigError("features, width, steps and outputs are at least 1")

    @property
    def inputs(self) -> Normal:
        """N(0, 1) sequences of the right shape."""
        return Normal((self.steps, self.features))

    @property
    def text(self) -> str:
        """The canonical text.

        >>> RecurrentSpec(8, 16, 5, "tanh", lecun_normal()).text
        'torch(rnn 8-16-10 over 5 steps, tanh, lecun_normal)'
        """
        shape = f"rnn {self.features}-{self.width}-{self.outputs} over {self.steps} steps"
        return f"{self.framework}({shape}, {self.activation}, {self.scheme.text})"

    def factory(self, framework: Framework | None = None) -> Callable[..., Any]:
        """Return a factory of freshly initialised networks: ``factory(rng)`` for numpy."""
        spec = replace(self, framework=checked_framework(framework or self.framework))
        return factory_of(spec, numpy=build_numpy, torch=build_torch, jax=build_jax, keras=build_keras)


def build_numpy(spec: RecurrentSpec, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Return the forward function of a fresh draw; it shows its layers by ``ic.numpy.tap``."""
    cell = spec.scheme.sample(rng, dense(spec.features + spec.width, spec.width))
    head = lecun_normal().sample(rng, dense(spec.width, spec.outputs))
    phi = activation(spec.activation).phi

    def forward(x: Array) -> Array:
        h = np.zeros((len(x), spec.width))
        for step in range(spec.steps):
            read = np.concatenate([x[:, step], h], axis=1)
            h = phi(tap("cell", read @ cell, activation=spec.activation, weight=cell))
        return np.asarray(tap("head", h @ head, weight=head))

    return forward


def build_torch(spec: RecurrentSpec) -> Any:
    """Return the module of a fresh draw.

    Raises ModelError where torch is not installed.
    """
    nn = torch_nn()

    class Recurrent(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.cell = linear(dense(spec.features + spec.width, spec.width), spec.scheme)
            self.phi = torch_activation(spec.activation)
            self.head = linear(dense(spec.width, spec.outputs), lecun_normal())

        def forward(self, x: Any) -> Any:
            import torch

            h = x.new_zeros(len(x), spec.width)
            for step in range(spec.steps):
                h = self.phi(self.cell(torch.cat([x[:, step], h], 1)))
            return self.head(h)

    return Recurrent()


def build_jax(spec: RecurrentSpec, rng: np.random.Generator) -> tuple[Callable[..., Any], Any]:
    """Return (apply, params) of a fresh draw; the cell runs under ``lax.scan``.

    Raises ModelError where JAX is not installed.
    """
    jnp = jax_layers.jax_numpy()
    phi = jax_layers.jax_activation(spec.activation)
    cell = dense(spec.features + spec.width, spec.width)
    params = {
        "cell": jax_layers.drawn(rng, cell, spec.scheme),
        "head": jax_layers.drawn(rng, dense(spec.width, spec.outputs), lecun_normal()),
    }

    def apply(params: Any, x: Any) -> Any:
        from jax import lax

        def step(h: Any, x: Any) -> tuple[Any, None]:
            return phi(jax_layers.dense(params["cell"], jnp.concatenate([x, h], 1))), None

        h, _ = lax.scan(step, jnp.zeros((len(x), spec.width), x.dtype), jnp.moveaxis(x, 1, 0))
        return jax_layers.dense(params["head"], h)

    return apply, params


def build_keras(spec: RecurrentSpec, rng: np.random.Generator) -> Any:
    """Return a subclassed ``keras.Model`` of a fresh draw.

    Raises ModelError where Keras is not installed.
    """
    keras = keras_layers.keras_module()

    class Recurrent(keras.Model):  # type: ignore[misc, name-defined]  # keras is imported late
        def __init__(self) -> None:
            super().__init__(name="recurrent")
            cell = dense(spec.features + spec.width, spec.width)
            self.cell = keras_layers.linear(rng, cell, spec.scheme, name="cell")
            self.phi = keras_layers.keras_activation(spec.activation)
            head = dense(spec.width, spec.outputs)
            self.head = keras_layers.linear(rng, head, lecun_normal(), name="head")

        def call(self, x: Any) -> Any:
            h = keras.ops.zeros((keras.ops.shape(x)[0], spec.width), dtype=x.dtype)
            for step in range(spec.steps):
                h = self.phi(self.cell(keras.ops.concatenate([x[:, step], h], 1)))
            return self.head(h)

    model = Recurrent()
    model(np.zeros((1, spec.steps, spec.features), np.float32))
    return model
