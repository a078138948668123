"""The schema of the JSON report: what we write fits it, and what is not the contract does not."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_initcheck.config import NAMES
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.json import SCHEMA_VERSION, document, schema
from pytest_initcheck.report.result import VERDICT_ORDER, PreActivations, Report

FOLDER = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(FOLDER))
import reports  # noqa: E402

sys.path.remove(str(FOLDER))

GOLDEN = {name: value for name, value in vars(reports).items() if isinstance(value, Report)}
VALIDATOR = jsonschema.Draft202012Validator(schema())


def wrong(data: Any) -> list[str]:
    # through text, as another tool would read it
    return [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(data)))]


def made(*found: Report, **more: Any) -> dict[str, Any]:
    return document(found, root_seed=7, claims=75, **more)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_version_is_that_of_the_code():
    assert schema()["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert schema()["$id"].endswith(f":{SCHEMA_VERSION}")


def test_its_lists_are_those_of_the_code():
    definitions = schema()["$defs"]
    assert definitions["invariant"]["enum"] == list(NAMES)
    assert definitions["model"]["properties"]["verdict"]["enum"] == list(VERDICT_ORDER)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_reports_fit(name):
    assert wrong(made(GOLDEN[name])) == []


def test_the_golden_reports_are_many():
    assert len(GOLDEN) >= 8
    assert {report.verdict for report in GOLDEN.values()} >= {"error", "fail", "inconclusive", "pass"}


def test_an_empty_and_an_incomplete_run_fit():
    assert wrong(made()) == []
    assert wrong(made(course=Course(9, 2, "interrupted"))) == []


def test_what_is_not_finite_fits():
    sites = tuple(
        dataclasses.replace(
            row,
            second_moment=math.nan,
            batch_variance=math.inf,
            gradient=-math.inf,
            expected=(math.nan, math.inf),
            spread=(0.0, math.inf),
            pre_activations=PreActivations((3, 0, 1), -math.inf, math.inf, None, 6.0),
        )
        for row in reports.CLASSIFIER.sites
    )
    finding = dataclasses.replace(reports.VANISHING, value=math.nan, limit=(math.nan, math.inf))
    report = dataclasses.replace(
        reports.CLASSIFIER, sites=sites, findings=(finding,), spread=math.nan, path="models.py", line=3
    )
    assert wrong(made(report)) == []


def test_what_is_known_fits():
    finding = dataclasses.replace(reports.VANISHING, severity="known", reason="until the next release")
    assert (
        wrong(made(dataclasses.replace(reports.CLASSIFIER, verdict="known", findings=(finding,)))) == []
    )


# -- what does not fit -----------------------------------------------------------------------------


def objects(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all objects whose keys are ours."""
    if isinstance(data, dict):
        if path[-1:] not in (("frameworks",), ("invariants",)):
            yield path
        for key, value in data.items():
            yield from objects(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data[:2]):
            yield from objects(value, (*path, index))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def full() -> dict[str, Any]:
    row = dataclasses.replace(
        reports.CLASSIFIER.sites[0], pre_activations=PreActivations((1,), 0.0, 1.0)
    )
    return made(dataclasses.replace(reports.CLASSIFIER, sites=(row,)))


@pytest.mark.parametrize(
    "path", list(objects(full())), ids=lambda path: ".".join(map(str, path)) or "all"
)
def test_a_missing_or_an_unknown_key_does_not_fit(path):
    whole = full()
    assert wrong(whole) == []
    more = copy.deepcopy(whole)
    at(more, path)["novelty"] = 1
    assert wrong(more)
    for key in at(whole, path):
        less = copy.deepcopy(whole)
        del at(less, path)[key]
        assert wrong(less), key


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "version": lambda data: data.update(schema_version=2),
    "verdict of a model": lambda data: data["models"][0].update(verdict="vacuous"),
    "verdict of a finding": lambda data: data["models"][0]["findings"][0].update(verdict="bad"),
    "severity": lambda data: data["models"][0]["findings"][0].update(severity="note"),
    "invariant": lambda data: data["models"][0]["findings"][0].update(invariant="dead_relu"),
    "name of an invariant": lambda data: data["models"][0]["invariants"].update(
        dead_relu=data["models"][0]["invariants"]["finite"]
    ),
    "limit of one side": lambda data: data["models"][0]["findings"][0].update(limit=[1.0]),
    "limit of three sides": lambda data: data["models"][0]["findings"][0].update(limit=[1.0, 2.0, 3.0]),
    "text for a number": lambda data: data["models"][0]["sites"][0].update(second_moment="NaN"),
    "line 0": lambda data: data["models"][0].update(line=0),
    "negative claims": lambda data: data.update(claims=-1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_value_does_not_fit(change):
    data = full()
    change(data)
    assert wrong(data)
