"""Where the samples and the units are: inner axes, flattened batches, channels first or last."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_initcheck.probes.graph.tracing import trace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6))
W = RNG.normal(size=(6, 8)) / 2
IMAGES = RNG.normal(size=(16, 5, 7, 3)) * [1.0, 2.0, 30.0]
KERNEL = RNG.normal(size=(3, 3, 3, 4)) / 4


def traced(made, output, batch=16):
    return trace(made.flow(output), framework="made", batch=batch, seed=0)


def site(made, output, batch=16):
    return traced(made, output, batch).sites[-1]


def same(one, other):
    """The same site but for the layout of its value."""
    assert (one.kind, one.op, one.units, one.dead) == (other.kind, other.op, other.units, other.dead)
    for field in ("count", "mean", "second_moment", "batch_variance", "low", "high"):
        assert getattr(one.value, field) == pytest.approx(getattr(other.value, field)), field


def rectified(made, z):
    return made.make("maximum", z, 0.0)


def test_samples_on_an_inner_axis(made):
    """As vmap has them: the weight is on the left, and the samples come last."""
    x = made.input(X)
    inner = made.make(
        "matmul", made.parameter("fc.weight", W.T), x, contract=((1,), (1,)), batch=((), ())
    )
    assert made.nodes[inner].shape == (8, 16)
    one = traced(made, rectified(made, inner))
    outer = type(made)()
    other = traced(outer, rectified(outer, outer.dense(outer.input(X), "fc", W)))
    for pair in zip(one.sites, other.sites, strict=True):
        same(*pair)
    assert (one.sites[1].weight.fan_in, one.sites[1].weight.fan_out) == (6, 8)
    for field in ("difference", "common", "first_over_last"):
        assert getattr(one.gradient, field) == pytest.approx(
            getattr(other.gradient, field), rel=1e-5, nan_ok=True
        )


def test_a_batch_that_was_flattened_into_time(made):
    x = made.input(RNG.normal(size=(16, 5, 6)))
    flat = made.dense(made.make("reshape", x, shape=(80, 6)), "fc", W)
    whole = type(made)()
    other = whole.dense(whole.input(made.values[x]), "fc", W)
    same(site(made, flat), site(whole, other))
    # and is found again
    back = made.make("reshape", flat, shape=(16, 5, 8))
    assert traced(made, back).gradient is not None


def test_time_before_samples(made):
    x = made.input(RNG.normal(size=(5, 16, 6)))
    first = type(made)()
    y = first.dense(first.input(made.values[x].transpose(1, 0, 2)), "fc", W)
    one, other = traced(made, made.dense(x, "fc", W)), traced(first, y)
    same(one.sites[1], other.sites[1])
    assert one.gradient.difference == pytest.approx(other.gradient.difference, rel=1e-5)


def test_time_that_merged_with_samples_behind_it(made):
    """(time, batch) flattened: the samples are the inner part of the axis."""
    x = made.input(RNG.normal(size=(5, 16, 6)))
    y = made.dense(made.make("reshape", x, shape=(80, 6)), "fc", W)
    z = made.values[y].reshape(5, 16, 8)
    assert site(made, y).value.batch_variance == pytest.approx(z.var(1).mean())


def channels(made, last):
    x = IMAGES if last else IMAGES.transpose(0, 3, 1, 2)
    kernel = KERNEL if last else KERNEL.transpose(3, 2, 0, 1)
    z = made.conv(made.input(x), "c", kernel, last=last, padding=((1, 1), (1, 1)))
    window = (1, 2, 2, 1) if last else (1, 1, 2, 2)
    h = made.make("window_max", rectified(made, z), size=window, strides=window, padding=((0, 0),) * 4)
    return made.mean(h, (1, 2) if last else (2, 3), keepdims=False)


def test_channels_first_and_last_are_told_apart(made):
    other = type(made)()
    one, two = traced(made, channels(made, True)), traced(other, channels(other, False))
    for pair in zip(one.sites, two.sites, strict=True):
        same(*pair)
    assert [s.units for s in one.sites] == [3, 4, 4, 4, 4]
    for found in (one.inputs[0], two.inputs[0]):
        assert (found.smallest_index, found.largest_index) == (0, 2)
        assert found.largest_column == pytest.approx(np.sqrt((IMAGES[..., 2] ** 2).mean()))
    assert one.gradient.difference == pytest.approx(two.gradient.difference, rel=1e-5)


def test_an_image_before_its_convolution_has_the_same_channels(made):
    x = made.make("sub", made.input(IMAGES), 0.5)
    y = made.conv(x, "c", KERNEL)
    assert traced(made, y).sites[1].units == 3


def test_an_image_that_no_layer_tells_of_is_channel_first(made):
    x = made.make("reshape", made.input(IMAGES), shape=(16, 105))
    found = traced(made, made.dense(x, "fc", RNG.normal(size=(105, 2))))
    assert found.sites[0].units == 5


def test_heads_of_attention(made):
    x = made.input(RNG.normal(size=(16, 5, 6)))
    q, k = (made.make("reshape", made.dense(x, name, W), shape=(16, 5, 2, 4)) for name in ("q", "k"))
    straight = made.make("matmul", q, k, contract=((3,), (3,)), batch=((0, 2), (0, 2)))
    found = site(made, straight)
    assert (found.units, made.nodes[straight].shape, found.reads) == (5, (16, 2, 5, 5), (1, 2))
    exchanged = made.make("matmul", k, q, contract=((3,), (3,)), batch=((0, 2), (0, 2)))
    ordered = made.make("transpose", exchanged, axes=(0, 1, 3, 2))
    assert site(made, ordered).reads == (1, 2)


def test_a_weight_of_several_axes(made):
    """As a layer per head is written: (in, heads, size)."""
    x = made.input(RNG.normal(size=(16, 5, 6)))
    w = made.parameter("q.kernel", W.reshape(6, 2, 4))
    y = made.make("matmul", x, w, contract=((2,), (0,)), batch=((), ()))
    found = site(made, y)
    assert (found.units, found.weight.fan_in, found.weight.fan_out) == (8, 6, 8)
    dead = rectified(made, made.make("add", y, made.parameter("q.bias", np.full((2, 4), -1e3))))
    assert site(made, dead).dead == 1


def test_units_of_heads_are_those_of_one(made):
    y = made.make("reshape", made.dense(made.input(X), "q", W), shape=(16, 2, 4))
    assert site(made, made.make("mul", y, 0.5)).units == 4


def test_a_flattened_image_has_all_its_places_as_units(made):
    x = made.conv(made.input(IMAGES), "c", KERNEL)
    y = made.make("mul", made.make("reshape", x, shape=(16, 60)), 2.0)
    assert site(made, y).units == 60


def test_an_ensemble_keeps_its_members_apart(made):
    """A stack of weights, one for each member: no fan counts the members."""
    x = made.make("broadcast", made.input(X), shape=(3, 16, 6), axes=(1, 2))
    w = made.parameter("fc.kernel", RNG.normal(size=(3, 6, 8)))
    y = made.make("matmul", x, w, contract=((2,), (1,)), batch=((0,), (0,)))
    found = site(made, y)
    assert (found.weight.fan_in, found.weight.fan_out) == (6, 8)
    z = made.values[y]
    assert found.value.batch_variance == pytest.approx(z.var(1).mean())


FANS = {
    "plain": ({}, (3, 3, 3, 4), (27, 36)),
    "grouped": ({"groups": 3}, (3, 3, 1, 6), (9, 18)),
    "dilated": ({"kernel_dilation": (2, 2)}, (2, 2, 3, 4), (12, 16)),
    "transposed": ({"image_dilation": (2, 2)}, (3, 3, 3, 4), (7, 36)),
}


@pytest.mark.parametrize("case", FANS)
def test_fans_of_convolutions(made, case):
    settings, shape, expected = FANS[case]
    y = made.conv(made.input(IMAGES), "c", RNG.normal(size=shape), **settings)
    found = site(made, y)
    assert (found.weight.fan_in, found.weight.fan_out) == expected
    assert found.coverage == 1


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_coverage_of_padded_images(made, strides):
    y = made.conv(
        made.input(np.ones((16, 5, 7, 3))),
        "c",
        np.ones((3, 3, 3, 4)),
        padding=((1, 1), (1, 2)),
        strides=strides,
    )
    # ones count the taps that are inside
    assert site(made, y).coverage == pytest.approx(made.values[y].mean() / 27)


def test_a_sliced_batch_is_no_batch(made):
    y = made.make(
        "slice", made.dense(made.input(X), "fc", W), starts=(0, 0), limits=(8, 8), strides=(1, 1)
    )
    found = traced(made, y)
    assert found.unobserved == (("gradient", "the output has no batch axis"),)
    assert found.returned == ()


def test_joined_and_taken_values(made):
    x = made.dense(made.input(RNG.normal(size=(16, 5, 6))), "fc", W)
    part = made.make("slice", x, starts=(0, 4, 0), limits=(16, 5, 8), strides=(1, 1, 1))
    y = made.make("concatenate", x, part, axis=1)
    found = traced(made, y)
    assert [(s.kind, s.op, s.units) for s in found.sites[2:]] == [
        ("slice", "slice", 8),
        ("cat", "cat", 8),
    ]
    assert found.sites[3].value.batch_variance == pytest.approx(made.values[y].var(0).mean())


def test_a_look_up_and_a_one_hot_product(made):
    ids = made.input(RNG.integers(0, 6, (16, 5)))
    y = made.make("take", made.parameter("emb.embedding", W), ids, axis=0)
    found = site(made, y)
    assert (found.kind, found.name, found.units, found.weight.fan_in) == ("embedding", "emb", 8, 1)
    hot = made.make("cast", made.make("eq", ids, np.arange(5)), dtype="float64")
    z = made.dense(hot, "fc", W[:5])
    assert site(made, z).kind == "linear"


def test_whole_numbers_that_become_a_signal(made):
    pixels = made.make("cast", made.input(RNG.integers(0, 255, (16, 6))), dtype="float64")
    found = traced(made, made.dense(pixels, "fc", W))
    assert [(s.name, s.kind) for s in found.sites] == [
        ("input", "input"),
        ("input.float", "cast"),
        ("fc", "linear"),
    ]


def test_a_transposed_and_rescaled_weight_still_is_the_weight(made):
    w = made.make("transpose", made.parameter("fc.weight", W.T), axes=(1, 0))
    w = made.make("mul", w, 0.5)
    y = made.make("matmul", made.input(X), w, contract=((1,), (0,)), batch=((), ()))
    found = site(made, y)
    assert (found.name, found.weight.name, found.weight.fan_in) == ("fc", "fc.weight", 6)


def test_weights_made_of_two_parameters(made):
    w = made.make("mul", made.parameter("fc.weight_v", W), made.parameter("fc.weight_g", W[0]))
    y = made.make("matmul", made.input(X), w, contract=((1,), (0,)), batch=((), ()))
    found = traced(made, y)
    assert found.sites[1].weight.name == "fc.weight_v"
    assert all(p.multiplicative and p.used for p in found.parameters)


def test_repeated_layers_are_counted(made):
    x = made.input(X)
    w = RNG.normal(size=(6, 6))
    y = made.make("tanh", made.dense(made.make("tanh", made.dense(x, "cell", w)), "cell", w))
    names = [s.name for s in traced(made, y).sites]
    assert names == ["input", "cell", "cell.tanh", "cell#2", "cell.tanh#2"]


def test_labels_that_are_paths_name_what_is_no_layer(made):
    x = made.dense(made.input(X), "fc", W)
    y = made.make("tanh", x, label="blocks/1/activation")
    assert site(made, y).name == "blocks/1/activation.tanh"
    y = made.make("tanh", x, label="net.py:12")
    assert site(made, y).name == "fc.tanh"
