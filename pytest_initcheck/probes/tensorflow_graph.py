"""A TensorFlow graph recorded as nodes: one for each tensor that leads to what the model returned.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.tensorflow_operations import (
    ALIAS,
    OPAQUE,
    Read,
    Word,
    shape_of,
    translated,
)

Given = tuple[str, str, Any]
"""What a tensor that the graph is given is to it, its label, and a constant's value."""


@dataclass(frozen=True)
class Recorded:
    """A graph with the tensor of each node, and the operation and input behind each of its reads."""

    graph: Graph
    tensors: tuple[Any, ...]
    sources: tuple[tuple[tuple[str, int], ...], ...]
    unobserved: tuple[tuple[str, str], ...]


def recorded(
    outputs: Sequence[Any],
    leaves: Mapping[str, Given],
    place: Callable[[str], str],
) -> Recorded:
    """Record what leads to these tensors.

    * ``leaves`` has the tensors that the graph is given, by name.
    * ``place`` makes a label of an operation's name.
    """
    recorder = _Recorder(leaves, place)
    with outputs[0].graph.as_default():
        found = recorder.record(outputs)
    graph = Graph(tuple(recorder.nodes), tuple(found))
    return Recorded(
        graph, tuple(recorder.tensors), tuple(recorder.sources), tuple(recorder.unobserved.items())
    )


@dataclass
class _Recorder:
    leaves: Mapping[str, Given]
    place: Callable[[str], str]
    nodes: list[Node] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    sources: list[tuple[tuple[str, int], ...]] = field(default_factory=list)
    unobserved: dict[str, str] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    words: dict[str, Word] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def record(self, outputs: Sequence[Any]) -> list[int]:
        """Record what leads to these tensors, in the order in which it was made; return their nodes."""
        reached: dict[str, Any] = {}
        waiting = list(outputs)
        while waiting:
            tensor = waiting.pop()
            if tensor.name not in reached:
                reached[tensor.name] = tensor
                waiting += [read.tensor for read in self._word(tensor).reads]
        made = {op.name: at for at, op in enumerate(outputs[0].graph.get_operations())}

        def position(tensor: Any) -> tuple[int, bool, int, int]:
            # what was put between two operations stands before the second one
            owner = self.owners.get(tensor.name)
            which = int(tensor.name.rpartition(":")[2])
            return made[owner or tensor.op.name], owner is None, made[tensor.op.name], which

        for tensor in sorted(reached.values(), key=position):
            self.known[tensor.name] = self._record(tensor, self.words[tensor.name])
        return [self.known[tensor.name] for tensor in outputs]

    def _word(self, tensor: Any) -> Word:
        word = self.words.get(tensor.name)
        if word is None:
            word, between = self._found(tensor)
            self.words[tensor.name] = word
            self.words.update(between)
            self.owners.update(dict.fromkeys(between, tensor.op.name))
        return word

    def _found(self, tensor: Any) -> tuple[Word, dict[str, Word]]:
        operation = tensor.op
        if tensor.name in self.leaves or operation.type == "Const" or _draws(operation):
            return Word("leaf", ()), {}
        if operation.type in OPAQUE:
            reads = (Read(each, operation.name, at) for at, each in enumerate(operation.inputs))
            return Word("opaque", tuple(read for read in reads if _is_numbers(read.tensor))), {}
        try:
            return translated(operation, _which(operation, tensor))
        except (ValueError, TypeError, IndexError):
            # numbers that only a run knows, such as a shape made of the input's values
            reads = (Read(each, operation.name, at) for at, each in enumerate(operation.inputs))
            return Word(operation.type.lower(), tuple(r for r in reads if _is_numbers(r.tensor))), {}

    def _record(self, tensor: Any, word: Word) -> int:
        if word.op == ALIAS and word.reads:
            return self.known[word.reads[0].tensor.name]
        index = len(self.nodes)
        place = self.place(self.owners.get(tensor.name, tensor.op.name))
        op, label, value = word.op, place, None
        if op == "leaf":
            op, label, value = self._leaf(tensor)
        elif op == "opaque":
            label = f"{tensor.op.type} {place}".strip()
            self.unobserved[place or tensor.op.name] = (
                f"{tensor.op.type} is one operation: not seen inside"
            )
        reads = tuple(self.known[read.tensor.name] for read in word.reads)
        self.nodes.append(
            Node(
                index,
                op,
                reads,
                shape_of(tensor),
                tensor.dtype.name.removesuffix("_ref"),
                word.settings,
                label,
                value,
            )
        )
        self.tensors.append(tensor)
        self.sources.append(tuple((read.by, read.at) for read in word.reads))
        return index

    def _leaf(self, tensor: Any) -> Given:
        if tensor.name in self.leaves:
            return self.leaves[tensor.name]
        if tensor.op.type == "Const":
            return "constant", "", np.asarray(tf.get_static_value(tensor))
        return "random", "", None


def _draws(operation: Any) -> bool:
    return "Random" in operation.type and bool(operation.outputs) and "Get" not in operation.type


def _is_numbers(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool)


def _which(operation: Any, tensor: Any) -> int:
    return next(k for k, each in enumerate(operation.outputs) if each.name == tensor.name)
