"""The table of limits, and what decides each."""

from __future__ import annotations

import math

import pytest

from pytest_initcheck.config import (
    DRIFT,
    INVARIANTS,
    LIMITS,
    NAMES,
    Setting,
    allow_fields,
    check_marker,
    invariant_name,
    limit_row,
    resolve,
    selected,
    unknown_ini_keys,
)
from pytest_initcheck.errors import VIOLATIONS, ConfigError


def test_every_limit_belongs_to_an_invariant_and_every_invariant_has_its_violation():
    assert {row.invariant for row in LIMITS} <= set(NAMES)
    assert set(VIOLATIONS) == {*NAMES, DRIFT}
    assert len({row.keyword for row in LIMITS}) == len(LIMITS)
    assert len({row.decorator for row in INVARIANTS}) == len(INVARIANTS)


def test_the_nearest_layer_decides_each_limit_by_itself():
    limits = resolve(
        ("call", {"saturation": None, "variance": 5}),
        ("marker", {"saturation": 0.1, "variance": 6}),
        (
            "ini",
            {
                "saturation": Setting(0.2, "ini initcheck_saturation"),
                "input_columns": Setting(9, "ini x"),
            },
        ),
    )
    assert (limits["variance"], limits.source("variance")) == (5.0, "call")
    assert (limits["saturation"], limits.source("saturation")) == (0.1, "marker")
    assert (limits["input_columns"], limits.source("input_columns")) == (9.0, "ini x")
    assert limits.source("dead_relu") == "default"
    assert limits.asked("variance")
    assert not limits.asked("dead_relu")


@pytest.mark.parametrize("value", [True, "0.1", [0.1], math.nan, math.inf, 0, 1, -3])
def test_what_is_no_share(value):
    with pytest.raises(ConfigError, match=r"saturation (wants|must).*\(call\)"):
        resolve(("call", {"saturation": value}))


def test_a_far_layer_is_checked_although_a_nearer_one_decides():
    with pytest.raises(ConfigError, match="marker"):
        resolve(("call", {"saturation": 0.1}), ("marker", {"saturation": 7}))


def test_names_read_with_dash_and_underscore():
    assert invariant_name("dead_relu") == invariant_name("dead-relu") == "dead-relu"
    assert limit_row("dead-relu") is limit_row("dead_relu")
    with pytest.raises(ConfigError, match="did you mean 'variance'"):
        invariant_name("varianse")
    with pytest.raises(ConfigError, match="did you mean 'saturation'"):
        limit_row("saturatoin")


def test_selected_keeps_the_order_of_the_table_and_finite():
    assert (*selected(None), "matched-init", "reproducible") == NAMES
    assert selected(None, resolve(("ini", {"matched_init": 0.1})))[-1] == "matched-init"
    assert selected(["dead-relu", "variance"]) == ("finite", "variance", "dead-relu")
    assert selected("finite") == ("finite",)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((0.1,), {}, "takes keywords only"),
        ((), {"saturated": 0.1}, "did you mean 'saturation'"),
        ((), {"saturation": 3}, "above 0 and below 1"),
        ((), {"only": ["dead"]}, "unknown invariant"),
        ((), {"only": 1}, "only= takes"),
    ],
)
def test_check_marker(args, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        check_marker(args, kwargs)


@pytest.mark.parametrize("line", ["", "variance", "variance | *", "variance | | why", "x | y | z"])
def test_allow_fields_wants_three(line):
    with pytest.raises(ConfigError):
        allow_fields(line)


def test_a_reason_may_hold_the_separator():
    assert allow_fields("variance | a | b | c")[2] == "b | c"


INI = """
[metadata]
initcheck_of_others = 1
[tool:pytest]
initcheck_allow =
    initcheck_not_a_key = 2
initcheck_varianse = 3
[pytest]
initcheck_variance = 3
"initcheck_quoted" = 4
[[array]]
"""


def test_unknown_ini_keys_are_those_of_pytests_own_sections():
    found = unknown_ini_keys(INI, ["initcheck_variance", "initcheck_allow"])
    assert found == ["initcheck_varianse", "initcheck_quoted"]
