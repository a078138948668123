"""What one forward pass looks like as sites: names, kinds, activations, weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.probes import torch_reductions as reductions

torch.manual_seed(0)
X = torch.randn(32, 8)


class Fn(nn.Module):
    """A module whose forward is a function of itself and the input."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def trace(model, *args, mode="train", **kwargs):
    return probe.trace(model, Call(args or (X,), kwargs), mode=mode, seed=0)


def sites(model, *args, kind=None):
    return [s for s in trace(model, *args).sites if kind is None or s.kind == kind]


def names(model, *args, kind=None):
    return [s.name for s in sites(model, *args, kind=kind)]


def applied(function):
    """The activation site that this function of a layer's output becomes, and the pre-activation."""
    model = Fn(lambda self, x: self.out(function(self.fc(x))), fc=nn.Linear(8, 16), out=nn.Linear(16, 3))
    found = [s for s in trace(model).sites if s.activation is not None]
    return found, model.fc(X).detach()


# -- activations, however they are written ---------------------------------------------------------

RELU = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "method": lambda z: z.relu(),
    "in place": lambda z: z.relu_(),
    "module": nn.ReLU(),
    "in-place module": nn.ReLU(inplace=True),
    "clamp": lambda z: z.clamp(min=0),
    "clamp in place": lambda z: z.clamp_(min=0),
    "clip": lambda z: torch.clip(z, 0),
    "clamp_min": lambda z: torch.clamp_min(z, 0.0),
    "where": lambda z: torch.where(z > 0, z, 0),
    "where zeros": lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
    "mask": lambda z: z * (z > 0),
    "float mask": lambda z: (z >= 0).float() * z,
    "maximum": lambda z: torch.maximum(z, torch.tensor(0.0)),
    "max": lambda z: torch.max(z, torch.zeros(1)),
    "threshold": lambda z: F.threshold(z, 0, 0),
    "leaky by 0": lambda z: F.leaky_relu(z, 0.0),
}


@pytest.mark.parametrize("name", RELU)
def test_a_relu_however_it_is_written(name):
    (found,), z = applied(RELU[name])
    assert found.activation == "relu"
    assert found.dead == pytest.approx(float((z.amax(0) <= 0).float().mean()))
    assert found.units == 16


OTHERS = {
    "silu": (F.silu, "silu"),
    "written silu": (lambda z: z * torch.sigmoid(z), "silu"),
    "softsign": (F.softsign, "softsign"),
    "written softsign": (lambda z: z / (1 + z.abs()), "softsign"),
    "tanh": (torch.tanh, "tanh"),
    "tanh in place": (lambda z: z.tanh_(), "tanh"),
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "leaky": (lambda z: F.leaky_relu(z, 0.2), "leaky_relu(0.2)"),
    "prelu": (lambda z: F.prelu(z, torch.tensor([0.25])), "leaky_relu(0.25)"),
    "elu": (F.elu, "elu"),
    "elu of alpha": (lambda z: F.elu(z, 0.5), "elu(0.5)"),
    "celu of alpha": (lambda z: F.celu(z, 2.0), "celu(2)"),
    "selu": (F.selu, "selu"),
    "gelu": (F.gelu, "gelu"),
    "gelu tanh": (lambda z: F.gelu(z, approximate="tanh"), "gelu_tanh"),
    "mish": (F.mish, "mish"),
    "softplus": (F.softplus, "softplus"),
    "hardtanh": (F.hardtanh, "hardtanh"),
    "clamped": (lambda z: z.clamp(-1, 1), "hardtanh"),
    "hardsigmoid": (F.hardsigmoid, "hardsigmoid"),
    "hardswish": (F.hardswish, "hardswish"),
    "relu6": (F.relu6, "relu6"),
    "logsigmoid": (F.logsigmoid, "log_sigmoid"),
    "sin": (torch.sin, "sin"),
    "erf": (torch.erf, "erf"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_activations(name):
    function, expected = OTHERS[name]
    assert [s.activation for s in applied(function)[0]] == [expected]


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (torch.tanh, lambda z: 1 - torch.tanh(z) ** 2),
        (lambda z: z.tanh_(), lambda z: 1 - torch.tanh(z) ** 2),
        (torch.sigmoid, lambda z: 4 * torch.sigmoid(z) * torch.sigmoid(-z)),
        (lambda z: z / (1 + z.abs()), lambda z: (1 + z.abs()) ** -2),
        (F.hardtanh, lambda z: (z.abs() < 1).float()),
    ],
    ids=["tanh", "in place", "sigmoid", "softsign", "hardtanh"],
)
def test_the_saturated_share_against_the_slope(function, slope):
    model = Fn(
        lambda self, x: self.out(function(self.fc(4 * x))), fc=nn.Linear(8, 16), out=nn.Linear(16, 3)
    )
    z = model.fc(4 * X).detach()
    (found,) = [s for s in trace(model).sites if s.activation is not None]
    assert found.saturated == pytest.approx(float((slope(z) < 0.05).float().mean()), abs=1e-6)
    assert 0 < found.saturated < 1


