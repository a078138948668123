"""A backward pass that the user wrote, held against the forward pass. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.numpy import Network
from pytest_initcheck.probes.losses import positional
from pytest_initcheck.probes.tracebacks import user_traceback

Array = NDArray[Any]
_DIRECTIONS = 2
_OFF, _OFF_SINGLE = 0.02, 0.1
"""Share of the gradient's size by which a slope may differ: rounding and kinks are below it."""
Slope = Callable[[str, Array, Array], float]
"""Of sum(output * dy) along a direction in one parameter: its name, the direction, dy."""


def gradients_of(
    network: Network, call: Call, dy: Array, names: Mapping[str, Array]
) -> dict[str, Array]:
    """Call the user's backward, after its forward, and return its gradients by name.

    Raises ModelError where it raises, or returns too few gradients or some of another shape.
    """
    assert network.backward is not None
    inputs = (*call.args, *call.kwargs.values())
    given = (*inputs, dy) if positional(network.backward) > 1 else (dy,)
    try:
        found = network.backward(*given)
    except Exception as error:
        raise ModelError(
            f"backward raised {type(error).__name__}: {error}; it is called as backward(dy), or as "
            f"backward(x, dy), with dy of the output's shape {dy.shape}, right after forward(x)",
            traceback_text=user_traceback(error),
        ) from error
    if not isinstance(found, Mapping):
        items = list(found) if isinstance(found, (list, tuple)) else [found]
        if len(items) != len(names):
            raise ModelError(
                f"backward returned {len(items)} gradients for {len(names)} parameters; return them in "
                f"the order {', '.join(names)}, or as a dict by name"
            )
        found = dict(zip(names, items, strict=True))
    for name, array in names.items():
        if found.get(name) is None:
            raise ModelError(f"backward returned no gradient of {name}; return one for every parameter")
        if np.shape(found[name]) != array.shape:
            raise ModelError(
                f"backward returned a gradient of shape {np.shape(found[name])} for {name}, which has "
                f"shape {array.shape}"
            )
    return {name: np.asarray(found[name], dtype=np.float64) for name in names}


def hold_against_forward(
    gradients: Mapping[str, Array], parameters: Mapping[str, Array], dy: Array, slope: Slope, seed: int
) -> None:
    """Compare the gradients with those of the forward pass in random directions.

    E_v (g . v)^2 = |g|^2 for v ~ N(0, I), so the gradient's norm is the size of a slope.
    Raises ModelError for the first parameter whose gradient is another.
    """
    rng = np.random.default_rng(seed)
    for name, gradient in gradients.items():
        for _ in range(_DIRECTIONS):
            direction = rng.standard_normal(parameters[name].shape)
            forward = slope(name, direction, dy)
            backward = float(np.sum(gradient * direction))
            size = max(float(np.linalg.norm(gradient)), abs(forward))
            allowed = (_OFF if parameters[name].dtype.itemsize >= 8 else _OFF_SINGLE) * size
            if math.isfinite(forward) and not abs(forward - backward) <= allowed:
                raise ModelError(
                    f"backward is wrong for {name}: along a random direction in it sum(output * dy) "
                    f"changes by {forward:.3g} in the forward pass, by {backward:.3g} says backward"
                    f"{_ratio(forward, backward, len(dy))}; mend backward, or leave it out: gradients "
                    "are then taken of the forward pass"
                )


def _ratio(forward: float, backward: float, batch: int) -> str:
    if backward and batch > 1 and abs(forward / backward / batch - 1) < _OFF:
        return f", which is {batch} times less: it divides by the number of samples"
    return ""


def step_of(array: Array) -> float:
    """Return the size of a central difference, by the scale of the array and its precision."""
    scale = math.sqrt(float(np.mean(array.astype(np.float64) ** 2))) or 1.0
    return scale * (1e-2 if array.dtype.itemsize < 8 else 1e-5)
