"""Small projects that the integration tests run pytest on.

In-process runs forget the modules that they imported, which numpy does not survive: everything that
a run may import is imported here first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import hypothesis.extra.numpy
import hypothesis.strategies  # noqa: F401
import numpy as np  # noqa: F401
import pytest

NETS = '''
"""Numpy networks, good and bad."""
import numpy as np

HE = 2**0.5

def net(rng, gain=HE, width=32, depth=3, activation="relu", bias=None):
    """A layer list: depth hidden layers with weights of standard deviation gain / sqrt(width)."""
    def layer(units, activation):
        offset = None if bias is None or activation is None else np.full(units, bias)
        return (rng.normal(0, gain / width**0.5, (width, units)), offset, activation)
    return [*(layer(width, activation) for _ in range(depth)), layer(4, None)]

def saturated(rng):
    return net(rng, gain=30, activation="tanh")

def dead(rng):
    return net(rng, bias=-20.0)
'''
PRELUDE = """
import pytest
import pytest_initcheck as ic
from hypothesis import given, settings, strategies as st
from nets import HE, dead, net, saturated
"""


class Project:
    """A folder with ``nets.py`` in which pytest is run."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makepyfile(nets=NETS)

    def write(self, source: str, name: str = "test_models") -> Path:
        return self.pytester.makepyfile(**{name: PRELUDE + _dedented(source)})

    def ini(self, text: str) -> None:
        self.pytester.makeini("[pytest]\n" + _dedented(text))

    def run(self, *args: str) -> pytest.RunResult:
        # warnings are errors in this project, which an inner run would inherit
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "default", *args)

    def run_apart(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)

    def ids(self, *args: str) -> list[str]:
        """The ids of what a run would collect."""
        result = self.run("--collect-only", "-q", *args)
        return [line for line in result.outlines if "::" in line and not line.startswith("ERROR")]


def _dedented(source: str) -> str:
    return textwrap.dedent(source)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def verdicts(project: Project) -> Callable[..., dict[str, str]]:
    """Run with ``--initcheck`` and return the outcome of each item by its id."""

    def run(*args: str) -> dict[str, str]:
        result = project.run("--initcheck", "-v", *args)
        found = {}
        for line in result.outlines:
            words = line.split()
            if len(words) > 1 and "::" in words[0]:
                for outcome in ("PASSED", "FAILED", "SKIPPED", "XFAIL", "ERROR"):
                    if outcome in words[1:3]:
                        found.setdefault(words[0], outcome)
        return found

    return run