def test_the_gate_of_a_linear_unit_is_a_sigmoid():
    model = nn.Sequential(nn.Linear(8, 32), nn.GLU(), nn.Linear(16, 2))
    gate, product = sites(model)[2:4]
    half = model[0](X)[:, 16:].detach()
    assert (gate.activation, product.kind, product.reads) == ("sigmoid", "mul", (1, gate.index))
    assert gate.value.second_moment == pytest.approx(float((torch.sigmoid(half) ** 2).mean()), rel=1e-5)
    assert gate.saturated is not None


def test_the_sigmoid_within_a_silu_is_no_gate():
    model = Fn(
        lambda self, x: self.out((z := self.fc(x)) * torch.sigmoid(z)),
        fc=nn.Linear(8, 4),
        out=nn.Linear(4, 1),
    )
    assert [s.saturated for s in sites(model)] == [None] * 5


# -- names -----------------------------------------------------------------------------------------


def test_modules_name_their_sites_and_functions_their_place():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            return F.relu(self.fc(x)) + x

    model = nn.Sequential(Block(), Block(), nn.Linear(8, 2))
    assert names(model) == ["input", "0.fc", "0.relu", "0.add", "1.fc", "1.relu", "1.add", "2"]


def test_repeated_calls_are_numbered():
    model = Fn(lambda self, x: self.fc(torch.tanh(self.fc(torch.tanh(self.fc(x))))), fc=nn.Linear(8, 8))
    assert names(model) == ["input", "fc", "tanh", "fc#2", "tanh#2", "fc#3"]


def test_bare_weights_are_named_by_their_owner():
    model = Fn(lambda self, x: (x @ self.W).relu() @ self.out.V, out=nn.Module())
    model.W, model.out.V = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(4, 2))
    found = sites(model)
    assert [s.name for s in found] == ["input", "W", "relu", "out.V"]
    assert (found[1].weight.name, found[1].weight.fan_in, found[1].weight.fan_out) == ("W", 8, 4)


def test_a_parametrised_weight_is_named_by_its_module():
    fc = torch.nn.utils.parametrizations.weight_norm(nn.Linear(8, 4))
    assert names(nn.Sequential(fc, nn.ReLU())) == ["input", "0", "1"]


def test_several_inputs_are_named():
    model = Fn(lambda self, a, *, mask: self.fc(a) * mask, fc=nn.Linear(8, 4))
    assert [c.name for c in trace(model, X, mask=torch.ones(32, 4)).inputs] == ["input0", "mask"]


def test_inputs_in_containers_are_seen():
    model = Fn(lambda self, batch: self.fc(batch["x"] + batch["more"][0]), fc=nn.Linear(8, 4))
    found = trace(model, {"x": X, "more": [X.numpy()]})
    assert [c.name for c in found.inputs] == ["input.x", "input.more.0"]
    assert found.sites[2].reads == (0, 1)


# -- weights, fans, biases -------------------------------------------------------------------------


