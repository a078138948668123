"""One model to judge, what its replicates showed, and how far they have come. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.config import DRIFT, Limits, resolve, selected
from pytest_initcheck.declare import Allow
from pytest_initcheck.edits import Edit
from pytest_initcheck.evidence import Seen
from pytest_initcheck.inputs import DEFAULT_BATCH, Source
from pytest_initcheck.profiles import LayerNumbers, Profile


@dataclass(frozen=True)
class Subject:
    """One model to judge, with everything that the verdict depends on.

    * ``edits`` are made of every initialisation and of its inputs: a fix that is tried.
    * ``tries``: whether a failure's fixes are tried.
    * ``plots``: whether what only plots show is measured.
    * ``expected`` is the profile to compare with, of the file ``baseline``; ``profiling``: whether the
      model's own is measured.
    """

    factory: Any
    id: str
    inputs: Any = None
    example: Mapping[str, Any] | None = None
    only: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=resolve)
    mode: str = "train"
    root_seed: int = 0
    batch: int = DEFAULT_BATCH
    allows: tuple[Allow, ...] = ()
    ignore_sites: tuple[str, ...] = ()
    strict: bool = False
    loss: Callable[..., Any] | None = None
    edits: tuple[Edit, ...] = ()
    tries: bool = True
    plots: bool = False
    expected: Profile | None = None
    baseline: str = ""
    profiling: bool = False

    @property
    def invariants(self) -> tuple[str, ...]:
        """The invariants to judge."""
        chosen = selected(self.only, self.limits)
        return chosen if self.expected is None else (*chosen, DRIFT)


@dataclass(frozen=True)
class Evidence(Seen):
    """What the replicates of one subject showed.

    ``lengths`` has the output's second moment per trace, ``extremes`` the lowest and the highest second
    moment that a site of this name had in any trace, ``source`` what the inputs were drawn from,
    ``numbers`` what a profile is made of.
    """

    seeds: int
    lengths: tuple[float, ...]
    extremes: Mapping[str, tuple[float, float]]
    unmatched: tuple[Allow, ...]
    built: bool
    inputs: str
    source: Source
    numbers: tuple[Mapping[str, LayerNumbers], ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a check has come.

    * ``model`` is its id, with the arguments that were drawn for it.
    * ``open`` are the invariants that are not decided yet.
    * ``replicate`` counts from 1, on through the draws in which rare events are looked for.
    """

    model: str
    open: tuple[str, ...]
    replicate: int


Watch = Callable[[Progress], None]
