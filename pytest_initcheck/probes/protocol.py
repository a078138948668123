"""What a framework has to offer, as one small protocol. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pytest_initcheck.edits import Edit
from pytest_initcheck.inputs import Call, Distribution
from pytest_initcheck.trace import NOTHING_MORE, Fingerprint, Glimpse, Parameter, Trace, Wanted


class Probe(Protocol):
    """What a framework has to offer: a module with these functions, or an object with these methods.

    ``FRAMEWORK`` is the name of the framework's module, which Traces bear.  A probe imports its
    framework as it is imported itself; both happen where a user's process has loaded the framework.
    """

    FRAMEWORK: str

    def owns(self, model: Any) -> bool:
        """Tell whether this probe can observe the model."""

    def preserved(self) -> AbstractContextManager[None]:
        """Return a context that puts the framework's global random states and settings back."""

    def seed(self, seed: int) -> None:
        """Seed the framework's global random state."""

    def generator(self, seed: int) -> Any:
        """Return what a factory's ``generator`` parameter is given."""

    def drawn(self, model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
        """Return the model with what is drawn in a first forward pass drawn, from this seed.

        With ``keep`` the model that was passed in stays as it is.
        """

    def fingerprints(self, model: Any) -> tuple[Fingerprint, ...]:
        """Return one fingerprint per parameter tensor."""

    def workload(self, model: Any, call: Call) -> AbstractContextManager[None]:
        """Return a context in which initialisations of this model's size run well."""

    def infer_inputs(self, model: Any) -> Distribution | Call:
        """Return inputs for the model, from ``example_inputs()`` or its first layer.

        Raises ModelError where neither tells.
        """

    def trace(
        self, model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE
    ) -> Trace:
        """Run forward and backward on these inputs, leave the model as it was, return the trace.

        What ``wanted`` asks for is in the trace where the framework can tell it.
        Raises ModelError for a model that fails on them.
        """

    def spell(self, edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
        """Return the code that makes these edits of a model with these parameters."""

    def apply(self, model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
        """Make these edits of the model itself; draws come from the framework's global generator.

        * ``call`` is needed where only a forward pass shows the model's arrays.

        Raises ModelError for what the model does not have.
        """

    def glimpse(self, model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
        """Run forward only, and look for rare events."""


FUNCTIONS = tuple(
    name for name in vars(Probe) if inspect.isfunction(vars(Probe)[name]) and name[0] != "_"
)
"""The names of what a probe has to offer, besides ``FRAMEWORK``."""


def incomplete(probe: object) -> str | None:
    """Return what an object lacks to be a probe, None if nothing.

    >>> incomplete(object())
    'has no FRAMEWORK, the name of its framework'
    """
    if inspect.isclass(probe):
        return f"is the class {probe.__qualname__}, not an instance of it"
    if not isinstance(getattr(probe, "FRAMEWORK", None), str):
        return "has no FRAMEWORK, the name of its framework"
    missing = [name for name in FUNCTIONS if not callable(getattr(probe, name, None))]
    return f"has no {', '.join(missing)}" if missing else None
