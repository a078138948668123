"""Which nodes of a graph are sites, what each is called and what it reads.

Everything is decided on the graph alone; the values are measured when the flow runs.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pytest_initcheck.activations import activation
from pytest_initcheck.probes.graph.averages import averages
from pytest_initcheck.probes.graph.axes import last_axis, layouts
from pytest_initcheck.probes.graph.chains import activations
from pytest_initcheck.probes.graph.composites import Composite, Composites, chosen
from pytest_initcheck.probes.graph.draws import masked
from pytest_initcheck.probes.graph.kinds import NORMS, kind_of, window_op
from pytest_initcheck.probes.graph.layout import Layout
from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.graph.normalisations import normalisations
from pytest_initcheck.probes.graph.places import owner, place
from pytest_initcheck.probes.graph.planned import Plan, Planned
from pytest_initcheck.probes.graph.products import Product, product
from pytest_initcheck.probes.graph.provenance import Provenance, provenances
from pytest_initcheck.probes.graph.softmaxes import softmaxes

_ALIASES = frozenset({"reshape", "transpose", "broadcast", "cast", "stop_gradient"})


def plan(graph: Graph, means: Mapping[str, float], batch: int) -> Plan:
    """Return the plan of a graph; ``means`` are those of the parameters, by name."""
    origins = provenances(graph, means)
    axes = layouts(graph, origins, batch)
    composites = chosen(
        graph,
        (
            *normalisations(graph, origins, axes),
            *softmaxes(graph, origins),
            *averages(graph, origins),
            *masked(graph, origins),
            *activations(graph, origins),
        ),
    )
    return _Planner(graph, origins, axes, composites).made()


@dataclass
class _Planner:
    """Walks the nodes in their order, as a recorder sees operations."""

    graph: Graph
    origins: tuple[Provenance, ...]
    layouts: tuple[Layout, ...]
    composites: Composites
    sites: list[Planned] = field(default_factory=list)
    site_of: list[int] = field(default_factory=list)
    readers: tuple[tuple[int, ...], ...] = ()
    multiplicative: set[str] = field(default_factory=set)
    additive: set[str] = field(default_factory=set)
    biases: set[str] = field(default_factory=set)
    names: Counter[str] = field(default_factory=Counter)

    def made(self) -> Plan:
        self.readers = self.graph.readers()
        alive = self.graph.leading_to(self.graph.outputs)
        hidden = self.composites.inside
        for node in self.graph.nodes:
            seen = node.index in alive and node.index not in hidden and self.origins[node.index].signal
            self.site_of.append(self._site(node) if seen or node.op == "input" else -1)
        return Plan(
            self.graph,
            # U h of a recurrence is added alone while h is still zero: U is no bias for that
            tuple(replace(site, biases=site.biases - self.multiplicative) for site in self.sites),
            tuple(self.site_of),
            self.origins,
            self.layouts,
            self.composites,
            frozenset(self.multiplicative),
            frozenset(self.additive),
            frozenset(self.biases),
        )

    # -- one node --------------------------------------------------------------------------------------

    def _site(self, node: Node) -> int:
        if node.op == "input":
            return self._append(node, node.label, "input", "input", ())
        composite = self.composites.by_end.get(node.index)
        if composite is not None:
            return self._composite(node, composite)
        reads = self._reads(node)
        if not node.floating:
            return reads[0]
        if node.op in _ALIASES:
            return self._view(node, reads)
        found = product(node, self.graph, self.origins)
        if found is not None:
            return self._product(node, reads, found)
        if self._adds_bias(node, reads):
            return self._merge_bias(node, reads[0])
        return self._plain(node, reads)

    def _reads(self, node: Node) -> tuple[int, ...]:
        ordered = node.reads[::-1] if self._exchanged(node) else node.reads
        sites = (self.site_of[read] for read in ordered)
        return tuple(dict.fromkeys(site for site in sites if site >= 0))

    def _exchanged(self, node: Node) -> bool:
        """Tell whether a product of two signals has its operands in the other order than it is read."""
        if node.op != "matmul" or not all(self.origins[read].signal for read in node.reads):
            return False
        free = [
            len(self.graph.nodes[read].shape) - len(gone) - len(along)
            for read, gone, along in zip(
                node.reads, node.settings["contract"], node.settings["batch"], strict=True
            )
        ]
        ahead = len(node.shape) - free[1]
        return free[1] > 0 and ahead - free[0] <= last_axis(self.graph, self.readers, node) < ahead

    def _view(self, node: Node, reads: tuple[int, ...]) -> int:
        source = self.graph.nodes[node.reads[0]]
        whole = not source.floating and source.dtype != "bool"
        if node.op == "cast" and whole and self.sites[reads[0]].kind == "input":
            return self._append(node, f"{self.sites[reads[0]].name}.float", "cast", "cast", reads)
        return reads[0]

    def _composite(self, node: Node, found: Composite) -> int:
        root = self.site_of[found.root]
        if found.kind == "alias":
            return root
        reads = (root,)
        self.multiplicative |= found.scale
        self.additive |= found.offset
        self.biases |= found.offset
        op = window_op(found.op, len(found.axes))
        if found.kind == "activation":
            return self._append(
                node,
                self._activation_place(node, root, op),
                found.kind,
                op,
                reads,
                activation=found.activation,
                argument=found.root,
            )
        name = self._place(node, op, found.scale | found.offset)
        if found.kind == "softmax":
            axis = found.axes[-1]
            return self._append(node, name, found.kind, op, reads, argument=found.reads, axis=axis)
        return self._append(node, name, found.kind, op, reads)

    def _product(self, node: Node, reads: tuple[int, ...], found: Product) -> int:
        self.multiplicative |= found.weights
        name = owner(min(found.weights)) if found.weights else self._place(node, found.op)
        return self._append(
            node,
            name,
            found.kind,
            found.op,
            reads,
            weights=found.weights,
            fans=found.fans,
            coverage=found.coverage,
        )

    def _adds_bias(self, node: Node, reads: tuple[int, ...]) -> bool:
        if node.op not in ("add", "sub") or len(reads) != 1:
            return False
        site = self.sites[reads[0]]
        if site.kind != "linear" or site.biases or not self._parameters_added(node):
            return False
        return not any(site.index in later.reads for later in self.sites[site.index + 1 :])

    def _parameters_added(self, node: Node) -> frozenset[str]:
        alone = (self.origins[r].parameters for r in node.reads if self.origins[r].parameters_alone)
        return frozenset().union(*alone)

    def _merge_bias(self, node: Node, index: int) -> int:
        names = self._parameters_added(node)
        self.biases |= names
        self.additive |= names
        self.sites[index] = replace(
            self.sites[index], node=node.index, layout=self._layout(node), biases=names
        )
        return index

    def _plain(self, node: Node, reads: tuple[int, ...]) -> int:
        kind, op = kind_of(node, [self.sites[read].kind for read in reads])
        alone = {
            k: self.origins[r] for k, r in enumerate(node.reads) if self.origins[r].parameters_alone
        }
        for position, origin in alone.items():
            offset = node.op in NORMS and position == 2
            self.biases |= origin.parameters if offset else set()
            if kind in ("add", "cat") or offset:
                self.additive |= origin.parameters
            else:
                self.multiplicative |= origin.parameters
        if kind == "mul":
            self._gated_by_itself(node, reads)
        names = frozenset().union(*(origin.parameters for origin in alone.values()))
        name = self._place(node, op, names if kind == "norm" else frozenset())
        if kind == "softmax":
            axis = int(node.settings.get("axis", -1))
            return self._append(node, name, kind, op, reads, argument=node.reads[0], axis=axis)
        return self._append(node, name, kind, op, reads)

    def _gated_by_itself(self, node: Node, reads: tuple[int, ...]) -> None:
        """A gate on its own input, such as x sigmoid(1.702 x), is no unit that saturates."""
        for index in reads:
            gate = self.sites[index]
            bounded = gate.activation is not None and _saturates(gate.activation)
            behind = set(gate.reads) | {r for read in gate.reads for r in self.sites[read].reads}
            if bounded and not behind.isdisjoint(set(reads) - {index}):
                self.sites[index] = replace(gate, activation=None, argument=None)

    # -- appending -------------------------------------------------------------------------------------

    def _place(self, node: Node, op: str, names: frozenset[str] = frozenset()) -> str:
        latest = next((site.name for site in reversed(self.sites) if site.weights), "")
        label = "" if node.op == "opaque" else node.label  # that says what it is
        return place(label, op, latest.partition("#")[0], names)

    def _activation_place(self, node: Node, read: int, op: str) -> str:
        """Name an activation by the layer that it reads, where that is one."""
        site = self.sites[read]
        if site.weights or site.kind == "norm":
            return place(node.label, op, site.name.partition("#")[0])
        return self._place(node, op)

    def _layout(self, node: Node) -> Layout:
        return self.layouts[node.index].told()

    def _append(
        self,
        node: Node,
        name: str,
        kind: str,
        op: str,
        reads: tuple[int, ...],
        *,
        activation: str | None = None,
        argument: int | None = None,
        axis: int = -1,
        weights: frozenset[str] = frozenset(),
        fans: tuple[int, int] = (0, 0),
        coverage: float = 1.0,
    ) -> int:
        index = len(self.sites)
        self.names[name] += 1
        times = self.names[name]
        self.sites.append(
            Planned(
                index,
                name if times == 1 else f"{name}#{times}",
                kind,
                op,
                reads,
                node.index,
                self._layout(node),
                activation,
                argument,
                axis,
                weights,
                fans=fans,
                coverage=coverage,
            )
        )
        return index


def _saturates(name: str) -> bool:
    return activation(name).saturated_beyond is not None
