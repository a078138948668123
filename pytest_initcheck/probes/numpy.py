"""The numpy probe: layer lists, with exact gradients, and forward functions that use ``tap``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal
from pytest_initcheck.numpy import known_activation, observed_by
from pytest_initcheck.probes.numpy_gradients import NumpyLayer, backward, directional
from pytest_initcheck.probes.numpy_passes import sensitivity, training
from pytest_initcheck.probes.numpy_sites import Sites, columns, parameter
from pytest_initcheck.probes.numpy_spelling import apply as make_edits
from pytest_initcheck.probes.numpy_spelling import spell as spell
from pytest_initcheck.probes.tracebacks import user_traceback
from pytest_initcheck.trace import (
    NOTHING_MORE,
    Fingerprint,
    Glimpse,
    GradientEvidence,
    Sensitivity,
    Trace,
    Wanted,
)

FRAMEWORK = "numpy"
_FEWEST_SAMPLES = 8
Array = NDArray[Any]
_NUMBERS = "fciub"
_SAMPLED = 4096
_FEW_SAMPLED = 64
_MANY = 16
"""Entries of an array that go into its fingerprint, besides its sum."""


def _is_layer(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and 1 <= len(item) <= 3 and isinstance(item[0], np.ndarray)


def _is_layer_list(model: Any) -> bool:
    return isinstance(model, (list, tuple)) and len(model) > 0 and all(_is_layer(i) for i in model)


def owns(model: Any) -> bool:
    function = inspect.isroutine(model) or isinstance(model, functools.partial)
    return _is_layer_list(model) or function


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


# -- models as layers ----------------------------------------------------------------------------


def _layers(model: Any) -> list[NumpyLayer]:
    layers = []
    for index, item in enumerate(model):
        weight, bias, which = (*item, None, None)[:3]
        if isinstance(bias, str):
            raise ModelError(f"layer {index}: b is the text {bias!r}; write (W, None, {bias!r})")
        for name, array in (("W", weight), ("b", bias)):
            if array is not None and np.asarray(array).dtype.kind not in _NUMBERS:
                raise ModelError(
                    f"layer {index}: {name} holds no numbers, but {np.asarray(array).dtype}"
                )
        if weight.ndim != 2:
            raise ModelError(f"layer {index}: W must be [in, out], got shape {weight.shape}")
        if bias is not None and np.shape(bias) not in ((weight.shape[1],), (1, weight.shape[1]), ()):
            raise ModelError(
                f"layer {index}: b has shape {np.shape(bias)}, but W is [in, out] = {weight.shape}"
            )
        try:
            phi = known_activation(which)
        except ConfigError as error:
            raise ModelError(f"layer {index}: {error}") from None
        layers.append(NumpyLayer(str(index), weight, None if bias is None else np.asarray(bias), phi))
    return layers


def _arrays(model: Any) -> dict[str, Array]:
    named: dict[str, Array] = {}
    if _is_layer_list(model):
        for layer in _layers(model):
            named[f"{layer.name}.W"] = layer.weight
            if layer.bias is not None:
                named[f"{layer.name}.b"] = layer.bias
        return named
    _collect("", model, named, set())
    return named


def _collect(name: str, value: Any, into: dict[str, Array], seen: set[int]) -> None:
    """Gather the arrays that a forward function can reach: closures, bound objects, containers."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fc":
            into[name] = value
        return
    for key, item in _held(value).items():
        _collect(f"{name}.{key}" if name else str(key), item, into, seen)


