"""A Keras model as a function of its variables: how JAX and TensorFlow run it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.keras_layers import Layers

Stateless = Callable[[Sequence[Any], Sequence[Any], Call], Any]
"""Takes the values of the weights and of the states, in the order of the layers, and the call."""


def stateless(model: Any, layers: Layers, mode: str) -> Stateless:
    """Return the model's forward pass, which reads these values and writes to no variable."""
    weights = [each.variable for each in layers.weights]
    states = [each.variable for each in layers.states]

    def forward(weight_values: Sequence[Any], state_values: Sequence[Any], call: Call) -> Any:
        mapping = [
            *zip(weights, weight_values, strict=True),
            *zip(states, state_values, strict=True),
        ]
        # not stateless_call: it goes past __call__, and so past dtype policies and the mode
        with keras.StatelessScope(state_mapping=mapping):
            return model(*call.args, training=mode == "train", **call.kwargs)

    return forward
