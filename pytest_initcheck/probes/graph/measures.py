"""Values of nodes -> sites: each value is reduced when it comes, and none is kept.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import activation
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.graph.layout import Layout
from pytest_initcheck.probes.graph.planned import Plan, Planned
from pytest_initcheck.probes.numpy_sites import MASKED_OUT, columns, histogram, parameter
from pytest_initcheck.probes.numpy_sites import moments as row_moments
from pytest_initcheck.trace import Histogram, InputColumns, Moments, Parameter, Site

Array = NDArray[Any]
ONE_HOT = 0.5 + math.sqrt(0.25 - 0.05 * 0.25)
"""Beyond this largest share p (1 - p) is under 5 % of its maximum, a quarter (principles.md 1.6)."""
_NOTHING = Moments(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


def plain(value: Any) -> Array:
    """Return the values real, and in a precision whose squares do not overflow."""
    array = np.asarray(value)
    if array.dtype.kind == "c":
        return array.view(array.real.dtype).reshape(*array.shape, 2)
    if array.dtype.kind == "V" or (array.dtype.kind == "f" and array.dtype.itemsize < 4):
        return array.astype(np.float32)  # what numpy does not know, such as bfloat16, converts itself
    return array


def moments(value: Any, layout: Layout, batch: int) -> Moments:
    """Return the moments of a value whose samples are where its layout says."""
    array = plain(value)
    if array.size == 0:
        return _NOTHING
    return row_moments(layout.rows(array, batch))


def described(leaf: Leaf, *, kurtosis: bool) -> Parameter:
    """Return a parameter's statistics."""
    value = leaf.value if leaf.value.dtype.kind == "c" else plain(leaf.value)
    found = parameter(leaf.name, value)
    return replace(
        found,
        shape=tuple(leaf.value.shape),
        multiplicative=True,
        kurtosis=found.kurtosis if kurtosis else math.nan,
        trainable=leaf.trainable,
        aliases=leaf.aliases,
        path=leaf.path,
    )


class Taker(Protocol):
    """Looks at values as they come."""

    def take(self, node: int, value: Array) -> None:
        """Look at the value of one node, whichever it is."""


@dataclass
class Measures:
    """Sites in the making: values in any order, the argument of an activation before its value."""

    plan: Plan
    batch: int
    parameters: Mapping[str, Parameter]
    histograms: bool = False

    def __post_init__(self) -> None:
        self._values: dict[int, Moments] = {}
        self._dead: dict[int, float | None] = {}
        self._saturated: dict[int, float | None] = {}
        self._read: dict[int, Histogram | None] = {}
        self._choice: dict[int, Array] = {}
        self._columns: dict[int, InputColumns] = {}
        self.inputs_differ = False
        self._of_node: dict[int, list[Planned]] = {}
        self._of_argument: dict[int, list[Planned]] = {}
        for site in self.plan.sites:
            self._of_node.setdefault(site.node, []).append(site)
            if site.argument is not None and self._looks_before(site):
                self._of_argument.setdefault(site.argument, []).append(site)

    @property
    def wanted(self) -> frozenset[int]:
        """The nodes whose values are looked at."""
        return frozenset(self._of_node) | frozenset(self._of_argument)

    def take(self, node: int, value: Array) -> None:
        """Measure what this node's value shows."""
        for site in self._of_argument.get(node, ()):
            self._before(site, value)
        for site in self._of_node.get(node, ()):
            self._measure(site, value)

    def _looks_before(self, site: Planned) -> bool:
        if site.activation is not None:
            return self.histograms or activation(site.activation).saturated_beyond is not None
        return site.op == "softmax"

    def _before(self, site: Planned, value: Array) -> None:
        z = plain(value)
        if site.activation is None:
            if z.ndim and z.shape[site.axis] > 1:
                self._choice[site.index] = (z > MASKED_OUT).sum(axis=site.axis) > 1
            return
        beyond = activation(site.activation).saturated_beyond
        if beyond is not None and z.size:
            self._saturated[site.index] = float(np.mean(np.abs(z) > beyond))
        if self.histograms:
            self._read[site.index] = histogram(z)

    def _measure(self, site: Planned, value: Array) -> None:
        self._values[site.index] = moments(value, site.layout, self.batch)
        if site.kind == "input":
            self._input(site, plain(value))
        if site.activation is not None and activation(site.activation).inactive_below is not None:
            self._dead[site.index] = dead_share(plain(value), site.layout)
        if site.index in self._choice:
            self._saturated[site.index] = one_hot_share(
                plain(value), self._choice.pop(site.index), site.axis
            )

    def _input(self, site: Planned, value: Array) -> None:
        axis = site.layout.units[-1] if site.layout.units else None
        self._columns[site.index] = columns(site.name, value, axis, self._values[site.index])
        if value.ndim and value.size:
            rows = site.layout.rows(value, self.batch)
            self.inputs_differ |= bool((rows != rows[:1]).any())

    # -- what was found --------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[InputColumns, ...]:
        return tuple(self._columns[index] for index in sorted(self._columns))

    def sites(self, gradients: Mapping[int, Moments]) -> tuple[Site, ...]:
        """Return the sites, with the moments of their gradients by node."""
        return tuple(self._site(site, gradients) for site in self.plan.sites)

    def _site(self, site: Planned, gradients: Mapping[int, Moments]) -> Site:
        return Site(
            site.index,
            site.name,
            site.kind,
            site.op,
            site.reads,
            site.layout.width if site.layout.axes else 1,
            self._values.get(site.index, _NOTHING),
            site.activation,
            self._saturated.get(site.index),
            self._dead.get(site.index),
            self._parameter(site.weights, site.fans),
            self._parameter(site.biases, (0, 0)),
            site.coverage,
            gradients.get(site.node),
            self._read.get(site.index),
        )

    def _parameter(self, names: frozenset[str], fans: tuple[int, int]) -> Parameter | None:
        known = [self.parameters[name] for name in sorted(names) if name in self.parameters]
        if not known:
            return None
        return replace(max(known, key=lambda p: p.count), fan_in=fans[0], fan_out=fans[1])


def dead_share(value: Array, layout: Layout) -> float | None:
    """Return the share of units whose value is zero for every sample and position."""
    if value.ndim < 2 or value.size == 0 or value.shape != layout.shape:
        return None
    others = tuple(k for k in range(value.ndim) if k not in layout.units)
    alive = (value.max(axis=others) != 0) | (value.min(axis=others) != 0)
    return float(1 - np.mean(alive))


def wholly_zero(value: Array) -> bool:
    """Tell whether all units are dead."""
    return value.ndim > 1 and value.size > 0 and not value.any()


def one_hot_share(shares: Array, choice: Array, axis: int) -> float | None:
    """Return the share of rows that are one-hot, of those that have a choice; None if none has.

    Where all entries of a row but one are masked out there is nothing to choose.
    """
    one_hot = shares.max(axis=axis) > ONE_HOT
    if not one_hot.any():
        return 0.0
    if choice.shape != one_hot.shape or not choice.any():
        return None
    return float((one_hot & choice).sum() / choice.sum())


def run(values: Iterable[tuple[int, Array]], takers: Sequence[Taker]) -> None:
    """Give every taker each value as it comes."""
    with np.errstate(all="ignore"):
        for node, value in values:
            for taker in takers:
                taker.take(node, value)
