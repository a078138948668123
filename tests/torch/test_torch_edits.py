"""Edits of torch models: the printed code does what was tried, whatever the layer and the path."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.probes.torch_spelling import path_of


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=2))
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.heads = nn.ModuleDict({"a b": nn.Linear(4, 2), "4": nn.Linear(4, 2)})
        self.blocks = nn.ModuleList([nn.ModuleList([nn.Linear(4, 4)]) for _ in range(3)])
        self.scale = nn.Parameter(torch.ones(5))
        self.table = nn.ParameterList([nn.Parameter(torch.randn(3, 3))])
        self.add_module("2d", nn.Linear(2, 2))
        self.add_module("100", nn.Linear(2, 2))


@pytest.mark.parametrize("name", [name for name, _ in Odd().named_parameters()])
def test_a_path_leads_to_its_parameter(name):
    model = Odd()
    assert eval(path_of(model, name), {"model": model}) is model.get_parameter(name)


EDITS = {
    "kaiming relu": Edit("draw", ("blocks.0.0.weight",), (math.sqrt(2 / 4),), "relu"),
    "kaiming leaky": Edit(
        "draw", ("blocks.0.0.weight",), (math.sqrt(2 / (1 + 0.2**2) / 4),), "leaky_relu(0.2)"
    ),
    "kaiming conv": Edit("draw", ("features.0.weight",), (math.sqrt(2 / 27),), "relu"),
    "kaiming linear": Edit("draw", ("blocks.1.0.weight", "blocks.2.0.weight"), (0.5, 0.5), "selu"),
    "own std": Edit("draw", ("features.0.weight",), (0.12345,), "tanh"),
    "transposed": Edit("draw", ("up.weight",), (math.sqrt(2 / 8),), "relu"),
    "grouped": Edit("draw", ("features.2.weight",), (math.sqrt(2 / 18),), "relu"),
    "vector": Edit("draw", ("scale",), (0.5,)),
    "several stds": Edit("draw", ("up.weight", "scale"), (0.25, 0.5), "tanh"),
    "zeros": Edit("fill", ("blocks.0.0.bias", "blocks.1.0.bias"), (0.0, 0.0)),
    "ones": Edit("fill", ("scale",), (1.0,)),
    "constant": Edit("fill", ("scale",), (-2.5,)),
    "scale": Edit("scale", ("table.0", "heads.a b.weight"), (0.1234, 0.1234)),
    "orthogonal": Edit("orthogonal", ("features.0.weight", "up.weight"), (1.5, 0.75)),
    "remove": Edit("remove", ("features.1",)),
}


def described(model):
    from dataclasses import replace

    from pytest_initcheck.probes.torch_parameters import describe

    return {
        name: replace(describe(name, tensor), path=path_of(model, name))
        for name, tensor in model.named_parameters()
    }


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_the_code_does_what_the_edit_does(edit):
    model = Odd()
    again = copy.deepcopy(model)
    code = probe.spell([edit], described(model))
    probe.seed(5)
    probe.apply(model, [edit])
    probe.seed(5)
    exec(code, {"model": again, "nn": nn, "torch": torch})
    assert str(model) == str(again)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    changed = [
        not torch.equal(p, q) for p, q in zip(Odd().parameters(), model.parameters(), strict=False)
    ]
    assert any(changed)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("kaiming relu", 'nn.init.kaiming_normal_(model.blocks[0][0].weight, nonlinearity="relu")'),
        (
            "kaiming leaky",
            'nn.init.kaiming_normal_(model.blocks[0][0].weight, a=0.2, nonlinearity="leaky_relu")',
        ),
        ("transposed", "nn.init.normal_(model.up.weight, std=0.5)"),
        ("own std", "nn.init.normal_(model.features[0].weight, std=0.123)"),
        ("constant", "nn.init.constant_(model.scale, -2.5)"),
        ("ones", "nn.init.ones_(model.scale)"),
        ("remove", "model.set_submodule('features.1', nn.Identity())"),
    ],
)
def test_the_code_is_what_a_user_would_write(name, call):
    assert probe.spell([EDITS[name]], described(Odd())) == call


def test_a_grouped_convolution_is_drawn_with_its_true_fan_in():
    """nn.init reads the fan_in of a grouped weight off its shape, which is right; of a transposed not."""
    model = Odd()
    probe.apply(model, [EDITS["grouped"]])
    assert float(model.features[2].weight.detach().std()) == pytest.approx(math.sqrt(2 / 18), rel=0.2)
    assert "kaiming" in probe.spell([EDITS["grouped"]], described(model))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("fill", ("gone.weight",), (0.0,)), "no parameter 'gone.weight'"),
        (Edit("remove", ("relu",)), "relu is a call in the forward pass, and no module"),
    ],
)
def test_what_a_model_does_not_have_is_said(edit, message):
    with pytest.raises(ModelError, match=message):
        probe.apply(Odd(), [edit])


def test_tied_tensors_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb = nn.Embedding(100, 64)
            self.norm = nn.LayerNorm(64)
            self.head = nn.Linear(64, 100, bias=False)
            self.head.weight = self.emb.weight

        def forward(self, ix):
            return self.head(self.norm(torch.relu(self.emb(ix))))

    report = ic.check(Tied, inputs=ic.tokens(8, vocabulary=100))
    [finding] = report.failures
    assert (finding.site, finding.kind) == ("head", "tied embedding scale")
    assert finding.place.endswith("tied to emb.weight)")
    fix = report.fixes[0]
    assert fix.helped
    model = fix.apply(Tied())
    assert model.head.weight is model.emb.weight


def test_a_built_torch_model_is_left_alone():
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    nn.init.constant_(model[2].bias, -50.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = ic.check(model, inputs=ic.normal(32))
    assert report.fixes[0].helped
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_lazy_model_is_mended_once_it_is_drawn():
    def lazy():
        layers = [each for _ in range(20) for each in (nn.LazyLinear(64), nn.ReLU())]
        return nn.Sequential(*layers, nn.LazyLinear(3))

    report = ic.check(lazy, inputs=ic.normal(64))
    assert report.fixes[0].helped, report


def test_one_edit_twice_is_one_verdict():
    def deep():
        layers = [each for _ in range(14) for each in (nn.Linear(64, 64), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(64, 3))

    one, other = (ic.check(deep, inputs=ic.normal(64), id="deep") for _ in range(2))
    assert one.fixes == other.fixes


def test_the_global_states_are_as_before_a_trial():
    state = torch.random.get_rng_state()
    report = ic.check(lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU()), inputs=ic.uniform(8, high=255))
    assert report.verdict == "fail"
    assert torch.equal(state, torch.random.get_rng_state())
