"""Homes for numpy models: layer lists, and forward functions that tap their own values.

A layer list is ``[(W, b, activation), ...]`` and stands for ``a = activation(x @ W + b)`` layer by
layer, W of shape [in, out]; ``b`` and ``activation`` may be None.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.errors import ConfigError

__all__ = ["forward", "tap"]


_Observer = Callable[[str, NDArray[Any], Activation | None, Any, Any], None]

_OBSERVER: ContextVar[_Observer | None] = ContextVar("pytest_initcheck_numpy_observer", default=None)


def tap(
    name: str,
    array: NDArray[Any],
    *,
    activation: str | Callable[[Any], Any] | Activation | None = None,
    weight: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Show a pre-activation to the check and return it unchanged; outside a check it does nothing.

    * ``array`` has shape (batch, ..., units).
    * ``activation`` is what your code applies next, by name; its output is then judged too.
    * ``weight`` ([in, out]) and ``bias`` are the arrays that made it. With them a vanishing gradient
      is seen as well, by finite differences.

    Raises ConfigError for an unknown activation, or a value without a batch axis, within a check.

    >>> float(tap("fc1", np.ones(1), activation="relu")[0])
    1.0
    """
    observer = _OBSERVER.get()
    if observer is not None:
        if np.ndim(array) < 1:
            raise ConfigError(f"tap({name!r}) wants an array (batch, ..., units), got {array!r}")
        observer(name, array, known_activation(activation), weight, bias)
    return array


@contextmanager
def observed_by(observer: _Observer) -> Iterator[None]:
    """Let :func:`tap` report to this observer."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


_FUNCTIONS: dict[Any, str] = {np.tanh: "tanh", np.sin: "sin"}


def known_activation(which: str | Callable[[Any], Any] | Activation | None) -> Activation | None:
    """Return the activation that a layer names, None for a linear one.

    Raises ConfigError for a function whose name is not in the table.
    """
    if which is None:
        return None
    if not isinstance(which, (str, Activation)):
        name = _FUNCTIONS.get(which, getattr(which, "__name__", type(which).__name__))
        try:
            return activation(name)
        except ConfigError as error:
            raise ConfigError(f"{error}; a layer's activation is given by its name") from None
    found = activation(which)
    if found.gate is not None:
        raise ConfigError(
            f"{found.name} halves its input; a layer's activation is elementwise. Write the gate in a "
            "forward function and tap its halves"
        )
    return None if found.family == "linear" else found


def forward(layers: Any, x: NDArray[Any]) -> NDArray[Any]:
    """Return what a layer list computes, x of shape (batch, in).

    >>> forward([(np.eye(2), None, "relu")], np.array([[1.0, -1.0]]))
    array([[1., 0.]])
    """
    for layer in layers:
        weight, bias, which = (*layer, None, None)[:3]
        phi = known_activation(which)
        x = x @ weight if bias is None else x @ weight + bias
        x = x if phi is None else phi.phi(x)
    return x
