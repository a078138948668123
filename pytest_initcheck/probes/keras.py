"""The Keras probe: layers and variables by Keras' names, the passes by the probe of the backend.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import keras
import numpy as np

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution
from pytest_initcheck.probes import global_generators
from pytest_initcheck.probes import keras_state as state
from pytest_initcheck.probes.fingerprints import fingerprint
from pytest_initcheck.probes.keras_inputs import as_arrays, as_called, unfit
from pytest_initcheck.probes.keras_inputs import infer_inputs as inferred
from pytest_initcheck.probes.keras_layers import Layers, layers_of
from pytest_initcheck.probes.keras_spelling import apply as make_edits
from pytest_initcheck.probes.keras_spelling import spell as spell
from pytest_initcheck.trace import NOTHING_MORE, Fingerprint, Glimpse, Site, Trace, Wanted

FRAMEWORK = "keras"

_BACKENDS = ("torch", "jax", "tensorflow")
_ARRAYS = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "tensorflow": "tensorflow"}
"""Which backend an array is of, by the first part of its type's module."""


class _Backend(Protocol):
    """How a model is run and observed on one backend."""

    def trace(
        self, model: Any, layers: Layers, call: Call, mode: str, seed: int, wanted: Wanted
    ) -> Trace: ...

    def glimpse(self, model: Any, layers: Layers, call: Call, mode: str, seed: int) -> Glimpse: ...

    def workload(self, model: Any, call: Call) -> AbstractContextManager[None]: ...


def owns(model: Any) -> bool:
    return isinstance(model, keras.Layer)


def preserved() -> AbstractContextManager[None]:
    return state.generators_kept()


def seed(seed: int) -> None:
    state.seed(seed)


def generator(seed: int) -> Any:
    return keras.random.SeedGenerator(seed % 2**31)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return _backend_of(model).workload(model, call)


def infer_inputs(model: Any) -> Distribution | Call:
    _backend_of(model)
    return inferred(model)


def apply(model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
    make_edits(model, edits)


# -- the model ------------------------------------------------------------------------------------


def _backend_of(model: Any) -> _Backend:
    """Return what runs models on the backend of this process.

    Raises ModelError for a backend without gradients, or a model of another one.
    """
    name = keras.backend.backend()
    if name not in _BACKENDS:
        raise ModelError(
            f"Keras runs on {name}, which has no gradients; "
            "set KERAS_BACKEND to torch, jax or tensorflow"
        )
    for variable in model.variables:
        theirs = _ARRAYS.get(type(variable.value).__module__.partition(".")[0], name)
        if theirs != name:
            raise ModelError(
                f"the model's {variable.path} is of {theirs} and Keras runs on {name}; "
                f"set KERAS_BACKEND={theirs}, or build the model in a process that runs on {name}"
            )
    if name == "torch":
        from pytest_initcheck.probes import keras_torch

        return keras_torch
    if name == "jax":
        from pytest_initcheck.probes import keras_jax

        return keras_jax
    from pytest_initcheck.probes import keras_tensorflow

    return keras_tensorflow


def drawn(model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
    _backend_of(model)
    if model.built and all(part.layer.built for part in layers_of(model).parts):
        return model
    state.seed(seed)
    whole = state.copied(model) if keep else model
    given = as_called(whole, as_arrays(call()))
    before = [(v, np.array(keras.ops.convert_to_numpy(v.value))) for v in whole.variables]
    try:
        whole(*given.args, training=False, **given.kwargs)
    except Exception as error:
        raise unfit(error, given) from error
    for variable, value in before:
        variable.assign(value)
    if not whole.built:
        raise ModelError(
            f"the layer {whole.name} is not built after a call on these inputs; let its call() run the "
            "layers in it, or start the model with keras.Input(shape)"
        )
    return whole


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    _backend_of(model)
    if not model.built:
        raise ModelError(
            f"the Keras model {model.name} is not built and has no weights yet; call it on inputs in "
            "the factory, or start it with keras.Input(shape)"
        )
    return tuple(
        fingerprint(each.name, keras.ops.convert_to_numpy(each.variable.value))
        for each in layers_of(model).weights
    )


# -- one pass -------------------------------------------------------------------------------------


@contextmanager
def _undisturbed(layers: Layers, seed: int) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(state.calm(layers))
        stack.enter_context(state.unrolled(layers))
        stack.enter_context(state.generators_kept())
        stack.enter_context(global_generators.kept())
        state.seed(seed)
        global_generators.seed(seed)
        yield


def trace(model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    backend = _backend_of(model)
    layers = layers_of(model)
    with _undisturbed(layers, seed):
        seen = backend.trace(model, layers, as_called(model, call), mode, seed, wanted)
    return dataclasses.replace(seen, framework=FRAMEWORK, sites=_called_by_layer(seen.sites, layers))


def _called_by_layer(sites: tuple[Site, ...], layers: Layers) -> tuple[Site, ...]:
    """Return the sites with those of layers that do one thing called by the layer alone."""
    ops: dict[str, set[str]] = {path: set() for path in layers.plain}
    for site in sites:
        path, _, op = site.name.partition("#")[0].rpartition(".")
        if path in ops:
            ops[path].add(op)
    alone = {f"{path}.{op}": path for path, (op, *others) in _filled(ops) if not others}
    renamed = []
    for site in sites:
        name, number, count = site.name.partition("#")
        renamed.append(dataclasses.replace(site, name=f"{alone.get(name, name)}{number}{count}"))
    return tuple(renamed)


def _filled(ops: Mapping[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
    return ((path, found) for path, found in ops.items() if found)


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    backend = _backend_of(model)
    layers = layers_of(model)
    with _undisturbed(layers, seed):
        return backend.glimpse(model, layers, as_called(model, call), mode, seed)
