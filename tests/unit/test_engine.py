"""The engine on numpy models: verdicts, seeds, guards, budgets, allowances, limits."""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
from dataclasses import replace

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import engine, errors, replicates
from pytest_initcheck.config import DRIFT, NAMES, resolve
from pytest_initcheck.engine import Subject, judge

WIDTH = 32
INPUTS = ic.normal(WIDTH)


def layers(rng, sigma_w2=2.0, depth=6, act="relu", bias=0.0, head=1.0):
    draw = lambda s, m=WIDTH: rng.normal(0, math.sqrt(s / WIDTH), (WIDTH, m))  # noqa: E731
    hidden = [(draw(sigma_w2), np.full(WIDTH, bias), act) for _ in range(depth)]
    return [*hidden, (draw(head, 5), np.zeros(5), None)]


def good(rng):
    return layers(rng)


def vanishing(rng):
    return layers(rng, 0.2, 20)


def exploding(rng):
    return layers(rng, 20.0)


def saturated(rng):
    return layers(rng, 100.0, act="tanh")


def dead(rng):
    return layers(rng, bias=-100.0)


def holed(rng):
    model = layers(rng)
    model[1][0][0, 0] = np.nan
    return model


class Network(list):
    """A class is a factory too."""

    def __init__(self, rng):
        super().__init__(layers(rng))


def check(factory, **kwargs):
    return ic.check(factory, **{"inputs": INPUTS, **kwargs})


# -- verdicts --------------------------------------------------------------------------------------


def test_a_good_network_passes_every_invariant_in_three_replicates():
    report = check(good)
    assert report.ok
    assert report.replicates == 3
    assert report.seeds == 63
    assert (report.framework, report.findings, report.error) == ("numpy", (), None)
    assert {n: r.verdict for n, r in report.invariants.items()} == {
        "finite": "pass",
        "inputs": "pass",
        "variance": "pass",
        "saturation": "skipped",
        "dead-relu": "pass",
        "gradient": "pass",
        "trainable": "pass",
        "symmetry": "pass",
    }
    report.raise_if_failed()


@pytest.mark.parametrize(
    ("factory", "invariant", "raised"),
    [
        (vanishing, "variance", ic.VarianceViolation),
        (exploding, "variance", ic.VarianceViolation),
        (saturated, "saturation", ic.SaturationViolation),
        (dead, "dead-relu", ic.DeadReluViolation),
        (holed, "finite", ic.FiniteViolation),
    ],
)
def test_a_bad_network_fails_and_raises_the_error_of_its_invariant(factory, invariant, raised):
    report = check(factory)
    assert report.verdict == "fail"
    assert not report.ok
    assert report.invariants[invariant].verdict == "fail"
    assert invariant in {finding.invariant for finding in report.failures}
    with pytest.raises(raised) as caught:
        report.raise_if_failed(invariant)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.report is report


def test_raw_inputs_fail_and_raise_theirs():
    report = check(good, inputs=ic.uniform(WIDTH, high=255), only="inputs")
    with pytest.raises(ic.InputsViolation):
        report.raise_if_failed()


def test_every_invariant_has_its_own_error():
    assert tuple(errors.VIOLATIONS) == (*NAMES, DRIFT)
    assert len(set(errors.VIOLATIONS.values())) == len(errors.VIOLATIONS)


def test_raise_if_failed_can_be_narrowed():
    check(dead).raise_if_failed("saturation")


def test_a_failing_common_claim_takes_13_replicates():
    assert check(saturated, only="saturation").invariants["saturation"].replicates == 13


def test_only_checks_what_is_named_and_finite():
    assert list(check(dead, only="saturation").invariants) == ["finite", "saturation"]
    assert check(dead, only=["saturation"]).verdict == "pass"


def test_the_claims_that_were_judged_are_counted_and_bounded():
    report = check(good)
    assert report.claims == sum(result.claims for result in report.invariants.values())
    assert report.error_bound == pytest.approx(report.claims * 3.95e-13, rel=0.02)


def test_the_spread_over_seeds_is_shown():
    assert 0 < check(good).spread < 3


