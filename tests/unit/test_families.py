"""Families without pytest's part: settings, example texts, exploring."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.statistics import collector, describe_statistics

import pytest_initcheck as ic
from pytest_initcheck.families import (
    MAX_EXAMPLES,
    Family,
    example_text,
    family_settings,
    is_strategy,
    steer,
)
from pytest_initcheck.report.result import InvariantResult, Report, SiteRow


def judged(verdict: str) -> Report:
    return Report(
        "m",
        "numpy",
        "pass",
        0,
        invariants={"variance": InvariantResult(verdict, 3, None, "default")},
        claims=2,
    )


def family(judge, **changes) -> Family:
    fields = {"strategies": {"depth": st.integers(1, 40)}, "inputs": None} | changes
    return Family(name="mlp", judge=judge, **fields)


def test_the_smallest_failing_example_is_found_and_judged_once():
    asked = []

    def judge(arguments, inputs, tries):
        asked.append((arguments["depth"], tries))
        return judged("fail" if arguments["depth"] >= 7 else "pass")

    explored = family(judge).explore("variance")
    assert explored.verdict == "fail"
    assert explored.report.example == "mlp(depth=7)"
    assert len(asked) == len(set(asked))
    assert [depth for depth, tries in asked if tries] == [7], "fixes are tried on what is shown alone"


def test_an_inconclusive_example_is_no_failure_unless_strict():
    def judge(arguments, inputs, tries):
        return judged("inconclusive" if arguments["depth"] >= 7 else "pass")

    lax, strict = (family(judge, strict=flag).explore("variance") for flag in (False, True))
    assert lax.verdict == "inconclusive"
    assert lax.undecided
    assert strict.report.example == "mlp(depth=7)"


@pytest.mark.parametrize(
    ("verdicts", "wanted"), [(["vacuous"], "vacuous"), (["vacuous", "pass"], "pass")]
)
def test_a_family_passes_if_any_example_could_be_tested(verdicts, wanted):
    def judge(arguments, inputs, tries):
        return judged(verdicts[arguments["depth"] % len(verdicts)])

    explored = family(judge).explore("variance")
    assert explored.verdict == wanted
    assert explored.vacuous


def test_every_invariant_meets_the_same_examples():
    def judge(arguments, inputs, tries):
        report = judged("pass")
        return Report(
            "m",
            None,
            "pass",
            0,
            invariants={**report.invariants, "finite": judged("pass").invariants["variance"]},
        )

    drawn = family(judge, strategies={"depth": st.integers(1, 10**9)})
    assert drawn.explore("variance").examples == MAX_EXAMPLES
    before = set(drawn.judged)
    drawn.explore("finite")
    assert set(drawn.judged) == before


def test_another_key_draws_other_examples():
    found = []
    for key in ("0 m", "0 m", "1 m"):
        drawn = family(
            lambda arguments, inputs, tries: judged("pass"),
            strategies={"n": st.integers(0, 10**9)},
            key=key,
        )
        drawn.explore("variance")
        found.append(set(drawn.judged))
    assert found[0] == found[1] != found[2]


def test_filtering_everything_away_is_one_line():
    explored = family(
        lambda *_: judged("pass"), strategies={"n": st.integers().filter(lambda n: False)}
    ).explore("variance")
    assert explored.verdict == "error"
    assert explored.error.startswith("mlp: ")
    assert "\n" not in explored.error


def test_settings_of_a_family():
    own = family_settings(None)
    assert own.derandomize
    assert own.database is None
    assert own.deadline is None
    assert own.max_examples == MAX_EXAMPLES
    assert own.verbosity is Verbosity.quiet
    assert hypothesis.HealthCheck.filter_too_much not in own.suppress_health_check


def test_the_users_settings_win_where_they_say_something():
    asked = settings(max_examples=7, phases=[Phase.generate], verbosity=Verbosity.verbose)
    found = family_settings(asked)
    assert found.max_examples == 7
    assert found.phases == (Phase.generate,)
    assert found.verbosity is Verbosity.verbose
    assert found.deadline is None
    assert found.derandomize
    database = InMemoryExampleDatabase()
    stored = family_settings(settings(database=database))
    assert stored.database is database
    assert not stored.derandomize


def test_example_texts_tell_examples_apart_or_say_that_they_do_not():
    assert example_text("m", {"x": 1, "s": "a", "d": ic.normal(3)}) == (
        "m(x=1, s='a', d=normal(0,1):3)",
        True,
    )
    assert example_text("m", {"f": len}) == ("m(f=len)", True)
    assert example_text("m", {"f": lambda: 0})[1] is False
    text, faithful = example_text("m", {"o": object()})
    assert (text, faithful) == ("m(o=object)", False)
    one, other = (example_text("m", {"a": np.full(2, number)})[0] for number in (1.0, 2.0))
    assert one != other


def test_is_strategy():
    assert is_strategy(st.none())
    assert not is_strategy(None)


def test_a_family_does_not_trace_lines():
    assert "explain" not in {phase.name for phase in family_settings(None).phases}


def test_steering_outside_of_a_test_does_nothing():
    steer(Report("m", "numpy", "pass", 0, sites=(ROW,)))


ROW = SiteRow("0", "linear", 1.0, 1.0, None, None, 8.0, False)


def test_hypothesis_is_led_to_the_worst_gain_and_counts_verdicts():
    texts = []

    @settings(max_examples=20, derandomize=True, database=None)
    @given(st.integers(1, 3))
    def looks(bits):
        rows = (ROW, dataclasses.replace(ROW, gain=2.0**-bits), dataclasses.replace(ROW, gain=None))
        steer(Report("m", "numpy", "pass", 0, sites=rows))
        steer(Report("m", "numpy", "pass", 0, sites=rows))  # a second model in one test is no error

    with collector.with_value(lambda stats: texts.append(describe_statistics(stats))):
        looks()
    assert "verdict: pass" in texts[0]
    assert "Highest target score: 3  (label='worst log2 gain of a layer')" in texts[0]
