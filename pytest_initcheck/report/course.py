"""Whether a run came to its end, and how much of it there was. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Course:
    """How far a run got.

    * ``declared`` items of models were collected, ``ran`` of them ran.
    * ``stopped`` says why not everything ran that should have, "" if all did.

    >>> Course(12, 12).complete, Course(12, 3, "interrupted").sentence
    (True, 'interrupted: 3 of 12 items of declared models ran')
    """

    declared: int = 0
    ran: int = 0
    stopped: str = ""

    @property
    def complete(self) -> bool:
        return not self.stopped

    @property
    def sentence(self) -> str:
        """What a reader must know of an incomplete run, "" for a complete one."""
        if self.complete:
            return ""
        return f"{self.stopped}: {self.ran} of {self.declared} items of declared models ran"

    def to_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "stopped": self.stopped or None,
            "items": {"declared": self.declared, "ran": self.ran},
        }


WHOLE = Course()
