"""Reading a baseline file: what cannot be read is one line that says where and what to do.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest_initcheck
from pytest_initcheck.baseline import SCHEMA, Baseline, Kept, Known
from pytest_initcheck.config import DRIFT, NAMES
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.profiles import QUANTITIES, Layer, Profile, Range

_MERGE_MARKER = re.compile(r"(<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|)( |$)")
_WRITE_IT = "write it with --initcheck-update-baseline"
_ANEW = f"restore it from version control, or delete it and {_WRITE_IT}"


def read(path: Path, shown: str, *, updating: bool) -> Baseline:
    """Return the baseline in this file; a file that is to be written need not be there.

    Raises ConfigError for a file that cannot be read or is none.

    >>> read(Path("no-such.toml"), "no-such.toml", updating=True).models
    {}
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if updating:
            return Baseline(path, shown, updating=True)
        raise ConfigError(f"the baseline {shown} does not exist; {_WRITE_IT}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the baseline {shown} is no text in UTF-8; {_ANEW}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the baseline {shown}: {error.strerror or error}") from None
    return Baseline(path, shown, parsed(text, shown), updating)


def parsed(text: str, shown: str) -> dict[str, Kept]:
    """Return what a text has of each model, by id.

    Raises ConfigError for a text that is no baseline of this schema.

    >>> parsed("schema = 1", "b.toml")
    {}
    """
    for number, line in enumerate(text.splitlines(), 1):
        if _MERGE_MARKER.match(line):
            raise ConfigError(
                f"the baseline {shown} has merge markers (line {number}: {line[:7]}); take the lines of "
                "one side, or of both where they are about different models, and update it"
            )
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the baseline {shown} is corrupt: {error}; {_ANEW}") from None
    schema = content.pop("schema", None)
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise ConfigError(f"{shown} is no baseline: it has no line 'schema = {SCHEMA}'; {_ANEW}")
    if schema > SCHEMA:
        raise ConfigError(
            f"the baseline {shown} has schema {schema}, and pytest-initcheck "
            f"{pytest_initcheck.__version__} reads up to {SCHEMA}; upgrade pytest-initcheck"
        )
    whole = _Table(content, shown)
    models = _Table(whole.take("models", Mapping, {}), f"{shown}: models")
    whole.end()
    return {id: _kept(models.table(id)) for id in list(models.content)}


class _Table:
    """A table whose keys are taken one after the other; what is left at the end is unknown."""

    def __init__(self, content: Any, place: str) -> None:
        self.place = place
        if not isinstance(content, Mapping):
            raise ConfigError(f"{place} wants a table, got {content!r}")
        self.content = dict(content)
        self.taken: list[str] = []

    def take(self, key: str, kind: Any, otherwise: Any = ...) -> Any:
        self.taken.append(key)
        value = self.content.pop(key, otherwise)
        if value is ...:
            raise ConfigError(f"{self.place} has no {key}; {_ANEW}")
        if value is otherwise:
            return value
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ConfigError(f"{self.place}: {key} cannot be {value!r}; {_ANEW}")
        return value

    def number(self, key: str, otherwise: Any = ...) -> Any:
        value = self.take(key, (int, float), otherwise)
        if value is not otherwise and not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{self.place}: {key} cannot be {value!r}; {_ANEW}")
        return value if value is otherwise else float(value)

    def table(self, key: str) -> _Table:
        return _Table(self.content[key], f"{self.place}.{key!r}")

    def tables(self, key: str) -> list[_Table]:
        rows = self.take(key, list, [])
        return [_Table(row, f"{self.place}: {key}[{index}]") for index, row in enumerate(rows)]

    def end(self) -> None:
        for key in self.content:
            raise ConfigError(f"{self.place}: unknown key {key!r}{did_you_mean(key, self.taken)}")


def _kept(table: _Table) -> Kept:
    known = tuple(_known(row) for row in table.tables("known"))
    inits = table.take("inits", int, 0)
    profile = None
    if inits:
        versions = table.take("versions", Mapping, {})
        profile = Profile(
            inits,
            table.take("inputs", str),
            table.number("spread", None),
            {str(name): str(version) for name, version in versions.items()},
            tuple(_layer(row) for row in table.tables("layers")),
        )
    table.end()
    return Kept(profile, known)


def _layer(row: _Table) -> Layer:
    name, layer = row.take("name", str), row.take("layer", str)
    ranges = {}
    for quantity in QUANTITIES:
        middle = row.number(quantity, None)
        spread = row.number(f"{quantity}_spread", 0.0)
        ranges[quantity] = None if middle is None else Range(middle, spread)
    row.end()
    return Layer(name, layer, **ranges)


def _known(row: _Table) -> Known:
    invariant = row.take("invariant", str)
    names = (*NAMES, DRIFT)
    if invariant not in names:
        raise ConfigError(
            f"{row.place}: unknown invariant {invariant!r}{did_you_mean(invariant, names)}"
        )
    reason = row.take("reason", str)
    if not reason.strip():
        raise ConfigError(f"{row.place}: {invariant} is kept without a reason; say why, or mend it")
    found = Known(
        invariant,
        row.take("site", str, None),
        row.take("direction", str, None),
        row.take("seen", str, ""),
        reason,
    )
    row.end()
    return found
