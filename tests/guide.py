"""Follows a guide: writes the files of its blocks, makes its changes, runs its commands.

Loaded with ``runpy``: test folders are no packages.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

ADOPT = Path(__file__).parents[1] / "docs" / "adopt.md"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    kind: str
    text: str


def blocks(path: Path = ADOPT) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(kind, text) for kind, text in found]


def follow(block: Block, pytester: pytest.Pytester) -> str:
    """Do what a block says; return what that was."""
    first, _, rest = block.text.partition("\n")
    if match := re.match(r"# (?:file|packages): (\S+)", first):
        path = pytester.path / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest, encoding="utf-8")
        return "file"
    if match := re.match(r"# change: (\S+)", first):
        path = pytester.path / match[1]
        before, after = rest.split("# to\n")
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1
        path.write_text(text.replace(before, after), encoding="utf-8")
        return "change"
    assert block.kind == "console", block
    for command, output in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block.text, re.MULTILINE):
        hold(run(command, pytester), output.splitlines())
    return "command"


def run(command: str, pytester: pytest.Pytester) -> pytest.RunResult:
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def hold(result: pytest.RunResult, expected: list[str]) -> None:
    """Assert that these lines are printed in this order; dots at a line's end stand for more."""
    printed = iter(result.outlines)
    for line in expected:
        cut = line.removesuffix("...")
        found = any(real == line or (cut != line and real.startswith(cut)) for real in printed)
        assert found, f"{line!r} was not printed:\n{result.stdout.str()}"
