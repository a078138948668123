"""How much the output changes under relative noise at the first parameters (principles.md R9).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.composites import between
from pytest_initcheck.probes.graph.flow import Flow
from pytest_initcheck.probes.graph.measures import moments, plain
from pytest_initcheck.probes.graph.planned import Plan
from pytest_initcheck.probes.readouts import standard_normal
from pytest_initcheck.trace import CHAOTIC, FAINT_NOISE, NOISE, Sensitivity

Array = NDArray[Any]
_ROUNDING = 1e-13
_RESHAPING = frozenset({"reshape", "cast", "stop_gradient"})

Meeting = tuple[int, int]
"""A node and which of its operands, -1 for the node's own value."""


@dataclass
class Scales:
    """Takes the root mean square of the values that noise is added to."""

    wanted: frozenset[int]

    def __post_init__(self) -> None:
        self.by_node: dict[int, float] = {}

    def take(self, node: int, value: Array) -> None:
        if node in self.wanted:
            flat = np.ravel(plain(value)).astype(np.float64)
            self.by_node[node] = math.sqrt(float(np.dot(flat, flat)) / flat.size) if flat.size else 0.0


def meetings(plan: Plan) -> dict[Meeting, int]:
    """Return where a value that only the inputs determine first meets a parameter, and that value.

    Behind parameter-free encodings, which amplify small differences on purpose; ids have their noise
    behind the embedding.  A normalisation with parameters is met by what it normalises.
    """
    found: dict[Meeting, int] = {}
    whole: set[int] = set()
    for composite in plan.composites.by_end.values():
        if composite.scale | composite.offset and _raw(plan, composite.root):
            whole |= between(plan.graph, composite.root, composite.end) | {composite.end}
    roots = {composite.root for composite in plan.composites.by_end.values()}
    for node in plan.graph.nodes:
        raw = [k for k, read in enumerate(node.reads) if _raw(plan, read)]
        floats = [k for k in raw if plan.graph.nodes[node.reads[k]].floating]
        if node.index in whole:
            found |= {(node.index, k): node.reads[k] for k in floats if node.reads[k] in roots}
        elif raw and any(plan.origins[read].parameters for read in node.reads):
            found |= {(node.index, k): node.reads[k] for k in floats}
            if not floats and node.floating:
                found[node.index, -1] = node.index
    return found


def _raw(plan: Plan, index: int) -> bool:
    return plan.origins[index].signal and not plan.origins[index].parameters


def sensitivity(
    flow: Flow, plan: Plan, main: int, output: Array, scales: Mapping[int, float], seed: int, batch: int
) -> Sensitivity | None:
    """Compare the output with that under noise; None where it does not differ between samples.

    * ``main`` is the place of the output's node among the graph's outputs.

    Only where the change is past CHAOTIC is a second, fainter noise needed to tell its growth.
    """
    node = plan.graph.outputs[main]
    with np.errstate(all="ignore"):
        value = moments(output, plan.layouts[node], batch)
    spread = value.batch_variance
    # what is below rounding is no output that depends on the input
    if not (math.isfinite(spread) and spread > _ROUNDING * value.second_moment):
        return None
    met = meetings(plan)

    def change(size: float) -> float | None:
        noise = _noise(plan, met, scales, size, seed)
        with np.errstate(all="ignore"):
            again = plain(flow.outputs(noise=noise)[main]).astype(np.float64)
            moved = float(np.mean((again - plain(output)) ** 2))
        return moved if math.isfinite(moved) else None

    changed = change(NOISE)
    if changed is None:
        return None
    if changed <= 2 * CHAOTIC * spread or output.dtype.itemsize < 4:
        return Sensitivity(changed / (2 * spread))
    faint = change(FAINT_NOISE)
    growth = math.nan if faint is None else faint / spread / FAINT_NOISE**2
    return Sensitivity(changed / (2 * spread), growth)


def _noise(
    plan: Plan, met: Mapping[Meeting, int], scales: Mapping[int, float], size: float, seed: int
) -> dict[Meeting, Array]:
    """Draw noise for each value in the order of the meetings; one that is read twice has it twice."""
    rng = np.random.default_rng(seed)
    drawn: dict[int, Array] = {}
    found: dict[Meeting, Array] = {}
    for meeting, index in met.items():
        source = _reshaped_from(plan, index)
        node = plan.graph.nodes[index]
        if source not in drawn:
            layout = plan.layouts[index]
            noise = layout.back(standard_normal(rng, layout.first_shape, layout.first_units))
            drawn[source] = size * scales.get(index, 0.0) * noise
        found[meeting] = drawn[source].reshape(node.shape).astype(np.float32)
    return found


def _reshaped_from(plan: Plan, index: int) -> int:
    node = plan.graph.nodes[index]
    while node.op in _RESHAPING and plan.graph.nodes[node.reads[0]].floating:
        node = plan.graph.nodes[node.reads[0]]
    return node.index
