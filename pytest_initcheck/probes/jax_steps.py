"""What a recorded jaxpr is: steps of primitives between nodes, and what they compute.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.extend.core import JaxprEqn

from pytest_initcheck.probes.graph.nodes import Graph
from pytest_initcheck.probes.jax_equations import bind


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive bound to nodes.

    * ``how`` is "bind", or "stack" (a loop's outputs), "same" (a value under a name of its own),
      "expected" (what a drawn mask selects, on average) or "chance" (a drawn mask as numbers, on
      average), with ``chance`` the mask's probability if known.
    * ``body`` are the steps inside a function that brings its derivative along: they make the same
      values, but have a derivative of their own.
    """

    outs: tuple[int, ...]
    reads: tuple[int, ...]
    eqn: JaxprEqn | None = None
    how: str = "bind"
    chance: float | None = None
    body: tuple[Step, ...] = ()

    def within(self) -> frozenset[int]:
        """Return the nodes that are made in the body and seen nowhere else."""
        made = {out for step in self.body for out in (*step.outs, *step.within())}
        return frozenset(made.difference(self.outs))


def opened(steps: Sequence[Step], nodes: Collection[int]) -> Iterator[Step]:
    """Yield the steps, with the body in place of one that has any of these nodes within."""
    for step in steps:
        if step.body and not step.within().isdisjoint(nodes):
            yield from opened(step.body, nodes)
        else:
            yield step


@dataclass(frozen=True, eq=False)
class Program:
    """The steps of one forward pass; equal programs do the same to leaves of the same shapes.

    ``leaves`` are the nodes that values are given for, ``constants`` those that have one.
    """

    graph: Graph
    steps: tuple[Step, ...]
    leaves: tuple[int, ...]
    constants: Mapping[int, Any]
    unseen: tuple[tuple[str, str], ...]
    key: str

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key


@dataclass(frozen=True, slots=True)
class Given:
    """One argument of the jaxpr: what it is to the graph, and its value."""

    op: str
    label: str
    value: Any


def bound(step: Step, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values of a step."""
    if step.how == "stack":
        return (jnp.stack(operands),)
    if step.how == "same":
        return tuple(operands)
    if step.how == "expected":
        mask, otherwise, chosen = operands
        share = jnp.mean(mask) if step.chance is None else step.chance
        share = jnp.asarray(share, chosen.dtype)
        return (share * chosen + (1 - share) * otherwise,)
    assert step.eqn is not None
    if step.how == "chance":
        share = jnp.mean(operands[0]) if step.chance is None else step.chance
        return (jnp.full(operands[0].shape, share, step.eqn.outvars[0].aval.dtype),)
    return bind(step.eqn, operands)
