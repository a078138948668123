"""One line on a terminal that says how far a long check has come, and goes when it is over.

It stands on a line of its own below pytest's, which stays as it is: the cursor comes back to where
pytest left it.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_initcheck.report.prose import columns, plain, sharing
from pytest_initcheck.subject import Progress, Watch

PATIENCE = 1.0
"""Seconds that an item's checks may take before there is something to say."""
PAUSE = 0.1
"""Seconds between two rewritings: a terminal is slow."""
_MOST_NAMES = 3


class ProgressLine:
    """Writes progress below the line that the cursor is in, and takes it away again.

    * ``write`` takes text with the control sequences of a terminal.
    * ``cursor`` returns the column of the cursor in pytest's own line, and ``width`` the terminal's.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        cursor: Callable[[], int],
        width: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.write, self.cursor, self.width, self.clock = write, cursor, width, clock
        self.started, self.shown_at = clock(), -PAUSE
        self.shown = False

    def __call__(self, progress: Progress) -> None:
        now = self.clock()
        if now - self.started < PATIENCE or now - self.shown_at < PAUSE:
            return
        start = "\r\x1b[K" if self.shown else "\n"
        # a text as wide as the terminal would begin another line
        self.write(f"{start}{progress_text(progress, self.width() - 1)}")
        self.shown, self.shown_at = True, now

    def erase(self) -> None:
        """Take the line away and bring the cursor back; nothing if there is no line."""
        if not self.shown:
            return
        column = self.cursor()
        back = f"\x1b[{column}C" if column else ""
        self.write(f"\r\x1b[K\x1b[A{back}")
        self.shown = False


def progress_text(progress: Progress, width: int = 79) -> str:
    """Return the progress in one line of at most this many columns.

    >>> progress_text(Progress("models.py::net", ("variance", "saturation"), 7))
    'initcheck: net  variance, saturation  replicate 7'
    """
    model = plain(progress.model.partition("::")[2] or progress.model)
    names = ", ".join(progress.open)
    if len(progress.open) > _MOST_NAMES:
        names = f"{len(progress.open)} invariants"
    start, end = "initcheck: ", f"  replicate {progress.replicate}"
    room = width - columns(start) - columns(end)
    if not names:
        return f"{start}{sharing(room, [model])[0]}{end}"
    return f"{start}{'  '.join(sharing(room - 2, [model, names]))}{end}"


_LINE: pytest.StashKey[ProgressLine | None] = pytest.StashKey()


@contextmanager
def watching(config: pytest.Config, item: pytest.Item | None) -> Iterator[Watch | None]:
    """Give what shall be told of a check's progress, None where nobody looks.

    Several checks of one item share its patience: a property test makes many short ones.
    """
    if item is None:
        yield None
        return
    line = item.stash.setdefault(_LINE, progress_line(config))
    try:
        yield line
    finally:
        if line is not None:
            line.erase()


def progress_line(config: pytest.Config) -> ProgressLine | None:
    """Return the line of this run; None unless pytest alone writes, and to a terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    # a reporter of another plugin may have lines of its own
    if type(reporter) is not pytest.TerminalReporter or capture is None:
        return None
    is_quiet = config.get_verbosity() < 0 or hasattr(config, "workerinput")
    is_bare = config.option.capture == "no" or config.getini("log_cli") or config.option.log_cli_level
    if is_quiet or is_bare or not reporter.isatty or os.environ.get("TERM", "dumb") == "dumb":
        return None
    writer = config.get_terminal_writer()
    return ProgressLine(
        lambda text: _write(capture, text),
        lambda: writer.width_of_current_line % writer.fullwidth,
        lambda: writer.fullwidth,
    )


def _write(capture: Any, text: str) -> None:
    with capture.global_and_fixture_disabled():
        encoding = sys.stdout.encoding or "ascii"
        # not with pytest's writer: it would take the text for a part of its own line
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
