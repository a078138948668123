"""How a report is laid out, and the way in by which its model was checked.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_initcheck.report.prose import LEAST_WIDTH


@dataclass(frozen=True)
class Layout:
    """How a report is laid out.

    * ``width`` is that of the terminal in columns.
    * ``detail``: ``"line"`` is the first line alone, ``"whole"`` has every row, ``"compact"`` the rows
      around the first wrong one.
    * ``ascii``: the terminal has no block characters.
    """

    width: int = 80
    detail: str = "compact"
    ascii: bool = False

    @property
    def columns(self) -> int:
        """The width that text is fitted to."""
        return max(self.width, LEAST_WIDTH)


USUAL = Layout()
"""What is printed where no terminal is known."""


@dataclass(frozen=True)
class Door:
    """The way in by which a model was checked: how it is checked again, how a deviation is allowed.

    * ``repeat`` is what stands before and after the root seed.
    * ``allow`` is the form of an allowance: ``"call"``, ``"decorator"`` or ``"ini"``.
    """

    repeat: tuple[str, str] = ("ic.check(..., seed=", ")")
    allow: str = "call"

    def repeated(self, seed: int) -> str:
        """Return what checks the model again with this root seed.

        >>> Door().repeated(7)
        'ic.check(..., seed=7)'
        """
        before, after = self.repeat
        return f"{before}{seed}{after}"

    def comparing(self, baseline: str) -> Door:
        """Return this door for a check that compares with a baseline.

        >>> door_of_item("m.py::net::drift").comparing("b.toml").repeated(0)
        'pytest m.py::net::drift --initcheck --initcheck-seed 0 --initcheck-baseline b.toml'
        """
        before, after = self.repeat
        return replace(self, repeat=(before, f"{after} --initcheck-baseline {shlex.quote(baseline)}"))

    def allowed(self, deviations: Iterable[tuple[str, str]]) -> list[str]:
        """Return the lines that allow these deviations: invariants and sites, ``"*"`` being all.

        >>> Door().allowed([("dead-relu", "features.4")])
        ['allow=[ic.allow("dead-relu", at="features.4", reason="...")]']
        """
        if self.allow == "ini":
            return [f"initcheck_allow = {invariant} | {at} | ..." for invariant, at in deviations]
        calls = []
        for invariant, at in deviations:
            place = "" if at == "*" else f", at={json.dumps(at, ensure_ascii=False)}"
            calls.append(f'ic.allow("{invariant}"{place}, reason="...")')
        if self.allow == "decorator":
            return [f"@{call}" for call in calls]
        return [f"allow=[{', '.join(calls)}]"] if calls else []


def door_of_item(nodeid: str) -> Door:
    """Return the door of an item of a declared model.

    >>> door_of_item("test_models.py::mlp::variance").repeated(0)
    'pytest test_models.py::mlp::variance --initcheck --initcheck-seed 0'
    """
    return Door((f"pytest {shlex.quote(nodeid)} --initcheck --initcheck-seed ", ""), "decorator")


def door_of_spec(spec: str, inputs: str = "") -> Door:
    """Return the door of a model that the command line names.

    >>> door_of_spec("zoo:net", "normal:8").repeated(0)
    'pytest --initcheck-only --initcheck-model zoo:net --initcheck-inputs normal:8 --initcheck-seed 0'
    """
    fed = f" --initcheck-inputs {shlex.quote(inputs)}" if inputs else ""
    command = f"pytest --initcheck-only --initcheck-model {shlex.quote(spec)}{fed} --initcheck-seed "
    return Door((command, ""), "ini")


def door_of_call(nodeid: str) -> Door:
    """Return the door of a call of the fixture in a test.

    >>> door_of_call("test_net.py::test_net[8]").repeated(0)
    "pytest 'test_net.py::test_net[8]' --initcheck-seed 0"
    """
    return Door((f"pytest {shlex.quote(nodeid)} --initcheck-seed ", ""))


LIBRARY = Door()
"""A call of ``ic.check``."""
