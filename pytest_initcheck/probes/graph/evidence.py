"""The two gradients of principles.md R8 from a flow, and those at sites. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.flow import Flow, Pullback
from pytest_initcheck.probes.graph.layout import Layout
from pytest_initcheck.probes.graph.measures import moments, plain
from pytest_initcheck.probes.graph.planned import Plan
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import GradientEvidence, Moments

Array = NDArray[Any]


@dataclass(frozen=True)
class Gradients:
    """The evidence, each parameter's squared gradients for both readouts, and moments by node."""

    evidence: GradientEvidence
    by_difference: Mapping[str, float]
    by_common: Mapping[str, float]
    nodes: Mapping[int, Moments] = field(default_factory=dict)

    @property
    def moved(self) -> frozenset[str]:
        """The parameters that either readout gives a gradient."""
        return frozenset(
            name for name, square in self.by_difference.items() if square + self.by_common[name] != 0
        )


def gradients(
    flow: Flow, plan: Plan, logits: int, batch: int, seed: int, *, sites: bool
) -> Gradients | None:
    """Take two backward passes from the logits; None where the flow has no gradients.

    * ``logits`` is a node that has an axis of samples; ``sites``: gradients at sites are wanted, too.

    What is only added and is no layer's bias, such as a class token, moves no outputs together: behind a
    normalisation its gradient is as large as it is small itself.
    """
    layout = plan.layouts[logits]
    difference, common, positions = readouts(layout.first_shape, seed, layout.first_units)
    trained = [leaf.name for leaf in flow.leaves if leaf.trainable]
    nodes = _between(plan, set(trained), logits) if sites else {}
    pulled = []
    for cotangent, at in ((difference, nodes), (common, {})):
        found = flow.gradients(logits, layout.back(cotangent), trained, tuple(at))
        if found is None:
            return None
        pulled.append(found)
    by_difference, by_common = (_squares(found, trained) for found in pulled)
    evidence = _evidence(plan, trained, by_difference, by_common, positions, flow)
    with np.errstate(all="ignore"):
        at_nodes = {n: moments(g, nodes[n], batch) for n, g in pulled[0].nodes.items() if n in nodes}
    return Gradients(evidence, by_difference, by_common, at_nodes)


def _between(plan: Plan, trained: set[str], logits: int) -> dict[int, Layout]:
    """Return the values of sites that depend on a trained parameter and that the logits depend on."""
    above = plan.graph.leading_to([logits])
    return {
        site.node: site.layout
        for site in plan.sites
        if site.node in above and not trained.isdisjoint(plan.origins[site.node].parameters)
    }


def squared(gradient: Array) -> float:
    """Return the sum of abs(g)^2."""
    flat = np.ravel(plain(gradient)).astype(np.float64)
    with np.errstate(all="ignore"):
        return float(np.dot(flat, flat))


def _squares(found: Pullback, names: Collection[str]) -> dict[str, float]:
    by_name = dict.fromkeys(names, 0.0)
    return by_name | {name: squared(gradient) for name, gradient in found.parameters.items()}


def _evidence(
    plan: Plan,
    trained: Collection[str],
    by_difference: Mapping[str, float],
    by_common: Mapping[str, float],
    positions: int,
    flow: Flow,
) -> GradientEvidence:
    matrices = [name for name in trained if name in plan.multiplicative]
    together = plan.multiplicative | plan.biases
    return GradientEvidence(
        difference=sum(by_difference[name] for name in matrices),
        common=sum(by_common[name] for name in trained if name in together) / positions,
        live_matrices=sum(by_difference[name] > 0 for name in matrices),
        matrices=len(matrices),
        non_finite=tuple(n for n in trained if not math.isfinite(by_difference[n] + by_common[n])),
        first_over_last=_first_over_last(plan, flow, set(matrices), by_difference),
    )


def _first_over_last(
    plan: Plan, flow: Flow, matrices: set[str], by_difference: Mapping[str, float]
) -> float:
    """Return the ratio of the root mean squared gradients of the first and the last weight.

    In the order in which they are read: that of a tree of parameters may be the alphabet's.
    """
    sizes = {leaf.name: leaf.value.size for leaf in flow.leaves if leaf.value.ndim > 1}
    read = [name for node in plan.graph.nodes for name in _read_here(plan, node.index)]
    weights = [name for name in dict.fromkeys(read) if name in matrices and name in sizes]
    if len(weights) < 2:
        return math.nan
    first, last = (by_difference[name] / sizes[name] for name in (weights[0], weights[-1]))
    return math.sqrt(first / last) if last > 0 else math.nan


def _read_here(plan: Plan, index: int) -> list[str]:
    """Return the parameters that meet a signal in this node."""
    if not plan.origins[index].signal:
        return []
    reads = (plan.origins[read] for read in plan.graph.nodes[index].reads)
    return sorted(name for origin in reads if origin.parameters_alone for name in origin.parameters)
