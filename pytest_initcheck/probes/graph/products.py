"""What a product multiplies a signal with: the weight, its fans, and how much of it is inside.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product, convolution or look-up.

    * ``weights`` are the parameters that the weight comes from, none for a product of two signals.
    * ``fans`` are (fan_in, fan_out) per output unit (principles.md 1.7).
    * ``coverage`` is the average share of a convolution's taps that lie inside the image.
    """

    kind: str
    op: str
    weights: frozenset[str]
    fans: tuple[int, int] = (0, 0)
    coverage: float = 1.0


def product(node: Node, graph: Graph, origins: Sequence[Provenance]) -> Product | None:
    """Return what the node is as a product, None if it is none."""
    if node.op == "take":
        table, ids = (origins[read] for read in node.reads[:2])
        if not (table.parameters_alone and ids.signal):
            return None
        shape = graph.nodes[node.reads[0]].shape
        return Product("embedding", "embedding", table.parameters, (1, int(shape[-1])))
    if node.op == "matmul":
        return _matmul(node, graph, origins)
    if node.op == "conv":
        weights = _weights(origins[node.reads[1]])
        fans, coverage = convolution_fans(node, graph), convolution_coverage(node, graph)
        return Product("linear" if weights else "matmul", "conv", weights, fans, coverage)
    return None


def _weights(origin: Provenance) -> frozenset[str]:
    return origin.parameters if origin.parameters_alone else frozenset()


def _matmul(node: Node, graph: Graph, origins: Sequence[Provenance]) -> Product:
    left, right = (_weights(origins[read]) for read in node.reads)
    at = 0 if left and not right else 1
    weights = right or left
    shape = graph.nodes[node.reads[at]].shape
    gone = [int(k) for k in node.settings["contract"][at]]
    along = [int(k) for k in node.settings["batch"][at]]
    fan_in = math.prod(shape[k] for k in gone)
    fan_out = math.prod(n for k, n in enumerate(shape) if k not in gone and k not in along)
    kind = "linear" if weights else "matmul"
    return Product(kind, kind, weights, (fan_in, fan_out) if weights else (0, 0))


def convolution_fans(node: Node, graph: Graph) -> tuple[int, int]:
    """Return the fans of a convolution; one that dilates its image is transposed."""
    kernel = graph.nodes[node.reads[1]].shape
    out, inputs, *space = (int(k) for k in node.settings["kernel"])
    taps = math.prod(kernel[k] for k in space)
    reached = math.prod(int(n) for n in node.settings.get("image_dilation", ())) or 1
    groups = int(node.settings.get("groups", 1))
    fan_in = max(1, round(kernel[inputs] * taps / reached))
    return fan_in, kernel[out] // groups * taps


def convolution_coverage(node: Node, graph: Graph) -> float:
    """Return the average share of taps that lie inside the image: the rest read zero padding."""
    settings = node.settings
    if any(int(n) > 1 for n in settings.get("image_dilation", ())):
        return 1.0
    image, kernel = (graph.nodes[read].shape for read in node.reads[:2])
    share = 1.0
    for axis, (in_image, in_kernel, in_result) in enumerate(
        zip(settings["image"][2:], settings["kernel"][2:], settings["result"][2:], strict=True)
    ):
        size, taps, positions = image[int(in_image)], kernel[int(in_kernel)], node.shape[int(in_result)]
        step, gap = int(settings["strides"][axis]), int(settings["kernel_dilation"][axis])
        pad = int(settings["padding"][axis][0])
        inside = sum(0 <= o * step - pad + t * gap < size for o in range(positions) for t in range(taps))
        share *= inside / (max(positions, 1) * taps)
    return share