def test_a_bias_that_is_added_by_hand_belongs_to_its_layer():
    model = Fn(lambda self, x: (x @ self.W + self.b).relu())
    model.W, model.b = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(4))
    found = trace(model)
    assert [s.kind for s in found.sites] == ["input", "linear", "activation"]
    layer = found.sites[1]
    assert layer.bias.name == "b"
    expected = (X @ model.W + model.b).detach()
    assert layer.value.second_moment == pytest.approx(float((expected**2).mean()), rel=1e-5)
    assert {p.name: p.multiplicative for p in found.parameters} == {"W": True, "b": False}


def test_a_positional_table_is_not_multiplicative():
    model = Fn(
        lambda self, x: self.out(torch.relu(self.fc(x)) + self.table),
        fc=nn.Linear(8, 4),
        out=nn.Linear(4, 2),
    )
    model.table = nn.Parameter(torch.randn(4))
    flags = {p.name: p.multiplicative for p in trace(model).parameters}
    assert flags == {
        "fc.weight": True,
        "fc.bias": False,
        "out.weight": True,
        "out.bias": False,
        "table": False,
    }


def test_tied_weights_are_one_parameter_at_two_sites():
    model = Fn(
        lambda self, ids: self.head(self.emb(ids)),
        emb=nn.Embedding(20, 8),
        head=nn.Linear(8, 20, bias=False),
    )
    model.head.weight = model.emb.weight
    found = trace(model, torch.randint(0, 20, (32, 5)))
    assert [(s.name, s.kind) for s in found.sites] == [
        ("input", "input"),
        ("emb", "embedding"),
        ("head", "linear"),
    ]
    assert [p.name for p in found.parameters] == ["emb.weight"]
    assert found.sites[2].weight.fan_in == 8


def test_a_tied_transpose_has_the_fans_of_its_use():
    model = Fn(lambda self, x: torch.relu(x @ self.W) @ self.W.t())
    model.W = nn.Parameter(torch.randn(8, 4))
    first, second = sites(model, kind="linear")
    assert (first.weight.fan_in, first.weight.fan_out) == (8, 4)
    assert (second.weight.fan_in, second.weight.fan_out) == (4, 8)


IMAGES = torch.randn(8, 4, 9, 9)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Conv2d(4, 6, 3), 36, 54),
        (nn.Conv2d(4, 8, 3, groups=2), 18, 36),
        (nn.Conv2d(4, 4, 5, groups=4), 25, 25),
        (nn.ConvTranspose2d(4, 6, 4, stride=2), 16, 96),
        (nn.ConvTranspose2d(4, 6, 4), 64, 96),
    ],
    ids=["plain", "grouped", "depthwise", "transposed", "transposed, stride 1"],
)
def test_the_fans_of_a_convolution_give_its_length(layer, fan_in, fan_out):
    found = sites(layer, IMAGES)[1]
    assert (found.op, found.weight.fan_in, found.weight.fan_out) == ("conv", fan_in, fan_out)
    assert found.units == layer.out_channels


@pytest.mark.parametrize(
    ("size", "padding", "stride", "dilation"), [(9, 1, 1, 1), (9, 2, 2, 1), (12, 2, 1, 2), (8, 0, 1, 1)]
)
def test_the_coverage_of_a_convolution_against_a_count(size, padding, stride, dilation):
    layer = nn.Conv2d(1, 1, 3, padding=padding, stride=stride, dilation=dilation, bias=False)
    found = sites(layer, torch.randn(2, 1, size, size))[1].coverage
    with torch.no_grad():
        layer.weight.fill_(1.0)
        taps = layer(torch.ones(1, 1, size, size))
    assert found == pytest.approx(float(taps.mean()) / 9)


def test_a_convolution_without_bias_takes_the_one_that_is_added():
    model = Fn(
        lambda self, x: self.conv(x) + self.b.view(1, -1, 1, 1), conv=nn.Conv2d(4, 6, 3, bias=False)
    )
    model.b = nn.Parameter(torch.randn(6))
    layer = sites(model, IMAGES)[1]
    assert (layer.bias.name, layer.units) == ("b", 6)


def test_an_embedding_reads_its_ids():
    layer = sites(nn.Embedding(10, 6), torch.randint(0, 10, (8, 3)))[1]
    assert (layer.kind, layer.reads, layer.units) == ("embedding", (0,), 6)