def _held(value: Any) -> Mapping[Any, Any]:
    """Return what a value holds, by name."""
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return value
    if isinstance(value, functools.partial):
        return {"func": value.func, **dict(enumerate(value.args)), **value.keywords}
    if inspect.ismethod(value):
        return _held(value.__self__)
    if inspect.isfunction(value):
        return dict(inspect.getclosurevars(inspect.unwrap(value)).nonlocals)
    if inspect.isclass(value) or inspect.ismodule(value):
        return {}
    return getattr(value, "__dict__", {})


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def drawn(model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
    return model


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    found = []
    for name, array in _arrays(model).items():
        flat = np.ravel(array)
        digest = hashlib.blake2b(flat[:: max(1, flat.size // _SAMPLED)].tobytes(), digest_size=16)
        digest.update(np.complex128(flat.sum()).tobytes())
        found.append(Fingerprint(name, digest.hexdigest(), _draws_nothing(flat)))
    return tuple(found)


def _draws_nothing(flat: Array) -> bool:
    """Tell whether the entries have at most two values, as constants and identities do."""
    values = 2 if flat.size >= _MANY else 1  # two numbers are two values whatever drew them
    if flat.size == 0 or len(np.unique(flat[:_FEW_SAMPLED])) > values:
        return flat.size == 0
    return bool(((flat == flat.min()) | (flat == flat.max())).all())


def infer_inputs(model: Any) -> Distribution | Call:
    if _is_layer_list(model):
        return Normal((int(_layers(model)[0].weight.shape[0]),))
    raise ModelError("the inputs of a forward function cannot be inferred; pass inputs=ic.normal(...)")


# -- one pass ------------------------------------------------------------------------------------


def _input(model: Any, call: Call) -> Array:
    values = [*call.args, *call.kwargs.values()]
    if len(values) != 1 or call.kwargs:
        raise ModelError("a layer list takes one input array; got a call with several")
    x = np.asarray(values[0])
    if x.dtype.kind not in _NUMBERS:
        raise ModelError(f"the inputs hold no numbers, but {x.dtype}; pass arrays of numbers")
    if x.ndim < 2:
        raise ModelError(f"inputs must have a batch axis, got shape {x.shape}")
    first = _layers(model)[0].weight
    _has_samples(x)
    if x.shape[-1] != first.shape[0]:
        raise ModelError(
            f"the inputs have shape {x.shape}, but the first W is [in, out] = {first.shape}; "
            f"pass inputs=ic.normal({first.shape[0]})"
        )
    return x.astype(np.result_type(first, np.float32), copy=False)


def _has_samples(x: Array) -> None:
    if x.size == 0:
        raise ModelError("the inputs hold no samples; pass a batch with at least one")


def _copied(call: Call) -> Call:
    """Return the call with copies: a forward function may write to its input."""

    def copied(value: Any) -> Any:
        return value.copy() if isinstance(value, np.ndarray) else value

    return Call(tuple(map(copied, call.args)), {k: copied(v) for k, v in call.kwargs.items()})


def _run(model: Any, call: Call, sites: Sites) -> tuple[Array, list[Array], list[NumpyLayer]]:
    """Return the output, each layer's input and the layers; the sites are filled."""
    if not _is_layer_list(model):
        output = _call(model, call, sites)
        return output, [], []
    x = _input(model, call)
    sites.add_input(x)
    layers, reads, a = _layers(model), [], x
    for layer in layers:
        if a.shape[-1] != layer.weight.shape[0]:
            raise ModelError(
                f"layer {layer.name}: W is [in, out] = {layer.weight.shape}, "
                f"but the layer before has {a.shape[-1]} units"
            )
        reads.append(a)
        z = a @ layer.weight if layer.bias is None else a @ layer.weight + layer.bias
        sites.add_layer(layer.name, z, layer.phi, layer.weight, layer.bias)
        a = z if layer.phi is None else layer.phi.phi(z)
    return a, reads, layers


def _call(model: Any, call: Call, sites: Sites) -> Array:
    arrays = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    if arrays:
        _has_samples(arrays[0])
        sites.add_input(arrays[0])
    try:
        with observed_by(sites.add_layer):
            own = _copied(call)
            output = model(*own.args, **own.kwargs)
    except (ModelError, ConfigError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
        raise ModelError(
            f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {error}; "
            "pass inputs= of the shape and dtype that it takes",
            traceback_text=user_traceback(error),
        ) from error
    if not isinstance(output, np.ndarray) or output.ndim == 0:
        raise ModelError(f"the forward function returned {type(output).__name__}; return an array")
    return output


def apply(model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
    if _is_layer_list(model):
        arrays = {
            f"{index}.{name}": array
            for index, layer in enumerate(model)
            for name, array in zip("Wb", layer, strict=False)
            if isinstance(array, np.ndarray)
        }
    else:
        sites = Sites()
        if call is not None:
            _call(model, call, sites)
        arrays = sites.arrays
    make_edits(arrays, edits, np.random)


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    with np.errstate(all="ignore"):
        sites = Sites()
        output, _, _ = _run(model, call, sites)
        finite = bool(np.isfinite(output).all()) and all(
            bool(np.isfinite(a).all()) for a in _arrays(model).values()
        )
        dead = any(site.dead == 1 for site in sites.sites)
        varies = len(output) < 2 or bool((output != output[:1]).any())
        return Glimpse(finite and varies and not dead, float(np.mean(np.abs(output) ** 2)))


def trace(model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    with np.errstate(all="ignore"):
        return _trace(model, call, seed, wanted)


def _trace(model: Any, call: Call, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    sites = Sites(histograms=wanted.histograms)
    output, reads, layers = _run(model, call, sites)
    inputs = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    if layers:
        inputs = reads[:1]  # as the first layer reads it: whole numbers are a signal there
    batch = len(inputs[0]) if inputs else len(output)
    last = len(sites.sites) - 1
    unobserved: list[tuple[str, str]] = []
    gradient = None
    squashes = ("sigmoid", "tanh", "log_sigmoid")
    squashing = bool(layers) and sites.sites[last].activation in squashes
    if batch < _FEWEST_SAMPLES:
        reason = f"fewer than {_FEWEST_SAMPLES} samples: differences between inputs cannot be judged"
        unobserved.append(("gradient", reason))
    elif inputs and not any(bool((x != x[:1]).any()) for x in inputs):
        reason = "all samples are equal: differences between inputs cannot be judged"
        unobserved.append(("gradient", reason))
    elif layers:
        gradient, found = backward(layers, reads, seed, skip_last_phi=squashing)
        if wanted.site_gradients:
            sites.add_gradients(found.deltas)
        sites.add_squared_gradients(found.weights, found.biases)
    elif not any(p.multiplicative for p in sites.parameters.values()):
        unobserved.append(("gradient", "taps without weight= show no gradient"))
    else:
        gradient = _from_directions(model, call, sites, output, seed)
        if gradient is None:
            unobserved.append(
                ("gradient", "a tapped weight is a copy or read-only, so varying it shows nothing")
            )
    parameters = dict(sites.parameters)
    if layers:
        parameters = {name: replace(p, path=_path(name)) for name, p in parameters.items()}
    else:
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
        last - 1 if squashing else last,
        gradient,
        tuple(unobserved),
        sensitivity=_noise(model, call, output, seed) if wanted.noise else None,
        training=training(layers, reads[0], seed) if wanted.steps and layers else None,
    )


def _path(name: str) -> str:
    """Return the expression for an array of a list of layers (W, b, activation)."""
    index, _, which = name.partition(".")
    return f"layers[{index}][{'Wb'.index(which)}]"


def _noise(model: Any, call: Call, output: Array, seed: int) -> Sensitivity | None:
    return sensitivity(lambda noisy: _run(model, noisy, Sites())[0], call, output, seed)


def _from_directions(
    model: Any, call: Call, sites: Sites, output: Array, seed: int
) -> GradientEvidence | None:
    """Vary the tapped arrays in place; the forward function has to read these very arrays."""
    weights = [a for name, a in sites.arrays.items() if sites.parameters[name].multiplicative]
    biases = [a for name, a in sites.arrays.items() if not sites.parameters[name].multiplicative]
    again = Sites()
    _call(model, call, again)
    if not all(
        name in again.arrays and np.shares_memory(array, again.arrays[name])
        for name, array in sites.arrays.items()
    ):
        return None

    def forward() -> Array:
        own = _copied(call)
        return np.asarray(model(*own.args, **own.kwargs))

    return directional(forward, weights, biases, output, seed)
