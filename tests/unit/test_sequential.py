"""The walk against an independent dynamic programme, and its error bound against the ruin formula."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.sequential import (
    CAP,
    FAIL_AT,
    FATAL_CAP,
    FATAL_FAIL_AT,
    FATAL_P0,
    FATAL_P1,
    FATAL_PASS_AT,
    PASS_AT,
    Walk,
    claim_error_bound,
    common_walk,
    fatal_walk,
)


def outcomes(walk: Walk, p: float) -> tuple[float, float, float, float]:
    """P(fail), P(pass), P(inconclusive) and mean replicates, by following every state of the walk."""
    states = {walk: 1.0}
    ends = {"fail": 0.0, "pass": 0.0, "inconclusive": 0.0}
    replicates = 0.0
    while states:
        following: dict[Walk, float] = {}
        for state, chance in states.items():
            for violated, share in ((True, p), (False, 1 - p)):
                after = state.step(violated=violated)
                if after.verdict is None:
                    following[after] = following.get(after, 0.0) + chance * share
                else:
                    ends[after.verdict] += chance * share
                    replicates += after.replicates * chance * share
        states = following
    return ends["fail"], ends["pass"], ends["inconclusive"], replicates


@pytest.mark.parametrize(
    ("p", "fails", "passes", "undecided", "replicates"),
    [
        (0.01, 1e-26, 1, 1e-45, 3.1),
        (0.05, 2e-17, 1, 2e-24, 3.3),
        (0.10, 3.9e-13, 1, 7e-16, 3.7),
        (0.15, 1.6e-10, 1, 3e-11, 4.3),
        (0.20, 1.5e-8, 1, 4e-8, 5.0),
        (0.30, 1.5e-5, 0.9997, 3e-4, 7.5),
        (0.50, 0.087, 0.71, 0.21, 28),
        (0.70, 0.905, 0.079, 0.017, 29),
        (0.80, 0.984, 0.016, 4e-5, 21),
        (0.90, 0.999, 1.4e-3, 3e-11, 16),
        (0.99, 1, 1e-6, 0, 13.3),
    ],
)
def test_operating_characteristics(p, fails, passes, undecided, replicates):
    got = outcomes(common_walk(), p)
    for value, wanted in zip(got, (fails, passes, undecided, replicates), strict=True):
        # the wanted figures carry one or two digits, and 0 is less than 1e-30
        assert value == pytest.approx(wanted, rel=0.35, abs=0 if wanted else 1e-30)
    assert sum(got[:3]) == pytest.approx(1, abs=1e-12)


def test_the_probabilities_that_decide_are_exact_to_two_digits():
    assert outcomes(common_walk(), 0.1)[0] == pytest.approx(3.9e-13, rel=0.02)
    assert outcomes(common_walk(), 0.5)[:3] == pytest.approx((0.087, 0.71, 0.21), abs=6e-3)


def test_the_bound_is_gamblers_ruin_and_holds():
    odds = Fraction(9)
    ruin = (odds**-PASS_AT - 1) / (odds ** (FAIL_AT - PASS_AT) - 1)
    assert outcomes(common_walk(), 0.1)[0] <= float(ruin) <= claim_error_bound() < 4e-13
    assert claim_error_bound() == max(float(ruin), math.exp(-FATAL_FAIL_AT))


@given(st.floats(0.0, 0.1))
def test_no_correct_model_fails_more_often_than_the_bound(p):
    assert outcomes(common_walk(), p)[0] <= claim_error_bound()


def test_the_walk_ends_where_the_constants_say():
    assert (FAIL_AT, PASS_AT, CAP) == (13, -3, 64)
    assert run(common_walk(), "v" * 12).verdict is None
    assert run(common_walk(), "v" * 13).verdict == "fail"
    assert run(common_walk(), "c" * 2).verdict is None
    assert run(common_walk(), "c" * 3).verdict == "pass"
    assert run(common_walk(), "vc" * 31 + "v").verdict is None
    assert run(common_walk(), "vc" * 32).verdict == "inconclusive"


def run(walk: Walk, replicates: str) -> Walk:
    for letter in replicates:
        walk = walk.step(violated=letter == "v")
    return walk


@given(st.text("vc", max_size=80))
def test_a_walk_counts_its_replicates_and_stops_when_decided(replicates):
    walk = run(common_walk(), replicates)
    seen = replicates[: walk.replicates]
    assert walk.violations == seen.count("v")
    assert walk.score == seen.count("v") - seen.count("c")
    assert walk.decided == (walk.verdict is not None)
    if walk.decided:
        assert walk.step(violated=True) is walk
    else:
        assert walk.replicates == len(replicates)


def test_a_fatal_event_fails_at_the_seventh_and_passes_after_63_clean_replicates():
    assert run(fatal_walk(), "v" * 6).verdict is None
    assert run(fatal_walk(), "v" * 7).verdict == "fail"
    assert run(fatal_walk(), "c" * 62).verdict is None
    assert run(fatal_walk(), "c" * 63).verdict == "pass"
    assert fatal_walk().up == pytest.approx(4.605, abs=1e-3)
    assert fatal_walk().down == pytest.approx(-0.104, abs=2e-3)


def fatal_outcomes(p: float) -> tuple[float, float]:
    """P(fail) and P(pass) of the fatal walk; its state is (replicates, events)."""
    up, down = math.log(FATAL_P1 / FATAL_P0), math.log((1 - FATAL_P1) / (1 - FATAL_P0))
    chances = {0: 1.0}
    failed = passed = 0.0
    for n in range(1, FATAL_CAP + 1):
        following: dict[int, float] = {}
        for events, chance in chances.items():
            for hit, share in ((1, p), (0, 1 - p)):
                score = (events + hit) * up + (n - events - hit) * down
                if score >= FATAL_FAIL_AT:
                    failed += chance * share
                elif score <= FATAL_PASS_AT:
                    passed += chance * share
                else:
                    following[events + hit] = following.get(events + hit, 0.0) + chance * share
        chances = following
    return failed, passed


def test_the_fatal_walk_keeps_the_same_error_bound_and_finds_a_tenth():
    assert fatal_outcomes(FATAL_P0)[0] <= claim_error_bound()
    assert fatal_outcomes(FATAL_P1)[0] > 0.99
    assert fatal_outcomes(FATAL_P1)[1] < math.exp(FATAL_PASS_AT)


@pytest.mark.parametrize(("p0", "p1"), [(0.0, 0.1), (0.1, 0.1), (0.2, 0.1), (0.1, 1.0), (-1.0, 0.5)])
def test_impossible_probabilities_are_refused(p0, p1):
    with pytest.raises(ValueError, match="0 < p0 < p1 < 1"):
        fatal_walk(p0, p1)
