"""Explanations: one for every invariant, with the figures of the code and the numbers of the principles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pytest_initcheck as ic
from pytest_initcheck import config, sequential, trace
from pytest_initcheck.config import INVARIANTS, LIMITS, NAMES, allow_fields
from pytest_initcheck.explain import EXPLANATIONS, explained
from pytest_initcheck.invariants import gradient, variance
from pytest_initcheck.replicates import CLEAN_INITS
from pytest_initcheck.report.prose import columns

PRINCIPLES = (Path(__file__).parents[2] / "docs" / "principles.md").read_text(encoding="utf-8")
BY_NAME = {each.invariant: each for each in EXPLANATIONS}


def numbered(text: str) -> set[str]:
    """The numbers that principles.md has: sections such as 1.1, rules such as R5."""
    return set(re.findall(r"\*\*(\d+\.\d+|R\d+) ", text))


def missing(numbers: tuple[str, ...], text: str) -> set[str]:
    return set(numbers) - numbered(text)


def test_every_invariant_is_explained_once_in_the_tables_order():
    assert [each.invariant for each in EXPLANATIONS] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_principles_exist(name):
    assert BY_NAME[name].principles
    assert not missing(BY_NAME[name].principles, PRINCIPLES)


def test_the_guard_on_principles_can_fail():
    assert missing(("1.1", "9.9", "R77"), PRINCIPLES) == {"9.9", "R77"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_out(name):
    text = "\n".join(explained(name, 100))
    found = BY_NAME[name]
    row = next(each for each in INVARIANTS if each.name == name)
    assert text.startswith(f"{name}: {row.asserts}")
    assert f"@ic.{row.decorator}(" in text
    assert f'@ic.allow("{name}", at="{found.allow_at}", reason="...")' in text
    assert len(found.causes) >= 3
    for cause in found.causes:
        assert f"  - {cause.what}\n      {cause.fix}\n" in text
    for source in found.sources:
        assert source in " ".join(text.split())
    assert f"theory (docs/principles.md {', '.join(found.principles)})" in text


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row.keyword)
def test_defaults_are_those_of_the_table(row):
    text = " ".join(" ".join(explained(row.invariant)).split())
    default = "unset" if row.default is None else f"{row.default:g}"
    assert f"{row.keyword}: {row.help} (default {default}" in text
    assert f"{row.ini} = " in text
    if row.default is None and row.asked is not None:
        assert f"(default unset; {row.asked:g} with the decorator)" in text


def test_another_default_is_printed(monkeypatch):
    rows = tuple(
        config.Limit(**{**vars(row), "default": 0.31}) if row.keyword == "saturation" else row
        for row in LIMITS
    )
    monkeypatch.setattr("pytest_initcheck.explain.LIMITS", rows)
    assert "(default 0.31)" in "\n".join(explained("saturation"))


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_to_write_can_be_written(name):
    lines = [line.strip() for line in explained(name, 300)]
    made = {"ic": ic, "pytest": pytest}
    for line in lines:
        if line.startswith(("@ic.", "@pytest.mark.")):
            decorator = eval(line[1:], made)
            assert callable(decorator)
        if line.startswith("@pytest.mark."):
            config.check_marker((), decorator.mark.kwargs)
        if line.startswith("initcheck_allow = "):
            allow_fields(line.partition(" = ")[2])
        elif line.startswith("initcheck_"):
            keyword, _, value = line.removeprefix("initcheck_").partition(" = ")
            config.limit_row(keyword).check(float(value), "ini")
    [call] = [line for line in lines if line.startswith("ic.check(..., ")]
    keywords = eval(call.replace("ic.check(..., ", "dict("))
    only = keywords.pop("only", None)
    assert name in config.selected(only, config.resolve(("call", keywords)))


def test_figures_in_the_texts_are_those_of_the_code():
    text = " ".join(BY_NAME["variance"].judged.split())
    assert f"past {variance.LOGIT_VARIANCE:g}" in text
    assert f"grows {variance.GROWTH:g} times" in text
    assert f"inputs {2 ** (-variance.VANISHING_BITS / 2):g} times" in text
    text = BY_NAME["gradient"].judged
    assert f"noise of {100 * trace.NOISE:g} %" in text
    assert f"more than {gradient.GROWTH_PER_LAYER:g} times" in text
    assert trace.CHAOTIC == 0.5
    assert "half as far" in text
    assert f"{CLEAN_INITS} clean ones" in BY_NAME["finite"].judged
    assert f"one of {1 / sequential.FATAL_P0:g} init" in BY_NAME["finite"].theory
    assert f"each of {trace.STEPS} normalised steps" in BY_NAME["trainable"].judged
    assert f"after {trace.STEPS} gradient steps" in BY_NAME["symmetry"].judged


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [20, 40, 80])
def test_only_code_is_longer_than_the_terminal(name, width):
    lines = list(explained(name, width))
    code = {f"      {cause.fix}" for cause in BY_NAME[name].causes}
    starts = ("  @", "  ic.check(", "  initcheck_")
    prose = [line for line in lines if line not in code and not line.startswith(starts)]
    assert max(map(columns, prose)) <= max(width, 40)
