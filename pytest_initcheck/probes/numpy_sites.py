"""Sites of a numpy model in the making, and the statistics of arrays. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import Activation
from pytest_initcheck.probes.blocks import copies
from pytest_initcheck.trace import (
    HISTOGRAM_BINS,
    HISTOGRAM_VALUES,
    Histogram,
    InputColumns,
    Moments,
    Parameter,
    Site,
)

Array = NDArray[Any]
_FEWEST_ENTRIES = 8
"""Fewer entries tell no scale of a column: one of them is near 0 by luck."""
MASKED_OUT = -1e4
"""Additive attention masks hold 0 and at most this; half precision has nothing far below."""


def moments(values: Array) -> Moments:
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


def histogram(values: Array) -> Histogram | None:
    """Return the histogram of what is finite, None where nothing is."""
    flat = np.ravel(values)
    flat = flat[:: math.ceil(flat.size / HISTOGRAM_VALUES) or 1].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if flat.size == 0:
        return None
    low, high = float(flat.min()), float(flat.max())
    counts, _ = np.histogram(flat, HISTOGRAM_BINS, (low, high))
    return Histogram(tuple(counts.tolist()), low, high)


def parameter(name: str, array: Array, fan_in: int = 0, fan_out: int = 0) -> Parameter:
    flat = np.ravel(np.abs(array) if np.iscomplexobj(array) else array)
    size = max(flat.size, 1)
    mean, second = float(flat.sum(dtype=np.float64)) / size, float(np.vdot(flat, flat)) / size
    if not math.isfinite(mean + second):
        # squares that overflow single precision alone are finite
        second = float(np.mean(flat.astype(np.float64) ** 2))
    bad = 0 if math.isfinite(mean) else int(flat.size - np.isfinite(flat).sum())
    constant = flat.size == 0 or (bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all()))
    relative = flat.astype(np.float64) ** 2 / second if second > 0 else np.full(1, math.nan)
    return Parameter(
        name,
        array.shape,
        flat.size,
        mean,
        second,
        constant,
        bad,
        fan_in,
        fan_out,
        fan_in > 0,
        kurtosis=float(np.mean(relative**2)),
        copies=1 if constant or array.ndim < 2 else copies(array),
    )


def dead(phi: Activation, z: Array) -> float | None:
    """Return the share of units that no sample activates, None where they have no such notion."""
    if phi.inactive_below is None:
        return None
    units = z.reshape(-1, z.shape[-1])
    return float(np.mean(units.max(0) <= phi.inactive_below))


def _saturated(phi: Activation, z: Array) -> float | None:
    if phi.saturated_beyond is None:
        return None
    return float(np.mean(np.abs(z) > phi.saturated_beyond))


def memory(array: Array) -> Hashable:
    """Return what two arrays share that are one: the same numbers at the same place, read alike."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype


@dataclass
class Sites:
    """Sites in the making; each layer adds its linear site and its activation."""

    histograms: bool = False
    sites: list[Site] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    names: dict[Hashable, str] = field(default_factory=dict)

    def add_input(self, x: Array) -> None:
        axis = x.shape[-1] if x.ndim > 1 else 1
        self.sites.append(Site(0, "input", "input", "input", (), axis, moments(x)))

    def add_layer(self, name: str, z: Array, phi: Activation | None, weight: Any, bias: Any) -> None:
        self.calls[name] += 1
        if self.calls[name] > 1:
            name = f"{name}#{self.calls[name]}"
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

    def add_gradients(self, deltas: list[Array], outputs: list[Array | None]) -> None:
        """Give each layer's sites the moments of the gradients of its pre-activation and its output."""
        layers = [site for site in self.sites if site.kind == "linear"]
        for site, delta, output in zip(layers, deltas, outputs, strict=True):
            self.sites[site.index] = replace(site, gradient=moments(delta))
            after = self.sites[site.index + 1 : site.index + 2]
            if output is not None and after and after[0].kind == "activation":
                self.sites[site.index + 1] = replace(after[0], gradient=moments(output))

    def add_squared_gradients(self, weights: list[Array], biases: list[Array]) -> None:
        """Give each layer's parameters their squared gradients, in the layers' order."""
        layers = [site for site in self.sites if site.kind == "linear"]
        total: dict[str, Array] = {}
        for site, weight, bias in zip(layers, weights, biases, strict=True):
            for held, gradient in ((site.weight, weight), (site.bias, bias)):
                if held is not None:
                    total[held.name] = gradient + total.get(held.name, 0)
        for name, gradient in total.items():
            square = float(np.vdot(gradient, gradient).real)
            self.parameters[name] = replace(self.parameters[name], gradient=square)

    def _describe(self, name: str, array: Array, fan_in: int = 0, fan_out: int = 0) -> Parameter:
        """Describe an array; one that is read again, as in each step of a recurrence, is the same."""
        first = self.names.setdefault(memory(array) if isinstance(array, np.ndarray) else name, name)
        if first != name:
            return self.parameters[first]
        described = parameter(name, array, fan_in, fan_out)
        self.parameters[name], self.arrays[name] = described, array
        return described

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
        saturated = silent = read = None
        if phi is not None and z is not None:
            saturated, silent = _saturated(phi, z), dead(phi, z)
            read = histogram(z) if self.histograms else None
        activation_name = None if phi is None else phi.name
        self.sites.append(
            Site(
                index,
                name,
                kind,
                op,
                (index - 1,) if index else (),
                units,
                moments(value),
                activation_name,
                saturated,
                silent,
                weight,
                bias,
                pre_activations=read,
            )
        )


def columns(name: str, x: Array, axis: int | None = None, value: Moments | None = None) -> InputColumns:
    """Describe one input; a column's scale is that of its non-zero entries.

    * ``axis`` is that of the features or channels, where it is known.
    * ``value`` are the moments, where they are known: samples are on the first axis otherwise.
    """
    value = moments(x) if value is None else value
    if x.dtype.kind not in "fc":
        return InputColumns(name, x.shape, value, True)
    if bool(np.isin(x, (0, 1)).all()):
        return InputColumns(name, x.shape, value, True)
    if x.dtype.kind == "f" and bool(((x == 0) | (x <= MASKED_OUT)).all()) and bool((x == 0).any()):
        return InputColumns(name, x.shape, replace(value, non_finite=0), True)
    if x.ndim < 2 or not value.finite:
        return InputColumns(name, x.shape, value, False)
    if axis is None:
        axis = 1 if x.ndim in (2, 4, 5) else x.ndim - 1
    others = tuple(d for d in range(x.ndim) if d != axis)
    # a column that is on in few samples is no smaller for that: its scale is that of its entries
    entries = (x != 0).sum(axis=others)
    scale = np.sqrt(np.sum(x.astype(np.float64) ** 2, axis=others) / np.maximum(entries, 1))
    used = np.flatnonzero(entries >= _FEWEST_ENTRIES)
    if used.size == 0:
        return InputColumns(name, x.shape, value, False)
    low, high = int(used[scale[used].argmin()]), int(used[scale[used].argmax()])
    return InputColumns(name, x.shape, value, False, float(scale[low]), float(scale[high]), high, low)
