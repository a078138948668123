"""What can go wrong, by name. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InitCheckError(AssertionError):
    """A model violates an invariant; ``report`` holds what was measured."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class FiniteViolation(InitCheckError):
    """A parameter, a value or a gradient is not finite."""


class InputsViolation(InitCheckError):
    """The inputs are not scaled as an initialisation assumes."""


class VarianceViolation(InitCheckError):
    """The signal vanishes or explodes with depth."""


class SaturationViolation(InitCheckError):
    """Bounded activations start outside their responsive range."""


class DeadReluViolation(InitCheckError):
    """Rectifier units are inactive on every input."""


class GradientViolation(InitCheckError):
    """Small changes of the input, or gradients, blow up or vanish with depth."""


class TrainableViolation(InitCheckError):
    """A trainable tensor receives no gradient."""


class SymmetryViolation(InitCheckError):
    """Equal units stay equal, or blocks of a weight are copies of each other."""


class MatchedInitViolation(InitCheckError):
    """A weight's variance is not the one that its activation needs."""


class ReproducibleViolation(InitCheckError):
    """The signal's size differs from seed to seed."""


class DriftViolation(InitCheckError):
    """A model's fresh initialisations are no longer those that the baseline has."""


class InitializerViolation(InitCheckError):
    """An initialiser does not give the variance, mean or independence that is needed."""


VIOLATIONS: dict[str, type[InitCheckError]] = {
    "finite": FiniteViolation,
    "inputs": InputsViolation,
    "variance": VarianceViolation,
    "saturation": SaturationViolation,
    "dead-relu": DeadReluViolation,
    "gradient": GradientViolation,
    "trainable": TrainableViolation,
    "symmetry": SymmetryViolation,
    "matched-init": MatchedInitViolation,
    "reproducible": ReproducibleViolation,
    "drift": DriftViolation,
}


for _each in (InitCheckError, InitializerViolation, *VIOLATIONS.values()):
    _each.__module__ = "pytest_initcheck"  # the name that a test summary shows
del _each


class ConfigError(ValueError):
    """A limit, a name or an option that cannot be used; the message names the remedy."""


class ModelError(Exception):
    """A model that cannot be judged; the message is one clear line with the remedy.

    ``traceback_text`` is the user's own traceback where their code raised.
    """

    def __init__(self, message: str, *, traceback_text: str | None = None) -> None:
        super().__init__(message)
        self.traceback_text = traceback_text


class InitCheckWarning(UserWarning):
    """A claim could not be decided either way."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` or, with nothing near, the list of known words."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}"
