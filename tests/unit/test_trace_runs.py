"""Reading a trace as a graph, on traces written by hand."""

from __future__ import annotations

import math

import pytest

from pytest_initcheck import runs
from pytest_initcheck.trace import CALL_ELEMENTS, InputColumns, Moments, Parameter, Site, Trace


def moments(variance: float, mean: float = 0.0) -> Moments:
    return Moments(64, mean, variance + mean**2, variance, -1.0, 1.0, 0)


def site(index: int, kind: str, *reads: int, variance: float = 1.0, op: str = "", **extra) -> Site:
    return Site(index, f"s{index}", kind, op or kind, reads, 8, moments(variance), **extra)


def relu(index: int, *reads: int, **extra) -> Site:
    return site(index, "activation", *reads, activation="relu", dead=0.0, **extra)


def sigmoid(index: int, *reads: int, **extra) -> Site:
    return site(index, "activation", *reads, activation="sigmoid", saturated=0.0, **extra)


def trace(*sites: Site, inputs: tuple[InputColumns, ...] = ()) -> Trace:
    last = len(sites) - 1
    return Trace("numpy", 64, sites, inputs, (), last, last, None)


def indices(sites) -> list[int]:
    return [item.index for item in sites]


PLAIN = trace(
    site(0, "input"),
    site(1, "linear", 0),
    relu(2, 1),
    site(3, "linear", 2),
    relu(4, 3),
    site(5, "linear", 4),
)
NORMED = trace(
    site(0, "input"),
    site(1, "linear", 0),
    site(2, "norm", 1, op="batch_norm"),
    relu(3, 2),
    site(4, "linear", 3),
    relu(5, 4),
    site(6, "linear", 5),
)


def test_elements_count_parameters_values_and_calls():
    weight = Parameter("w", (2, 3), 6, 0.0, 1.0, False, 0)
    counted = Trace("numpy", 64, PLAIN.sites, (), (weight,), 5, 5, None)
    assert counted.elements == 6 + 6 * 64 + 6 * CALL_ELEMENTS


def test_a_weight_in_the_scale_of_the_length_map():
    assert Parameter("w", (50, 4), 200, 0.0, 0.04, False, 0, fan_in=50).sigma_w2 == pytest.approx(2.0)


def test_moments_with_a_nan_are_not_finite():
    assert moments(1.0).finite
    assert not Moments(2, 0.0, 1.0, 1.0, 0.0, 1.0, 1).finite


def test_readers_turn_the_reads_around():
    assert runs.readers(PLAIN) == ((1,), (2,), (3,), (4,), (5,), ())


def test_the_signal_path_runs_from_the_input_to_the_logits():
    assert indices(runs.signal_path(PLAIN)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("skip", "branch", "expected"), [(9.0, 1.0, [0, 2]), (1.0, 9.0, [0, 1, 2])])
def test_at_an_addition_the_path_follows_the_larger_signal(skip, branch, expected):
    graph = trace(
        site(0, "input", variance=skip), site(1, "linear", 0, variance=branch), site(2, "add", 0, 1)
    )
    assert indices(runs.signal_path(graph)) == expected


def test_at_a_gate_the_path_follows_what_is_gated():
    graph = trace(
        site(0, "input"),
        site(1, "linear", 0, variance=0.1),
        sigmoid(2, 0, variance=5.0),
        site(3, "mul", 1, 2),
    )
    assert indices(runs.signal_path(graph)) == [0, 1, 3]


def test_an_operand_that_is_not_finite_is_not_followed():
    graph = trace(
        site(0, "input"),
        site(1, "linear", 0, variance=math.nan),
        site(2, "linear", 0, variance=0.1),
        site(3, "add", 1, 2),
    )
    assert indices(runs.signal_path(graph)) == [0, 2, 3]


def test_without_logits_there_is_no_path_and_no_stretch():
    unseen = Trace("torch", 64, PLAIN.sites, (), (), -1, -1, None)
    assert runs.signal_path(unseen) == ()
    assert runs.last_stretch(unseen) == ((), ())


