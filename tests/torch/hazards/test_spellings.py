"""A verdict does not depend on how an activation is written: a matched model passes, a twin fails."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.config import resolve
from pytest_initcheck.inputs import Call
from pytest_initcheck.invariants import dead_relu, finite, inputs, saturation, variance
from pytest_initcheck.probes import torch as probe


class OwnReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        return gradient * (z > 0)


class OwnSwish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z * torch.sigmoid(z)

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        s = torch.sigmoid(z)
        return gradient * s * (1 + z * (1 - s))


def filled(z):
    z = z.clone()
    z[z < 0] = 0
    return z


SPELLINGS = {
    "relu": {
        "function": F.relu,
        "torch": torch.relu,
        "method": lambda z: z.relu(),
        "in place": lambda z: z.relu_(),
        "in place by argument": lambda z: F.relu(z, inplace=True),
        "clamp": lambda z: z.clamp(min=0),
        "clamp in place": lambda z: z.clamp_(min=0),
        "clamp_min in place": lambda z: z.clamp_min_(0),
        "clip": lambda z: torch.clip(z, 0),
        "threshold": lambda z: F.threshold(z, 0, 0),
        "where": lambda z: torch.where(z > 0, z, 0),
        "where zeros": lambda z: torch.where(z >= 0, z, torch.zeros_like(z)),
        "where the other way": lambda z: torch.where(z < 0, 0, z),
        "maximum": lambda z: torch.maximum(z, torch.tensor(0.0)),
        "maximum of zeros": lambda z: torch.maximum(torch.zeros_like(z), z),
        "minimum": lambda z: -torch.minimum(-z, torch.zeros_like(z)),
        "mask": lambda z: z * (z > 0),
        "mask first": lambda z: (z > 0) * z,
        "float mask": lambda z: (z > 0).float() * z,
        "typed mask": lambda z: z * z.gt(0).type_as(z),
        "masked fill": lambda z: z.masked_fill(z < 0, 0.0),
        "masked fill in place": lambda z: z.masked_fill_(z <= 0, 0.0),
        "indexed": filled,
        "half of both": lambda z: 0.5 * (z + z.abs()),
        "what is left": lambda z: z - z.clamp(max=0),
        "own function": OwnReLU.apply,
        "mapped": torch.vmap(lambda row: row.relu()),
        "leaky by 0": lambda z: F.leaky_relu(z, 0.0),
    },
    "leaky_relu(0.1)": {
        "function": lambda z: F.leaky_relu(z, 0.1),
        "in place": lambda z: F.leaky_relu_(z, 0.1),
        "where": lambda z: torch.where(z > 0, z, 0.1 * z),
        "maximum": lambda z: torch.maximum(z, 0.1 * z),
        "both halves": lambda z: z.clamp(min=0) + 0.1 * z.clamp(max=0),
        "two rectifiers": lambda z: F.relu(z) - 0.1 * F.relu(-z),
        "prelu": lambda z: F.prelu(z, torch.tensor([0.1])),
    },
    "tanh": {
        "function": torch.tanh,
        "method": lambda z: z.tanh(),
        "in place": lambda z: z.tanh_(),
        "by sigmoid": lambda z: 2 * torch.sigmoid(2 * z) - 1,
        "by exponentials": lambda z: (z.exp() - (-z).exp()) / (z.exp() + (-z).exp()),
    },
    "sigmoid": {
        "function": torch.sigmoid,
        "special": torch.special.expit,
        "in place": lambda z: z.sigmoid_(),
        "by exponential": lambda z: 1 / (1 + torch.exp(-z)),
        "by tanh": lambda z: 0.5 * (1 + torch.tanh(z / 2)),
    },
    "gelu": {
        "function": F.gelu,
        "by erf": lambda z: 0.5 * z * (1 + torch.erf(z / math.sqrt(2))),
        "by erf, in another order": lambda z: z * 0.5 * (1.0 + torch.erf(z * 0.5**0.5)),
    },
    "gelu_tanh": {
        "function": lambda z: F.gelu(z, approximate="tanh"),
        "by tanh": lambda z: (
            0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z.pow(3))))
        ),
    },
    "silu": {
        "function": F.silu,
        "product": lambda z: z * torch.sigmoid(z),
        "gate first": lambda z: z.sigmoid().mul(z),
        "quotient": lambda z: z / (1 + torch.exp(-z)),
        "own function": OwnSwish.apply,
    },
    "mish": {"function": F.mish, "product": lambda z: z * torch.tanh(F.softplus(z))},
    "softplus": {
        "function": F.softplus,
        "logarithm": lambda z: torch.log(1 + torch.exp(z)),
        "log1p": lambda z: torch.log1p(z.exp()),
        "logaddexp": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
    },
    "elu": {
        "function": F.elu,
        "where": lambda z: torch.where(z > 0, z, torch.expm1(z)),
        "two halves": lambda z: F.relu(z) + (z.clamp(max=0).exp() - 1),
    },
    "softsign": {"function": F.softsign, "written": lambda z: z / (1 + z.abs())},
    "relu6": {
        "function": F.relu6,
        "clamp": lambda z: z.clamp(0, 6),
        "clip of a relu": lambda z: F.relu(z).clamp(max=6),
    },
    "hardsigmoid": {"function": F.hardsigmoid, "written": lambda z: F.relu6(z + 3) / 6},
    "hardswish": {"function": F.hardswish, "written": lambda z: z * F.relu6(z + 3) / 6},
    "hardtanh": {"function": F.hardtanh, "clamp": lambda z: z.clamp(-1, 1)},
    "log_sigmoid": {"function": F.logsigmoid, "written": lambda z: torch.log(torch.sigmoid(z))},
}
INVARIANTS = {m.NAME: m for m in (finite, inputs, variance, saturation, dead_relu)}
EVERY = [(phi, name) for phi, functions in SPELLINGS.items() for name in functions]
X = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))


class Layers(nn.Module):
    def __init__(self, function, gain, depth=3, bias=0.0, width=32):
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 4)
        for layer in self.layers:
            nn.init.normal_(layer.weight, 0, gain / math.sqrt(width))
            nn.init.constant_(layer.bias, bias)

    def forward(self, x):
        for layer in self.layers:
            x = self.function(layer(x))
        return self.head(x)


HARD = ("relu6", "hardsigmoid", "hardswish")
"""Within their kinks these are simpler functions, and are then seen as such."""


def seen(function, scale=1.0, bias=0.0, depth=3):
    torch.manual_seed(1)
    model = Layers(function, scale, depth, bias)
    return probe.trace(model, Call((X,), {}), mode="train", seed=0)


def activations(trace):
    return [s for s in trace.sites if s.activation is not None]


def alike(one, other):
    numbers = [
        (*dataclasses.astuple(s.value)[1:6], s.dead or 0.0, s.saturated or 0.0) for s in (one, other)
    ]
    assert (one.activation, one.units) == (other.activation, other.units)
    assert (one.dead is None, one.saturated is None) == (other.dead is None, other.saturated is None)
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("phi", "name"), EVERY, ids=str)
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_every_spelling_is_seen_alike(phi, name, scale):
    if phi in HARD:
        scale *= 5
    expected = seen(SPELLINGS[phi]["function"], scale)
    found = seen(SPELLINGS[phi][name], scale)
    assert [s.activation for s in activations(found)] == [phi] * 3
    for one, other in zip(activations(found), activations(expected), strict=True):
        alike(one, other)


@pytest.mark.parametrize("name", SPELLINGS["relu"])
def test_a_dead_layer_is_dead_in_every_spelling(name):
    found = seen(SPELLINGS["relu"][name], bias=-50.0)
    assert [s.dead for s in activations(found)] == [1.0] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("phi", "name"),
    [
        ("relu", "half of both"),
        ("tanh", "by exponentials"),
        ("sigmoid", "by exponential"),
        ("silu", "quotient"),
        ("mish", "product"),
        ("softsign", "written"),
        ("hardsigmoid", "written"),
        ("elu", "two halves"),
    ],
)
def test_other_precisions_are_seen_alike(phi, name, dtype):
    torch.manual_seed(1)
    model = Layers(SPELLINGS[phi][name], 15.0 if phi in HARD else 3.0).to(dtype)
    found = probe.trace(model, Call((X.to(dtype),), {}), mode="train", seed=0)
    assert [s.activation for s in activations(found)] == [phi] * 3


def test_a_gate_on_its_own_input_is_no_unit_that_saturates():
    found = seen(lambda z: z * torch.sigmoid(1.702 * z), 3.0)
    assert [s.saturated for s in found.sites] == [None] * len(found.sites)


def test_a_gate_on_another_signal_is_one():
    found = seen(lambda z: z * torch.sigmoid(z.roll(1, 1)), 3.0)
    assert [s.activation for s in found.sites if s.saturated is not None] == ["sigmoid"] * 3


def test_a_squared_rectifier_is_judged_as_the_rectifier_that_it_squares():
    for function in (lambda z: F.relu(z).square(), lambda z: F.relu(z) * z):
        assert [s.dead for s in activations(seen(function, bias=-50.0))] == [1.0] * 3


def test_a_residual_of_itself_is_no_activation():
    found = seen(lambda z: z + torch.tanh(z), 3.0)
    assert [s.activation for s in activations(found)] == ["tanh"] * 3
    assert [found.sites[i].kind for i in found.sites[-1].reads] == ["add"]


MODELS = {
    "good": {"scale": 1.0},
    "large": {"scale": 3.0, "depth": 2},  # more overflows exp(z), which F.softplus(z) does not
    "small": {"scale": 0.3, "depth": 8},
}
LIMITS = {"unasked": resolve(), "asked": resolve(("call", {"variance": 10, "dead_relu": 0.1}))}


def judged(trace, limits):
    """Everything that the invariants say of a trace, besides where they say it."""
    return {
        (name, m.direction, m.fatal is not None)
        for name, module in INVARIANTS.items()
        for m in module.measure(trace, limits, 1)
        if m.violated
    }


@pytest.mark.parametrize(("phi", "name"), EVERY, ids=str)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("limits", LIMITS)
def test_every_spelling_is_judged_alike(phi, name, model, limits):
    expected = judged(seen(SPELLINGS[phi]["function"], **MODELS[model]), LIMITS[limits])
    assert judged(seen(SPELLINGS[phi][name], **MODELS[model]), LIMITS[limits]) == expected


DEAD = [(phi, name) for phi, name in EVERY if phi in ("relu", "leaky_relu(0.1)", "relu6", "tanh", "elu")]


@pytest.mark.parametrize(("phi", "name"), DEAD, ids=str)
def test_every_spelling_is_judged_alike_where_nothing_is_active(phi, name):
    expected = judged(seen(SPELLINGS[phi]["function"], bias=-50.0), LIMITS["unasked"])
    assert judged(seen(SPELLINGS[phi][name], bias=-50.0), LIMITS["unasked"]) == expected


VERDICTS = {
    "relu": ("variance", {"gain": 0.2, "depth": 8}),
    "gelu": ("variance", {"gain": 0.2, "depth": 8}),
    "tanh": ("saturation", {"gain": 10.0}),
    "sigmoid": ("saturation", {"gain": 40.0}),
    "softsign": ("saturation", {"gain": 40.0}),
    "relu6": ("dead-relu", {"gain": 1.4, "bias": -50.0}),
}


@pytest.mark.parametrize("phi", VERDICTS)
def test_a_matched_model_passes_and_its_broken_twin_fails(phi):
    invariant, broken = VERDICTS[phi]
    gain = ic.theory.gain(phi) if phi != "sigmoid" else 1.0
    function = list(SPELLINGS[phi].values())[-1]
    report = ic.check(lambda: Layers(function, gain), inputs=ic.normal(32), id=phi)
    assert report.verdict == "pass", str(report)
    twin = lambda: Layers(function, **broken)  # noqa: E731
    report = ic.check(twin, inputs=ic.normal(32), id=phi, only=invariant, try_fixes=False)
    assert report.invariants[invariant].verdict == "fail", str(report)
