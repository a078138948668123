"""Measures step walks; walks and circumstances give verdicts."""

from __future__ import annotations

import math

import pytest

from pytest_initcheck import evidence
from pytest_initcheck.evidence import Claim
from pytest_initcheck.invariants import Measure, event, rate_seeds, rate_slack

NOBODY: frozenset[tuple[str, str]] = frozenset()


def value(number: float | None, claim: str = "fc1", **extra) -> Measure:
    return Measure(claim, 1, number, high=1.0, **extra)


def hit(happened: bool, site: int = 1) -> Measure:
    return event("layer", site, happened, p0=0.001, p1=0.1)


def after(*numbers: float | None, allowed=NOBODY) -> Claim:
    claims = {}
    for number in numbers:
        claims = evidence.step(claims, "saturation", [value(number)], allowed, fatal=False)
    return claims["saturation", "fc1"]


def after_events(*happened: bool) -> Claim:
    claims = {}
    for item in happened:
        claims = evidence.step(claims, "dead-relu", [hit(item)], NOBODY, fatal=True)
    return claims["dead-relu", "layer"]


@pytest.mark.parametrize(
    ("number", "violated"),
    [(0.5, False), (1.0, False), (1.5, True), (math.nan, True), (math.inf, True), (None, False)],
)
def test_what_violates(number, violated):
    assert value(number).violated is violated


def test_three_clean_replicates_pass():
    assert after(0, 0).open
    assert after(0, 0, 0).verdict == "pass"


def test_thirteen_violations_fail_and_twelve_do_not():
    assert after(*[2.0] * 12).open
    assert after(*[2.0] * 13).verdict == "fail"


def test_a_neutral_value_is_clean():
    assert after(None, None, None).verdict == "pass"


def test_half_and_half_is_never_decided():
    claim = after(*[2.0, 0.0] * 32)
    assert claim.verdict == "inconclusive"
    assert not claim.open


def test_a_decided_claim_stays_decided():
    claim = after(*[0.0] * 3, *[2.0] * 60)
    assert claim.verdict == "pass"
    assert claim.walk.replicates == 3
    assert claim.seen == 63


def test_seven_events_fail_and_63_clean_inits_pass():
    assert after_events(*[True] * 6).verdict == "inconclusive"
    assert after_events(*[True] * 7).verdict == "fail"
    assert after_events(*[False] * 62).open
    assert after_events(*[False] * 63).verdict == "pass"


def test_the_violating_measure_is_remembered():
    claim = after(2.0, 0.0)
    assert claim.measure.value == 0.0
    assert claim.violating is not None
    assert claim.violating.value == 2.0


def test_an_absent_claim_counts_as_clean():
    claims = evidence.step({}, "saturation", [value(2.0)], NOBODY, fatal=False)
    claims = evidence.step(claims, "saturation", [], NOBODY, fatal=False)
    assert claims["saturation", "fc1"].walk.score == 0
    untouched = evidence.step(claims, "variance", [], NOBODY, fatal=False)
    assert untouched == claims


def test_an_allowed_claim_is_skipped():
    claim = after(*[2.0] * 13, allowed=frozenset({("saturation", "fc1")}))
    assert claim.verdict == "skipped"
    assert not claim.open


def test_an_event_at_an_allowed_site_is_clean_and_elsewhere_it_counts():
    key = frozenset({("dead-relu", "layer")})
    claims = evidence.step({}, "dead-relu", [hit(True)], key, fatal=True)
    claims = evidence.step(claims, "dead-relu", [hit(True, site=5)], NOBODY, fatal=True)
    claim = claims["dead-relu", "layer"]
    assert not claim.allowed
    assert claim.walk.violations == 1


def test_an_allowed_whole_model_claim_is_skipped():
    key = frozenset({("dead-relu", "network")})
    whole = event("network", -1, True, p0=0.001, p1=0.1)
    claims = evidence.step({}, "dead-relu", [whole], key, fatal=True)
    assert claims["dead-relu", "network"].verdict == "skipped"


def test_a_vacuous_claim_is_never_judged():
    claims = {}
    for _ in range(20):
        measure = value(2.0, vacuous="too narrow")
        claims = evidence.step(claims, "variance", [measure], NOBODY, fatal=False)
    assert claims["variance", "fc1"].verdict == "vacuous"


def test_vacuous_is_what_the_first_replicate_says():
    claims = evidence.step({}, "variance", [value(2.0)], NOBODY, fatal=False)
    claims = evidence.step(claims, "variance", [value(2.0, vacuous="late")], NOBODY, fatal=False)
    assert claims["variance", "fc1"].open


def test_quiet_steps_open_fatal_claims_alone():
    claims = evidence.step({}, "saturation", [value(0.0)], NOBODY, fatal=False)
    claims = evidence.step(claims, "dead-relu", [hit(False)], NOBODY, fatal=True)
    claims = evidence.quiet(claims)
    assert claims["saturation", "fc1"].walk.replicates == 1
    assert claims["dead-relu", "layer"].walk.replicates == 2


@pytest.mark.parametrize(
    ("events", "verdict"), [([False] * 5, "pass"), ([False, True, False], "inconclusive")]
)
def test_a_fatal_claim_ended_early_passes_only_if_clean(events, verdict):
    from dataclasses import replace

    assert replace(after_events(*events), ended_early=True).verdict == verdict


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        (value(2.0, fact=True), "fail"),
        (value(0.0, fact=True), "pass"),
        (value(2.0), "inconclusive"),
        (value(0.0), "inconclusive"),
    ],
)
def test_one_look_decides_facts_alone(measure, verdict):
    from dataclasses import replace

    claims = evidence.step({}, "inputs", [measure], NOBODY, fatal=False)
    assert replace(claims["inputs", "fc1"], one_look=True).verdict == verdict


def test_a_replicate_averages_the_values_and_limits_of_its_seeds():
    group = [
        (Measure("a", 1, 1.0, 0.0, 2.0), hit(True)),
        (Measure("a", 1, 3.0, 1.0, 4.0),),
        (Measure("a", 1, None, 2.0, 6.0),),
    ]
    (mean,) = evidence.averaged(group)
    assert (mean.value, mean.low, mean.high) == (2.0, 1.0, 4.0)


def test_a_replicate_of_neutral_values_is_neutral():
    (mean,) = evidence.averaged([(Measure("a", 1, None),)])
    assert mean.value is None


def test_one_nan_among_the_seeds_violates():
    (mean,) = evidence.averaged([(value(0.0),), (value(math.nan),)])
    assert mean.violated


def test_the_slack_of_a_rate_against_its_formula():
    assert rate_slack(0.25, 64, 2) == pytest.approx(2 * math.sqrt(2 * 0.25 * 0.75 / 128))
    seeds = rate_seeds(0.25, 4)
    assert rate_slack(0.25, 4, seeds) <= 0.0625 < rate_slack(0.25, 4, seeds - 1)
