"""Where the samples and the units are in each value, whatever the layout.

Every axis is made of atoms: the samples are one, the units of a layer are some.  A transpose moves
them, a reshape merges axes and takes them apart again, so that a batch that was flattened into time or
moved inside by ``vmap`` is found.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count

from pytest_initcheck.probes.graph.layout import SAMPLES, Atom, Axis, Layout, size_of
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.provenance import Provenance


def layouts(graph: Graph, origins: Sequence[Provenance], batch: int) -> tuple[Layout, ...]:
    """Return the layout of every node.

    Which axis of an input its channels are is told by the layer that reads it.
    """
    told: dict[int, set[int]] = {}
    _Layouts(graph, origins, batch, {}, told).found()
    return _Layouts(graph, origins, batch, told, {}).found()


class _Layouts:
    """One pass over a graph; what layers read of inputs is put into ``tells``, by the input's node."""

    def __init__(
        self,
        graph: Graph,
        origins: Sequence[Provenance],
        batch: int,
        told: Mapping[int, Collection[int]],
        tells: dict[int, set[int]],
    ) -> None:
        self._graph, self._origins, self._batch = graph, origins, batch
        self._told, self._tells = told, tells
        self._ids: Iterator[int] = count(1)
        self._known: list[Layout] = []
        self._of_input: dict[int, tuple[int, int]] = {}
        self._readers = graph.readers()

    def found(self) -> tuple[Layout, ...]:
        for node in self._graph.nodes:
            layout = self._layout(node)
            if layout.shape != node.shape:
                layout = self._unknown(node)
            self._known.append(layout)
        return tuple(self._known)

    # -- parts ---------------------------------------------------------------------------------------

    def _fresh(self, size: int) -> Axis:
        return () if size == 1 else ((next(self._ids), size),)

    def _all_fresh(self, shape: Sequence[int]) -> tuple[Axis, ...]:
        return tuple(self._fresh(size) for size in shape)

    def _resized(self, axis: Axis, size: int) -> Axis:
        return axis if size_of(axis) == size else self._fresh(size)

    def _unknown(self, node: Node) -> Layout:
        """Samples are looked for by their number, on the first axis or the second."""
        axes = list(self._all_fresh(node.shape))
        if self._origins[node.index].signal:
            for k, size in enumerate(node.shape[:2]):
                if size == self._batch:
                    axes[k] = ((SAMPLES, size),)
                    break
        return Layout(tuple(axes))

    def _layout(self, node: Node) -> Layout:
        if node.op == "input":
            return self._input(node)
        if node.leaf or not node.reads:
            return Layout(self._all_fresh(node.shape))
        rule = _RULES.get(node.op)
        reads = [self._known[read] for read in node.reads]
        if rule is not None:
            return rule(self, node, reads)
        return self._broadcast_together(node, reads)

    def _input(self, node: Node) -> Layout:
        axes = self._unknown(node).axes
        for k, axis in enumerate(axes):
            for atom, _ in axis:
                if atom != SAMPLES:
                    self._of_input[atom] = node.index, k
        dimensions = len(node.shape)
        units: Collection[int] = self._told.get(node.index, ())
        if len(units) != 1 and dimensions:
            # layers that read it along several axes tell nothing
            units = (1,) if dimensions >= 4 or dimensions == 2 else (dimensions - 1,)
        return Layout(axes, tuple(units))

    def _tell(self, axis: Axis) -> None:
        """A layer reads this axis: if it is one of an input, the input's channels are there."""
        if len(axis) == 1 and axis[0][0] in self._of_input:
            index, position = self._of_input[axis[0][0]]
            self._tells.setdefault(index, set()).add(position)

    # -- operations ------------------------------------------------------------------------------------

    def _broadcast_together(self, node: Node, reads: Sequence[Layout]) -> Layout:
        dimensions = len(node.shape)
        axes: list[Axis] = []
        for k, size in enumerate(node.shape):
            axis: Axis = ()
            for read in self._signals_first(node, reads):
                at = k - dimensions + len(read.axes)
                offered = read.axes[at] if at >= 0 else ()
                if size != 1 and size_of(offered) == size and _better(offered, axis):
                    axis = offered
            axes.append(axis or self._fresh(size))
        for read in self._signals_first(node, reads):
            shift = dimensions - len(read.axes)
            units = tuple(k + shift for k in read.units)
            whole = all(node.shape[k] == size_of(read.axes[k - shift]) for k in units)
            if units and whole:
                return Layout(tuple(axes), units)
        return Layout(tuple(axes))

    def _signals_first(self, node: Node, reads: Sequence[Layout]) -> list[Layout]:
        pairs = list(zip(node.reads, reads, strict=True))
        pairs.sort(key=lambda pair: (not self._origins[pair[0]].signal, -len(pair[1].axes)))
        return [layout for _, layout in pairs]

    def _transpose(self, node: Node, reads: Sequence[Layout]) -> Layout:
        order = [int(k) for k in node.settings["axes"]]
        axes = tuple(reads[0].axes[k] for k in order)
        return Layout(axes, tuple(sorted(order.index(k) for k in reads[0].units)))

    def _broadcast(self, node: Node, reads: Sequence[Layout]) -> Layout:
        axes = list(self._all_fresh(node.shape))
        goes = [int(k) for k in node.settings["axes"]]
        for k, axis in zip(goes, reads[0].axes, strict=True):
            if size_of(axis) == node.shape[k]:
                axes[k] = axis
        return Layout(tuple(axes), tuple(sorted(goes[k] for k in reads[0].units)))

    def _reshape(self, node: Node, reads: Sequence[Layout]) -> Layout:
        before = reads[0]
        units = {atom for k in before.units for atom, _ in before.axes[k]}
        atoms = [atom for axis in before.axes for atom in axis]
        axes = self._regrouped(atoms, node.shape, units)
        if axes is None:
            return self._unknown(node)
        inside = tuple(k for k, axis in enumerate(axes) if any(atom in units for atom, _ in axis))
        if len(inside) > max(len(before.units), 1):
            inside = inside[-1:]  # units that are split into heads: each head has the last
        return Layout(tuple(axes), inside)

    def _regrouped(self, atoms: list[Atom], shape: Sequence[int], units: set[int]) -> list[Axis] | None:
        left = list(atoms)
        axes: list[Axis] = []
        for size in shape:
            taken: list[Atom] = []
            while (room := size // math.prod(n for _, n in taken)) > 1:
                if not left:
                    return None
                atom, length = left.pop(0)
                if room % length:
                    if length % room:
                        return None
                    head, tail = next(self._ids), next(self._ids)
                    if atom in units:
                        units |= {head, tail}
                    left.insert(0, (tail, length // room))
                    atom, length = head, room
                taken.append((atom, length))
            axes.append(tuple(taken))
        return axes

    def _same(self, node: Node, reads: Sequence[Layout]) -> Layout:
        """Axes stay where they are; those of another size are other axes."""
        axes = tuple(map(self._resized, reads[0].axes, node.shape))
        return Layout(axes, reads[0].units)

    def _update(self, node: Node, reads: Sequence[Layout]) -> Layout:
        """What is written may know more of an axis than what is written to: zeros know nothing."""
        axes = list(reads[0].axes)
        part = reads[1]
        places = node.settings.get("axes", tuple(range(len(axes))))
        shift = len(places) - len(part.axes)
        goes = {k: int(places[k + shift]) for k in range(len(part.axes)) if k + shift >= 0}
        for k, at in goes.items():
            if size_of(part.axes[k]) == node.shape[at] and _better(part.axes[k], axes[at]):
                axes[at] = part.axes[k]
        units = reads[0].units or tuple(sorted(goes[k] for k in part.units if k in goes))
        return Layout(tuple(axes), units)

    def _windows(self, node: Node, reads: Sequence[Layout]) -> Layout:
        before = len(reads[0].axes)
        kept = map(self._resized, reads[0].axes, node.shape)
        return Layout((*kept, *self._all_fresh(node.shape[before:])), reads[0].units)

    def _take(self, node: Node, reads: Sequence[Layout]) -> Layout:
        table, ids = reads[0], reads[1]
        k = int(node.settings["axis"]) % len(table.axes)
        axes = (*table.axes[:k], *ids.axes, *table.axes[k + 1 :])
        if tuple(map(size_of, axes)) != node.shape:
            return self._rows_taken(node, ids)
        if not self._origins[node.reads[0]].signal:
            after = tuple(range(k + len(ids.axes), len(axes)))
            return Layout(axes, after[-1:])
        shift = len(ids.axes) - 1
        units = tuple(u if u < k else u + shift for u in table.units if u != k)
        return Layout(axes, units)

    def _rows_taken(self, node: Node, ids: Layout) -> Layout:
        """Ids that say where in several axes a row is come first in what they take."""
        places = len(ids.axes) - 1
        rest = self._all_fresh(node.shape[places:])
        return Layout((*ids.axes[:places], *rest), (len(node.shape) - 1,))

    def _reduced(self, node: Node, reads: Sequence[Layout]) -> Layout:
        before = reads[0]
        gone = {int(k) % len(before.axes) for k in node.settings["axes"]} if before.axes else set()
        if node.settings.get("keepdims"):
            axes = tuple(() if k in gone else axis for k, axis in enumerate(before.axes))
            return Layout(axes, tuple(k for k in before.units if k not in gone))
        kept = [k for k in range(len(before.axes)) if k not in gone]
        units = tuple(kept.index(k) for k in before.units if k not in gone)
        return Layout(tuple(before.axes[k] for k in kept), units)

    def _matmul(self, node: Node, reads: Sequence[Layout]) -> Layout:
        contracted, batched = node.settings["contract"], node.settings["batch"]
        free = [
            [k for k in range(len(read.axes)) if k not in (*map(int, gone), *map(int, along))]
            for read, gone, along in zip(reads, contracted, batched, strict=True)
        ]
        axes: list[Axis] = []
        for left, right in zip(*batched, strict=True):
            both = reads[0].axes[int(left)], reads[1].axes[int(right)]
            axes.append(both[1] if _better(both[1], both[0]) else both[0])
        ahead = len(axes)
        axes += [reads[0].axes[k] for k in free[0]] + [reads[1].axes[k] for k in free[1]]
        first = range(ahead, ahead + len(free[0]))
        second = range(ahead + len(free[0]), len(axes))
        alone = [self._origins[read].parameters_alone for read in node.reads]
        for signal, weight in ((0, 1), (1, 0)):
            if alone[weight] and not alone[signal] and len(contracted[signal]) == 1:
                self._tell(reads[signal].axes[int(contracted[signal][0])])
        if alone[0]:
            return Layout(tuple(axes), tuple(first))
        if alone[1]:
            return Layout(tuple(axes), tuple(second))
        return Layout(tuple(axes), (last_axis(self._graph, self._readers, node),) if axes else ())

    def _conv(self, node: Node, reads: Sequence[Layout]) -> Layout:
        image, result = node.settings["image"], node.settings["result"]
        self._tell(reads[0].axes[int(image[1])])
        axes = list(self._all_fresh(node.shape))
        axes[int(result[0])] = self._resized(reads[0].axes[int(image[0])], node.shape[int(result[0])])
        return Layout(tuple(axes), (int(result[1]),))


def last_axis(graph: Graph, readers: Sequence[Sequence[int]], node: Node) -> int:
    """Return which axis of a value is the last one once it is transposed as it is read.

    A product may be taken with its operands exchanged, and put in order behind.
    """
    order = list(range(len(node.shape)))
    while len(readers[node.index]) == 1 and graph.nodes[readers[node.index][0]].op == "transpose":
        node = graph.nodes[readers[node.index][0]]
        order = [order[int(k)] for k in node.settings["axes"]]
    return order[-1]


def _better(offered: Axis, held: Axis) -> bool:
    """Tell whether an axis says more of itself than another: where the samples are in it."""
    samples = [any(atom == SAMPLES for atom, _ in axis) for axis in (offered, held)]
    return samples[0] > samples[1] or (not held and bool(offered))


_RULES: Mapping[str, Callable[[_Layouts, Node, Sequence[Layout]], Layout]] = {
    "transpose": _Layouts._transpose,
    "broadcast": _Layouts._broadcast,
    "reshape": _Layouts._reshape,
    "take": _Layouts._take,
    "matmul": _Layouts._matmul,
    "conv": _Layouts._conv,
    "update": _Layouts._update,
    "gather": _Layouts._same,
    "windows": _Layouts._windows,
    **dict.fromkeys(("slice", "reverse", "pad", "concatenate", "cast", "stop_gradient"), _Layouts._same),
    **dict.fromkeys(("window_max", "window_min", "window_sum", "window_mean"), _Layouts._same),
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "batch_norm"), _Layouts._same),
    **dict.fromkeys(("group_norm", "rms_norm", "cumsum"), _Layouts._same),
    **dict.fromkeys(
        ("sum", "mean", "var", "max", "min", "prod", "any", "all", "argmax"), _Layouts._reduced
    ),
}
