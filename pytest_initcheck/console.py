"""The terminal of a pytest run: how wide it is, what it can show, and colours for failures.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest

from pytest_initcheck.explain import explained
from pytest_initcheck.plugin import OPTIONS
from pytest_initcheck.report.layout import Layout
from pytest_initcheck.report.markup import segments
from pytest_initcheck.report.sparkline import BLOCKS

_WIDEST_PROSE = 88


def layout(config: pytest.Config) -> Layout:
    """Return how reports are laid out in this run; a worker is told by its controller."""
    told = getattr(config, "workerinput", {}).get("initcheck_layout")
    if told is not None:
        return Layout(**told)
    verbosity = config.get_verbosity()
    detail = "line" if verbosity < 0 else "whole" if verbosity > 0 else "compact"
    has_terminal = config.pluginmanager.has_plugin("terminalreporter")
    width = config.get_terminal_writer().fullwidth if has_terminal else Layout().width
    return Layout(width, detail, not has_blocks(config.stash[OPTIONS].encoding))


def has_blocks(encoding: str) -> bool:
    """Tell whether a stream of this encoding can take the characters that bars are drawn with.

    >>> has_blocks("utf-8"), has_blocks("latin-1")
    (True, False)
    """
    try:
        BLOCKS.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def explain(config: pytest.Config, invariant: str) -> None:
    """Print what an invariant means; headings stand out."""
    # nothing is configured yet, so that there is no reporter of the run
    reporter = pytest.TerminalReporter(config, sys.stdout)
    width = min(shutil.get_terminal_size().columns, _WIDEST_PROSE)
    for index, line in enumerate(explained(invariant, width)):
        is_heading = bool(line) and not line.startswith(" ")
        reporter.write_line(line, bold=is_heading, green=index == 0)


class Painted:
    """A failure's text as pytest prints it, in colours where the terminal has some.

    Everything else is asked of the representation that it stands for.
    """

    def __init__(self, shown: Any) -> None:
        self.shown = shown

    def toterminal(self, writer: Any) -> None:
        for line in str(self.shown).splitlines():
            write(writer, line)

    def __str__(self) -> str:
        return str(self.shown)

    def __getattr__(self, name: str) -> Any:
        if name == "shown":  # of a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.shown, name)


def write(writer: Any, line: str) -> None:
    """Write a line of a report in its colours, with a terminal writer or reporter of pytest."""
    for text, markup in segments(line):
        writer.write(text, **markup)
    writer.write("\n")
