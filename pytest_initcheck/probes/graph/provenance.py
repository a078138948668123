"""What each node's value comes from: an input, parameters alone, draws, or nothing but constants.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.elementwise import COMPARISONS, evaluated
from pytest_initcheck.probes.graph.nodes import Graph, Node

_KEEPING = frozenset({"reshape", "transpose", "broadcast", "cast", "slice", "reverse", "stop_gradient"})
_BOOLEAN = COMPARISONS | {"and", "or", "not", "xor"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one value comes from.

    * ``signal``: an input has a part in it.
    * ``parameters``: those that have a part in it; without a signal the value still is the parameter.
    * ``state``: a running statistic, say, has a part in it.
    * ``mask``: zeros and ones, or whether, that were drawn while the model ran, as dropout does.
    * ``uniform``: the one number that the whole array holds, known without running; of a parameter the
      mean, with ``learnt`` set.
    """

    signal: bool = False
    parameters: frozenset[str] = frozenset()
    state: bool = False
    drawn: bool = False
    mask: bool = False
    uniform: float | None = None
    learnt: bool = False

    @property
    def parameters_alone(self) -> bool:
        return bool(self.parameters) and not self.signal

    @property
    def fixed(self) -> bool:
        """Neither an input nor a parameter has a part in it."""
        return not self.signal and not self.parameters


def provenances(graph: Graph, means: Mapping[str, float]) -> tuple[Provenance, ...]:
    """Return the provenance of every node; ``means`` are those of the parameters, by name."""
    found: list[Provenance] = []
    for node in graph.nodes:
        found.append(_of(node, [found[read] for read in node.reads], means))
    return tuple(found)


def _of(node: Node, reads: list[Provenance], means: Mapping[str, float]) -> Provenance:
    if node.op == "input":
        return Provenance(signal=True)
    if node.op == "parameter":
        mean = means.get(node.label)
        return Provenance(parameters=frozenset({node.label}), uniform=mean, learnt=True)
    if node.op == "state":
        return Provenance(state=True)
    if node.op == "constant":
        return Provenance(uniform=_uniform(node.value))
    if node.op == "random":
        return Provenance(drawn=True, mask=node.dtype == "bool")
    signal = any(read.signal for read in reads)
    drawn = any(read.drawn for read in reads)
    return Provenance(
        signal=signal,
        parameters=frozenset().union(*(read.parameters for read in reads)),
        state=any(read.state for read in reads),
        drawn=drawn,
        mask=drawn and not signal and _is_mask(node, reads),
        uniform=_computed(node, reads),
        learnt=any(read.learnt for read in reads),
    )


def _is_mask(node: Node, reads: list[Provenance]) -> bool:
    """Tell whether drawn values are chances that came true; a noise made of bits is none."""
    if node.op in _BOOLEAN and node.dtype == "bool":
        return True
    return node.op in _KEEPING | {"mul", "div"} and any(read.mask for read in reads)


def _uniform(value: NDArray[Any] | None) -> float | None:
    if value is None or value.size == 0 or value.dtype.kind not in "fiub":
        return _half(value)
    first = value.reshape(-1)[0]
    return float(first) if bool((value == first).all()) or _all_nan(value) else None


def _half(value: NDArray[Any] | None) -> float | None:
    """Types that numpy does not know by itself, such as bfloat16, convert to those that it does."""
    if value is None or value.size == 0 or value.dtype.kind != "V":
        return None
    try:
        return _uniform(value.astype(np.float32))
    except (TypeError, ValueError):
        return None


def _all_nan(value: NDArray[Any]) -> bool:
    return value.dtype.kind == "f" and bool(np.isnan(value).all())


def _computed(node: Node, reads: list[Provenance]) -> float | None:
    if not reads or any(read.uniform is None for read in reads):
        return None
    if node.op in _KEEPING and len(reads) == 1:
        return reads[0].uniform
    value = evaluated(node.op, node.settings, [np.asarray(read.uniform) for read in reads])
    if value is None or value.size != 1:
        return None
    return float(value)
