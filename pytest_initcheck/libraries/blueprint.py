"""What a library says about one of its models, and what is said of a name that it does not have.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.errors import ConfigError

BATCH = 8
"""Samples in a batch: the fewest that tell differences between inputs from luck."""
FUNCTION = "write a function that builds it and pass path.py:function"
"""The remedy where a library's own way does not lead to a model."""


@dataclass(frozen=True)
class Blueprint:
    """How a model is built, freshly initialised at each call, and what it is called with."""

    factory: Callable[[], Any]
    inputs: Any


def unknown(spec: str, library: str, name: str, known: Iterable[str], listing: str) -> ConfigError:
    """Return the error for a name that a library does not have, with the nearest ones.

    * ``listing`` is where the user finds all of them; they are hundreds.

    >>> print(unknown("timm:resnet5", "timm", "resnet5", ["resnet50", "vgg11"], "timm.list_models()"))
    cannot build timm:resnet5: timm has no model 'resnet5'; did you mean 'resnet50'?
    """
    near = difflib.get_close_matches(name, list(known), n=3)
    names = " or ".join(repr(each) for each in near)
    more = f"did you mean {names}?" if near else f"{listing} has all names"
    return ConfigError(f"cannot build {spec}: {library} has no model {name!r}; {more}")


def refused(spec: str, error: BaseException, remedy: str) -> ConfigError:
    """Return the one line for a library that refuses to build a model.

    >>> print(refused("hf:x", ValueError("no\\nway"), "pass a folder"))
    cannot build hf:x: ValueError: no; pass a folder
    """
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return ConfigError(f"cannot build {spec}: {type(error).__name__}: {first}; {remedy}")
