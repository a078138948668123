"""A Keras model on TensorFlow: traced as a function of its variables. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.graph import tracing
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.keras_inputs import as_arrays, named_arrays, unfit
from pytest_initcheck.probes.keras_layers import Layers, Part
from pytest_initcheck.probes.keras_state import called_by
from pytest_initcheck.probes.keras_stateless import stateless
from pytest_initcheck.probes.tensorflow import flow_of, operations
from pytest_initcheck.probes.tensorflow_flow import TensorFlowFlow
from pytest_initcheck.trace import Glimpse, Trace, Wanted


def trace(model: Any, layers: Layers, call: Call, mode: str, seed: int, wanted: Wanted) -> Trace:
    flow, batch = _flow(model, layers, call, mode)
    return tracing.trace(flow, framework="tensorflow", batch=batch, seed=seed, wanted=wanted)


def glimpse(model: Any, layers: Layers, call: Call, mode: str, seed: int) -> Glimpse:
    flow, batch = _flow(model, layers, call, mode)
    return tracing.glimpse(flow, batch=batch)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def _flow(model: Any, layers: Layers, call: Call, mode: str) -> tuple[TensorFlowFlow, int]:
    given = as_arrays(call)
    leaves = [
        Leaf(each.name, _value(each.variable), each.variable.trainable, each.expression, each.aliases)
        for each in layers.weights
    ]
    states = [(each.name, _value(each.variable)) for each in layers.states]
    places: dict[str, str] = {}
    try:
        with _placed(layers, places):
            flow = flow_of(
                stateless(model, layers, mode), leaves, states, given, lambda name: places.get(name, "")
            )
    except ModelError:
        raise
    except Exception as error:
        raise unfit(error, given) from error
    arrays = sorted(named_arrays(given).values(), key=lambda array: array.dtype.kind != "f")
    return flow, len(next((array for array in arrays if array.ndim), np.zeros(1)))


def _value(variable: Any) -> Any:
    return keras.ops.convert_to_numpy(variable.value)


@contextmanager
def _placed(layers: Layers, places: dict[str, str]) -> Iterator[None]:
    """Note which layer makes each operation: a graph numbers its scopes anew with every call."""
    with ExitStack() as stack:
        for part in layers.parts:
            if part.path:
                stack.enter_context(called_by(part.layer, _noting(part, places)))
        yield


def _noting(part: Part, places: dict[str, str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:
            before = operations()
            output = call(*args, **kwargs)
            for name in operations()[len(before) :]:
                places.setdefault(name, part.path)  # an inner layer was first
            return output

        return noting

    return around
