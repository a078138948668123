"""Forward functions run: on plain arrays first, and traced where they do not tap. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.numpy import Network, observed_by
from pytest_initcheck.probes.numpy_backward import Slope, gradients_of, hold_against_forward, step_of
from pytest_initcheck.probes.numpy_flow import NumpyFlow
from pytest_initcheck.probes.numpy_holdings import (
    Holdings,
    generators_kept,
    holdings,
    states,
)
from pytest_initcheck.probes.numpy_lists import has_samples
from pytest_initcheck.probes.numpy_replacing import with_arrays
from pytest_initcheck.probes.numpy_sites import Sites
from pytest_initcheck.probes.numpy_tracing import arrays_of, recorded
from pytest_initcheck.probes.readouts import standard_normal
from pytest_initcheck.probes.tracebacks import remedy_for, user_traceback

Array = NDArray[Any]


@dataclass(frozen=True)
class Tapped:
    """A forward function that showed some of its values."""

    sites: Sites
    output: Array


def seen(model: Any, call: Call, *, seed: int, histograms: bool = False) -> Tapped | NumpyFlow:
    """Run a forward function; what it taps is taken as it is, a function that does not tap is traced.

    The model, its arrays and its generators are afterwards what they were. A backward pass of the
    user's is held against the forward pass.
    """
    held, forward = holdings(model), forward_of(model)
    sites = Sites(histograms=histograms)
    gradients: tuple[Array, dict[str, Array]] | None = None
    with generators_kept(held):
        before = states(held)
        with _contents_kept(held), with_arrays(forward, lambda array: array) as own:
            output = _returned(own, call, sites)
            draws = before != states(held)
            if isinstance(model, Network) and model.backward is not None:
                dy = standard_normal(np.random.default_rng(seed), _one_array(output).shape)
                gradients = dy, gradients_of(model, copied(call), dy, held.trained)
        if any(site.kind != "input" for site in sites.sites):
            if gradients is not None:
                slope = _slope_in_place(model, call, held)
                hold_against_forward(gradients[1], held.trained, gradients[0], slope, seed)
            return Tapped(sites, _one_array(output))
    _one_array(output)
    with generators_kept(held):
        flow = recorded(forward, call, held, output, draws=draws)
    if gradients is not None:
        slope = _slope_of(flow, held.trained)
        hold_against_forward(gradients[1], held.trained, gradients[0], slope, seed)
        flow.backward = functools.partial(_users_gradients, model, call, held)
    return flow


def _users_gradients(model: Network, call: Call, held: Holdings, dy: Array) -> dict[str, Array]:
    """Run the user's forward and backward again."""
    with generators_kept(held), _contents_kept(held), with_arrays(model.forward, lambda a: a) as own:
        _returned(own, call, Sites())
        return gradients_of(model, copied(call), dy, held.trained)


def _slope_of(flow: NumpyFlow, parameters: Mapping[str, Array]) -> Slope:
    def slope(name: str, direction: Array, dy: Array) -> float:
        array = parameters[name]
        exact = flow.gradients(flow.graph.outputs[0], dy, [name])
        if exact is not None:
            return float(np.sum(exact.parameters.get(name, np.zeros(())) * direction))
        step = step_of(array)
        moved = (array + sign * step * direction for sign in (1, -1))
        ends = [np.sum(flow.outputs({name: each})[0].astype(np.float64) * dy) for each in moved]
        return float(ends[0] - ends[1]) / (2 * step)

    return slope


def _slope_in_place(model: Any, call: Call, held: Holdings) -> Slope:
    run = again(model)

    def slope(name: str, direction: Array, dy: Array) -> float:
        array = held.trained[name]
        step, ends = step_of(array), []
        for sign in (1, -1):
            with _contents_kept(held):
                array[...] = array + sign * step * direction
                ends.append(np.sum(run(call).astype(np.float64) * dy))
        return float(ends[0] - ends[1]) / (2 * step)

    return slope


def forward_of(model: Any) -> Any:
    """Return what is called: the object itself, or its ``forward``."""
    own = isinstance(model, Network) or not callable(model)
    return model.forward if own else model


def run_plain(model: Any, call: Call, sites: Sites) -> Array:
    """Run a forward function on plain arrays and return its output; its taps fill the sites."""
    return _one_array(_returned(model, call, sites))


def again(model: Any) -> Callable[..., Array]:
    """Return a function that runs the model: each time with the same random numbers, taps unheard.

    The model's arrays and generators stay as they are.
    """
    held, forward = holdings(model), forward_of(model)

    def run(call: Call, heard: Sites | None = None) -> Array:
        with generators_kept(held), _contents_kept(held):
            if heard is not None:
                return run_plain(model, call, heard)
            own = copied(call)
            return _one_array(forward(*own.args, **own.kwargs))

    return run


def _returned(model: Any, call: Call, sites: Sites) -> Any:
    arrays = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    if arrays:
        has_samples(arrays[0])
        sites.add_input(arrays[0])
    try:
        with observed_by(sites.add_layer):
            own = copied(call)
            return forward_of(model)(*own.args, **own.kwargs)
    except (ModelError, ConfigError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
        raise ModelError(
            f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {error}; "
            f"{remedy_for(error)}",
            traceback_text=user_traceback(error),
        ) from error


def _one_array(output: Any) -> Array:
    found = next(iter(arrays_of(output)), output)
    if not isinstance(found, np.ndarray) or found.ndim == 0:
        raise ModelError(f"the forward function returned {type(output).__name__}; return an array")
    return found


def copied(call: Call) -> Call:
    """Return the call with copies: a forward function may write to its input."""

    def own(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.copy()
        if type(value) in (tuple, list):
            return type(value)(own(item) for item in value)
        if type(value) is dict:
            return {key: own(item) for key, item in value.items()}
        return value

    return Call(tuple(map(own, call.args)), {k: own(v) for k, v in call.kwargs.items()})


@contextmanager
def _contents_kept(held: Holdings) -> Iterator[None]:
    """Put back what the model writes into its own arrays, as running statistics."""
    saved = [(item.array, item.array.copy()) for item in held.arrays.values()]
    try:
        yield
    finally:
        for array, before in saved:
            if array.flags.writeable:
                array[...] = before
