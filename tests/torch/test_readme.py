"""Every Python block of the README is run: declared models are checked, tests are executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck.report.layout import USUAL, door_of_item
from pytest_initcheck.report.terminal import render

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_readme_has_blocks() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_block(block: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_block=block)
    result = pytester.runpytest("--initcheck", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) == 0
    assert outcomes.get("errors", 0) == 0
    if "@ic.model" in block or "def test_" in block:
        assert outcomes.get("passed", 0) >= 1


# -- outputs ---------------------------------------------------------------------------------------


def shown(first: str) -> list[str]:
    """The lines of the README's block from this one on."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    [block] = [found for found in blocks if first in found]
    lines = block.splitlines()
    return lines[next(index for index, line in enumerate(lines) if line.startswith(first)) :]


def differences(expected: list[str], printed: list[str]) -> Iterator[str]:
    """What the README shows otherwise: dots at the end of a line, or on a last line of their own, stand for more."""
    if expected[-1:] == ["..."]:
        expected, printed = expected[:-1], printed[: len(expected) - 1]
    if len(expected) != len(printed):
        yield f"{len(expected)} lines instead of {len(printed)}"
    for line, real in zip(expected, printed, strict=False):
        cut = line.removesuffix("...")
        if not (real == line or (cut != line and real.startswith(cut) and len(real) > len(cut))):
            yield f"{line!r} instead of {real!r}"


def classifier() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(15):
        layers += [nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, 10))


def my_init_(weight):
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def test_the_failure_at_the_top_is_what_is_printed() -> None:
    report = ic.check(classifier, inputs=ic.normal(256), id="test_models.py::classifier")
    text = render(report, "variance", USUAL, door_of_item("test_models.py::classifier::variance"))
    assert not list(differences(shown("variance FAIL classifier"), text.splitlines())), text


def test_the_failure_of_an_initialiser_is_what_is_printed() -> None:
    layer = init.depthwise_conv(64, 3, 3)
    text = str(ic.check_initializer(my_init_, layer, activation="relu", raises=False))
    assert not list(differences(shown("variance FAIL my_init_"), text.splitlines())), text


def test_a_difference_is_found() -> None:
    assert list(differences(["a", "b"], ["a", "c"])) == ["'b' instead of 'c'"]
    assert list(differences(["a"], ["a", "c"])) == ["1 lines instead of 2"]
    assert list(differences(["fix ..."], ["fixed"])) == ["'fix ...' instead of 'fixed'"]
    assert not list(differences(["fix ...", "..."], ["fix it", "c", "d"]))
