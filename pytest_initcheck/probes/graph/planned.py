"""Sites before they are measured. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_initcheck.probes.graph.composites import Composites
from pytest_initcheck.probes.graph.layout import Layout
from pytest_initcheck.probes.graph.nodes import Graph
from pytest_initcheck.probes.graph.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Planned:
    """A site before it is measured.

    * ``node`` has its value, ``layout`` that value's axes.
    * ``argument`` is the node that an activation or a softmax is of, ``axis`` what a softmax runs over.
    * ``weights`` and ``biases`` are names of parameters.
    """

    index: int
    name: str
    kind: str
    op: str
    reads: tuple[int, ...]
    node: int
    layout: Layout
    activation: str | None = None
    argument: int | None = None
    axis: int = -1
    weights: frozenset[str] = frozenset()
    biases: frozenset[str] = frozenset()
    fans: tuple[int, int] = (0, 0)
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The sites of a graph, which site each node belongs to (-1: none), and the parameters' roles."""

    graph: Graph
    sites: tuple[Planned, ...]
    site_of: tuple[int, ...]
    origins: tuple[Provenance, ...]
    layouts: tuple[Layout, ...]
    composites: Composites
    multiplicative: frozenset[str]
    additive: frozenset[str]
    biases: frozenset[str]

    @property
    def used(self) -> frozenset[str]:
        """The parameters that some operation read on the way to what was returned."""
        return self.multiplicative | self.additive

    @property
    def for_nothing(self) -> frozenset[str]:
        """The parameters that the model computes with, and returns nothing of that."""
        read = (origin.parameters for origin in self.origins if origin.signal)
        return frozenset().union(*read) - self.used
