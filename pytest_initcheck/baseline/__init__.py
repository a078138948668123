"""The baseline file: the profile of each model, and the findings that are known, in TOML.

One line per layer and per finding, in the order of execution, so that a change reads as a change.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_initcheck.profiles import Profile

SCHEMA = 1


@dataclass(frozen=True)
class Known:
    """A finding that is kept, and why.

    * ``site`` is None where the whole model is meant; ``seen`` is what it said when it was kept.
    """

    invariant: str
    site: str | None
    direction: str | None
    seen: str
    reason: str


@dataclass(frozen=True)
class Kept:
    """What a baseline has of one model."""

    profile: Profile | None = None
    known: tuple[Known, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """A baseline file.

    * ``shown`` is the path as the user gave it; ``updating``: this run writes it anew.
    """

    path: Path
    shown: str
    models: Mapping[str, Kept] = field(default_factory=dict)
    updating: bool = False
