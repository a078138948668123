"""What an invariant means, as data: ``pytest --initcheck-explain`` prints it.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A typical cause, and what mends it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Explanation:
    """What a reader of a failure wants to know about its invariant.

    * ``matters`` says what goes wrong in training where it is violated.
    * ``judged`` says when it fails; limits that can be set are in the table of config.py.
    * ``theory`` with ``sources``, and ``principles``, the numbers in docs/principles.md.
    * ``allow_at`` is a glob of sites as an example, ``allow_when`` says where an allowance is in place.
    """

    invariant: str
    matters: str
    judged: str
    theory: str
    sources: tuple[str, ...]
    principles: tuple[str, ...]
    causes: tuple[Cause, ...]
    allow_at: str
    allow_when: str
