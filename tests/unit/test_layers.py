"""Layers: shapes in every layout, true fans, and the fans that libraries read off the shape."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck.errors import ConfigError

ONE_OF_EACH = (
    init.dense(6, 4),
    init.conv(6, 4, 3),
    init.conv(6, 4, 3, 5, stride=2),
    init.grouped_conv(6, 4, 3, 3, groups=2),
    init.depthwise_conv(6, 3, 3, multiplier=2),
    init.conv_transposed(6, 4, 4, 4, stride=2),
    init.conv_transposed(6, 4, 3, groups=2),
    init.embedding(6, 4),
    init.tied(6, 4),
    init.fused_qkv(4),
    init.fused(6, 8, blocks=2),
    init.recurrent(6, 4),
    init.recurrent(6, 4, cell="gru"),
    init.recurrent(6, 4, cell="rnn"),
)
LAID_OUT = tuple(
    dict.fromkeys(
        layer.laid_out(layout) for layer in ONE_OF_EACH for layout in ("torch", "numpy", "keras")
    )
)


def connections(layer: init.Layer) -> np.ndarray:
    """How many weights lead from each input to each unit, counted one by one."""
    count = np.zeros((layer.inputs, layer.units))
    each_in, each_out = layer.inputs // layer.groups, layer.units // layer.groups
    for i, o in itertools.product(range(layer.inputs), range(layer.units)):
        if i // each_in == o // each_out:
            count[i, o] = layer.positions
    return count


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in", "fan_out", "torch_fans", "keras_fans"),
    [
        (init.dense(6, 4), (6, 4), 6, 4, (4, 6), (6, 4)),
        (init.dense(6, 4, layout="torch"), (4, 6), 6, 4, (6, 4), (4, 6)),
        (init.conv(6, 4, 3, 5), (4, 6, 3, 5), 90, 60, (90, 60), (60, 60)),
        (init.conv(6, 4, 3, 5, layout="keras"), (3, 5, 6, 4), 90, 60, (120, 72), (90, 60)),
        (init.grouped_conv(64, 64, 3, 3, groups=8), (64, 8, 3, 3), 72, 72, (72, 576), (1536, 1536)),
        (init.depthwise_conv(64, 3, 3), (64, 1, 3, 3), 9, 9, (9, 576), (192, 192)),
        (
            init.depthwise_conv(64, 3, 3, layout="keras"),
            (3, 3, 64, 1),
            9,
            9,
            (192, 192),
            (576, 9),
        ),
        (
            init.conv_transposed(64, 32, 4, 4, stride=2),
            (64, 32, 4, 4),
            256,
            512,
            (512, 1024),
            (8192, 8192),
        ),
        (init.embedding(100, 16), (100, 16), 1, 16, (16, 100), (100, 16)),
        (init.tied(100, 16), (100, 16), 16, 100, (16, 100), (100, 16)),
        (init.fused_qkv(64, layout="torch"), (192, 64), 64, 64, (64, 192), (192, 64)),
        (init.recurrent(32, 64, layout="torch"), (256, 32), 32, 64, (32, 256), (256, 32)),
    ],
    ids=lambda value: value.text if isinstance(value, init.Layer) else "",
)
def test_shapes_and_fans(layer, shape, fan_in, fan_out, torch_fans, keras_fans):
    assert layer.shape == shape
    assert (layer.fan_in, layer.fan_out) == (fan_in, fan_out)
    assert layer.library_fans("torch") == torch_fans
    assert layer.library_fans("keras") == layer.library_fans("jax")
    if "keras" in layer.text or layer.kind in ("dense", "embedding", "tied", "fused", "recurrent"):
        assert layer.library_fans("keras") == keras_fans


@pytest.mark.parametrize("layer", LAID_OUT, ids=lambda layer: layer.text)
def test_fans_are_what_counting_gives(layer):
    if layer.kind == "embedding":
        return
    count = connections(layer)
    skipped = layer.stride ** len(layer.kernel)
    transposed = layer.kind == "conv_transposed"
    assert layer.fan_in == pytest.approx(count.sum(0)[0] / (skipped if transposed else 1))
    reached = count.sum(1)[0] / layer.blocks / (1 if transposed else skipped)
    assert layer.fan_out == pytest.approx(reached)


@pytest.mark.parametrize("layer", LAID_OUT, ids=lambda layer: layer.text)
def test_rows_hold_what_feeds_each_unit_and_lead_back(layer):
    weight = np.random.default_rng(0).random(layer.shape)
    rows = layer.rows(weight)
    assert rows.shape == (layer.units, layer.per_unit)
    assert np.array_equal(layer.from_rows(rows), weight)


@pytest.mark.parametrize("layer", ONE_OF_EACH, ids=lambda layer: layer.text)
def test_every_layout_has_the_same_rows_in_some_order(layer):
    rows = np.random.default_rng(0).random((layer.units, layer.per_unit))
    for layout in ("torch", "numpy", "keras"):
        if layer.groups > 1 and layer.kind == "conv_transposed":
            continue  # groups of transposed convolutions exist in torch alone
        laid = layer.laid_out(layout)
        assert np.array_equal(laid.rows(laid.from_rows(rows)), rows)


def test_texts_are_unique():
    layers = {*ONE_OF_EACH, *LAID_OUT, init.fused(6, 12, blocks=3), init.conv(6, 4, 3, stride=2)}
    assert len({layer.text for layer in layers}) == len(layers)


def test_a_layout_that_was_chosen_stays():
    layer = init.dense(3, 2, layout="numpy")
    assert layer.laid_out("torch") is layer
    assert init.dense(3, 2, layout="jax") == layer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: init.dense(3, 2, layout="troch"), "unknown layout 'troch'; did you mean 'torch'"),
        (lambda: init.dense(3.5, 2), "dense: sides are whole numbers, got 3.5"),
        (lambda: init.embedding(0, 2), "embedding: sides must be at least 1"),
        (lambda: init.conv(3, 2, 1, 1, 1, 1), "conv: kernels have 1 to 3 sides"),
        (lambda: init.grouped_conv(6, 4, 3, groups=4), "4 groups do not divide 6 channels and 4 units"),
        (lambda: init.fused(6, 4, blocks=3), "3 blocks do not divide 4 units"),
        (lambda: init.recurrent(6, 4, cell="lstn"), "unknown cell 'lstn'; did you mean 'lstm'"),
        (lambda: init.conv_transposed(4, 4, 3, groups=2, layout="keras"), "groups are torch's"),
        (lambda: init.depthwise_conv(4), "depthwise_conv needs the sides of its kernel"),
    ],
)
def test_impossible_layers_are_refused_in_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
