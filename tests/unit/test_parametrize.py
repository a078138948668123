"""Variants of a factory, apart from pytest."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.parametrize import bound, resolved_inputs, variants


def factory(rng, width=3, depth=1):
    return rng, width, depth


def unnamed(value, name):
    return None


def ids(*marks) -> list[str]:
    return [each.id for each in variants([mark.mark for mark in marks], factory, unnamed)]


def test_without_a_mark_there_is_one_variant():
    (only,) = variants([], factory, unnamed)
    assert (only.id, only.arguments) == ("", {})


def test_the_hook_names_values_first():
    mark = pytest.mark.parametrize("width", [1, 2]).mark
    assert [each.id for each in variants([mark], factory, lambda value, name: f"{name}-{value}")] == [
        "width-1",
        "width-2",
    ]


def test_a_hidden_id_leaves_nothing_behind():
    hidden = pytest.param(16, id=pytest.HIDDEN_PARAM)
    assert ids(pytest.mark.parametrize("width", [hidden])) == [""]


def test_distributions_are_named_by_their_text():
    assert ids(pytest.mark.parametrize("width", [ic.normal(4)])) == ["normal(0,1):4"]


def test_an_array_is_named_by_its_place():
    assert ids(pytest.mark.parametrize("width", [np.zeros(3)])) == ["width0"]


def test_bound_arguments_leave_the_signature():
    fixed = bound(factory, {"width": 7})
    assert list(inspect.signature(fixed).parameters) == ["rng", "depth"]
    assert fixed("r", depth=2) == ("r", 7, 2)
    assert fixed.__name__ == "factory"
    assert bound(factory, {}) is factory


def test_inputs_from_takes_what_it_names():
    arguments = {"width": 4, "depth": 2}
    assert resolved_inputs(ic.inputs_from(lambda width: ic.normal(width)), arguments) == ic.normal(4)
    assert resolved_inputs(ic.inputs_from(lambda width, extra=1: extra), arguments) == 1
    assert resolved_inputs(ic.inputs_from(lambda **each: sorted(each)), arguments) == ["depth", "width"]
    assert resolved_inputs("normal:4", arguments) == "normal:4"
    with pytest.raises(ConfigError, match="widht is no argument of the family; it has width, depth"):
        resolved_inputs(ic.inputs_from(lambda widht: widht), arguments)