def test_the_sites_are_those_of_the_first_initialisation():
    rows = check(good).sites
    assert [row.name for row in rows[:3]] == ["input", "0", "0.relu"]
    assert rows[1].gain == pytest.approx(rows[1].second_moment / rows[0].second_moment)


# -- seeds -----------------------------------------------------------------------------------------


def summary(report):
    found = report.to_dict()
    found.pop("seconds")
    return found


def test_the_same_verdict_twice_in_any_order_and_whatever_the_global_state():
    factories = (good, vanishing, saturated)
    first = {f: summary(check(f)) for f in factories}
    random.seed(99)
    np.random.seed(99)
    assert {f: summary(check(f)) for f in reversed(factories)} == first


def test_ids_roots_and_examples_change_the_seeds():
    subject = Subject(good, "a", INPUTS, only=("variance",))
    variants = [
        subject,
        replace(subject, id="b"),
        replace(subject, root_seed=1),
        replace(subject, example={}, id="c"),
    ]
    lengths = {judge(item).sites[-1].second_moment for item in variants}
    assert len(lengths) == len(variants)


def test_drawn_arguments_are_passed_shown_and_change_the_seeds():
    def family(rng, depth):
        return layers(rng, depth=depth)

    reports = [judge(Subject(family, "f", INPUTS, {"depth": d}, ("variance",))) for d in (2, 3)]
    assert [report.example for report in reports] == ["depth=2", "depth=3"]
    assert [len(report.sites) for report in reports] == [6, 8]


def test_global_states_are_as_they_were():
    random.seed(3)
    np.random.seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist()

    def drawing():
        return layers(np.random.default_rng(random.getrandbits(32) + np.random.randint(9)))

    assert check(drawing).verdict == "pass"
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


# -- factories -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factory",
    [
        good,
        Network,
        lambda rng: layers(rng),
        lambda generator=None: layers(np.random.default_rng(np.random.randint(2**31))),
        lambda key: layers(np.random.default_rng(key)),
        functools.partial(layers, depth=2),
        functools.partial(lambda depth, rng: layers(rng, depth=depth), 2),
    ],
    ids=["function", "class", "lambda", "global", "key", "partial", "positional"],
)
def test_every_kind_of_factory(factory):
    report = check(factory, id="one")
    assert report.verdict == "pass", report.error


@pytest.mark.parametrize("arguments", ["width", "rng, key"])
def test_a_parameter_that_nothing_fills_is_a_wrong_argument(arguments):
    with pytest.raises(ic.ConfigError, match="needs arguments"):
        check(eval(f"lambda {arguments}: None"))


def test_a_deterministic_constant_init_is_judged():
    zeros = lambda: [(np.zeros((WIDTH, WIDTH)), None, "relu"), (np.zeros((WIDTH, 3)), None, None)]  # noqa: E731
    report = check(zeros)
    assert report.error is None
    assert report.invariants["dead-relu"].verdict == "fail"


ENTROPY = np.random.default_rng()


def tapping(w):
    return lambda x: ic.numpy.tap("fc", x @ w, weight=w)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: layers(ENTROPY), "draws from unseeded entropy: .* take rng"),
        (lambda: layers(np.random.default_rng(0)), "ignores the seed: .* remove the fixed seed"),
        (lambda: None, "the factory returned None; return the model"),
        (lambda: 5, "no probe for a model of type int; return a torch.nn.Module"),
        (lambda: lambda x: x, "no parameters, so there is no initialisation"),
        (lambda rng: tapping(rng.normal(size=(WIDTH, 3))), "no activation was seen.* ic.numpy.tap"),
    ],
    ids=["entropy", "fixed seed", "none", "unknown", "no parameters", "tapped"],
)
def test_a_model_that_cannot_be_judged(factory, message):
    report = check(factory)
    assert report.verdict == "error"
    assert not report.ok
    assert "\n" not in report.error
    assert re.search(message, report.error), report.error
    with pytest.raises(ic.InitCheckError):
        report.raise_if_failed()


