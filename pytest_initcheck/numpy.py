"""Homes for numpy models: plain forward functions, layer lists, and functions that tap their values.

* A **forward function**, or an object with ``__call__`` or ``forward``, is traced: it is run on arrays
  that record what is done to them. The arrays that it reads are its parameters, called as the code
  calls them: ``W1``, ``layers.0.W``. Where a value leaves the trace, in ``float(h)`` or a loop over
  samples, an error names the line. :func:`network` says which arrays are trained, and takes a backward
  pass that you wrote: it is held against the forward pass.
* A **layer list** is ``[(W, b, activation), ...]`` and stands for ``a = activation(x @ W + b)`` layer by
  layer, W of shape [in, out]; ``b`` and ``activation`` may be None.
* A function that calls :func:`tap` shows what it taps and is not traced: for what no trace follows.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import Activation, activation
from pytest_initcheck.errors import ConfigError

__all__ = ["Network", "forward", "network", "tap"]


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


@dataclass(frozen=True, eq=False)
class Network:
    """A forward function with what is said of it; see :func:`network`."""

    forward: Callable[..., Any]
    parameters: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]] | None = None
    backward: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __deepcopy__(self, memo: Any) -> Network:
        raise TypeError("its arrays belong to functions; pass the factory that returns it")


def network(
    forward: Callable[..., Any],
    *,
    parameters: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Network:
    """Return a model: a forward function, the arrays that are trained, and its backward pass.

    * ``parameters`` are arrays by name, or in a list; left out, every floating-point array that
      ``forward`` reads is one.
    * ``backward`` is called right after ``forward(x)``, as ``backward(dy)`` or ``backward(x, dy)``, and
      returns the gradients of sum(output * dy), in the parameters' order or by name. A wrong one is an
      error.

    Raises ConfigError for parameters that are no floating-point arrays, or none.

    >>> W = np.eye(2)
    >>> network(lambda x: x @ W, parameters={"W": W})(np.ones((1, 2)))
    array([[1., 1.]])
    """
    for role, function in (("forward", forward), ("backward", backward)):
        if not callable(function) and not (role == "backward" and function is None):
            raise ConfigError(f"{role} is {type(function).__name__}, and not callable")
    if parameters is not None:
        named = parameters if isinstance(parameters, Mapping) else dict(enumerate(parameters))
        if not named:
            raise ConfigError("parameters is empty; leave it out, and the arrays are found")
        for name, array in named.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fc":
                raise ConfigError(
                    f"parameters[{name!r}] is no floating-point array, but {type(array).__name__}"
                )
    return Network(forward, parameters, backward)


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
