"""Models of libraries by name: ``torchvision:NAME``, ``timm:NAME``, ``hf:NAME``, ``hf-tiny:NAME``.

Each gives a factory with random weights, never downloaded ones, and the inputs that it takes.  A library
is imported only when one of its models is asked for.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import Call
from pytest_initcheck.libraries.blueprint import Blueprint as Blueprint

PACKAGES: Mapping[str, str] = {
    "torchvision": "torchvision",
    "timm": "timm",
    "hf": "transformers",
    "hf-tiny": "transformers",
}
"""The package behind each prefix."""


def blueprint(prefix: str, name: str, directory: Path) -> Blueprint:
    """Return how a library's model is built and called; a folder is relative to ``directory``.

    Raises ConfigError, in one line, for a library that is missing or a model that it cannot build.
    """
    package = PACKAGES[prefix]
    for needed in ("torch", package):
        if importlib.util.find_spec(needed) is None:
            raise ConfigError(
                f"{prefix}:{name} needs {needed}, which is not installed; "
                f"run: python -m pip install {needed}"
            )
    room = importlib.import_module(f"pytest_initcheck.libraries.{package}")
    if prefix == "hf-tiny":
        return cast(Blueprint, room.blueprint(name, directory, tiny=True))
    return cast(Blueprint, room.blueprint(name, directory))


def inputs_of(model: Any) -> Call | None:
    """Return the inputs of a library's model that was built elsewhere; None for any other model.

    >>> inputs_of(object()) is None
    True
    """
    for package in ("timm", "transformers"):
        if package in sys.modules:
            room = importlib.import_module(f"pytest_initcheck.libraries.{package}")
            found = room.inputs_of(model)
            if found is not None:
                return cast(Call, found)
    return None
