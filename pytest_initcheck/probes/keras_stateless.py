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
    """Return the model's forward pass, which reads these values and writes to no variable.

    It is called whole: ``stateless_call`` passes by what ``__call__`` does, and tells the layers of a
    model without a ``training`` argument nothing.
    """
    variables = [each.variable for each in (*layers.weights, *layers.states)]

    def forward(weights: Sequence[Any], states: Sequence[Any], call: Call) -> Any:
        mapping = list(zip(variables, (*weights, *states), strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return model(*call.args, training=mode == "train", **call.kwargs)

    return forward
