"""The numpy probe: layer lists, with exact gradients, and forward functions that use ``tap``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import Activation
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal
from pytest_initcheck.numpy import known_activation, observed_by
from pytest_initcheck.trace import (
    Fingerprint,
    Glimpse,
    GradientEvidence,
    InputColumns,
    Moments,
    Parameter,
    Site,
    Trace,
)

FRAMEWORK = "numpy"
Array = NDArray[Any]
_DIRECTIONS = 8


def _is_layer(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and 1 <= len(item) <= 3 and isinstance(item[0], np.ndarray)


def _is_layer_list(model: Any) -> bool:
    return isinstance(model, (list, tuple)) and len(model) > 0 and all(_is_layer(i) for i in model)


def owns(model: Any) -> bool:
    function = inspect.isroutine(model) or isinstance(model, functools.partial)
    return _is_layer_list(model) or function


def random_state() -> Any:
    return np.random.get_state()  # noqa: NPY002 - the global state is what has to be kept


def restore_random_state(state: Any) -> None:
    np.random.set_state(state)


def seed(seed: int) -> None:
    np.random.seed(seed % 2**32)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- models as layers ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    name: str
    weight: Array
    bias: Array | None
    phi: Activation | None


def _layers(model: Any) -> list[_Layer]:
    layers = []
    for index, item in enumerate(model):
        weight, bias, which = (*item, None, None)[:3]
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
        layers.append(_Layer(str(index), weight, None if bias is None else np.asarray(bias), phi))
    return layers


def _arrays(model: Any) -> dict[str, Array]:
    named: dict[str, Array] = {}
    if _is_layer_list(model):
        for layer in _layers(model):
            named[f"{layer.name}.W"] = layer.weight
            if layer.bias is not None:
                named[f"{layer.name}.b"] = layer.bias
        return named
    function = model.func if isinstance(model, functools.partial) else model
    try:
        closure = inspect.getclosurevars(inspect.unwrap(function)).nonlocals
    except TypeError:
        return named
    for name, value in closure.items():
        _collect(name, value, named)
    if inspect.ismethod(function):
        for name, value in vars(function.__self__).items():
            _collect(name, value, named)
    return named


def _collect(name: str, value: Any, into: dict[str, Array]) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        into[name] = value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _collect(f"{name}.{index}", item, into)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, into)


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    found = []
    for name, array in _arrays(model).items():
        flat = np.ascontiguousarray(array).reshape(-1)
        digest = hashlib.blake2b(flat.tobytes(), digest_size=16).hexdigest()
        found.append(Fingerprint(name, digest, flat.size == 0 or bool((flat == flat[0]).all())))
    return tuple(found)


def infer_inputs(model: Any) -> Distribution | Call:
    if _is_layer_list(model):
        return Normal((int(_layers(model)[0].weight.shape[0]),))
    raise ModelError("the inputs of a forward function cannot be inferred; pass inputs=ic.normal(...)")


# -- statistics ----------------------------------------------------------------------------------


def _moments(values: Array) -> Moments:
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    finite = np.isfinite(rows)
    bad = int(rows.size - finite.sum())
    if bad:
        good = rows[finite]
        if good.size == 0:
            return Moments(rows.size, math.nan, math.nan, math.nan, math.nan, math.nan, bad)
        second = float(np.mean(good**2))
        low, high = float(good.min()), float(good.max())
        return Moments(rows.size, float(good.mean()), second, math.nan, low, high, bad)
    unit_mean = rows.mean(0)
    centred = float(np.mean((rows - unit_mean) ** 2))
    second = centred + float(np.mean(unit_mean**2))
    low, high = float(rows.min()), float(rows.max())
    return Moments(rows.size, float(unit_mean.mean()), second, centred, low, high, 0)


def _parameter(name: str, array: Array, fan_in: int = 0, fan_out: int = 0) -> Parameter:
    flat = np.asarray(array, dtype=np.float64).reshape(-1)
    constant = flat.size == 0 or bool((flat == flat[0]).all())
    bad = int(flat.size - np.isfinite(flat).sum())
    mean, second = float(flat.mean()), float(np.mean(flat**2))
    return Parameter(
        name, array.shape, flat.size, mean, second, constant, bad, fan_in, fan_out, fan_in > 0
    )


def _dead(phi: Activation, z: Array) -> float | None:
    if phi.inactive_below is None:
        return None
    units = z.reshape(-1, z.shape[-1])
    return float(np.mean(units.max(0) <= phi.inactive_below))


def _saturated(phi: Activation, z: Array) -> float | None:
    if phi.saturated_beyond is None:
        return None
    return float(np.mean(np.abs(z) > phi.saturated_beyond))


@dataclass
class _Sites:
    """Sites in the making; each layer adds its linear site and its activation."""

    sites: list[Site] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def add_input(self, x: Array) -> None:
        axis = x.shape[-1] if x.ndim > 1 else 1
        self.sites.append(Site(0, "input", "input", "input", (), axis, _moments(x)))

    def add_layer(
        self, name: str, z: Array, phi: Activation | None, weight: Array | None, bias: Array | None
    ) -> None:
        known = {site.name for site in self.sites}
        if name in known:
            name = f"{name}#{sum(site.name.split('#')[0] == name for site in self.sites) + 1}"
        described = offset = None
        if weight is not None:
            fans = (int(np.prod(weight.shape[:-1])), int(weight.shape[-1]))
            described = self._describe(f"{name}.W", weight, *fans)
        if bias is not None:
            offset = self._describe(f"{name}.b", bias)
        self._append(name, "linear", "linear", z, None, described, offset)
        if phi is not None:
            op = phi.name.partition("(")[0]
            self._append(f"{name}.{op}", "activation", op, phi.phi(z), phi, z=z)

    def _describe(self, name: str, array: Array, fan_in: int = 0, fan_out: int = 0) -> Parameter:
        parameter = _parameter(name, array, fan_in, fan_out)
        self.parameters[name], self.arrays[name] = parameter, array
        return parameter

    def _append(
        self,
        name: str,
        kind: str,
        op: str,
        value: Array,
        phi: Activation | None,
        weight: Parameter | None = None,
        bias: Parameter | None = None,
        z: Array | None = None,
    ) -> None:
        index = len(self.sites)
        units = int(value.shape[-1]) if value.ndim > 1 else 1
        saturated = dead = None
        if phi is not None and z is not None:
            saturated, dead = _saturated(phi, z), _dead(phi, z)
        activation_name = None if phi is None else phi.name
        self.sites.append(
            Site(
                index,
                name,
                kind,
                op,
                (index - 1,),
                units,
                _moments(value),
                activation_name,
                saturated,
                dead,
                weight,
                bias,
            )
        )


# -- one pass ------------------------------------------------------------------------------------


def _input(model: Any, call: Call) -> Array:
    values = [*call.args, *call.kwargs.values()]
    if len(values) != 1 or call.kwargs:
        raise ModelError("a layer list takes one input array; got a call with several")
    x = np.asarray(values[0])
    if x.ndim < 2:
        raise ModelError(f"inputs must have a batch axis, got shape {x.shape}")
    first = _layers(model)[0].weight
    if x.shape[-1] != first.shape[0]:
        raise ModelError(
            f"the inputs have shape {x.shape}, but the first W is [in, out] = {first.shape}; "
            f"pass inputs=ic.normal({first.shape[0]})"
        )
    return x.astype(np.result_type(first, np.float32), copy=False)


def _run(model: Any, call: Call, sites: _Sites) -> tuple[Array, list[Array], list[_Layer]]:
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


def _call(model: Any, call: Call, sites: _Sites) -> Array:
    arrays = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    if arrays:
        sites.add_input(arrays[0])
    try:
        with observed_by(sites.add_layer):
            output = model(*call.args, **dict(call.kwargs))
    except (ModelError, ConfigError):
        raise
    except Exception as error:
        shapes = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "pytest_initcheck" not in f.filename
        ]
        lines = traceback.format_list(traceback.StackSummary.from_list(frames))
        raise ModelError(
            f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {error}; "
            "pass inputs= of the shape and dtype that it takes",
            traceback_text="".join([*lines, *traceback.format_exception_only(error)]),
        ) from error
    if not isinstance(output, np.ndarray) or output.ndim == 0:
        raise ModelError(f"the forward function returned {type(output).__name__}; return an array")
    return output


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    with np.errstate(all="ignore"):
        sites = _Sites()
        output, _, _ = _run(model, call, sites)
        finite = bool(np.isfinite(output).all()) and all(
            bool(np.isfinite(a).all()) for a in _arrays(model).values()
        )
        dead = any(site.dead == 1 for site in sites.sites)
        varies = len(output) < 2 or bool((output != output[:1]).any())
        return Glimpse(quiet=finite and varies and not dead)


def trace(model: Any, call: Call, *, mode: str, seed: int) -> Trace:
    with np.errstate(all="ignore"):
        return _trace(model, call, seed)


def _trace(model: Any, call: Call, seed: int) -> Trace:
    sites = _Sites()
    output, reads, layers = _run(model, call, sites)
    inputs = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, np.ndarray)]
    batch = len(inputs[0]) if inputs else len(output)
    last = len(sites.sites) - 1
    unobserved: list[tuple[str, str]] = []
    gradient, logits = None, last
    squashing = sites.sites and sites.sites[last].activation in ("sigmoid", "tanh", "log_sigmoid")
    if layers:
        logits = last - 1 if squashing else last
        gradient = _backward(layers, reads, sites, seed, skip_last_phi=bool(squashing))
    elif not any(parameter.multiplicative for parameter in sites.parameters.values()):
        unobserved.append(("gradient", "taps without weight= show no gradient"))
    else:
        gradient = _directional(model, call, sites, output, seed)
    parameters = dict(sites.parameters)
    if not layers:
        tapped = {id(array) for array in sites.arrays.values()}
        for name, array in _arrays(model).items():
            if id(array) not in tapped:
                parameters[name] = replace(_parameter(name, array), multiplicative=False)
    columns = tuple(_columns(f"input{i}" if len(inputs) > 1 else "input", x) for i, x in enumerate(inputs))
    return Trace(
        FRAMEWORK,
        batch,
        tuple(sites.sites),
        columns,
        tuple(parameters.values()),
        last,
        logits,
        gradient,
        tuple(unobserved),
    )


def _readouts(shape: tuple[int, ...], seed: int) -> tuple[Array, Array, int]:
    """Return the cotangents of default-rules.md 1 (difference, common) and samples * positions."""
    rng = np.random.default_rng(seed)
    difference = rng.standard_normal(shape)
    difference -= difference.mean(0, keepdims=True)
    common = np.broadcast_to(rng.standard_normal(shape[-1:]), shape).copy()
    positions = int(np.prod(shape[:-1]))
    return difference / np.linalg.norm(difference), common / np.linalg.norm(common), positions


def _backward(
    layers: list[_Layer], reads: list[Array], sites: _Sites, seed: int, *, skip_last_phi: bool
) -> GradientEvidence:
    """Backpropagate both readouts through the list: dW = a^T delta, db = sum delta."""
    pre = [
        a @ layer.weight if layer.bias is None else a @ layer.weight + layer.bias
        for a, layer in zip(reads, layers, strict=True)
    ]
    shape = pre[-1].shape
    difference, common, positions = _readouts(shape, seed)
    squares = []
    for cotangent in (difference, common):
        delta, weights, biases = cotangent, [], []
        for index in reversed(range(len(layers))):
            layer = layers[index]
            if layer.phi is not None and not (skip_last_phi and index == len(layers) - 1):
                delta = delta * layer.phi.derivative(pre[index])
            a = reads[index].reshape(-1, reads[index].shape[-1])
            flat = delta.reshape(-1, delta.shape[-1])
            weights.append(float(np.sum((a.T @ flat) ** 2)))
            biases.append(0.0 if layer.bias is None else float(np.sum(flat.sum(0) ** 2)))
            delta = delta @ layer.weight.T
        squares.append((weights[::-1], biases[::-1]))
    (by_difference, bias_difference), (by_common, bias_common) = squares
    total = [sum(group) for group in zip(by_difference, bias_difference, by_common, bias_common, strict=True)]
    bad = tuple(layer.name for layer, value in zip(layers, total, strict=True) if not math.isfinite(value))
    sizes = [layer.weight.size for layer in layers]
    ratio = math.nan
    if len(layers) > 1 and by_difference[-1] > 0:
        ratio = math.sqrt(by_difference[0] / sizes[0] / (by_difference[-1] / sizes[-1]))
    return GradientEvidence(
        sum(by_difference),
        (sum(by_common) + sum(bias_common)) / positions,
        sum(value > 0 for value in by_difference),
        len(layers),
        bad,
        ratio,
    )


def _directional(
    model: Any, call: Call, sites: _Sites, output: Array, seed: int
) -> GradientEvidence | None:
    """Estimate both squared gradients from random directions: E_v (g . v)^2 = |g|^2, v ~ N(0, I)."""
    difference, common, positions = _readouts(output.shape, seed)
    rng = np.random.default_rng(seed + 1)
    groups = [
        [a for name, a in sites.arrays.items() if sites.parameters[name].multiplicative],
        [a for name, a in sites.arrays.items() if not sites.parameters[name].multiplicative],
    ]
    if not all(array.flags.writeable for group in groups for array in group):
        return None
    squared = np.zeros((2, 2))
    for row, group in enumerate(groups):
        for _ in range(_DIRECTIONS if group else 0):
            slope = _slope(model, call, group, rng)
            squared[row] += np.array([np.sum(slope * difference), np.sum(slope * common)]) ** 2
    squared /= _DIRECTIONS
    bad = () if np.isfinite(squared).all() else ("output",)
    alive = int(squared[0, 0] > 0) * len(groups[0])
    common_total = float(squared[:, 1].sum()) / positions
    return GradientEvidence(
        float(squared[0, 0]), common_total, alive, len(groups[0]), bad, math.nan
    )


def _slope(model: Any, call: Call, group: list[Array], rng: np.random.Generator) -> Array:
    """Return dy along a random direction in these arrays, which are put back as they were."""
    saved = [array.copy() for array in group]
    single = any(array.dtype.itemsize < 8 for array in group)
    scale = math.sqrt(np.mean([float(np.mean(array.astype(np.float64) ** 2)) for array in group])) or 1.0
    step = scale * (1e-2 if single else 1e-4)
    direction = [rng.standard_normal(array.shape) for array in group]
    outputs = []
    try:
        for sign in (1, -1):
            for array, original, v in zip(group, saved, direction, strict=True):
                array[...] = original + sign * step * v
            outputs.append(np.asarray(model(*call.args, **dict(call.kwargs)), dtype=np.float64))
    finally:
        for array, original in zip(group, saved, strict=True):
            array[...] = original
    return np.asarray((outputs[0] - outputs[1]) / (2 * step))


def _columns(name: str, x: Array) -> InputColumns:
    if x.dtype.kind not in "fc":
        return InputColumns(name, x.shape, _moments(x), True)
    value = _moments(x)
    binary = bool(np.isin(x, (0, 1)).all())
    if x.ndim < 2 or not value.finite:
        return InputColumns(name, x.shape, value, binary)
    axis = 1 if x.ndim in (2, 4, 5) else x.ndim - 1
    others = tuple(d for d in range(x.ndim) if d != axis)
    scale = np.sqrt(np.mean(x.astype(np.float64) ** 2, axis=others))
    used = np.flatnonzero(scale > 0)
    if used.size == 0:
        return InputColumns(name, x.shape, value, binary)
    low, high = int(used[scale[used].argmin()]), int(scale.argmax())
    return InputColumns(name, x.shape, value, binary, float(scale[low]), float(scale[high]), high, low)
