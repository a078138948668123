"""check_initializer on functions that fill torch tensors and modules in place."""

from __future__ import annotations

import functools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import strategies as ist

LAYERS = (
    init.dense(64, 32),
    init.conv(8, 16, 3),
    init.conv(8, 16, 3, 3),
    init.conv(4, 8, 3, 3, 3),
    init.grouped_conv(32, 32, 3, 3, groups=4),
    init.depthwise_conv(32, 3, 3),
    init.conv_transposed(32, 16, 4, 4, stride=2),
    init.conv_transposed(32, 16, 4, groups=4, stride=2),
    init.embedding(100, 16),
    init.tied(100, 16),
    init.fused_qkv(32),
    init.fused(32, 64, blocks=2),
    init.recurrent(32, 16),
    init.recurrent(32, 16, cell="gru"),
    init.recurrent(32, 16, cell="rnn"),
)


def weight_of(module: nn.Module) -> torch.Tensor:
    for name in ("in_proj_weight", "weight_ih_l0", "weight"):
        if getattr(module, name, None) is not None:
            return getattr(module, name)
    raise AssertionError(module)


def checked(fn, layer, **asked):
    return ic.check_initializer(fn, layer, raises=False, **asked)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
def test_a_tensor_and_a_module_of_every_kind_are_filled(layer):
    std = math.sqrt(2 / layer.fan_in)
    assert checked(lambda weight: nn.init.normal_(weight, std=std), layer).verdict == "pass"
    assert checked(lambda weight: nn.init.normal_(weight, std=2 * std), layer).verdict == "fail"

    def module_init(module):
        assert isinstance(module, nn.Module)
        nn.init.normal_(weight_of(module), std=std)

    assert checked(module_init, layer).verdict == "pass"


@pytest.mark.parametrize(
    ("fn", "layer", "asked"),
    [
        (nn.init.kaiming_normal_, (32, 64), {}),
        (nn.init.kaiming_uniform_, (32, 64, 3, 3), {}),
        (nn.init.xavier_normal_, (64, 64), {"activation": "tanh"}),
        (nn.init.xavier_uniform_, (32, 64), {"activation": "identity"}),
        (functools.partial(nn.init.xavier_normal_, gain=5 / 3), (32, 64), {"activation": "tanh"}),
        (nn.init.orthogonal_, (64, 64), {"activation": "identity"}),
        (functools.partial(nn.init.orthogonal_, gain=math.sqrt(2)), (32, 64), {}),
        (nn.init.eye_, (64, 64), {"activation": "identity"}),
        (nn.init.dirac_, (64, 64, 3, 3), {"activation": "identity", "variance": 8.0, "mean": 1.0}),
        (nn.init.zeros_, (64, 64), {"scheme": "zeros"}),
        (functools.partial(nn.init.trunc_normal_, std=0.02), (64, 64), {"scheme": "gpt2"}),
        (
            functools.partial(nn.init.sparse_, sparsity=0.75, std=math.sqrt(4 * 2 / 64)),
            (64, 64),
            {},
        ),
        (lambda shape: torch.randn(shape) * (2 / shape[0]) ** 0.5, (64, 32), {}),
        (
            lambda generator, shape: torch.randn(shape, generator=generator) / 8,
            (64, 64),
            {"activation": "selu"},
        ),
    ],
    ids=range(14),
)
def test_torchs_own_functions_pass_where_they_are_right(fn, layer, asked):
    report = checked(fn, layer, **asked)
    assert report.verdict == "pass", str(report)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(layer=ist.layer_shapes(max_width=48))
def test_the_documented_property_test(layer):
    def my_init_(weight):
        nn.init.normal_(weight, std=math.sqrt(2 / layer.fan_in))

    ic.check_initializer(my_init_, layer, activation="relu")


def test_a_property_test_shrinks_to_the_smallest_layer_that_fails():
    smallest = []

    @settings(
        max_examples=60, deadline=None, derandomize=True, database=None, report_multiple_bugs=False
    )
    @given(layer=ist.layer_shapes(kinds=("dense", "grouped_conv"), min_width=8, max_width=64))
    def property_test(layer):
        smallest.append(layer)
        ic.check_initializer(
            lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out"), layer, activation="relu"
        )

    with pytest.raises(ic.InitializerViolation, match="fan_out counts all"):
        property_test()
    assert smallest[-1] == init.grouped_conv(8, 8, 3, 3, groups=2)


def test_random_states_are_put_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    checked(nn.init.kaiming_normal_, (32, 64))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda weight: None, "left the weight of shape .* as it was and returned NoneType"),
        (lambda weight: torch.randn_like(weight), "returned a new tensor and left the weight as it was"),
        (lambda weight: nn.init.normal_(weight[:8]), "left 3584 of 4096 weights NaN or infinite"),
        (lambda module: None, "left Linear.weight as it was: PyTorch's default init stands"),
        (lambda weight: weight.fill(1), "raised AttributeError on dense"),
    ],
    ids=range(5),
)
def test_a_function_that_fills_nothing_is_an_error(fn, message):
    report = checked(fn, init.dense(64, 64))
    assert report.verdict == "error"
    assert re.search(message, report.error), report.error


def test_a_module_may_be_replaced_in_place_but_keep_its_shape():
    def other_shape(module):
        module.weight = nn.Parameter(torch.zeros(3, 3))

    assert "changed the weight's shape" in checked(other_shape, init.dense(64, 64)).error


def test_an_annotated_module_is_a_module():
    def my_init(x: nn.Linear) -> None:
        nn.init.kaiming_normal_(x.weight, nonlinearity="relu")

    assert checked(my_init, (64, 64)).verdict == "pass"


def test_the_messages_first_line_is_complete_and_its_fix_passes():
    def wrong_(weight):
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")

    layer = init.depthwise_conv(64, 3, 3)
    report = checked(wrong_, layer)
    first, at, seen, *_ = str(report).splitlines()
    assert first.startswith("variance FAIL wrong_ on depthwise_c")
    assert re.search(r"torch\): Var w is 0\.003\d+, needed 0\.222$", first)
    assert len(first) <= 80
    assert at == "  at      depthwise_conv(64x1x3x3, groups=64, torch)"
    assert seen.endswith("= 2/576; relu needs 0.222 = 2/9")
    code = report.findings[0].fix.split("  #")[0]
    assert checked(lambda weight: eval(code, {"nn": nn, "weight": weight}), layer).verdict == "pass"


@pytest.mark.parametrize(
    "layer",
    [init.conv_transposed(64, 32, 4, 4, stride=2), init.dense(64, 256, layout="numpy")],
    ids=["transposed", "stored [in, out]"],
)
def test_a_fan_out_that_is_read_as_the_fan_in_is_no_choice_unless_it_is_asked_for(layer):
    with pytest.raises(ic.InitializerViolation, match="fan_in was read"):
        ic.check_initializer(nn.init.kaiming_normal_, layer)
    assert ic.check_initializer(nn.init.kaiming_normal_, layer, criterion="backward").ok


def test_fan_out_is_a_choice_where_the_fans_are_read_right():
    def fan_out_(weight):
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")

    assert ic.check_initializer(fan_out_, init.conv(32, 128, 3, 3)).ok
