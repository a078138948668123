"""The numpy probe: layer lists, functions that use ``tap``, and plain forward functions.

A list is differentiated exactly; a function that taps is seen where it does, its gradients come from
directions; any other function or callable object is traced.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal
from pytest_initcheck.numpy import Network
from pytest_initcheck.probes import numpy_directions
from pytest_initcheck.probes.fingerprints import fingerprint
from pytest_initcheck.probes.graph import tracing
from pytest_initcheck.probes.numpy_flow import NumpyFlow
from pytest_initcheck.probes.numpy_gradients import backward
from pytest_initcheck.probes.numpy_holdings import holdings
from pytest_initcheck.probes.numpy_lists import is_layer_list, layers_of, path_of, run_list
from pytest_initcheck.probes.numpy_passes import sensitivity, training
from pytest_initcheck.probes.numpy_runs import Tapped, again, run_plain, seen
from pytest_initcheck.probes.numpy_sites import Sites, columns, dead, parameter
from pytest_initcheck.probes.numpy_spelling import apply as make_edits
from pytest_initcheck.probes.numpy_spelling import spell as spell
from pytest_initcheck.trace import (
    NOTHING_MORE,
    Fingerprint,
    Glimpse,
    Sensitivity,
    Trace,
    Training,
    Wanted,
)

FRAMEWORK = "numpy"
_FEWEST_SAMPLES = 8
_SAMPLES_OF_STEPS = 32
Array = NDArray[Any]


def owns(model: Any) -> bool:
    """Tell lists of layers, functions, and objects that are called and hold arrays."""
    if is_layer_list(model) or inspect.isroutine(model) or isinstance(model, functools.partial):
        return True
    if isinstance(model, Network):
        return True
    called = callable(model) or callable(getattr(model, "forward", None))
    if not called or inspect.isclass(model) or isinstance(model, (list, tuple, dict)):
        return False
    return bool(holdings(model).arrays)


@contextmanager
def preserved() -> Iterator[None]:
    """Put NumPy's global random state and its handling of errors back as they were."""
    state = np.random.get_state()
    try:
        with np.errstate():
            yield
    finally:
        np.random.set_state(state)


