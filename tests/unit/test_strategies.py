"""The strategies: what they draw, towards what they shrink, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
import re
import typing

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument, NoSuchExample

from pytest_initcheck import inputs, theory
from pytest_initcheck import strategies as ist
from pytest_initcheck.activations import NAMES, Family, activation
from pytest_initcheck.initializers import (
    conv,
    dense,
    he_normal,
    library_schemes,
    matched,
    named_schemes,
)
from pytest_initcheck.initializers.layer_kinds import grouped_conv
from pytest_initcheck.initializers.layers import Kind
from pytest_initcheck.networks import TEXTBOOK_ACTIVATIONS, NetworkSpec, textbook_depth

QUIET = settings(
    derandomize=True, database=None, max_examples=1000, suppress_health_check=list(HealthCheck)
)
ALL = {
    "input_distributions": ist.input_distributions(),
    "images": ist.input_distributions(shape=(3, 8, 8)),
    "layer_shapes": ist.layer_shapes(),
    "activations": ist.activations(),
    "initializers": ist.initializers(),
    "matched initializers": ist.initializers(activation="tanh"),
    "networks": ist.networks(),
    "numpy networks": ist.networks(framework="numpy", matching=False),
    "networks of every kind": ist.networks(
        kinds=("mlp", "convnet", "residual", "transformer", "rnn"), max_width=32, max_depth=4
    ),
    "numpy networks of every kind": ist.networks(
        framework="numpy", kinds=("mlp", "residual", "rnn"), max_width=32, max_depth=4
    ),
}


ADDRESS = re.compile("0x[0-9a-f]{6,}")


def simplest(strategy, such_that=lambda example: True):
    return find(strategy, such_that, settings=QUIET)


def reaches(strategy, such_that) -> bool:
    try:
        simplest(strategy, such_that)
    except NoSuchExample:
        return False
    return True


def scalars(example):
    """Every scalar of a drawn specification, with the name of its field."""
    if dataclasses.is_dataclass(example):
        for field in dataclasses.fields(example):
            for _, value in scalars(getattr(example, field.name)):
                yield field.name, value
    elif isinstance(example, tuple):
        for item in example:
            yield from scalars(item)
    else:
        yield "", example


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
@settings(max_examples=40)
@given(data=st.data())
def test_an_example_is_a_small_specification_without_seeds_or_array_elements(strategy, data):
    example = data.draw(strategy)
    values = list(scalars(example))
    assert len(values) < 200
    for name, value in values:
        assert "seed" not in name
        assert value is None or type(value) in (int, float, str, bool)
        # a seed drawn from 32 bits would show as a large number
        assert not isinstance(value, int) or value < 2**16
    assert isinstance(example, str) or hash(example) == hash(dataclasses.replace(example))


@pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
@settings(max_examples=20)
@given(data=st.data())
def test_no_text_contains_an_address(strategy, data):
    example = data.draw(strategy)
    for text in (repr(strategy), repr(example), getattr(example, "text", "")):
        assert not ADDRESS.search(text)


def test_an_address_would_be_found():
    assert ADDRESS.search(repr(object()))


def test_a_strategy_shows_the_arguments_that_made_it():
    assert repr(ist.layer_shapes(max_width=32)) == "layer_shapes(max_width=32)"


def test_the_arguments_are_keywords():
    for function in (
        ist.input_distributions,
        ist.layer_shapes,
        ist.activations,
        ist.initializers,
        ist.networks,
    ):
        with pytest.raises(TypeError, match="positional"):
            function("relu")


@pytest.mark.parametrize(
    ("strategy", "target"),
    [
        (ist.input_distributions(), inputs.normal(8)),
        (ist.input_distributions(shape=(3, 4, 5)), inputs.normal(3, 4, 5)),
        (ist.input_distributions(min_std=1.5, min_features=3), inputs.normal(3, std=1.5)),
        (ist.input_distributions(max_std=0.5), inputs.normal(8, std=0.5)),
        (ist.layer_shapes(), dense(8, 8)),
        (ist.layer_shapes(kinds=("conv",), min_width=2), conv(2, 2, 3, 3)),
        (
            ist.layer_shapes(kinds=("grouped_conv",), min_width=2),
            grouped_conv(2, 2, 3, 3, groups=1),
        ),
        (ist.activations(), "relu"),
        (ist.activations(families=("bounded",)), "tanh"),
        (ist.initializers(), he_normal()),
        (ist.initializers(activation="tanh"), matched("tanh")[0]),
        (ist.networks(), NetworkSpec((16, 16, 1), "relu", he_normal(), framework="torch")),
        (
            ist.networks(framework="numpy", min_width=5, min_depth=3),
            NetworkSpec((5, 5, 5, 5, 1), "relu", he_normal()),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, st.SearchStrategy) else "",
)
def test_examples_shrink_to_the_textbook_case(strategy, target):
    assert simplest(strategy) == target


def test_shrinking_keeps_what_fails_and_simplifies_the_rest():
    spec = simplest(ist.networks(framework="numpy"), lambda spec: spec.depth > 13)
    assert spec == NetworkSpec((16,) * 14 + (1,), "relu", he_normal())
    assert simplest(ist.layer_shapes(), lambda layer: layer.fan_in > 40) == dense(41, 8)
    assert simplest(
        ist.input_distributions(), lambda d: d.mean < -1.5 if d.text[0] == "n" else False
    ) == (inputs.normal(8, mean=-1.51))


@given(ist.input_distributions(min_features=3, max_features=9, max_mean=1.5, min_std=0.3, max_std=1.2))
def test_inputs_keep_their_bounds_and_their_text_reads_back(distribution):
    assert inputs.parse(distribution.text) == distribution
    x = distribution.sample(np.random.default_rng(0), 2)
    assert 3 <= x.shape[1] <= 9
    if isinstance(distribution, inputs.Uniform):
        mean = (distribution.low + distribution.high) / 2
        std = (distribution.high - distribution.low) / math.sqrt(12)
    else:
        mean, std = distribution.mean, distribution.std
    assert abs(mean) <= 1.5
    assert 0.3 - 1e-4 <= std <= 1.2 + 1e-4
    assert distribution.second_moment == pytest.approx(mean**2 + std**2)


def test_inputs_of_every_kind_are_reached():
    flat, image = ist.input_distributions(), ist.input_distributions(shape=(1, 8, 8))
    for such_that in (
        lambda d: isinstance(d, inputs.Uniform) and (d.low, d.high) == (0, 1),
        lambda d: isinstance(d, inputs.Uniform) and (d.low, d.high) == (-1, 1),
        lambda d: isinstance(d, inputs.Normal) and d.mean < 0 and d.std > 1,
    ):
        assert reaches(flat, such_that)
    assert reaches(image, lambda d: isinstance(d, inputs.Images))
    assert not reaches(flat, lambda d: isinstance(d, inputs.Images))
    assert not reaches(ist.input_distributions(max_mean=0.0), lambda d: d.second_moment > 4.001)


@given(ist.layer_shapes(min_width=4, max_width=20))
def test_layers_keep_their_bounds(layer):
    assert 4 <= layer.inputs <= 20
    assert 4 <= layer.units // layer.blocks <= 20
    assert bool(layer.kernel) == ("conv" in layer.kind)
    assert layer.stride <= min(layer.kernel, default=1)
    assert he_normal().sample(np.random.default_rng(0), layer).shape == layer.shape


@pytest.mark.parametrize("kind", typing.get_args(Kind))
def test_every_kind_of_layer_is_reached_and_can_be_left_out(kind):
    assert reaches(ist.layer_shapes(), lambda layer: layer.kind == kind)
    others = tuple(each for each in typing.get_args(Kind) if each != kind)
    assert not reaches(ist.layer_shapes(kinds=others), lambda layer: layer.kind == kind)


@pytest.mark.parametrize("family", typing.get_args(Family))
def test_a_family_narrows_the_activations(family):
    strategy = ist.activations(families=(family,))
    assert not reaches(strategy, lambda name: activation(name).family != family)
    for name in NAMES:
        if activation(name).family == family:
            assert reaches(strategy, lambda drawn, name=name: activation(drawn) is activation(name))


def test_any_named_scheme_or_those_that_match():
    for scheme in (*named_schemes(), *library_schemes()[::8]):
        assert reaches(ist.initializers(), lambda drawn, scheme=scheme: drawn == scheme)
    strategy = ist.initializers(activation="gelu")
    for scheme in matched("gelu"):
        assert reaches(strategy, lambda drawn, scheme=scheme: drawn == scheme)
    assert not reaches(strategy, lambda drawn: drawn not in matched("gelu"))


@given(ist.networks(framework="numpy", min_width=20, max_width=60, min_depth=2, max_depth=9))
def test_matched_networks_are_textbook_correct(spec):
    *hidden, outputs = spec.widths[1:]
    assert 2 <= len(hidden) <= 9
    assert {hidden[0]} == set(hidden)
    assert 20 <= hidden[0] <= 60
    assert spec.features in (hidden[0], round(hidden[0] / 2), 2 * hidden[0])
    assert 1 <= outputs <= 16
    assert spec.activation in TEXTBOOK_ACTIVATIONS
    assert spec.scheme in matched(spec.activation)
    assert len(hidden) <= textbook_depth(spec.activation, hidden[0])
    assert (spec.first_gain == 1.0) == (theory.length_slope(spec.activation) > 1.0001)
    layers = spec.factory()(np.random.default_rng(0))
    assert [w.shape for w, _, _ in layers] == [layer.shape for layer in spec.layers]


@given(ist.networks(framework="numpy", matching=False))
def test_networks_that_need_not_match_are_of_any_named_scheme(spec):
    assert spec.first_gain is None
    assert spec.scheme in named_schemes()


def test_networks_reach_every_textbook_activation_and_both_wrong_and_right_schemes():
    for name in TEXTBOOK_ACTIVATIONS:
        assert reaches(ist.networks(), lambda spec, name=name: spec.activation == name)
    anything = ist.networks(matching=False, activation="relu")
    assert reaches(anything, lambda spec: spec.scheme not in matched("relu"))
    assert reaches(anything, lambda spec: spec.scheme in matched("relu"))
    assert simplest(ist.networks(batch_norm=True)).batch_norm


@given(st.data(), st.sampled_from(("gelu", "silu", "mish")), st.integers(1, 12))
def test_an_unstable_activation_gets_the_width_that_its_depth_needs(data, name, depth):
    assume(textbook_depth(name, 256) >= depth)
    spec = data.draw(
        ist.networks(framework="numpy", activation=name, min_depth=depth, max_depth=depth, max_width=256)
    )
    assert len(spec.widths) == depth + 2
    assert textbook_depth(name, spec.widths[1]) >= depth


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (ist.input_distributions, {"min_features": 0}, "min_features=0 must be at least 1"),
        (
            ist.input_distributions,
            {"min_features": 9, "max_features": 8},
            "must not be above max_features=8",
        ),
        (ist.input_distributions, {"min_std": 0.0}, "min_std=0 must be at least 0.01"),
        (ist.input_distributions, {"min_std": 3.0}, "min_std=3 must not be above max_std=2"),
        (ist.input_distributions, {"max_mean": -1.0}, "max_mean=-1 must not be negative"),
        (ist.input_distributions, {"shape": (3, 0)}, "the smallest side of shape=0 must be at least 1"),
        (ist.layer_shapes, {"kinds": ("dence",)}, "kinds has no 'dence'; did you mean 'dense'?"),
        (ist.layer_shapes, {"kinds": ()}, "must be a tuple of at least one of dense, conv"),
        (ist.layer_shapes, {"kinds": "dense"}, "must be a tuple"),
        (ist.layer_shapes, {"min_width": 300}, "min_width=300 must not be above max_width=256"),
        (
            ist.activations,
            {"families": ("bounde",)},
            "families has no 'bounde'; did you mean 'bounded'?",
        ),
        (ist.initializers, {"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'?"),
        (
            ist.networks,
            {"framework": "tensorflow"},
            "framework has no 'tensorflow'; known: jax, keras, numpy, torch",
        ),
        (ist.networks, {"activation": "tahn"}, "unknown activation 'tahn'; did you mean 'tanh'?"),
        (ist.networks, {"min_depth": 0}, "min_depth=0 must be at least 1"),
        (ist.networks, {"min_depth": 30}, "min_depth=30 must not be above max_depth=20"),
        (
            ist.networks,
            {"batch_norm": True, "framework": "numpy"},
            "batch_norm=True needs framework='torch'",
        ),
        (
            ist.networks,
            {"activation": "silu", "min_depth": 20},
            "max_width=128 does not carry min_depth=20 layers of silu; widen it, or pass matching=False",
        ),
    ],
)
def test_wrong_arguments_are_named_when_drawn_not_when_written(make, arguments, message):
    strategy = make(**arguments)
    with pytest.raises(InvalidArgument) as caught:
        simplest(strategy)
    assert message in str(caught.value)


def test_every_kind_of_network_is_drawn_and_the_first_is_the_simplest():
    kinds = ("mlp", "convnet", "residual", "transformer", "rnn")
    types = {type(simplest(ist.networks(kinds=(kind,)))).__name__ for kind in kinds}
    assert types == {"NetworkSpec", "ConvnetSpec", "ResidualSpec", "TransformerSpec", "RecurrentSpec"}
    assert isinstance(simplest(ist.networks(kinds=kinds)), NetworkSpec)
    assert simplest(ist.networks(kinds=("residual",))).text == (
        "torch(residual 16-16x1-1, scaled, relu, he_normal)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ("mpl",)}, "kinds has no 'mpl'; did you mean 'mlp'?"),
        ({"kinds": "mlp"}, "kinds='mlp' must be a tuple"),
        (
            {"kinds": ("convnet",), "framework": "numpy"},
            "numpy has mlp, residual, rnn, not 'convnet'",
        ),
    ],
)
def test_kinds_that_cannot_be_drawn(arguments, message):
    with pytest.raises(InvalidArgument) as caught:
        simplest(ist.networks(**arguments))
    assert message in str(caught.value)


def test_what_is_drawn_is_an_event():
    from hypothesis.statistics import collector, describe_statistics

    @settings(max_examples=10, derandomize=True, database=None)
    @given(
        ist.networks(framework="numpy", kinds=("mlp", "rnn")),
        ist.input_distributions(),
        ist.layer_shapes(),
        ist.activations(),
        ist.initializers(),
    )
    def draws(network, inputs, layer, activation, scheme):
        assert all((network, inputs, layer, activation, scheme))

    texts = []
    with collector.with_value(lambda stats: texts.append(describe_statistics(stats))):
        draws()
    (text,) = texts
    for kind in (
        "network: mlp",
        "inputs: normal",
        "layer: dense",
        "activation: relu",
        "scheme: he_normal",
    ):
        assert kind in text