# -- normalisations, pools, attention, dropout -----------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(8), nn.BatchNorm1d(8), nn.RMSNorm(8), nn.GroupNorm(2, 8)],
    ids=["layer", "batch", "rms", "group"],
)
def test_normalisations(layer):
    assert "norm" in [s.kind for s in sites(layer)]


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: self.g * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6),
        lambda self, x: self.g * (x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)),
        lambda self, x: self.g * ((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)),
        lambda self, x: self.g * x / x.norm(dim=-1, keepdim=True),
    ],
    ids=["rms", "rms by division", "layer", "unit length"],
)
def test_normalisations_that_are_written_out(function):
    model = Fn(function)
    model.g = nn.Parameter(torch.ones(8))
    assert "norm" in [s.kind for s in sites(model)]


@pytest.mark.parametrize(("dropout", "kind"), [(0.0, "attention"), (0.1, "softmax")])
def test_a_transformer_layer_is_seen_from_within(dropout, kind):
    model = nn.TransformerEncoderLayer(16, 2, 32, dropout=dropout, batch_first=True)
    found = trace(model, torch.randn(8, 5, 16))
    assert [s.name for s in found.sites if s.weight is not None and s.kind == "linear"] == [
        "self_attn.in_proj_weight",
        "self_attn.out_proj",
        "linear1",
        "linear2",
    ]
    kinds = [s.kind for s in found.sites]
    assert kind in kinds
    assert kinds.count("norm") == 2
    [attention] = [s for s in found.sites if s.kind == kind]
    assert attention.saturated == 0.0


def test_attention_with_a_mask_of_minus_infinity_is_recorded():
    model = nn.MultiheadAttention(16, 2, batch_first=True)
    x, mask = torch.randn(8, 5, 16), torch.triu(torch.full((5, 5), -math.inf), 1)
    found = trace(Fn(lambda self, x, mask: self.a(x, x, x, attn_mask=mask)[0], a=model), x, mask)
    assert "softmax" in [s.kind for s in found.sites]
    assert found.inputs[1].exempt
    assert found.inputs[1].value.finite
    assert found.gradient.non_finite == ()


def test_an_unfused_recurrent_cell_shows_its_gates():
    model = Fn(lambda self, x: self.cell(x)[0], cell=nn.LSTMCell(8, 4))
    assert {s.activation for s in sites(model)} >= {"sigmoid", "tanh"}


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["module", "function"])
def test_dropout_is_replaced_by_its_mean(kind, rate):
    drop = (
        nn.Dropout(rate) if kind == "module" else Fn(lambda self, z: F.dropout(z, rate, self.training))
    )
    fc, out = nn.Linear(8, 16), nn.Linear(16, 3)
    found = trace(nn.Sequential(fc, nn.ReLU(), drop, out))
    expected = out(torch.relu(fc(X))).detach()
    assert found.sites[found.output].value.second_moment == pytest.approx(
        float((expected**2).mean()), rel=1e-5
    )
    assert found.sites[found.output].reads


def test_native_dropout_keeps_the_chain():
    fc, out = nn.Linear(8, 16), nn.Linear(16, 3)
    model = Fn(lambda self, x: self.out(torch.native_dropout(self.fc(x), 0.5, True)[0]), fc=fc, out=out)
    assert [(s.name, s.reads) for s in sites(model)] == [("input", ()), ("fc", (0,)), ("out", (1,))]


def test_stochastic_depth_is_replaced_by_its_mean():
    def forward(self, x):
        keep = x.new_empty(x.shape[0], 1).bernoulli_(0.8) / 0.8
        return x + self.branch(x) * keep

    model = Fn(forward, branch=nn.Linear(8, 8))
    expected = (X + model.branch(X)).detach()
    out = sites(model)[-1].value
    assert out.second_moment == pytest.approx(float((expected**2).mean()), rel=1e-5)


# -- in place, views, buffers ----------------------------------------------------------------------


