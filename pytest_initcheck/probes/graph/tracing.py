"""A flow -> a Trace: sites reduced as the values come, gradients, noise and steps.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.dead_ends import without_dead_ends
from pytest_initcheck.probes.graph.evidence import Gradients, gradients
from pytest_initcheck.probes.graph.flow import Flow
from pytest_initcheck.probes.graph.measures import Measures, described, plain, run, wholly_zero
from pytest_initcheck.probes.graph.noise import Scales, meetings, sensitivity
from pytest_initcheck.probes.graph.plan import plan
from pytest_initcheck.probes.graph.planned import Plan
from pytest_initcheck.probes.graph.unseen import unseen
from pytest_initcheck.probes.readouts import standard_normal
from pytest_initcheck.probes.steps import training
from pytest_initcheck.trace import (
    NOTHING_MORE,
    Glimpse,
    Parameter,
    Trace,
    Training,
    Wanted,
)

Array = NDArray[Any]
_FEWEST_SAMPLES = 8
_SQUASHES = ("sigmoid", "tanh", "log_sigmoid")


def trace(flow: Flow, *, framework: str, batch: int, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    """Run a flow forward and backward and return what was seen, as a probe's ``trace`` does.

    * ``batch`` is the number of samples in the inputs, ``framework`` the name that the Trace bears.

    Raises ModelError for a model that returns no array with a batch axis.
    """
    with np.errstate(all="ignore"):
        parameters = {leaf.name: described(leaf, kurtosis=wanted.kurtosis) for leaf in flow.leaves}
        seen = _Seen.of(flow, batch, {name: p.mean for name, p in parameters.items()})
        measures = Measures(seen.plan, batch, parameters, wanted.histograms)
        scales = Scales(frozenset(meetings(seen.plan).values()) if wanted.noise else frozenset())
        kept = _Kept(seen.main)
        nodes = measures.wanted | scales.wanted | {seen.main}
        run(flow.run(nodes), (measures, scales, kept))
        reason = _no_gradient_reason(seen, measures)
        found = None
        if reason is None:
            found = gradients(flow, seen.plan, seen.logits, batch, seed, sites=wanted.site_gradients)
            if found is None:
                reason = "no gradient is known of this forward pass"
            elif not found.by_difference:
                found, reason = None, _CUT_OFF
        noise = None
        if wanted.noise and batch > 1 and kept.value is not None:
            noise = sensitivity(flow, seen.plan, seen.main_at, kept.value, scales.by_node, seed, batch)
        trained = _training(seen, found, seed, wanted) if wanted.steps else None
    whole = Trace(
        framework,
        batch,
        measures.sites({} if found is None else found.nodes),
        measures.inputs,
        _with_roles(parameters, seen.plan, {} if found is None else found.by_difference),
        seen.site_of(seen.main),
        seen.site_of(seen.logits),
        None if found is None else found.evidence,
        (*flow.unobserved, *unseen(seen.plan, flow.leaves), *_as_unobserved(reason)),
        seen.returned,
        noise,
        trained,
    )
    return without_dead_ends(whole)


def glimpse(flow: Flow, *, batch: int) -> Glimpse:
    """Run a flow forward only, and look for rare events.

    Raises ModelError for a model that returns no array with a batch axis.
    """
    with np.errstate(all="ignore"):
        means = {leaf.name: float(plain(leaf.value).mean()) for leaf in flow.leaves if leaf.value.size}
        seen = _Seen.of(flow, batch, means)
        rectifiers = _Rectifiers(seen.plan)
        kept = _Kept(seen.main)
        run(flow.run(rectifiers.wanted | {seen.main}), (rectifiers, kept))
        if kept.value is None:
            return Glimpse(False, math.nan)
        rows = seen.plan.layouts[seen.main].rows(plain(kept.value), batch).astype(np.float64)
        length = float(np.mean(rows**2))
        finite = math.isfinite(length) and all(
            bool(np.isfinite(plain(leaf.value)).all()) for leaf in flow.leaves
        )
        varies = len(rows) < 2 or bool((rows != rows[:1]).any())
        return Glimpse(finite and varies and not rectifiers.wholly_dead, length)


@dataclass(frozen=True)
class _Seen:
    """A flow with its plan and what it returned.

    ``main_at`` is the place of the main output among the graph's outputs, ``logits`` the node that the
    readouts are of: what a closing sigmoid, tanh or softmax reads, or the output itself.
    """

    flow: Flow
    plan: Plan
    batch: int
    main_at: int
    logits: int

    @classmethod
    def of(cls, flow: Flow, batch: int, means: Mapping[str, float]) -> _Seen:
        if batch == 0:
            raise ModelError("the inputs hold no samples; pass a batch with at least one")
        made = plan(flow.graph, means, batch)
        main_at = _main_output(flow)
        main = flow.graph.outputs[main_at]
        site = made.site_of[main]
        logits = main
        if site >= 0:
            closing = made.sites[site]
            squashes = closing.activation in _SQUASHES or closing.kind == "softmax"
            if squashes and closing.argument is not None:
                logits = closing.argument
        return cls(flow, made, batch, main_at, logits)

    @property
    def main(self) -> int:
        return self.plan.graph.outputs[self.main_at]

    def site_of(self, node: int) -> int:
        return self.plan.site_of[node]

    @property
    def returned(self) -> tuple[int, ...]:
        """The sites of all outputs that have samples."""
        graph, axes = self.plan.graph, self.plan.layouts
        found = {
            self.site_of(n) for n in graph.outputs if graph.nodes[n].floating and axes[n].has_samples
        }
        return tuple(sorted(found - {-1}))

    @property
    def trained(self) -> dict[str, Array]:
        leaves = (leaf for leaf in self.flow.leaves if leaf.trainable)
        return {leaf.name: leaf.value for leaf in leaves if leaf.name in self.plan.used}


def _main_output(flow: Flow) -> int:
    nodes = [flow.graph.nodes[index] for index in flow.graph.outputs]
    for at, node in enumerate(nodes):
        if node.floating and node.shape:
            return at
    if any(node.floating for node in nodes):
        raise ModelError(
            "the model returned a single number, a loss perhaps; wrap it so that it returns the output "
            "that the loss is computed from, with a batch axis"
        )
    raise ModelError("the model returned no floating-point array; return its output")


@dataclass
class _Kept:
    """Keeps the value of one node."""

    node: int
    value: Array | None = None

    def take(self, node: int, value: Array) -> None:
        if node == self.node:
            self.value = value


class _Rectifiers:
    """Looks at rectifiers alone, for wholly dead layers."""

    def __init__(self, made: Plan) -> None:
        self.wanted = frozenset(
            site.node
            for site in made.sites
            if site.activation is not None and activation(site.activation).inactive_below is not None
        )
        self.wholly_dead = False

    def take(self, node: int, value: Array) -> None:
        self.wholly_dead |= node in self.wanted and wholly_zero(plain(value))


_CUT_OFF = "the output does not depend on a trainable parameter through autograd"


def _no_gradient_reason(seen: _Seen, measures: Measures) -> str | None:
    trainable = {leaf.name for leaf in seen.flow.leaves if leaf.trainable}
    if trainable.isdisjoint(seen.plan.origins[seen.logits].parameters):
        return _CUT_OFF
    if seen.plan.layouts[seen.logits].samples is None:
        return "the output has no batch axis"
    if seen.batch < _FEWEST_SAMPLES:
        return f"fewer than {_FEWEST_SAMPLES} samples: differences between inputs cannot be judged"
    if measures.inputs and not measures.inputs_differ:
        return "all samples are equal: differences between inputs cannot be judged"
    return None


def _as_unobserved(reason: str | None) -> Iterator[tuple[str, str]]:
    if reason is not None:
        yield "gradient", reason


def _training(seen: _Seen, found: Gradients | None, seed: int, wanted: Wanted) -> Training | None:
    """Take steps down a random linear function of everything returned, or down the user's loss."""
    parameters = seen.trained
    moved = frozenset() if found is None or wanted.loss is not None else found.moved & set(parameters)
    cotangents = None if wanted.loss is not None else _cotangents(seen, seed)

    def at(values: Mapping[str, Array]) -> Mapping[str, Array] | None:
        return seen.flow.step_gradients(values, cotangents, wanted.loss)

    return training(parameters, moved, at)


def _cotangents(seen: _Seen, seed: int) -> tuple[Array, ...]:
    """Draw a random linear readout of every number that the model put out, in the outputs' order."""
    rng = np.random.default_rng(seed)
    found = []
    for index in seen.plan.graph.outputs:
        node, layout = seen.plan.graph.nodes[index], seen.plan.layouts[index]
        if node.floating and seen.plan.origins[index].parameters:
            weights = layout.back(standard_normal(rng, layout.first_shape, layout.first_units))
            found.append(weights / math.sqrt(max(weights.size, 1)))
        else:
            found.append(np.zeros(node.shape, np.float32))
    return tuple(found)


def _with_roles(
    parameters: Mapping[str, Parameter], made: Plan, squared: Mapping[str, float]
) -> tuple[Parameter, ...]:
    return tuple(
        replace(
            parameter,
            multiplicative=name in made.multiplicative,
            used=name in made.used,
            gradient=squared.get(name, math.nan),
        )
        for name, parameter in parameters.items()
    )
