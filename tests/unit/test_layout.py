"""Doors: how a model is checked again, and how a deviation of it is allowed."""

from __future__ import annotations

import ast

import pytest

from pytest_initcheck.config import allow_fields
from pytest_initcheck.report.layout import (
    LIBRARY,
    Layout,
    door_of_call,
    door_of_item,
    door_of_spec,
)


def test_text_is_never_fitted_to_less_than_40_columns():
    assert [Layout(width).columns for width in (10, 40, 120)] == [40, 40, 120]


@pytest.mark.parametrize(
    ("door", "command"),
    [
        (
            door_of_item("m.py::net::variance"),
            "pytest m.py::net::variance --initcheck --initcheck-seed 7",
        ),
        (
            door_of_item("m.py::net::variance[a b]"),
            "pytest 'm.py::net::variance[a b]' --initcheck --initcheck-seed 7",
        ),
        (door_of_call("m.py::test_it"), "pytest m.py::test_it --initcheck-seed 7"),
        (
            door_of_spec("zoo:net"),
            "pytest --initcheck-only --initcheck-model zoo:net --initcheck-seed 7",
        ),
        (
            door_of_spec("zoo:net", "uniform(0,1):8"),
            "pytest --initcheck-only --initcheck-model zoo:net --initcheck-inputs 'uniform(0,1):8' "
            "--initcheck-seed 7",
        ),
        (LIBRARY, "ic.check(..., seed=7)"),
    ],
)
def test_what_checks_a_model_again(door, command):
    assert door.repeated(7) == command


def test_a_deviation_is_allowed_where_the_model_is_declared_called_or_named():
    two = [("dead-relu", "features.4"), ("variance", "*")]
    assert door_of_item("m.py::net::variance").allowed(two) == [
        '@ic.allow("dead-relu", at="features.4", reason="...")',
        '@ic.allow("variance", reason="...")',
    ]
    assert LIBRARY.allowed(two) == [
        'allow=[ic.allow("dead-relu", at="features.4", reason="..."), ic.allow("variance", reason="...")]'
    ]
    lines = door_of_spec("zoo:net").allowed(two)
    assert [allow_fields(line.partition(" = ")[2]) for line in lines] == [
        ("dead-relu", "features.4", "..."),
        ("variance", "*", "..."),
    ]
    assert LIBRARY.allowed([]) == []


def test_a_name_with_quotes_is_still_code():
    [line] = door_of_item("m.py::net").allowed([("finite", 'fc"1\\')])
    call = ast.parse(line[1:], mode="eval").body
    assert [ast.literal_eval(each.value) for each in call.keywords] == ['fc"1\\', "..."]
