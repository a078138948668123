"""Each invariant passes where it should and fails where it should, on layer lists and real limits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pytest_initcheck import theory
from pytest_initcheck.config import resolve
from pytest_initcheck.inputs import Call, parse
from pytest_initcheck.invariants import dead_relu, finite, inputs, saturation, variance
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.trace import Moments

X = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)


def net(act="relu", sigma_w2=2.0, *, depth=4, width=32, head=1.0, bias=0.0, closing=None, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda s, m=width: rng.normal(0, math.sqrt(s / width), (width, m))  # noqa: E731
    hidden = [(draw(sigma_w2), np.full(width, bias), act) for _ in range(depth)]
    return [*hidden, (draw(head, 5), np.zeros(5), closing)]


def trace(model, x=X):
    return probe.trace(model, Call((x,), {}), mode="train", seed=1)


def measured(module, model, x=X, seeds=1, **limits):
    found = module.measure(trace(model, x), resolve(("call", limits)), seeds)
    return {measure.claim: measure for measure in found}


def violated(module, model, x=X, seeds=1, **limits):
    return {name for name, m in measured(module, model, x, seeds, **limits).items() if m.violated}


# -- finite ----------------------------------------------------------------------------------------


def test_a_finite_model_is_finite():
    assert violated(finite, net()) == set()
    assert all(m.fact and m.fatal for m in measured(finite, net()).values())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_parameter_is_named_with_its_site(bad):
    model = net()
    model[2][0][3, 3] = bad
    found = measured(finite, model)
    assert found["parameters"].violated
    assert (found["parameters"].note, found["parameters"].site) == ("2.W", 5)
    assert found["values"].site == 5


def test_values_that_overflow_without_a_bad_parameter():
    model = net(sigma_w2=1e200)
    assert "values" in violated(finite, model)
    assert "parameters" not in violated(finite, model)


def test_gradients_that_are_not_finite():
    found = trace(net())
    broken = dataclasses.replace(found, gradient=dataclasses.replace(found.gradient, non_finite=("2",)))
    by_claim = {m.claim: m for m in finite.measure(broken, resolve(), 1)}
    assert by_claim["gradients"].violated
    assert by_claim["gradients"].note == "2"


def with_infinite(trace_, index, follower, output=False):
    """The trace with one site that holds an infinity, read by a site of this kind."""
    sites = list(trace_.sites)
    bad = Moments(8, 0.0, 1.0, math.nan, -1.0, 1.0, 3)
    sites[index] = dataclasses.replace(sites[index], value=bad)
    if not output:
        sites[index + 1] = dataclasses.replace(sites[index + 1], kind=follower, op=follower)
    return dataclasses.replace(trace_, sites=tuple(sites))


@pytest.mark.parametrize(
    ("follower", "bad"),
    [
        ("softmax", False),
        ("max", False),
        ("exp", False),
        ("slice", False),
        ("tanh", True),
        ("linear", True),
    ],
)
def test_a_mask_that_a_softmax_takes_back_is_finite_and_an_overflow_is_not(follower, bad):
    masked = with_infinite(trace(net()), 3, follower)
    found = {m.claim: m for m in finite.measure(masked, resolve(), 1)}
    assert found["values"].violated is bad


def test_what_nobody_reads_harms_nothing():
    found = with_infinite(trace(net()), 3, "linear")
    sites = [dataclasses.replace(s, reads=tuple(r for r in s.reads if r != 3)) for s in found.sites]
    unread = dataclasses.replace(found, sites=tuple(sites))
    assert not {m.claim: m for m in finite.measure(unread, resolve(), 1)}["values"].violated


def test_an_infinite_output_is_no_mask():
    found = trace(net())
    masked = with_infinite(found, len(found.sites) - 1, "", output=True)
    assert {m.claim: m for m in finite.measure(masked, resolve(), 1)}["values"].violated


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "claims"),
    [
        ("normal:32", set()),
        ("uniform(0,1):32", set()),
        ("uniform(-1,1):32", set()),
        ("uniform(0,5):32", set()),
        ("uniform(0,255):32", {"input/scale"}),
        ("normal(10,1):32", {"input/scale"}),
    ],
)
def test_the_scale_of_the_inputs(spec, claims):
    x = parse(spec).sample(np.random.default_rng(0), 64)
    assert violated(inputs, net(), x) == claims


def test_whole_numbers_that_a_layer_reads_are_no_ids():
    x = np.random.default_rng(0).integers(0, 256, (64, 32)).astype(np.uint8)
    assert violated(inputs, net(), x) == {"input/scale"}
    assert violated(inputs, net(), x % 2) == set()


def test_columns_of_very_different_scale():
    x = X.copy()
    x[:, 7] *= 1e-4
    found = measured(inputs, net(), x)
    assert found["input/columns"].violated
    assert found["input/columns"].note.endswith("against column 7")
    assert not measured(inputs, net(), x, input_columns=1e6)["input/columns"].violated


def test_the_limit_of_the_second_moment():
    assert violated(inputs, net(), 2 * X, input_second_moment=3.0) == {"input/scale"}


@pytest.mark.parametrize(
    ("x", "claims"),
    [
        (X, set()),
        (X + 0.5, {"input/mean"}),
        (1.5 * X, {"input/std"}),
        (0.7 * X, {"input/std"}),
        (1.2 * X + 0.2, set()),
    ],
    ids=["standard", "offset", "wide", "narrow", "near"],
)
def test_mean_and_deviation_when_asked(x, claims):
    assert violated(inputs, net(), x, input_mean=0.0, input_std=1.0) == claims


def test_one_hot_rows_are_not_judged():
    assert measured(inputs, net(), np.eye(32)[np.arange(64) % 32]) == {}


# -- variance, unasked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "sigma_w2", "depth"),
    [("relu", 2.0, 20), ("tanh", 1.0, 20), ("tanh", 25 / 9, 20), ("selu", 1.0, 20), ("elu", 1.55, 20)],
)
def test_matched_nets_are_harmless(act, sigma_w2, depth):
    assert violated(variance, net(act, sigma_w2, depth=depth)) == set()


@pytest.mark.parametrize(
    ("act", "sigma_w2", "claim"),
    [
        ("relu", 0.5, "vanishing"),
        ("tanh", 0.05, "vanishing"),
        ("relu", 8.0, "exploding"),
        ("relu", 8.0, "growth"),
    ],
)
def test_nets_that_vanish_or_explode(act, sigma_w2, claim):
    found = measured(variance, net(act, sigma_w2, depth=20), seeds=4)
    assert found[claim].violated
    assert found[claim].direction == ("vanishing" if claim == "vanishing" else "exploding")


def test_a_zero_head_is_harmless():
    assert violated(variance, net(head=0.0)) == set()


def test_vanishing_is_neutral_where_nothing_moves_and_ignored_input_reports_it():
    found = trace(net("softplus", 1.0))
    stuck = dataclasses.replace(found.gradient, difference=0.0, live_matrices=0)
    ignoring = dataclasses.replace(found, gradient=stuck)
    by_claim = {m.claim: m for m in variance.measure(ignoring, resolve(), 1)}
    assert by_claim["vanishing"].value is None
    assert by_claim["ignored-input"].violated


def test_a_dead_layer_is_for_dead_relu_to_report():
    found = measured(variance, net(bias=-100.0))
    assert found["vanishing"].value is None
    assert not found["ignored-input"].violated


def test_unseen_gradients_are_vacuous():
    model = dataclasses.replace(trace(net()), gradient=None)
    found = {m.claim: m for m in variance.measure(model, resolve(), 1)}
    assert "gradients were not seen" in found["vanishing"].vacuous


def test_a_net_too_narrow_for_its_depth_is_vacuous():
    found = measured(variance, net(width=8, depth=400), X[:, :8])
    assert "luck alone" in found["vanishing"].vacuous


def test_ids_do_not_excuse_growth():
    model = net(sigma_w2=8.0, depth=6, head=1e-6)
    found = trace(model)
    ids = dataclasses.replace(
        found,
        inputs=tuple(dataclasses.replace(c, exempt=True) for c in found.inputs),
        sites=(
            dataclasses.replace(found.sites[0], value=Moments(64, 0, 1e9, 1e9, 0, 1e5, 0)),
            *found.sites[1:],
        ),
    )
    assert {m.claim: m for m in variance.measure(ids, resolve(), 4)}["growth"].violated


def test_more_seeds_for_deeper_and_narrower_nets():
    wanted = lambda **shape: variance.seeds_wanted(trace(net(**shape)), resolve())  # noqa: E731
    assert wanted(depth=2) < wanted(depth=20)


# -- variance, asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "sigma_w2"), [("relu", 2.0), ("tanh", 1.0), ("tanh", 25 / 9), ("selu", 1.0)]
)
def test_matched_nets_follow_the_length_map(act, sigma_w2):
    found = measured(variance, net(act, sigma_w2, depth=20), seeds=16, variance=10)
    assert found
    assert not [name for name, m in found.items() if m.violated]


@pytest.mark.parametrize(
    ("act", "sigma_w2", "direction"),
    [("relu", 1.0, "vanishing"), ("relu", 4.0, "exploding"), ("tanh", 0.25, "vanishing")],
)
def test_nets_that_leave_the_length_map(act, sigma_w2, direction):
    found = measured(variance, net(act, sigma_w2, depth=20), seeds=16, variance=10)
    directions = {m.direction for m in found.values() if m.violated}
    assert directions == {direction}


def test_each_layer_is_compared_with_the_input_that_it_read():
    """Two faults that compensate: neither hides the other, and only the first layers are accused."""
    model = net(depth=10)
    model[2] = (model[2][0] * 10, *model[2][1:])
    model[4] = (model[4][0] / 10, *model[4][1:])
    names = {
        name.partition("/")[0]
        for name, m in measured(variance, model, seeds=16, variance=10).items()
        if m.violated and "steps" in name
    }
    assert names == {"2", "3"}


def test_the_limit_is_the_factor():
    model = net(sigma_w2=2 * 1.5, depth=8)
    assert not violated(variance, model, seeds=16, variance=100)
    assert violated(variance, model, seeds=16, variance=5)


# -- saturation ------------------------------------------------------------------------------------


def test_tanh_under_xavier_is_responsive_and_pinned_units_are_not():
    assert violated(saturation, net("tanh", 1.0)) == set()
    assert violated(saturation, net("tanh", 25 / 9)) == set()
    assert violated(saturation, net("tanh", 100.0)) == {f"{i}.tanh" for i in range(4)}


def test_the_limit_of_saturation():
    assert violated(saturation, net("tanh", 25 / 9), saturation=0.01)
    assert not violated(saturation, net("tanh", 100.0), saturation=0.99)


def test_an_output_may_be_saturated():
    assert violated(saturation, net("relu", closing="sigmoid", head=1e6)) == set()


def test_rectifiers_have_no_saturation():
    assert measured(saturation, net()) == {}


def test_small_layers_want_more_seeds():
    wide, narrow = trace(net("tanh")), trace(net("tanh", width=8), X[:, :8])
    assert saturation.seeds_wanted(wide, resolve()) < saturation.seeds_wanted(narrow, resolve())


# -- dead-relu -------------------------------------------------------------------------------------


def test_a_he_net_lives_at_any_depth():
    assert violated(dead_relu, net(depth=1)) == set()
    assert violated(dead_relu, net(depth=30)) == set()


def test_a_negative_bias_kills_the_first_layer_and_with_it_the_network():
    found = measured(dead_relu, net(bias=-100.0))
    assert found["0.relu"].violated
    assert found["network"].violated
    assert not found["layer"].violated


def test_a_dead_layer_beside_a_live_path_is_a_dead_layer():
    found = trace(net())
    sites = list(found.sites)
    sites[4] = dataclasses.replace(sites[4], dead=1.0)
    beside = dataclasses.replace(found, sites=tuple(sites))
    by_claim = {m.claim: m for m in dead_relu.measure(beside, resolve(), 1)}
    assert by_claim["layer"].violated
    assert by_claim["layer"].site == 4
    assert not by_claim["network"].violated


def test_the_limit_of_dead_units_and_what_a_matched_init_shows():
    model = net(depth=30)
    found = measured(dead_relu, model, dead_relu=0.01)
    last = found["29.relu"]
    assert last.violated
    assert last.limit == (0.0, 0.01)
    expected = theory.dead_fraction(30, 64)
    assert f"a matched init shows {100 * expected:.0f} %" in last.note


def test_unasked_half_of_what_a_matched_net_keeps_may_die():
    last = measured(dead_relu, net(depth=30))["29.relu"]
    assert last.limit[1] == pytest.approx(0.5 + 0.5 * theory.dead_fraction(30, 64), abs=0.02)


def test_correlated_inputs_are_taken_into_account():
    centred = measured(dead_relu, net())["0.relu"].limit[1]
    offset = measured(dead_relu, net(), X + 2)["0.relu"].limit[1]
    assert centred < offset


@pytest.mark.parametrize(("width", "vacuous"), [(1, True), (4, True), (8, False), (16, False)])
def test_layers_too_narrow_to_be_tested_are_vacuous(width, vacuous):
    found = measured(dead_relu, net(width=width), X[:, :width])
    assert (found["layer"].vacuous is not None) is vacuous


def test_a_network_gets_no_allowance_for_its_narrow_layers():
    found = measured(dead_relu, net(width=2), X[:, :2])
    assert found["network"].vacuous is None
    assert found["network"].fatal == (0.001, 0.1)


def test_the_allowance_of_a_dead_layer_is_its_theory():
    luck = 1 - (1 - 2.0**-6) ** 4
    p0, p1 = measured(dead_relu, net(width=6), X[:, :6])["layer"].fatal
    assert (p0, p1) == (pytest.approx(luck), pytest.approx(10 * luck))


def test_a_tanh_net_has_no_rectifiers():
    assert measured(dead_relu, net("tanh")) == {}
