"""The progress line: when it is written, what it says, and that it leaves no trace."""

from __future__ import annotations

import io
import types

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.engine import Subject, judge
from pytest_initcheck.progress import (
    PATIENCE,
    PAUSE,
    ProgressLine,
    progress_line,
    progress_text,
    watching,
)
from pytest_initcheck.report.prose import columns
from pytest_initcheck.subject import Progress

SEEN = Progress("tests/m.py::net", ("variance", "saturation"), 7)


class Terminal:
    """What was written, with a clock that is set by hand."""

    def __init__(self, column: int = 0, width: int = 80) -> None:
        self.written: list[str] = []
        self.now = 100.0
        self.line = ProgressLine(self.written.append, lambda: column, lambda: width, lambda: self.now)

    def after(self, seconds: float, progress: Progress = SEEN) -> list[str]:
        self.now += seconds
        self.written.clear()
        self.line(progress)
        return list(self.written)


def test_a_short_check_says_nothing():
    terminal = Terminal()
    assert terminal.after(0) == []
    assert terminal.after(PATIENCE - 0.01) == []
    terminal.line.erase()
    assert terminal.written == []


def test_a_long_check_says_how_far_it_has_come_on_a_line_of_its_own():
    terminal = Terminal()
    assert terminal.after(PATIENCE) == ["\ninitcheck: net  variance, saturation  replicate 7"]


def test_it_is_rewritten_in_place_and_not_too_often():
    terminal = Terminal()
    terminal.after(PATIENCE)
    assert terminal.after(PAUSE / 2) == []
    later = Progress("tests/m.py::net", ("variance",), 8)
    assert terminal.after(PAUSE, later) == ["\r\x1b[Kinitcheck: net  variance  replicate 8"]


@pytest.mark.parametrize(("column", "back"), [(0, "\r\x1b[K\x1b[A"), (17, "\r\x1b[K\x1b[A\x1b[17C")])
def test_it_is_erased_and_the_cursor_comes_back(column, back):
    terminal = Terminal(column)
    terminal.after(PATIENCE)
    terminal.written.clear()
    terminal.line.erase()
    terminal.line.erase()
    assert terminal.written == [back]


def test_further_checks_of_an_item_start_a_new_line_but_do_not_flicker():
    terminal = Terminal()
    terminal.after(PATIENCE)
    terminal.line.erase()
    assert terminal.after(PAUSE / 2) == []
    assert terminal.after(PAUSE)[0].startswith("\n")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(width):
    names = tuple(f"invariant-{index}" for index in range(3))
    text = progress_text(Progress("m.py::" + "层" * 90, names, 123), width)
    assert columns(text) <= width
    assert text.startswith("initcheck: 层")
    assert text.endswith("  replicate 123")


def test_many_invariants_are_counted_and_none_are_left_out():
    assert progress_text(Progress("net", ("a", "b", "c", "d"), 1)) == (
        "initcheck: net  4 invariants  replicate 1"
    )
    assert progress_text(Progress("net", (), 9)) == "initcheck: net  replicate 9"


def test_names_are_escaped():
    assert progress_text(Progress("net\x1b[2J", ("finite",), 1)).isprintable()


# -- who sees it -----------------------------------------------------------------------------------


class Screen(io.StringIO):
    def __init__(self, is_terminal: bool = True) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


class Run:
    """As much of pytest's config as the progress line asks."""

    def __init__(self, config: pytest.Config, *, is_terminal: bool = True, **changes: object) -> None:
        reporter = changes.get("reporter", pytest.TerminalReporter)
        plugins = {
            "terminalreporter": reporter(config, Screen(is_terminal)) if reporter else None,
            "capturemanager": object(),
        }
        self.pluginmanager = types.SimpleNamespace(get_plugin=plugins.get)
        self.verbosity = changes.get("verbosity", 0)
        self.option = types.SimpleNamespace(
            capture=changes.get("capture", "fd"), log_cli_level=changes.get("log_cli_level")
        )
        self.log_cli = changes.get("log_cli", False)
        if changes.get("worker"):
            self.workerinput: dict[str, object] = {}

    def get_verbosity(self) -> object:
        return self.verbosity

    def getini(self, name: str) -> object:
        assert name == "log_cli"
        return self.log_cli

    def get_terminal_writer(self) -> object:
        return types.SimpleNamespace(fullwidth=80, width_of_current_line=97)


class OtherReporter(pytest.TerminalReporter):  # type: ignore[misc]  # as other plugins do
    pass


@pytest.mark.parametrize("changes", [{}, {"verbosity": 1}, {"capture": "sys"}], ids=str)
def test_a_terminal_has_a_line(pytestconfig, monkeypatch, changes):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    line = progress_line(Run(pytestconfig, **changes))
    assert line is not None
    assert (line.cursor(), line.width()) == (17, 80)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_terminal": False},
        {"verbosity": -1},
        {"capture": "no"},
        {"log_cli": True},
        {"log_cli_level": "INFO"},
        {"worker": True},
        {"reporter": OtherReporter},
        {"reporter": None},
    ],
    ids=str,
)
def test_everything_else_has_none(pytestconfig, monkeypatch, changes):
    monkeypatch.setenv("TERM", "xterm")
    assert progress_line(Run(pytestconfig, **changes)) is None


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_dumb_terminal_has_none(pytestconfig, monkeypatch, term):
    if term is None:
        monkeypatch.delenv("TERM", raising=False)
    else:
        monkeypatch.setenv("TERM", term)
    assert progress_line(Run(pytestconfig)) is None


def test_a_call_outside_of_any_test_is_not_watched(pytestconfig):
    with watching(pytestconfig, None) as watch:
        assert watch is None


# -- what the engine tells -------------------------------------------------------------------------


def network(rng):
    return [(rng.normal(0, 0.1, (64, 64)), None, "relu"), (rng.normal(0, 0.1, (64, 4)), None, None)]


def test_the_engine_tells_of_every_initialisation():
    told: list[Progress] = []
    subject = Subject(network, "m.py::net", ic.normal(64), only=("dead-relu",))
    report = judge(subject, told.append)
    # the first is built twice, which shows whether the factory heeds its seed
    assert len(told) == report.seeds + 1
    assert {each.model for each in told} == {"m.py::net"}
    assert told[0] == Progress("m.py::net", ("finite", "dead-relu"), 1)
    numbers = [each.replicate for each in told]
    assert numbers == sorted(numbers)


def test_invariants_that_are_decided_are_told_no_more():
    told: list[Progress] = []
    judge(Subject(network, "net", ic.normal(64), only=("inputs",)), told.append)
    assert told[0].open == ("finite", "inputs")
    assert told[-1].open == ("finite",)


def test_drawn_arguments_are_told():
    told: list[Progress] = []

    def family(rng, width):
        return [(np.zeros((width, width)), None, "relu"), (np.zeros((width, 4)), None, None)]

    judge(Subject(family, "net", ic.normal(8), {"width": 8}, only=("finite",)), told.append)
    assert told[0].model == "net(width=8)"
