"""Tell, before any training run, whether a neural network starts in a trainable place.

Public names load on first use: importing this package imports no numpy, Hypothesis or framework.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "declare": (
        "Declared",
        "allow",
        "bounded_dead_relu",
        "bounded_saturation",
        "family",
        "model",
        "normalized_inputs",
        "preserves_variance",
        "stays_finite",
    ),
    "engine": ("check",),
    "errors": (
        "ConfigError",
        "DeadReluViolation",
        "FiniteViolation",
        "InitCheckError",
        "InitCheckWarning",
        "InputsViolation",
        "SaturationViolation",
        "VarianceViolation",
    ),
    "inputs": ("call", "images", "inputs_from", "normal", "one_hot", "tokens", "uniform"),
    "report.result": ("Finding", "Report"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("activations", "initializers", "numpy", "strategies", "theory")

__all__ = [*_HOME_OF, *_MODULES, "__version__"]  # pyright: ignore

if TYPE_CHECKING:
    from pytest_initcheck import activations, initializers, numpy, strategies, theory
    from pytest_initcheck.declare import Declared, allow, family, model
    from pytest_initcheck.engine import check
    from pytest_initcheck.errors import (
        ConfigError,
        DeadReluViolation,
        FiniteViolation,
        InitCheckError,
        InitCheckWarning,
        InputsViolation,
        SaturationViolation,
        VarianceViolation,
    )
    from pytest_initcheck.inputs import call, images, inputs_from, normal, one_hot, tokens, uniform
    from pytest_initcheck.report.result import Finding, Report


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
