"""Forward functions run: on plain arrays first, and traced where they do not tap. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.numpy import observed_by
from pytest_initcheck.probes.numpy_flow import NumpyFlow
from pytest_initcheck.probes.numpy_holdings import (
    Holdings,
    generators_kept,
    holdings,
    states,
    with_arrays,
)
from pytest_initcheck.probes.numpy_lists import has_samples
from pytest_initcheck.probes.numpy_sites import Sites
from pytest_initcheck.probes.numpy_tracing import arrays_of, recorded
from pytest_initcheck.probes.tracebacks import user_traceback

Array = NDArray[Any]


@dataclass(frozen=True)
class Tapped:
    """A forward function that showed some of its values."""

    sites: Sites
    output: Array


def seen(model: Any, call: Call, *, histograms: bool = False) -> Tapped | NumpyFlow:
    """Run a forward function; what it taps is taken as it is, a function that does not tap is traced.

    The model, its arrays and its generators are afterwards what they were.
    """
    held = holdings(model)
    sites = Sites(histograms=histograms)
    with generators_kept(held):
        before = states(held)
        with _contents_kept(held), with_arrays(model, lambda array: array) as own:
            output = _returned(own, call, sites)
        draws = before != states(held)
        if any(site.kind != "input" for site in sites.sites):
            return Tapped(sites, _one_array(output))
    _one_array(output)
    with generators_kept(held):
        return recorded(forward_of(model), call, held, output, draws=draws)


def forward_of(model: Any) -> Any:
    """Return what is called: the object itself, or its ``forward``."""
    return model if callable(model) else model.forward


def run_plain(model: Any, call: Call, sites: Sites) -> Array:
    """Run a forward function on plain arrays and return its output; its taps fill the sites."""
    return _one_array(_returned(model, call, sites))


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
            "pass inputs= of the shape and dtype that it takes",
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
            if array.flags.writeable and not np.array_equal(array, before, equal_nan=True):
                array[...] = before
