"""A Keras model as a function of its variables: how JAX and TensorFlow run it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.keras_layers import Layers

Stateless = Callable[[Sequence[Any], Sequence[Any], Call], Any]
"""Takes the values of the weights and of the states, in the order of the layers, and the call."""


def stateless(model: Any, layers: Layers, mode: str) -> Stateless:
    """Return the model's forward pass, which reads these values and writes to no variable."""
    trainable = list(model.trainable_variables)
    others = list(model.non_trainable_variables)
    weights = [id(each.variable) for each in layers.weights]
    states = [id(each.variable) for each in layers.states]

    def forward(weight_values: Sequence[Any], state_values: Sequence[Any], call: Call) -> Any:
        known: Mapping[int, Any] = {
            **dict(zip(weights, weight_values, strict=True)),
            **dict(zip(states, state_values, strict=True)),
        }

        def values_of(variables: Sequence[Any]) -> list[Any]:
            return [known.get(id(variable), variable.value) for variable in variables]

        outputs, _ = model.stateless_call(
            values_of(trainable), values_of(others), *call.args, training=mode == "train", **call.kwargs
        )
        return outputs

    return forward
