"""A jaxpr, flattened: the graph of its primitives, and the steps that compute it again.

Loops and branches are followed as the model ran: a scan step by step, a cond into the branch that was
taken, a while as often as it ran.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from pytest_initcheck.probes.graph.nodes import Graph, Node
from pytest_initcheck.probes.jax_equations import text_of
from pytest_initcheck.probes.jax_masks import Masks
from pytest_initcheck.probes.jax_primitives import KEPT_SHAPE, OPAQUE, is_random, translated
from pytest_initcheck.probes.jax_steps import Given, Program, Step, bound

_LONGEST = 20_000
"""Operations of an unrolled loop: a longer one is not seen inside."""
_FOLDED = 2**22
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "core_closed_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
}
_OWN_RULE = {
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
"""Functions that bring their derivative along, and what they compute."""


def recorded(
    closed: ClosedJaxpr,
    given: Sequence[Given],
    place: Callable[[str], str] = lambda scope: "",
    *,
    derived: bool = True,
) -> Program:
    """Return the program of a jaxpr whose arguments are these.

    * ``place`` makes a label of the name scope that an operation was recorded in.
    * ``derived``: it will be differentiated, so programs are equal only if their derivatives are.
    """
    recorder = _Recorder(place)
    arguments = [recorder.leaf(each) for each in given]
    outputs = recorder.inline(closed.jaxpr, closed.consts, arguments)
    graph = Graph(tuple(recorder.nodes), tuple(outputs))
    return Program(
        graph,
        tuple(recorder.steps),
        tuple(arguments),
        dict(recorder.constants),
        tuple(recorder.unseen),
        recorder.key(outputs, derived=derived),
    )


@dataclass
class _Recorder:
    place: Callable[[str], str]
    scope: str = ""
    nodes: list[Node] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    unseen: list[tuple[str, str]] = field(default_factory=list)
    drawn: set[int] = field(default_factory=set)
    signal: set[int] = field(default_factory=set)
    values: dict[int, Any] = field(default_factory=dict)
    made_by: dict[int, Step] = field(default_factory=dict)
    masks: Masks = field(init=False)

    def __post_init__(self) -> None:
        self.masks = Masks(self.nodes, self.drawn, self.signal, self.made_by, self.value)

    # -- leaves and nodes ------------------------------------------------------------------------------

    def leaf(self, given: Given) -> int:
        index = self._node(given.op, (), jnp.shape(given.value), _dtype(given.value), label=given.label)
        self.values[index] = given.value
        if given.op in ("input", "parameter"):
            self.signal.add(index)
        if "key<" in self.nodes[index].dtype:
            self.drawn.add(index)
        return index

    def constant(self, value: Any) -> int:
        known = None if "key<" in str(_dtype(value)) else np.asarray(value)
        index = self._node("constant", (), jnp.shape(value), _dtype(value), value=known)
        self.constants[index] = self.values[index] = value
        if known is None:
            self.drawn.add(index)
        return index

    def _node(
        self,
        op: str,
        reads: tuple[int, ...],
        shape: Sequence[int],
        dtype: Any,
        settings: Mapping[str, Any] | None = None,
        label: str = "",
        value: Any = None,
    ) -> int:
        index = len(self.nodes)
        label = label or (self.place(self.scope) if reads else "")
        self.nodes.append(Node(index, op, reads, tuple(shape), str(dtype), settings or {}, label, value))
        if any(read in self.signal for read in reads):
            self.signal.add(index)
        if any(read in self.drawn for read in reads):
            self.drawn.add(index)
        return index

    # -- jaxprs ----------------------------------------------------------------------------------------

    def inline(self, jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[int]) -> list[int]:
        """Record the equations of a jaxpr whose arguments are these nodes; return its outputs."""
        known: dict[Any, int] = dict(zip(jaxpr.invars, arguments, strict=True))
        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            known[variable] = self.constant(value)

        def read(atom: Any) -> int:
            if isinstance(atom, Literal):
                return self.constant(np.asarray(atom.val, atom.aval.dtype))
            return known[atom]

        outer = self.scope
        for eqn in jaxpr.eqns:
            self.scope = f"{outer}/{eqn.source_info.name_stack}"
            outs = self._equation(eqn, [read(atom) for atom in eqn.invars])
            known.update(zip(eqn.outvars, outs, strict=True))
        self.scope = outer
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        name = eqn.primitive.name
        if name in _CALLS:
            return self._call(eqn.params[_CALLS[name]], reads)
        if name in _OWN_RULE:
            return self._own_rule(eqn, reads)
        if name == "scan":
            return self._scan(eqn, reads)
        if name == "cond":
            chosen = int(self.value(reads[0]))
            branch = eqn.params["branches"][chosen]
            return self.inline(branch.jaxpr, branch.consts, reads[1:])
        if name == "while":
            return self._while(eqn, reads)
        if name == "split":
            return self._split(eqn, reads)
        if name in OPAQUE:
            return self._opaque(eqn, reads, "is one operation: not seen inside")
        return self._plain(eqn, reads)

    def _call(self, inner: Any, reads: list[int]) -> list[int]:
        if isinstance(inner, ClosedJaxpr):
            return self.inline(inner.jaxpr, inner.consts, reads)
        return self.inline(inner, (), reads)

    def _own_rule(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        """Record what is inside, and keep the whole as one step with the derivative it brings."""
        outer, self.steps = self.steps, []
        first, seen = len(self.nodes), set[int]()
        outs = self._call(eqn.params[_OWN_RULE[eqn.primitive.name]], reads)
        for position, out in enumerate(outs):
            if out in self.constants:
                continue
            if out < first or out in seen:
                # the same value has another derivative here, so it is another node
                node = self.nodes[out]
                outs[position] = self._node("reshape", (out,), node.shape, node.dtype)
                self._step(Step((outs[position],), (out,), how="same"))
            seen.add(outs[position])
        body, self.steps = tuple(self.steps), outer
        if not seen or any(step.how in ("expected", "chance") for step in body):
            self.steps += body
        else:
            self.steps.append(Step(tuple(outs), tuple(reads), eqn, body=body))
        return outs

    def _scan(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        settings, closed = eqn.params, eqn.params["jaxpr"]
        consts, carried = settings["num_consts"], settings["num_carry"]
        length = int(settings["length"])
        if length * len(closed.jaxpr.eqns) > _LONGEST:
            return self._opaque(eqn, reads, f"runs {length} times: too long to be unrolled")
        fixed, carry, sliced = (
            reads[:consts],
            reads[consts : consts + carried],
            reads[consts + carried :],
        )
        gathered: list[list[int]] = [[] for _ in eqn.outvars[carried:]]
        order = range(length - 1, -1, -1) if settings["reverse"] else range(length)
        for step in order:
            now = [self._at(array, step) for array in sliced]
            outs = self.inline(closed.jaxpr, closed.consts, [*fixed, *carry, *now])
            carry = outs[:carried]
            for collected, out in zip(gathered, outs[carried:], strict=True):
                collected.append(out)
        stacked = []
        for variable, parts in zip(eqn.outvars[carried:], gathered, strict=True):
            if not parts:
                stacked.append(self.constant(np.zeros(variable.aval.shape, variable.aval.dtype)))
                continue
            parts = parts[::-1] if settings["reverse"] else parts
            stacked.append(self._stack(parts, variable.aval))
        return [*carry, *stacked]

    def _at(self, array: int, step: int) -> int:
        """Return one entry along the first axis, as a slice and a view of it."""
        node = self.nodes[array]
        inside = jax.make_jaxpr(lambda x: jax.lax.index_in_dim(x, step, 0, keepdims=False))(
            jax.ShapeDtypeStruct(node.shape, _named(node.dtype))
        )
        return self.inline(inside.jaxpr, inside.consts, [array])[0]

    def _stack(self, parts: list[int], aval: Any) -> int:
        settings = {"axis": 0, "new": True}
        index = self._node("concatenate", tuple(parts), aval.shape, aval.dtype, settings)
        self._step(Step((index,), tuple(parts), how="stack"))
        return index

    def _while(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        settings = eqn.params
        test, body = settings["cond_jaxpr"], settings["body_jaxpr"]
        of_test = reads[: settings["cond_nconsts"]]
        of_body = reads[settings["cond_nconsts"] :][: settings["body_nconsts"]]
        carry = reads[settings["cond_nconsts"] + settings["body_nconsts"] :]
        before = (len(self.nodes), len(self.steps))
        while bool(self.value(self.inline(test.jaxpr, test.consts, [*of_test, *carry])[0])):
            carry = self.inline(body.jaxpr, body.consts, [*of_body, *carry])
            if len(self.steps) - before[1] > _LONGEST:
                del self.steps[before[1] :]
                self._forget(before[0])
                return self._opaque(eqn, reads, "runs too often to be unrolled")
        return list(carry)

    def _forget(self, first: int) -> None:
        """Take back all nodes from this one on."""
        del self.nodes[first:]
        for held in (self.constants, self.values, self.made_by, self.masks.chances):
            for node in [node for node in held if node >= first]:
                del held[node]
        for marked in (self.drawn, self.signal):
            marked.difference_update([node for node in marked if node >= first])

    # -- operations ------------------------------------------------------------------------------------

    def _split(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        axis, start, outs = eqn.params["axis"], 0, []
        shape = self.nodes[reads[0]].shape
        for variable, size in zip(eqn.outvars, eqn.params["sizes"], strict=True):
            starts = tuple(start if d == axis else 0 for d in range(len(shape)))
            limits = tuple(start + size if d == axis else n for d, n in enumerate(shape))
            settings = {"starts": starts, "limits": limits, "strides": (1,) * len(shape)}
            outs.append(
                self._node("slice", (reads[0],), variable.aval.shape, variable.aval.dtype, settings)
            )
            start += size
        self._step(Step(tuple(outs), tuple(reads), eqn))
        return outs

    def _opaque(self, eqn: JaxprEqn, reads: list[int], why: str) -> list[int]:
        name = eqn.primitive.name
        self.unseen.append((name, f"{name} {why}"))
        outs = [
            self._node("opaque", tuple(reads), v.aval.shape, v.aval.dtype, label=f"{name} {why}")
            for v in eqn.outvars
        ]
        self._step(Step(tuple(outs), tuple(reads), eqn))
        return outs

    def _plain(self, eqn: JaxprEqn, reads: list[int]) -> list[int]:
        if not is_random(eqn) and all(read in self.constants for read in reads):
            folded = self._folded(eqn, reads)
            if folded is not None:
                return folded
        kept = self._unchanged(eqn, reads)
        if kept is not None:
            return [kept]
        word = translated(eqn)
        seen = tuple(reads) if word.order is None else tuple(reads[i] for i in word.order)
        outs = []
        for position, variable in enumerate(eqn.outvars):
            shape, dtype = variable.aval.shape, variable.aval.dtype
            if is_random(eqn):
                index = self._node("random", (), shape, dtype)
                self.drawn.add(index)
            elif eqn.primitive.name == "integer_pow":
                exponent = self.constant(np.asarray(eqn.params["y"], np.float32))
                index = self._node("power", (*seen, exponent), shape, dtype)
            elif eqn.primitive.name in KEPT_SHAPE or eqn.primitive.name == "optimization_barrier":
                index = self._node("reshape", (reads[min(position, len(reads) - 1)],), shape, dtype)
            else:
                index = self._node(word.op, seen, shape, dtype, word.settings)
            outs.append(index)
        self._step(self.masks.on_average(eqn, reads, outs))
        if eqn.primitive.name in ("lt", "le", "gt", "ge"):
            self.masks.compared(eqn, reads, outs[0])
        return outs

    def _unchanged(self, eqn: JaxprEqn, reads: list[int]) -> int | None:
        """Return what is multiplied by one or summed over nothing: counts of one under vmap."""
        name, aval = eqn.primitive.name, eqn.outvars[0].aval
        kept = None
        if name == "reduce_sum" and not eqn.params["axes"]:
            kept = reads[0]
        elif name in ("mul", "div"):
            at = next((i for i in (1, 0)[: 1 if name == "div" else 2] if self._is_one(reads[i])), None)
            kept = None if at is None else reads[1 - at]
        if kept is None:
            return None
        node = self.nodes[kept]
        return kept if node.shape == tuple(aval.shape) and node.dtype == str(aval.dtype) else None

    def _is_one(self, node: int) -> bool:
        value = self.nodes[node].value
        return value is not None and value.shape == () and bool(value == 1)

    def _folded(self, eqn: JaxprEqn, reads: list[int]) -> list[int] | None:
        if sum(v.aval.size for v in eqn.outvars) > _FOLDED:
            return None
        step = Step((), (), eqn)
        return [self.constant(value) for value in bound(step, [self.constants[r] for r in reads])]

    def _step(self, step: Step) -> None:
        for out in step.outs:
            self.made_by[out] = step
        self.steps.append(step)

    # -- values, where control flow depends on them --------------------------------------------------

    def value(self, node: int) -> Any:
        """Return the value of a node, computing what it depends on."""
        waiting = [node]
        while waiting:
            index = waiting[-1]
            if index in self.values:
                waiting.pop()
                continue
            step = self.made_by[index]
            missing = [read for read in step.reads if read not in self.values]
            if missing:
                waiting += missing
                continue
            found = bound(step, [self.values[read] for read in step.reads])
            self.values.update(zip(step.outs, found, strict=True))
        return self.values[node]

    def key(self, outputs: Sequence[int], *, derived: bool) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for node in self.nodes:
            digest.update(f"{node.op}{node.reads}{node.shape}{node.dtype}{node.label}".encode())
            if node.value is not None:
                digest.update(np.ascontiguousarray(node.value).tobytes())
        for step in self.steps:
            settings = "" if step.eqn is None else text_of(step.eqn, derived=derived)
            digest.update(f"{step.outs}{step.reads}{step.how}{step.chance}{settings}".encode())
        digest.update(f"{tuple(outputs)}{derived}".encode())
        return digest.hexdigest()


def _dtype(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _named(dtype: str) -> Any:
    return jnp.dtype(dtype)
