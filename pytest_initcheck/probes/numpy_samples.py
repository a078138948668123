"""Loops over samples: what each sample is by itself tells nothing of a batch. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.graph.axes import layouts
from pytest_initcheck.probes.graph.layout import SAMPLES
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import provenances
from pytest_initcheck.probes.numpy_places import Place


def refuse_loops_over_samples(graph: Graph, places: Sequence[Place], batch: int) -> None:
    """Raise ModelError where every sample is taken out by itself, with the user's line."""
    if batch < 2:
        return
    cuts: dict[tuple[int, int], set[int]] = {}
    for node in graph.nodes:
        for axis, start in _single(graph, node, batch):
            cuts.setdefault((node.reads[0], axis), set()).add(start)
    loops = [key for key, starts in cuts.items() if len(starts) == batch]
    if not loops:
        return
    found = layouts(graph, provenances(graph, {}), batch)
    for read, axis in loops:
        if any(atom == SAMPLES for atom, _ in found[read].axes[axis]):
            first = next(n for n in graph.nodes if n.reads[:1] == (read,) and n.op == "slice")
            place = places[first.index]
            source = f", `{place.source}`" if place.source else ""
            raise ModelError(
                f"{place}{source}: the forward function takes one sample at a time; compute with the "
                "whole batch at once, x[:, i] rather than x[i]"
            )


def _single(graph: Graph, node: Node, batch: int) -> list[tuple[int, int]]:
    """Return (axis, position) where a slice takes one entry of an axis as long as the batch."""
    if node.op != "slice":
        return []
    shape = graph.nodes[node.reads[0]].shape
    return [
        (axis, int(node.settings["starts"][axis]))
        for axis, size in enumerate(node.shape)
        if size == 1 and shape[axis] == batch
    ]