def test_one_run_without_norms_and_the_head_is_left_out():
    (run,) = runs.runs(PLAIN)
    assert run.last
    assert run.plain
    assert [(layer.site.index, layer.reads_through, layer.followed_by) for layer in run.layers] == [
        (1, "identity", "relu"),
        (3, "relu", "relu"),
    ]


def test_a_normalisation_cuts_the_path_into_runs():
    first, last = runs.runs(NORMED)
    assert (indices(layer.site for layer in first.layers), first.last) == ([1], False)
    assert (indices(layer.site for layer in last.layers), last.last) == ([4], True)
    assert last.origin.index == 2


@pytest.mark.parametrize("between", ["add", "pool", "mul"])
def test_a_run_with_more_than_layers_and_activations_is_not_plain(between):
    graph = trace(site(0, "input"), site(1, "linear", 0), site(2, between, 1), site(3, "linear", 2))
    assert not runs.runs(graph)[0].plain


def test_a_convolution_is_not_plain():
    graph = trace(site(0, "input"), site(1, "linear", 0, op="conv"), relu(2, 1), site(3, "linear", 2))
    assert not runs.runs(graph)[0].plain


def test_the_spread_of_a_run_grows_with_depth():
    shallow, deep = runs.runs(NORMED)[0], runs.runs(PLAIN)[0]
    assert runs.run_spread(shallow)[1] < runs.run_spread(deep)[1]


def test_the_last_stretch_holds_everything_since_the_last_norm():
    inside, origins = runs.last_stretch(NORMED)
    assert indices(inside) == [3, 4, 5, 6]
    assert indices(origins) == [2]


def test_the_last_stretch_walks_back_both_operands_of_an_addition():
    graph = trace(
        site(0, "input"), site(1, "linear", 0), site(2, "linear", 0, variance=9.0), site(3, "add", 1, 2)
    )
    assert indices(runs.last_stretch(graph)[0]) == [1, 2, 3]


def test_an_output_that_squashes_is_not_hidden():
    hidden = trace(site(0, "input"), sigmoid(1, 0), site(2, "linear", 1))
    closing = trace(site(0, "input"), site(1, "linear", 0), sigmoid(2, 1))
    assert indices(runs.hidden_bounded(hidden)) == [1]
    assert runs.hidden_bounded(closing) == ()


def test_a_closing_rectifier_counts():
    assert indices(runs.rectifiers(trace(site(0, "input"), relu(1, 0)))) == [1]


def test_rectifier_depth_starts_anew_behind_a_batch_norm_alone():
    assert runs.rectifier_depths(PLAIN)[4] == 2
    normed = trace(site(0, "input"), relu(1, 0), site(2, "norm", 1, op="batch_norm"), relu(3, 2))
    assert runs.rectifier_depths(normed)[3] == 1
    layer = trace(site(0, "input"), relu(1, 0), site(2, "norm", 1, op="layer_norm"), relu(3, 2))
    assert runs.rectifier_depths(layer)[3] == 2


def test_the_weight_layer_that_feeds_a_site():
    assert runs.layer_before(NORMED, NORMED.sites[3]).index == 1
    assert runs.layer_before(NORMED, NORMED.sites[0]).index == 0


def test_the_activation_behind_a_layer_is_found_through_a_norm_but_not_a_layer():
    assert runs.activation_after(NORMED, NORMED.sites[1]) == "relu"
    assert runs.activation_after(NORMED, NORMED.sites[6]) is None


def test_ids_and_masks_have_no_scale():
    ids = InputColumns("input0", (64, 8), moments(1e5), True)
    real = InputColumns("input1", (64, 8), moments(1.0), False)
    graph = trace(site(0, "input"), site(1, "input"), site(2, "add", 0, 1), inputs=(ids, real))
    assert runs.exempt_inputs(graph) == {0}