def test_a_linear_model_is_judged_where_it_is_asked_for():
    linear = lambda rng: [(rng.normal(size=(WIDTH, 3)), None, None)]  # noqa: E731
    assert check(linear, only=["finite", "inputs"]).verdict == "pass"


def test_a_fixed_seed_is_seen_late_as_well():
    """A factory that cycles through four seeds is four draws, however often it is called."""
    seeds = itertools.cycle([0, 0, 1, 2, 3])  # the first replicate is built twice
    report = check(lambda: layers(np.random.default_rng(next(seeds)), 0.2, 20), only="variance")
    assert "ignores the seed" in (report.error or "")


def test_a_factory_that_raises_keeps_its_traceback():
    def broken():
        raise KeyError("layers")

    report = check(broken)
    assert report.error == "the factory broken raised KeyError: 'layers'"
    assert "in broken" in report.error_traceback
    assert "/pytest_initcheck/" not in report.error_traceback


def test_an_interrupt_passes_through_and_states_are_kept():
    random.seed(3)
    state = random.getstate()

    def interrupted():
        random.random()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(interrupted)
    assert random.getstate() == state


# -- inputs ----------------------------------------------------------------------------------------


def test_inferred_inputs():
    report = check(good, inputs=None)
    assert (report.verdict, report.inputs) == ("pass", "inferred")


def test_inputs_that_cannot_be_inferred():
    def tapping(rng):
        w = rng.normal(size=(4, 4))
        return lambda x: ic.numpy.tap("fc", x @ w, activation="relu", weight=w)

    assert "cannot be inferred" in check(tapping, inputs=None).error


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (ic.normal(WIDTH - 1), r"pass inputs=ic.normal\(32\)"),
        (np.full((8, WIDTH), np.nan, np.float32), "input holds 256 values that are NaN or infinite"),
        (np.full((8, WIDTH), np.inf, np.float32), "NaN or infinite"),
        (lambda rng: 1 / 0, "the inputs raised ZeroDivisionError: division by zero"),
        (ic.call(np.ones((4, WIDTH)), np.ones(3)), "one input array"),
        (np.ones((0, WIDTH)), "the inputs hold no samples"),
    ],
    ids=["shape", "nan", "inf", "raises", "several", "empty"],
)
def test_inputs_that_do_not_fit_are_one_clear_line(inputs, message):
    report = check(good, inputs=inputs)
    assert report.verdict == "error"
    assert re.search(message, report.error), report.error


@pytest.mark.parametrize(
    "inputs",
    [
        "normal:32@16",
        lambda rng: rng.standard_normal((16, WIDTH)),
        lambda rng: ic.normal(WIDTH, batch=16),
        np.random.default_rng(0).standard_normal((16, WIDTH)),
        INPUTS,
    ],
    ids=["text", "function", "function of rng", "batch", "distribution"],
)
def test_every_kind_of_inputs(inputs):
    assert check(good, inputs=inputs).verdict == "pass"


def test_a_loader_gives_the_first_element_of_its_first_batch():
    class Loader:
        def __iter__(self):
            yield np.random.default_rng(0).standard_normal((16, WIDTH)), np.zeros(16)

    assert check(good, inputs=Loader()).verdict == "pass"


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_small_real_batches_do_not_fail(batch):
    x = np.random.default_rng(0).standard_normal((batch, WIDTH))
    assert check(good, inputs=x).verdict == "pass"


@pytest.mark.parametrize("value", [0.5, 1.0])
def test_equal_samples_do_not_look_like_a_vanishing_signal(value):
    report = check(good, inputs=np.full((16, WIDTH), value))
    assert report.verdict == "pass"
    assert report.unobserved == (
        "gradient: all samples are equal: differences between inputs cannot be judged",
    )


# -- a built model ---------------------------------------------------------------------------------


def built(**kwargs):
    return layers(np.random.default_rng(0), **kwargs)


def test_of_a_built_model_facts_decide_and_the_rest_is_open():
    report = check(built(), id="built")
    assert report.verdict == "inconclusive"
    assert report.ok
    assert (report.invariants["finite"].verdict, report.invariants["inputs"].verdict) == ("pass", "pass")
    assert report.invariants["variance"].verdict == "inconclusive"
    assert all("pass the factory" in finding.message for finding in report.findings)
    assert {finding.severity for finding in report.findings} == {"warning"}
    assert report.seeds == 1
    report.raise_if_failed()


