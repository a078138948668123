"""A Keras model on JAX: a function of its variables, as the JAX probe takes it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import jax as probe
from pytest_initcheck.probes.jax_models import Functional
from pytest_initcheck.probes.jax_trees import Held
from pytest_initcheck.probes.keras_layers import Layers
from pytest_initcheck.probes.keras_stateless import stateless
from pytest_initcheck.trace import Glimpse, Trace, Wanted


def trace(model: Any, layers: Layers, call: Call, mode: str, seed: int, wanted: Wanted) -> Trace:
    return probe.trace_of(_functional(model, layers, mode), call, seed, wanted)


def glimpse(model: Any, layers: Layers, call: Call, mode: str, seed: int) -> Glimpse:
    return probe.glimpse_of(_functional(model, layers, mode), call, seed)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def _functional(model: Any, layers: Layers, mode: str) -> Functional:
    weights = (
        Held(
            each.name,
            each.expression,
            each.variable.value,
            each.variable.assign,
            each.variable.trainable,
            each.aliases,
        )
        for each in layers.weights
    )
    states = ((each.name, each.variable.value) for each in layers.states)
    return Functional(tuple(weights), tuple(states), stateless(model, layers, mode), layers.place)