def test_an_in_place_write_through_a_view_is_followed():
    def forward(self, x):
        z = self.fc(x)
        z.view(-1).relu_()
        return self.out(z)

    found = sites(Fn(forward, fc=nn.Linear(8, 4), out=nn.Linear(4, 2)))
    assert [s.kind for s in found] == ["input", "linear", "activation", "linear"]
    assert found[3].reads == (2,)


def test_a_buffer_that_is_filled_step_by_step():
    def forward(self, x):
        out = x.new_zeros(x.shape[0], 3, 4)
        for step in range(3):
            out[:, step] = torch.tanh(self.fc(x))
        return self.head(out)

    found = sites(Fn(forward, fc=nn.Linear(8, 4), head=nn.Linear(4, 2)))
    assert found[-1].name == "head"
    assert found[-1].reads


def test_units_follow_a_channel_axis_through_moves():
    model = Fn(
        lambda self, x: self.out(torch.relu(self.conv(x).permute(0, 2, 3, 1))),
        conv=nn.Conv2d(4, 6, 3), out=nn.Linear(6, 2),
    )  # fmt: skip
    assert [s.units for s in sites(model, IMAGES)] == [4, 6, 6, 2]


def test_dead_channels_of_an_image_are_counted():
    conv = nn.Conv2d(4, 6, 3)
    with torch.no_grad():
        conv.bias[:2] = -100.0
    assert sites(nn.Sequential(conv, nn.ReLU()), IMAGES)[2].dead == pytest.approx(2 / 6)


def test_slices_have_their_own_statistics():
    model = Fn(lambda self, x: self.fc(x)[:, :2] * 1.0, fc=nn.Linear(8, 4))
    found = sites(model)
    z = model.fc(X)[:, :2].detach()
    assert [s.kind for s in found[:3]] == ["input", "linear", "slice"]
    assert found[2].value.second_moment == pytest.approx(float((z**2).mean()), rel=1e-5)


def test_sparse_matrices_are_read():
    adjacency = torch.eye(32).to_sparse()
    model = Fn(lambda self, x, a: torch.relu(torch.sparse.mm(a, self.fc(x))), fc=nn.Linear(8, 4))
    found = trace(model, X, adjacency)
    assert found.inputs[1].exempt
    assert found.sites[found.output].activation == "relu"


# -- statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 7), (16, 5, 7), (8, 3, 4, 4), (64,)])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (100.0, 1.0), (3.0, 1e-3), (0.0, 1e-20)])
def test_moments_against_double_precision(shape, mean, std):
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * std + mean
    found = reductions.moments(draw, shape[0])
    wide = draw.double().numpy()
    assert found.second_moment == pytest.approx(float(np.mean(wide**2)), rel=1e-5)
    assert found.batch_variance == pytest.approx(
        float(wide.reshape(shape[0], -1).var(0).mean()), rel=1e-4
    )
    assert found.mean == pytest.approx(float(wide.mean()), rel=1e-4, abs=1e-6 * std + 1e-30)
    assert (found.low, found.high, found.count) == (float(wide.min()), float(wide.max()), wide.size)


@pytest.mark.parametrize("shape", [(256, 512), (8, 2**19), (64, 33)])
@pytest.mark.parametrize("mean", [0.5, 2.0, 5.5, 5.6, 8.0, 30.0, 1e4])
def test_a_common_mean_leaves_the_variance_its_digits(shape, mean):
    generator = torch.Generator().manual_seed(1)
    draw = torch.randn(shape, generator=generator) + mean
    found = probe.reductions.moments(draw, shape[0])
    wide = draw.double()
    assert found.batch_variance == pytest.approx(float(wide.var(0, correction=0).mean()), rel=1e-5)
    assert found.second_moment == pytest.approx(float((wide * wide).mean()), rel=1e-5)


def test_many_squares_are_summed_without_losing_digits():
    flat = torch.full((2**22 + 5,), 1.1)
    wide = float(flat[0].double() ** 2) * len(flat)
    assert probe.reductions.sum_of_squares(flat) == pytest.approx(wide, rel=1e-5)