def test_under_strict_an_open_question_is_not_ok():
    report = check(built(), id="built", strict=True)
    assert not report.ok
    with pytest.raises(ic.InitCheckError):
        report.raise_if_failed()


@pytest.mark.parametrize(
    ("model", "invariant"),
    [(lambda: built(bias=-100.0), "dead-relu"), (lambda: holed(np.random.default_rng(0)), "finite")],
    ids=["dead", "nan"],
)
def test_facts_of_a_built_model_fail(model, invariant):
    report = check(model(), id="built")
    assert report.invariants[invariant].verdict == "fail"
    assert "a fact of this model" in next(f.proof for f in report.failures if f.invariant == invariant)


def test_raw_inputs_of_a_built_model_fail():
    report = check(built(), id="built", inputs=ic.uniform(WIDTH, high=255))
    assert report.invariants["inputs"].verdict == "fail"


def test_a_built_model_is_left_as_it_was():
    model = built()
    before = [w.copy() for w, _, _ in model]
    check(model, id="built")
    assert all((w == kept).all() for (w, _, _), kept in zip(model, before, strict=True))


# -- replicates and budgets ------------------------------------------------------------------------


def counting(factory):
    def counted(rng):
        counted.calls += 1
        return factory(rng)

    counted.calls = 0
    return counted


def test_narrow_and_deep_networks_take_several_seeds_per_replicate():
    def narrow(rng):
        return [(rng.normal(0, 0.5, (8, 8)), None, "relu") for _ in range(12)]

    report = check(narrow, inputs=ic.normal(8), only="variance")
    assert report.replicates == 3
    assert report.seeds > 3 * 8


def test_a_big_model_ends_rare_events_early_and_says_so(monkeypatch):
    factory = counting(good)
    monkeypatch.setattr(replicates, "_RARE_ELEMENTS", 1)
    report = check(factory)
    result = report.invariants["dead-relu"]
    assert (report.verdict, result.inits_wanted) == ("pass", 63)
    assert result.inits_seen == report.seeds < 63
    assert factory.calls == report.seeds + 1  # the first one is built twice


def test_a_big_model_takes_one_seed_per_replicate(monkeypatch):
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", 1)
    monkeypatch.setattr(replicates, "_RARE_ELEMENTS", 1)
    assert check(vanishing).seeds == 13
    assert check(good).seeds == 3


def sometimes_dead(every):
    """Each ``every``-th initialisation has a wholly dead layer, beside a path that lives."""
    count = itertools.count()

    def factory(rng):
        model = layers(rng)
        # the engine builds the first replicate twice
        if every and (number := next(count) - 1) > 0 and number % every == 0:
            model[2][1][:] = -1000.0
        return model

    return factory


def test_events_in_every_fifth_init_are_found_although_three_replicates_pass():
    report = check(sometimes_dead(5))
    assert report.invariants["dead-relu"].verdict == "fail"
    assert 7 * 5 <= report.seeds <= 256
    (finding,) = report.failures
    assert "seen in" in finding.proof


def test_an_event_makes_the_engine_draw_on_past_the_budget(monkeypatch):
    monkeypatch.setattr(replicates, "_RARE_ELEMENTS", 1)
    report = check(sometimes_dead(2))
    assert report.seeds > 3
    assert report.invariants["dead-relu"].verdict == "fail"


def test_one_event_in_hundreds_is_no_failure():
    report = check(sometimes_dead(60))
    assert report.invariants["dead-relu"].verdict in ("pass", "inconclusive")
    assert report.seeds > 63


# -- limits, allowances, sites ---------------------------------------------------------------------


def test_limits_and_their_sources():
    report = check(good, dead_relu=0.4)
    assert report.invariants["dead-relu"].limit == (0.0, 0.4)
    assert report.invariants["dead-relu"].limit_source == "call"
    assert report.invariants["variance"].limit_source == "default"


