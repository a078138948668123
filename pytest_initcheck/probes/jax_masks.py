"""Masks that a model draws: each is replaced by its mean. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from pytest_initcheck.probes.graph.nodes import Node
from pytest_initcheck.probes.jax_steps import Step

_SURE = 5.0
"""Standard deviations that a mask's mean may be off its probability."""


@dataclass
class Masks:
    """What is drawn in a program being recorded, and the probability of a mask where it is known.

    * ``drawn`` are the nodes that random numbers made, ``signal`` those that inputs or parameters did.
    * ``value`` computes the value of a node.
    """

    nodes: list[Node]
    drawn: set[int]
    signal: set[int]
    made_by: Mapping[int, Step]
    value: Callable[[int], Any]
    chances: dict[int, float] = field(default_factory=dict)

    def on_average(self, eqn: JaxprEqn, reads: list[int], outs: list[int]) -> Step:
        """A drawn mask is replaced by its mean, which leaves E[x] (dropout, stochastic depth)."""
        name, step = eqn.primitive.name, Step(tuple(outs), tuple(reads), eqn)
        masks = [r for r in reads if r in self.drawn and r not in self.signal]
        boolean = [r for r in masks if self.nodes[r].dtype == "bool"]
        if name == "floor" and masks:
            return self._floor(step)
        if not boolean:
            return step
        chance = self.chances.get(boolean[0])
        if name == "select_n" and len(reads) == 3 and boolean[0] == reads[0]:
            return replace(step, how="expected", chance=chance)
        if name == "convert_element_type" and _floating(eqn.outvars[0].aval):
            return replace(step, how="chance", chance=chance)
        if chance is not None and name in ("broadcast_in_dim", "reshape", "squeeze", "not"):
            self.chances[outs[0]] = 1 - chance if name == "not" else chance
        return step

    def compared(self, eqn: JaxprEqn, reads: list[int], mask: int) -> None:
        """Note the probability of a mask: that of a uniform number, if what was drawn agrees with it."""
        drawn = [r for r in reads if r in self.drawn and r not in self.signal]
        limits = [self.nodes[r].value for r in reads if r not in drawn]
        if not drawn or len(limits) != 1 or limits[0] is None or limits[0].size == 0:
            return
        share = float(np.clip(np.asarray(limits[0], np.float64).reshape(-1)[0], 0, 1))
        below = (eqn.primitive.name in ("lt", "le")) == (reads[0] in drawn)
        chance = share if below else 1 - share
        seen = np.asarray(self.value(mask))
        spread = math.sqrt(chance * (1 - chance) / max(seen.size, 1))
        if seen.size and abs(float(seen.mean()) - chance) <= _SURE * spread + 1e-6:
            self.chances[mask] = chance

    def _floor(self, step: Step) -> Step:
        """floor(c + u), u uniform on [0, 1), is floor(c) or one more: c on average."""
        (read,) = step.reads
        made = self.made_by.get(read)
        if read in self.signal or made is None or made.eqn is None or made.eqn.primitive.name != "add":
            return step
        values = (self.nodes[r].value for r in made.reads)
        shifts = [value for value in values if value is not None]
        if len(shifts) != 1 or shifts[0].size == 0:
            return step
        shift, drawn = float(shifts[0].reshape(-1)[0]), np.asarray(self.value(read), np.float64)
        inside = drawn.size > 0 and bool((drawn >= shift - 1e-6).all() and (drawn <= shift + 1).all())
        return replace(step, how="chance", chance=shift) if inside else step


def _floating(aval: Any) -> bool:
    return bool(jnp.issubdtype(aval.dtype, jnp.inexact))
