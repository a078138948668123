"""The vocabulary of a recorded forward pass: primitive operations and the leaves that they read.

Every front end translates its framework's primitives into these names; a name that is not listed is
kept as it is and makes a site of kind ``other``.

Leaves
    ``input`` (label: the input's name), ``parameter`` (label: its name), ``state`` (a value that is
    carried but not trained, such as running statistics), ``constant`` (``value`` holds it), ``random``
    (drawn while the model ran).

Elementwise, operands broadcast as numpy does
    ``add sub mul div neg abs sign maximum minimum clip square sqrt rsqrt cbrt reciprocal power exp
    exp2 expm1 log log1p log2 tanh sinh cosh sigmoid erf erfc erf_inv sin cos floor round``;
    ``where`` reads (condition, if true, if false); ``clip`` reads (x, low, high); comparisons
    ``gt ge lt le eq ne``; ``and or not xor``; ``stop_gradient``.  A framework's own activation may keep
    its name (``relu``, ``gelu``, ``silu`` ...), with its numbers in ``settings``, in the order of the
    table of activations; ``gelu`` with a true ``approximate`` is the one by tanh.

Views
    ``reshape``; ``transpose`` (axes); ``broadcast`` (axes: where each axis of the operand goes);
    ``cast``; ``slice`` (starts, limits, strides); ``take`` (axis; reads table and whole-number ids, as
    ``numpy.take``, or ids with a place for each axis of the table, of which those of one axis count);
    ``concatenate`` (axis); ``pad``; ``reverse`` (axes); ``gather`` (axis; as
    ``numpy.take_along_axis``); ``update`` (ids: positions in C order, axes: where those of the part are
    in x; reads x and what replaces these entries of it); ``windows`` (axes, sizes: their axes come
    last).

Reductions, with axes and keepdims
    ``sum mean var max min prod any all argmax``; ``cumsum`` and its like keep the shape.

Windows over axes, sizes and strides and padding given for each axis
    ``window_max window_min window_sum window_mean`` (size, strides, padding).

Products
    ``matmul`` (contract=(left axes, right axes), batch=(left axes, right axes)): the axes of the
    result are the batch axes, the free axes of the left and those of the right operand;
    ``conv`` (image, kernel, result: positions of (batch, feature, *space), of (out, in, *space) and
    again of (batch, feature, *space); strides, padding, image_dilation, kernel_dilation, groups).

Whole layers, where a framework has them as one operation
    ``softmax log_softmax`` (axis); ``layer_norm batch_norm group_norm rms_norm`` (axes; reads x, then
    scale and offset where it has them); ``bias_add`` is ``add``.

``opaque`` is what ran without being seen inside; its label says what it is and why.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

LEAVES = frozenset({"input", "parameter", "state", "constant", "random"})


@dataclass(frozen=True, slots=True)
class Node:
    """One value: the operation that made it, and the nodes that it was made of, in their order.

    * ``reads`` may name one node twice; a leaf reads none.
    * ``dtype`` is numpy's name of the type, ``float32`` say.
    * ``label`` is a leaf's name; of an operation it says where it stands, a module's path or
      ``file:line``, and may be empty.
    * ``value`` is a constant's value, None of everything else.
    """

    index: int
    op: str
    reads: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    value: NDArray[Any] | None = None

    @property
    def leaf(self) -> bool:
        return self.op in LEAVES

    @property
    def floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat", "complex"))


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes of one forward pass, each after those that it reads, and what the model returned.

    Loops are unrolled: a cell that runs five times is there five times, and reads one parameter leaf.
    A tensor that is used under two names is one leaf.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def leading_to(self, ends: Iterable[int]) -> frozenset[int]:
        """Return these nodes and all that they depend on."""
        found = set(ends)
        for node in reversed(self.nodes[: max(found, default=-1) + 1]):
            if node.index in found:
                found.update(node.reads)
        return frozenset(found)

    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Return, for each node, the nodes that read it."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for read in dict.fromkeys(node.reads):
                found[read].append(node.index)
        return tuple(tuple(items) for items in found)
