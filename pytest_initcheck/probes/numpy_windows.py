"""Sliding windows that are multiplied with a kernel, or reduced: convolutions and pools.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_initcheck.probes.graph.nodes import Node
from pytest_initcheck.probes.numpy_tape import Compute

_POOLS = {"max": "window_max", "min": "window_min", "sum": "window_sum", "mean": "window_mean"}


@dataclass(frozen=True, slots=True)
class Fused:
    """A node that takes the place of another, and the nodes that it makes superfluous."""

    node: Node
    compute: Compute
    covered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows over some axes of an image, taken at every so many positions."""

    image: Node
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    covered: tuple[int, ...]
    compute: Compute

    @property
    def own(self) -> tuple[int, ...]:
        """The axes of the windows themselves: the last ones."""
        dimensions = len(self.image.shape)
        return tuple(range(dimensions, dimensions + len(self.axes)))


def fusions(nodes: Sequence[Node], computes: Sequence[Compute | None]) -> Iterator[Fused]:
    """Yield what is a convolution or a pool spelled with sliding windows."""
    if not any(node.op == "windows" for node in nodes):
        return
    for node in nodes:
        compute = computes[node.index]
        if compute is None:
            continue
        if node.op in _POOLS:
            windows = _windows(nodes, computes, node.reads[0])
            if windows is not None and tuple(sorted(node.settings["axes"])) == windows.own:
                yield _pool(node, windows, compute)
        elif node.op == "matmul":
            for side in (0, 1):
                windows = _windows(nodes, computes, node.reads[side])
                if windows is not None:
                    found = _convolution(nodes, computes, node, side, windows, compute)
                    if found is not None:
                        yield found


def _windows(nodes: Sequence[Node], computes: Sequence[Compute | None], at: int) -> _Windows | None:
    """Return the windows that a node holds, whole or at every so many positions."""
    node, covered, cut = nodes[at], [at], None
    if node.op == "slice" and nodes[node.reads[0]].op == "windows":
        cut, node = node, nodes[node.reads[0]]
        covered.append(node.index)
    first = computes[node.index]
    if node.op != "windows" or first is None:
        return None
    image = nodes[node.reads[0]]
    axes, sizes = tuple(node.settings["axes"]), tuple(node.settings["sizes"])
    if len(set(axes)) < len(axes):
        return None
    if cut is None:
        return _Windows(image, axes, sizes, (1,) * len(axes), tuple(covered), first)
    steps = cut.settings["strides"]
    for axis, size in enumerate(node.shape):
        step = steps[axis] if axis in axes else 1
        if cut.settings["starts"][axis] or cut.shape[axis] != -(-size // step):
            return None
    second = computes[cut.index]
    assert second is not None
    strides = tuple(int(steps[axis]) for axis in axes)
    return _Windows(image, axes, sizes, strides, tuple(covered), _after(second, first))


def _after(second: Compute, first: Compute) -> Compute:
    return lambda x: second(first(x))


def _pool(node: Node, windows: _Windows, compute: Compute) -> Fused:
    dimensions = range(len(windows.image.shape))
    size = dict(zip(windows.axes, windows.sizes, strict=True))
    stride = dict(zip(windows.axes, windows.strides, strict=True))
    settings = {
        "size": tuple(size.get(axis, 1) for axis in dimensions),
        "strides": tuple(stride.get(axis, 1) for axis in dimensions),
        "padding": tuple((0, 0) for _ in dimensions),
    }
    pooled = replace(node, op=_POOLS[node.op], reads=(windows.image.index,), settings=settings)
    return Fused(pooled, _after(compute, windows.compute), windows.covered)


def _convolution(
    nodes: Sequence[Node],
    computes: Sequence[Compute | None],
    node: Node,
    side: int,
    windows: _Windows,
    compute: Compute,
) -> Fused | None:
    contract = dict(
        zip(node.settings["contract"][side], node.settings["contract"][1 - side], strict=True)
    )
    dimensions = len(windows.image.shape)
    features = [axis for axis in contract if axis not in windows.own]
    samples = [a for a in range(dimensions) if a not in windows.axes and a not in features]
    kernel = nodes[node.reads[1 - side]]
    out = [axis for axis in range(len(kernel.shape)) if axis not in contract.values()]
    fits = set(windows.own) <= set(contract) and node.settings["batch"] == ((), ())
    if not fits or len(features) != 1 or len(samples) != 1 or len(out) != 1:
        return None
    if features[0] in windows.axes:
        return None
    free = [axis for axis in range(dimensions) if axis != features[0]]
    shift = side  # the kernel's free axis is in front where the kernel is the left operand
    place = {axis: shift + free.index(axis) for axis in free}
    source, padding, covered, prepare = _padding(nodes, computes, windows)
    ones = (1,) * len(windows.axes)
    settings: dict[str, Any] = {
        "image": (samples[0], features[0], *windows.axes),
        "kernel": (out[0], contract[features[0]], *(contract[axis] for axis in windows.own)),
        "result": (place[samples[0]], 0 if side else len(free), *(place[a] for a in windows.axes)),
        "strides": windows.strides,
        "padding": padding,
        "image_dilation": ones,
        "kernel_dilation": ones,
        "groups": 1,
    }

    def convolve(image: Any, weights: Any) -> Any:
        view = prepare(image)
        return compute(weights, view) if side else compute(view, weights)

    convolution = replace(node, op="conv", reads=(source, kernel.index), settings=settings)
    return Fused(convolution, convolve, (*windows.covered, *covered))


def _padding(
    nodes: Sequence[Node], computes: Sequence[Compute | None], windows: _Windows
) -> tuple[int, tuple[tuple[int, int], ...], tuple[int, ...], Callable[..., Any]]:
    """Return what is convolved, its zero padding, the nodes behind that and what makes the windows."""
    image = windows.image
    pad = computes[image.index]
    widths = image.settings.get("padding", ())
    zeros = image.op == "pad" and image.settings.get("fill") == 0 and pad is not None
    if not zeros or any(width != (0, 0) for a, width in enumerate(widths) if a not in windows.axes):
        return image.index, ((0, 0),) * len(windows.axes), (), windows.compute
    assert pad is not None
    chosen = tuple(tuple(widths[axis]) for axis in windows.axes)
    return image.reads[0], chosen, (image.index,), _after(windows.compute, pad)
