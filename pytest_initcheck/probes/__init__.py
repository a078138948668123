"""One probe per framework, behind one small protocol; a framework is imported by its probe alone.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution
from pytest_initcheck.trace import NOTHING_MORE, Fingerprint, Glimpse, Parameter, Trace, Wanted


class Probe(Protocol):
    """What a framework has to offer; the probe modules are the implementations."""

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


_HOMES: Mapping[str, str] = {
    "keras": "pytest_initcheck.probes.keras",  # before torch: its layers on torch are torch modules
    "torch": "pytest_initcheck.probes.torch",
    "jax": "pytest_initcheck.probes.jax",
    "numpy": "pytest_initcheck.probes.numpy",
}


def loaded() -> tuple[Probe, ...]:
    """Return the probes whose framework this process has imported already."""
    return tuple(_load(name) for name in _HOMES if name in sys.modules)


def _load(framework: str) -> Probe:
    return cast(Probe, importlib.import_module(_HOMES[framework]))


def named(framework: str) -> Probe:
    """Return the probe of a framework, importing it.

    Raises ModelError with the install command if the framework is missing.
    """
    try:
        return _load(framework)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{framework} is not installed; run: python -m pip install 'pytest-initcheck[{framework}]'"
        ) from error


def probe_for(model: Any) -> Probe:
    """Return the probe that can observe this model.

    Raises ModelError if none can.
    """
    for probe in loaded():
        if probe.owns(model):
            return probe
    kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
    if model is None:
        raise ModelError("the factory returned None; return the model")
    if isinstance(model, (list, tuple)):
        held = f"its first item is of type {type(model[0]).__qualname__}" if model else "it is empty"
        raise ModelError(
            f"this {kind} is no list of layers: {held}; a layer is (W, b, activation) with W a NumPy "
            "array [in, out], b an array or None, activation a name or None"
        )
    raise ModelError(
        f"no probe for a model of type {kind}; return a torch.nn.Module, a list of layers "
        "(W, b, activation), or a forward function that calls ic.numpy.tap"
    )