@pytest.mark.parametrize("shape", [(32, 6), (32, 6, 5), (32, 6, 3, 3), (32, 6, 9, 9)])
@pytest.mark.parametrize("axis", [1, -1])
def test_dead_units_along_any_axis(shape, axis):
    y = torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.1
    y.movedim(axis, 0)[:2] = 0
    units = shape[axis]
    for positive in (True, False):
        assert probe.reductions.dead_units(y, axis, non_negative=positive) == (2, units)
    assert probe.reductions.dead_units(-y, axis, non_negative=False) == (2, units)
    assert not probe.reductions.wholly_zero(y)
    y[1:] = 0
    assert not probe.reductions.wholly_zero(y)
    y[0] = 0
    assert probe.reductions.wholly_zero(y)


def test_squares_that_overflow_single_precision_are_finite():
    found = reductions.moments(torch.tensor([[1e25], [-1e25]]), 2)
    assert (found.non_finite, found.second_moment) == (0, pytest.approx(1e50))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_counted(bad):
    found = reductions.moments(torch.tensor([[1.0, bad], [3.0, 1.0]]), 2)
    assert (found.non_finite, found.second_moment) == (1, pytest.approx(11 / 3))


def test_time_first_values_are_brought_to_samples_first():
    x = torch.randn(5, 32, 7)
    assert reductions.moments(x, 32).batch_variance == pytest.approx(
        float(x.var(1, correction=0).mean()), rel=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model = nn.Sequential(nn.Linear(8, 300), nn.ReLU(), nn.Linear(300, 2)).to(dtype)
    found = trace(model)
    assert found.sites[1].value.second_moment == pytest.approx(
        float((model[0](X.to(dtype)).detach().double() ** 2).mean()), rel=1e-3
    )
    assert found.gradient.non_finite == ()


def test_complex_values():
    model = Fn(
        lambda self, x: torch.fft.ifft(torch.fft.fft(self.fc(x)) * self.k).real, fc=nn.Linear(8, 8)
    )
    model.k = nn.Parameter(torch.randn(8, dtype=torch.complex64))
    found = trace(model)
    assert all(s.value.finite for s in found.sites)
    assert found.gradient.difference > 0


def test_parameters_without_numbers_to_initialise_are_left_out():
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    model.index = nn.Parameter(torch.arange(3), requires_grad=False)
    assert [p.name for p in trace(model).parameters] == ["0.weight", "0.bias"]
    assert len(probe.fingerprints(model)) == 2


def test_a_write_to_one_chunk_is_none_to_the_others():
    class Chunks(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(4, 2)

        def forward(self, x):
            i, f, g = torch.unsafe_chunk(self.a(x), 3, 1)  # as recurrent cells do
            return self.b(i.sigmoid_() * f.sigmoid_() * g.tanh_())

    found = probe.trace(Chunks(), Call((X,), {}), mode="train", seed=0)
    acts = [site for site in found.sites if site.kind == "activation"]
    assert [site.op for site in acts] == ["sigmoid", "sigmoid", "tanh"]
    assert [found.sites[site.reads[0]].kind for site in acts] == ["slice"] * 3
    assert len({site.reads for site in acts}) == 3


def test_a_write_to_a_part_changes_the_whole():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 2)

        def forward(self, x):
            h = self.a(x)
            h[:, :6].relu_()
            return self.b(h)

    found = probe.trace(Part(), Call((X,), {}), mode="train", seed=0)
    head = next(site for site in found.sites if site.name == "b")
    assert found.sites[head.reads[0]].op == "relu"


def test_a_part_of_an_empty_tensor_is_no_value_before_it_is_written():
    class Assembled(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 3), nn.Linear(4, 5)

        def forward(self, x):
            whole = x.new_empty(len(x), 8)
            whole.fill_(math.nan)
            whole[:, :3] = self.one(x)
            whole[:, 3:] = self.two(x)
            return torch.relu(whole)

    found = trace(Assembled(), torch.randn(8, 4))
    assert all(site.value.finite for site in found.sites)
    assert {site.name for site in found.sites} >= {"one", "two", "relu"}
    relu = found.sites[-1]
    written = {read for index in relu.reads for read in (index, *found.sites[index].reads)}
    assert {found.sites[index].name for index in written} & {"one", "two"}