def seed(seed: int) -> None:
    np.random.seed(seed % 2**32)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _arrays(model: Any) -> dict[str, Array]:
    if not is_layer_list(model):
        return holdings(model).trained
    named: dict[str, Array] = {}
    for layer in layers_of(model):
        named[f"{layer.name}.W"] = layer.weight
        if layer.bias is not None:
            named[f"{layer.name}.b"] = layer.bias
    return named


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def drawn(model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
    return model


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    return tuple(fingerprint(name, array) for name, array in _arrays(model).items())


def infer_inputs(model: Any) -> Distribution | Call:
    if is_layer_list(model):
        return Normal((int(layers_of(model)[0].weight.shape[0]),))
    raise ModelError("the inputs of a forward function cannot be inferred; pass inputs=ic.normal(...)")


# -- one pass ------------------------------------------------------------------------------------


def apply(model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
    if is_layer_list(model):
        arrays = {
            f"{index}.{name}": array
            for index, layer in enumerate(model)
            for name, array in zip("Wb", layer, strict=False)
            if isinstance(array, np.ndarray)
        }
    else:
        tapped = Sites()
        if call is not None:
            run_plain(model, call, tapped)
        arrays = tapped.arrays or _arrays(model)
    make_edits(arrays, edits, np.random)


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    with np.errstate(all="ignore"):
        if is_layer_list(model):
            done = run_list(model, call)
            pairs = zip(done.layers, done.pre_activations, strict=True)
            shares = (dead(layer.phi, z) for layer, z in pairs if layer.phi is not None)
            return _glimpse(model, done.output, shares)
        found = seen(model, call, seed=seed)
        if isinstance(found, NumpyFlow):
            return tracing.glimpse(found, batch=found.batch)
        return _glimpse(model, found.output, (site.dead for site in found.sites.sites))


def _glimpse(model: Any, output: Array, dead_shares: Iterable[float | None]) -> Glimpse:
    finite = bool(np.isfinite(output).all()) and all(
        bool(np.isfinite(a).all()) for a in _arrays(model).values()
    )
    wholly_dead = any(share == 1 for share in dead_shares)
    varies = len(output) < 2 or bool((output != output[:1]).any())
    return Glimpse(finite and varies and not wholly_dead, float(np.mean(np.abs(output) ** 2)))


def trace(model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    with np.errstate(all="ignore"):
        if is_layer_list(model):
            return _of_list(model, call, seed, wanted)
        found = seen(model, call, seed=seed, histograms=wanted.histograms)
        if isinstance(found, NumpyFlow):
            return tracing.trace(found, framework=FRAMEWORK, batch=found.batch, seed=seed, wanted=wanted)
        return _of_taps(model, call, found, seed, wanted)


def _of_list(model: Any, call: Call, seed: int, wanted: Wanted) -> Trace:
    sites = Sites(histograms=wanted.histograms)
    done = run_list(model, call)
    layers, reads = done.layers, done.reads
    x = reads[0]  # as the first layer reads it: whole numbers are a signal there
    sites.add_input(x)
    for layer, z in zip(layers, done.pre_activations, strict=True):
        sites.add_layer(layer.name, z, layer.phi, layer.weight, layer.bias)
    last = len(sites.sites) - 1
    squashing = sites.sites[last].activation in ("sigmoid", "tanh", "log_sigmoid")
    gradient, reason = None, _no_difference([x], len(x))
    if reason is None:
        gradient, found = backward(layers, reads, seed, skip_last_phi=squashing)
        if wanted.site_gradients:
            sites.add_gradients(found.deltas, found.outputs)
        sites.add_squared_gradients(found.weights, found.biases)
    parameters = tuple(replace(p, path=path_of(name)) for name, p in sites.parameters.items())

    def rerun(noisy: Call) -> Array:
        return run_list(model, noisy).output

    return Trace(
        FRAMEWORK,
        len(x),
        tuple(sites.sites),
        (columns("input", x),),
        parameters,
        last,
        last - 1 if squashing else last,
        gradient,
        () if reason is None else (("gradient", reason),),
        sensitivity=sensitivity(rerun, call, done.output, seed) if wanted.noise else None,
        training=training(layers, x, seed) if wanted.steps else None,
    )


def _of_taps(model: Any, call: Call, found: Tapped, seed: int, wanted: Wanted) -> Trace:
    sites, output = found.sites, found.output
    inputs = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    batch = len(inputs[0]) if inputs else len(output)
    last = len(sites.sites) - 1
    gradient = trained = None
    reason = _no_difference(inputs, batch)
    if not any(p.multiplicative for p in sites.parameters.values()):
        reason = reason or "taps without weight= show no gradient"
    elif not _can_vary(model, call, sites):
        reason = reason or "a tapped weight is a copy or read-only, so varying it shows nothing"
    else:
        forward = functools.partial(again(model), call)
        if reason is None:
            gradient = numpy_directions.directional(forward, *_by_role(sites), output, seed)
        if wanted.steps:
            trained = _by_directions(model, call, sites, seed)
    parameters = dict(sites.parameters)
    tapped = {id(array) for array in sites.arrays.values()}
    for name, array in _arrays(model).items():
        if id(array) not in tapped:
            parameters[name] = replace(parameter(name, array), multiplicative=False)
    described = tuple(
        columns(f"input{i}" if len(inputs) > 1 else "input", x) for i, x in enumerate(inputs)
    )
    return Trace(
        FRAMEWORK,
        batch,
        tuple(sites.sites),
        described,
        tuple(parameters.values()),
        last,
        last,
        gradient,
        () if reason is None else (("gradient", reason),),
        sensitivity=_noise(model, call, output, seed) if wanted.noise else None,
        training=trained,
        tapped=True,
    )


def _no_difference(inputs: Sequence[Array], batch: int) -> str | None:
    """Return why differences between samples cannot be judged, None if they can."""
    if batch < _FEWEST_SAMPLES:
        return f"fewer than {_FEWEST_SAMPLES} samples: differences between inputs cannot be judged"
    if inputs and not any(bool((x != x[:1]).any()) for x in inputs):
        return "all samples are equal: differences between inputs cannot be judged"
    return None


def _noise(model: Any, call: Call, output: Array, seed: int) -> Sensitivity | None:
    return sensitivity(again(model), call, output, seed)


def _can_vary(model: Any, call: Call, sites: Sites) -> bool:
    """Tell whether the forward function reads the very arrays that it taps, and they can be written."""
    heard = Sites()
    again(model)(call, heard)
    return all(
        array.flags.writeable and name in heard.arrays and np.shares_memory(array, heard.arrays[name])
        for name, array in sites.arrays.items()
    )


def _by_directions(model: Any, call: Call, sites: Sites, seed: int) -> Training | None:
    """Take steps on a few samples; what they leave unmoved is asked of all of them."""
    found = None
    for own in (_first(call, _SAMPLES_OF_STEPS), call):
        try:
            found = numpy_directions.training(functools.partial(again(model), own), sites.arrays, seed)
        except Exception:  # a function may be written for one batch size
            if own is call:
                raise
            continue
        if found is None or not found.stuck:
            break
    return found


def _first(call: Call, samples: int) -> Call:
    def few(value: Any) -> Any:
        return value[:samples] if isinstance(value, np.ndarray) and value.ndim else value

    return Call(tuple(map(few, call.args)), {key: few(value) for key, value in call.kwargs.items()})


def _by_role(sites: Sites) -> tuple[list[Array], list[Array]]:
    """Return the tapped arrays that multiply, and those that are added."""
    multiplied = {name: sites.parameters[name].multiplicative for name in sites.arrays}
    weights = [array for name, array in sites.arrays.items() if multiplied[name]]
    return weights, [array for name, array in sites.arrays.items() if not multiplied[name]]
