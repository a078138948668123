"""The README names every option and every ini key, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_initcheck.plugin import pytest_addoption

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


class Recorder:
    """Stands for pytest's parser and its group."""

    def __init__(self) -> None:
        self.options: list[str] = []
        self.keys: list[str] = []
        pytest_addoption(self)  # type: ignore[arg-type]  # has the methods that are used

    def getgroup(self, name: str, description: str) -> Recorder:
        return self

    def addoption(self, name: str, **settings: object) -> None:
        self.options.append(name)

    def addini(self, name: str, *settings: object, **more: object) -> None:
        self.keys.append(name)


def rows(text: str) -> list[str]:
    """The options of the table."""
    return re.findall(r"^\| `(--initcheck[a-z-]*)", text, re.MULTILINE)


def unknown(text: str, known: list[str]) -> list[str]:
    return [name for name in re.findall(r"--initcheck[a-z-]*\b", text) if name not in known]


def test_the_table_has_every_option_once():
    assert sorted(rows(README)) == sorted(Recorder().options)


def test_every_ini_key_is_named():
    assert [key for key in Recorder().keys if f"`{key}`" not in README] == []


def test_no_option_is_named_that_is_not_there():
    assert unknown(README, Recorder().options) == []


@pytest.mark.parametrize("name", ["--initcheck-yaml", "--initcheckx"])
def test_an_unknown_option_would_be_seen(name):
    assert rows(f"| `{name} PATH` | x |") == [name]
    assert unknown(f"pytest {name}", Recorder().options) == [name]