def test_a_declared_factory_brings_its_limits_inputs_and_allowances():
    declared = ic.model(inputs=INPUTS)(ic.bounded_saturation(0.99)(saturated))
    report = ic.check(declared)
    assert report.verdict == "pass"
    assert report.invariants["saturation"].limit_source == "@bounded_saturation"
    assert list(report.invariants) == ["finite", "saturation"]
    assert ic.check(declared, saturation=0.1).verdict == "fail"


def test_an_explicit_limit_is_taken_at_its_word():
    assert check(good, dead_relu=0.001, batch=8).invariants["dead-relu"].verdict == "fail"
    assert check(vanishing, variance=10).invariants["variance"].verdict == "fail"
    assert check(good, variance=10).invariants["variance"].verdict == "pass"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"varianse": 3}, "did you mean 'variance'"),
        ({"saturation": 2}, "must be above 0"),
        ({"saturation": "x"}, "wants a number"),
        ({"only": "varianse"}, "did you mean 'variance'"),
        ({"mode": "training"}, "mode is 'train' or 'eval'"),
        ({"seed": -1}, "whole number"),
        ({"inputs": 5}, "inputs cannot be int"),
        ({"inputs": "norml:3"}, "did you mean 'normal'"),
    ],
    ids=str,
)
def test_wrong_arguments_raise(limits, message):
    with pytest.raises(ic.ConfigError, match=message):
        check(good, **limits)


def allow(invariant, at):
    return ic.allow(invariant, at=at, reason="on purpose")


def test_a_known_deviation_is_allowed_by_place():
    report = check(saturated, allow=[allow("saturation", "*.tanh")], only="saturation")
    assert report.verdict == "pass"
    assert report.notes == ()
    assert check(saturated, allow=[allow("saturation", "0.tanh")], only="saturation").verdict == "fail"


def test_an_allowance_is_for_one_invariant():
    report = check(saturated, allow=[allow("variance", "*")], only=["saturation", "variance"])
    assert report.invariants["saturation"].verdict == "fail"
    assert report.invariants["variance"].verdict == "skipped"


def test_a_dead_layer_is_allowed_at_its_place_alone():
    """What follows a dead layer is dead as well."""
    report = check(sometimes_dead(2), allow=[allow("dead-relu", "[2345].relu")])
    assert report.invariants["dead-relu"].verdict == "pass"
    report = check(sometimes_dead(2), allow=[allow("dead-relu", "[345].relu")])
    assert report.invariants["dead-relu"].verdict == "fail"


def test_an_allowance_that_matches_nothing_is_reported():
    report = check(good, allow=[allow("saturation", "backbone.*")])
    assert report.notes == (
        "allow('saturation', at='backbone.*') matches nothing; remove it (on purpose)",
    )


def test_sites_are_left_out_by_glob():
    assert check(saturated, ignore_sites="*.tanh", only="saturation").verdict == "pass"
    assert check(saturated, ignore_sites=["0.*", "1.*"], only="saturation").verdict == "fail"


def test_undecidable_is_inconclusive_after_64_replicates(monkeypatch):
    """A claim that every second initialisation violates is neither."""
    count = itertools.count()

    def alternating(rng):
        # the engine builds the first replicate twice
        return layers(rng, (0.01, 100.0)[max(next(count) - 1, 0) % 2], act="tanh")

    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", 1)
    report = check(alternating, only="saturation")
    assert report.verdict == "inconclusive"
    assert "undecided, 32 of 64 outside" in report.findings[0].message
    assert "too many to pass, too few to fail" in report.findings[0].proof
    assert "p <" not in report.findings[0].proof, "nothing is proved"
    assert report.ok


def test_a_factory_that_answers_one_seed_differently_is_unseeded():
    count = itertools.count()
    report = check(lambda rng: layers(rng, (1.0, 2.0)[next(count) % 2]))
    assert "unseeded entropy" in report.error


def test_a_subject_of_defaults_is_the_same_as_check():
    direct = judge(Subject(good, "good", INPUTS, limits=resolve(), plots=True))
    assert summary(direct) == summary(check(good, id="good"))


def test_check_is_public():
    assert ic.check is engine.check
