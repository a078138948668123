"""What a framework adds to its graph: running it again, and differentiating it. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from pytest_initcheck.probes.graph.nodes import Graph

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A parameter of the model: its value on the host, and how the user's code reaches it."""

    name: str
    value: Array
    trainable: bool = True
    path: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pullback:
    """Gradients of one readout, by parameter name and by node."""

    parameters: Mapping[str, Array] = field(default_factory=dict)
    nodes: Mapping[int, Array] = field(default_factory=dict)


class Flow(Protocol):
    """One traced model with its inputs; nothing here changes the user's model.

    * ``leaves`` has every parameter of the model, also those that the forward pass does not read.
    """

    @property
    def graph(self) -> Graph: ...
    @property
    def leaves(self) -> tuple[Leaf, ...]: ...
    @property
    def unobserved(self) -> tuple[tuple[str, str], ...]: ...

    def run(self, wanted: Collection[int]) -> Iterator[tuple[int, Array]]:
        """Run forward; yield the values of these nodes as they come, on the host."""

    def outputs(
        self,
        parameters: Mapping[str, Array] | None = None,
        noise: Mapping[tuple[int, int], Array] | None = None,
    ) -> tuple[Array, ...]:
        """Run forward with these parameters replaced, and return the values of ``graph.outputs``.

        ``noise`` is added to an operand: keys are (reading node, position among its reads), and
        (node, -1) for the value of the node itself.
        """

    def gradients(
        self, target: int, cotangent: Array, parameters: Collection[str], nodes: Collection[int] = ()
    ) -> Pullback | None:
        """Return the gradients of sum(value of the target * cotangent); None if this flow has none.

        A parameter that the target does not depend on is left out.
        """

    def step_gradients(
        self,
        parameters: Mapping[str, Array],
        cotangents: tuple[Array, ...] | None,
        loss: Callable[..., Any] | None,
    ) -> Mapping[str, Array] | None:
        """Return the gradients of a loss at other values of the trainable parameters.

        The loss is the sum over outputs of value * cotangent, or the user's, called as that of torch
        models is: with what the model returned and, where it takes two, the inputs.  A parameter that
        the loss does not depend on is left out.  None if this flow has no gradients.
        """
