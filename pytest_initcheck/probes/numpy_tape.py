"""What a traced array writes to: nodes of the graph, each with the NumPy call that made its value.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.graph.nodes import Node
from pytest_initcheck.probes.numpy_places import NOWHERE, Place, here

Array = NDArray[Any]
Compute = Callable[..., Any]


class LeavesTrace(ModelError):
    """A value of the forward pass went where the trace cannot follow it."""


@dataclass(eq=False)
class Memory:
    """A block of memory that traced arrays share: writing to it changes all of them.

    * ``node`` is what the whole block holds now; ``version`` counts the writes.
    """

    array: Array
    node: int
    version: int = 0


@dataclass(eq=False)
class Tape:
    """Nodes in the order in which they were recorded.

    * ``computes`` has, for each node, the function of its operands' values that made its value, None
      for a leaf; ``values`` those of the leaves, as the user's code gave them.
    * ``signal``: an input has a part in the node.
    * ``known`` are plain arrays that stand for a node, by identity: the parameters.
    """

    nodes: list[Node] = field(default_factory=list)
    computes: list[Compute | None] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    signal: list[bool] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    unobserved: dict[str, str] = field(default_factory=dict)
    known: dict[int, tuple[Array, int]] = field(default_factory=dict)
    overwritten: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    escape: LeavesTrace | None = None
    lowering: Any = None
    current: Callable[[Any], int] = lambda traced: int(traced._node)

    def leaf(self, op: str, value: Any, *, label: str = "", dtype: Any = None) -> int:
        """Record a leaf; a constant's value is copied, for the user's code may change it later."""
        array = np.asarray(value)
        if op == "constant" and isinstance(value, np.ndarray):
            value = array = array.copy()
        node = Node(
            len(self.nodes),
            op,
            (),
            array.shape,
            str(array.dtype if dtype is None else dtype),
            label=label,
            value=array.astype(dtype or array.dtype, copy=False) if op == "constant" else None,
        )
        self.values[node.index] = value
        return self._add(node, None, signal=op == "input")

    def record(
        self,
        op: str,
        compute: Compute,
        reads: Iterable[int],
        value: Array,
        *,
        label: str = "",
        **settings: Any,
    ) -> int:
        """Record an operation that gave this value; its label is its place, unless one is given."""
        read = tuple(reads)
        signal = any(self.signal[index] for index in read)
        place = here()
        node = Node(
            len(self.nodes),
            op,
            read,
            value.shape,
            str(value.dtype),
            settings,
            label=label or place.label,
        )
        return self._add(node, compute, signal=signal, place=place)

    def _add(
        self, node: Node, compute: Compute | None, *, signal: bool, place: Place | None = None
    ) -> int:
        self.nodes.append(node)
        self.computes.append(compute)
        self.signal.append(signal)
        self.places.append(place or NOWHERE)
        return node.index

    def parameter(self, name: str, array: Array, *, trained: bool = True) -> int:
        index = self.leaf("parameter" if trained else "state", array, label=name)
        self.known[id(array)] = (array, index)
        return index

    def stands_for(self, array: Array, node: int) -> None:
        """Let a plain array that the user's code gets hold of be known as this node."""
        self.known[id(array)] = (array, node)

    def escaped(self, what: str, remedy: str) -> LeavesTrace:
        """Return the error for a value that leaves the trace here; it is kept, should it be caught."""
        place = here()
        source = f", `{place.source}`" if place.source else ""
        error = LeavesTrace(f"{place}{source}: {what}; {remedy}")
        self.escape = self.escape or error
        return error

    def unseen(self, what: str, reason: str) -> None:
        self.unobserved.setdefault(f"{what} in {here().label}", reason)

    def asks_whether_finite(self, node: int) -> bool:
        """Tell whether a condition asks for nothing but finite values, as assertions do."""
        waiting = [node]
        while waiting:
            found = self.nodes[waiting.pop()]
            if found.op in ("isfinite", "isnan", "isinf"):
                return True
            if found.op in ("all", "any", "not", "and", "or"):
                waiting.extend(found.reads)
        return False
