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
        "breaks_symmetry",
        "family",
        "matched_init",
        "model",
        "normalized_inputs",
        "preserves_gradient",
        "preserves_variance",
        "reproducible",
        "stays_finite",
        "trains_everywhere",
    ),
    "engine": ("check",),
    "initializer_check": ("check_initializer",),
    "errors": (
        "ConfigError",
        "DeadReluViolation",
        "DriftViolation",
        "FiniteViolation",
        "GradientViolation",
        "InitCheckError",
        "InitCheckWarning",
        "InitializerViolation",
        "InputsViolation",
        "MatchedInitViolation",
        "ReproducibleViolation",
        "SaturationViolation",
        "SymmetryViolation",
        "TrainableViolation",
        "VarianceViolation",
    ),
    "inputs": ("call", "images", "inputs_from", "normal", "one_hot", "tokens", "uniform"),
    "report.initializer": ("InitializerReport",),
    "report.result": ("Finding", "Report"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("activations", "initializers", "numpy", "strategies", "theory")

__all__ = [*_HOME_OF, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from pytest_initcheck import activations as activations
    from pytest_initcheck import initializers as initializers
    from pytest_initcheck import numpy as numpy
    from pytest_initcheck import strategies as strategies
    from pytest_initcheck import theory as theory
    from pytest_initcheck.declare import Declared as Declared
    from pytest_initcheck.declare import allow as allow
    from pytest_initcheck.declare import bounded_dead_relu as bounded_dead_relu
    from pytest_initcheck.declare import bounded_saturation as bounded_saturation
    from pytest_initcheck.declare import breaks_symmetry as breaks_symmetry
    from pytest_initcheck.declare import family as family
    from pytest_initcheck.declare import matched_init as matched_init
    from pytest_initcheck.declare import model as model
    from pytest_initcheck.declare import normalized_inputs as normalized_inputs
    from pytest_initcheck.declare import preserves_gradient as preserves_gradient
    from pytest_initcheck.declare import preserves_variance as preserves_variance
    from pytest_initcheck.declare import reproducible as reproducible
    from pytest_initcheck.declare import stays_finite as stays_finite
    from pytest_initcheck.declare import trains_everywhere as trains_everywhere
    from pytest_initcheck.engine import check as check
    from pytest_initcheck.errors import ConfigError as ConfigError
    from pytest_initcheck.errors import DeadReluViolation as DeadReluViolation
    from pytest_initcheck.errors import DriftViolation as DriftViolation
    from pytest_initcheck.errors import FiniteViolation as FiniteViolation
    from pytest_initcheck.errors import GradientViolation as GradientViolation
    from pytest_initcheck.errors import InitCheckError as InitCheckError
    from pytest_initcheck.errors import InitCheckWarning as InitCheckWarning
    from pytest_initcheck.errors import InitializerViolation as InitializerViolation
    from pytest_initcheck.errors import InputsViolation as InputsViolation
    from pytest_initcheck.errors import MatchedInitViolation as MatchedInitViolation
    from pytest_initcheck.errors import ReproducibleViolation as ReproducibleViolation
    from pytest_initcheck.errors import SaturationViolation as SaturationViolation
    from pytest_initcheck.errors import SymmetryViolation as SymmetryViolation
    from pytest_initcheck.errors import TrainableViolation as TrainableViolation
    from pytest_initcheck.errors import VarianceViolation as VarianceViolation
    from pytest_initcheck.initializer_check import check_initializer as check_initializer
    from pytest_initcheck.inputs import call as call
    from pytest_initcheck.inputs import images as images
    from pytest_initcheck.inputs import inputs_from as inputs_from
    from pytest_initcheck.inputs import normal as normal
    from pytest_initcheck.inputs import one_hot as one_hot
    from pytest_initcheck.inputs import tokens as tokens
    from pytest_initcheck.inputs import uniform as uniform
    from pytest_initcheck.report.initializer import InitializerReport as InitializerReport
    from pytest_initcheck.report.result import Finding as Finding
    from pytest_initcheck.report.result import Report as Report


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("__"):
        raise AttributeError(name)
    from pytest_initcheck.errors import did_you_mean

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{did_you_mean(name, __all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
