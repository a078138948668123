"""The progress line on a terminal, and nothing of it anywhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

pty = pytest.importorskip("pty")

SLOW = """
import time
calls = []

@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation()
def slow(rng):
    calls.append(1)
    if len(calls) == 2:
        time.sleep(1.1)
    return net(rng, activation="tanh", gain=1.0)
"""
FIXTURE = """
import time
calls = []

def slow(rng):
    calls.append(1)
    if len(calls) == 2:
        time.sleep(1.1)
    return net(rng, activation="tanh", gain=1.0)

def test_before(): pass

def test_slow(initcheck):
    initcheck.saturation(slow, inputs=ic.normal(32))
"""
SAYS = "initcheck: slow  finite, saturation  replicate 1"


class Screen:
    """As much of a terminal as pytest and the progress line use."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def show(self, text: str) -> None:
        for escape, char in re.findall(r"\x1b\[([0-9;]*[A-Za-z])|([^\x1b])", text):
            if escape:
                self.move(escape[-1], int(escape[:-1] or 1) if escape[-1] != "m" else 0)
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
                self.column += 1

    def move(self, command: str, count: int) -> None:
        if command == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif command == "A":
            self.row -= count
        elif command == "C":
            self.column += count
        else:
            assert command == "m", command


@pytest.fixture
def on_terminal(project) -> Callable[..., str]:
    """Run pytest on a terminal of 80 columns and return everything that it was sent."""

    def run(*args: str, **environment: str) -> str:
        controller, terminal = pty.openpty()
        inherited = {key: value for key, value in os.environ.items() if key != "CI"}
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args],
            cwd=project.path, stdin=terminal, stdout=terminal, stderr=terminal,
            env={**inherited, "TERM": "xterm", "COLUMNS": "80", **environment},
        )  # fmt: skip
        os.close(terminal)
        sent = b""
        while True:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            sent += piece
        os.close(controller)
        assert process.wait() == 0, sent
        # the terminal driver turns every newline into a return and a newline
        return sent.decode()

    return run


def shown(sent: str) -> list[str]:
    screen = Screen()
    screen.show(sent)
    return [line.rstrip() for line in screen.lines]


def test_it_is_shown_and_leaves_pytests_own_lines_as_they_are(project, on_terminal):
    project.write(SLOW)
    sent = on_terminal("--initcheck")
    assert SAYS in sent
    lines = shown(sent)
    assert not any("replicate" in line for line in lines)
    [dots] = [line for line in lines if line.startswith("test_models.py ")]
    assert dots == "test_models.py .." + " " * 56 + "[100%]"
    after = lines[lines.index(dots) + 1 :]
    assert after[0].startswith("=====")


def test_it_is_shown_with_the_names_of_tests_too(project, on_terminal):
    project.write(SLOW)
    sent = on_terminal("--initcheck", "-v")
    assert SAYS in sent
    lines = shown(sent)
    assert not any("replicate" in line for line in lines)
    [line] = [line for line in lines if "::saturation" in line]
    assert re.fullmatch(r"test_models.py::slow::saturation PASSED +\[100%\]", line)


def test_it_is_shown_for_the_fixture(project, on_terminal):
    project.write(FIXTURE)
    sent = on_terminal()
    assert "initcheck: test_slow::slow[normal(0,1):32]  finite, saturation  replicate 1" in sent
    lines = shown(sent)
    assert not any("replicate" in line for line in lines)
    assert any(re.fullmatch(r"test_models.py \.\. +\[100%\]", line) for line in lines)


def test_no_color_takes_colours_and_not_the_line(project, on_terminal):
    project.write(SLOW)
    sent = on_terminal("--initcheck", NO_COLOR="1")
    assert SAYS in sent
    assert not re.search(r"\x1b\[[0-9;]*m", sent)


def test_a_dumb_terminal_has_none_of_it(project, on_terminal):
    project.write(SLOW)
    assert "replicate 1" not in on_terminal("--initcheck", TERM="dumb")


def test_workers_write_none_of_it(project, on_terminal):
    project.write(SLOW)
    assert "replicate 1" not in on_terminal("--initcheck", "-n", "1")


def test_a_log_has_none_of_it(project):
    project.write(SLOW)
    result = project.run_apart("--initcheck")
    result.assert_outcomes(passed=2)
    assert "replicate" not in result.stdout.str()
    assert "\x1b" not in result.stdout.str()
