"""trainable and symmetry on torch models: what no step moves, what stays equal, and what only starts so."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.inputs import source
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.trace import Wanted

D = 16
INPUTS = ic.normal(D, batch=32)


def he(inputs, units):
    layer = nn.Linear(inputs, units)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class Net(nn.Module):
    """Two layers and a head; subclasses say what goes wrong between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = he(D, D), he(D, D), he(D, 4)

    def forward(self, x):
        return self.head(F.relu(self.second(self.between(F.relu(self.first(x))))))

    def between(self, x):
        return x


class Detached(Net):
    def between(self, x):
        return x.detach()


class NoGrad(Net):
    def forward(self, x):
        with torch.no_grad():
            x = F.relu(self.first(x))
        return self.head(F.relu(self.second(x)))


class OwnData(Net):
    def forward(self, x):
        return self.head(F.relu(F.linear(F.relu(self.first(x)), self.second.weight.data)))


class FrozenFirst(NoGrad):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)


class BothZero(Net):
    def __init__(self, both=True):
        super().__init__()
        self.down, self.up = nn.Linear(D, 4, bias=False), nn.Linear(4, D, bias=False)
        nn.init.zeros_(self.up.weight)
        if both:
            nn.init.zeros_(self.down.weight)

    def between(self, x):
        return x + self.up(self.down(x))


class TwoStepsToOpen(Net):
    """A zero gate in front of a zero branch: the branch moves in the second step."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))
        self.inner = nn.Sequential(he(D, D), nn.ReLU(), he(D, D))

    def between(self, x):
        return x + self.gate * self.inner(x)


class Selected(Net):
    """Ids picked by an argmax: no gradient comes back through them."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(8, D))

    def between(self, x):
        picked = (x @ self.codes.t()).argmax(-1)
        return x + (self.codes[picked] - x).detach()


class DeadEnd(Net):
    """The last block computes what nobody reads."""

    def __init__(self):
        super().__init__()
        self.unread = he(D, D)

    def forward(self, x):
        h = F.relu(self.first(x))
        self.unread(h)
        return self.head(F.relu(self.second(h)))


class Unused(Net):
    def __init__(self):
        super().__init__()
        self.other = he(D, D)


class LastStep(Net):
    """The loss of a tensor may be its own: it comes out besides."""

    def forward(self, x):
        y = super().forward(x)
        return y, (self.head.weight**2).sum()


def check(factory, **kwargs):
    return ic.check(factory, **{"inputs": INPUTS, "only": ["trainable", "symmetry"], **kwargs})


@pytest.mark.parametrize(
    ("factory", "site", "said", "cause"),
    [
        (Detached, "first", "no gradient has a path", "detach()"),
        (NoGrad, "first", "no gradient has a path", "no_grad()"),
        (OwnData, "second", "no gradient has a path", ".data"),
        (Selected, "codes", "no gradient has a path", "argmax"),
        (BothZero, "down", "exactly zero in each of 3 steps", "both factors of a product start at zero"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_tensor_that_nothing_reaches_is_named(factory, site, said, cause):
    report = check(factory)
    assert report.invariants["trainable"].verdict == "fail"
    assert report.invariants["symmetry"].verdict == "pass"
    finding = report.failures[0]
    assert finding.site.startswith(site)
    assert said in finding.detail
    assert cause in finding.cause
    with pytest.raises(ic.TrainableViolation):
        report.raise_if_failed()


@pytest.mark.parametrize(
    "factory",
    [Net, FrozenFirst, lambda: BothZero(both=False), TwoStepsToOpen, DeadEnd, Unused, LastStep],
    ids=["plain", "frozen", "one factor zero", "zero gate", "dead end", "unused", "two outputs"],
)
def test_what_moves_within_three_steps_passes(factory):
    assert check(factory).verdict == "pass"


def test_what_is_computed_for_nothing_is_listed():
    report = check(DeadEnd)
    assert "unread.weight: the model computes with it and returns nothing of that" in report.unobserved


def test_a_tensor_with_a_loss_of_its_own_passes_under_it():
    def loss(output, x):
        return output.sum()

    def with_codes(model):
        return lambda output: output.square().mean() + model.codes.square().sum()

    assert check(Selected, loss=loss).verdict == "fail"
    held = {}

    def factory():
        held["model"] = Selected()
        return held["model"]

    assert check(factory, loss=lambda y: with_codes(held["model"])(y)).verdict == "pass"


def test_a_loss_of_the_users_decides_what_moves():
    assert check(Net, loss=lambda y: y.square().mean()).verdict == "pass"
    report = check(Net, loss=lambda y: (y * 0).sum())
    assert report.invariants["trainable"].verdict == "fail"
    assert check(Net, loss=lambda y, x: (y.sum(1) * x.sum(1)).mean()).verdict == "pass"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y: y, r"loss= must return a tensor with one number, got shape \(32, 4\)"),
        (lambda y: 1.0, "loss= must return a tensor with one number, got float"),
        (lambda y: y.nothing, "loss= raised AttributeError: .*; it is called with the model's output"),
    ],
)
def test_a_loss_that_is_none(loss, message):
    report = check(Net, loss=loss)
    assert report.verdict == "error"
    with pytest.raises(AssertionError, match=message):
        report.raise_if_failed()


def test_a_loss_that_cannot_be_called():
    with pytest.raises(ic.ConfigError, match="loss is a function of the model's output, got 3"):
        check(Net, loss=3)


def test_the_steps_leave_the_model_as_it_was():
    model = BothZero()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    report = check(model)
    assert report.invariants["trainable"].verdict == "fail"  # a fact: one look decides
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


# -- equal units -----------------------------------------------------------------------------------


def constant(*values):
    def factory():
        model = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 4))
        for layer, value in zip(model[::2], values, strict=True):
            if value is not None:
                nn.init.constant_(layer.weight, value)
                nn.init.zeros_(layer.bias)
        return model

    return factory


@pytest.mark.parametrize(
    "values", [(0.1, 0.1, 0.1), (0.1, 0.0, None), (0.05, 0.05, None), (None, 0.1, 0.1)]
)
def test_units_that_stay_equal(values):
    report = check(constant(*values))
    assert report.invariants["symmetry"].verdict == "fail"
    assert "start equal and still are after 3 steps" in report.failures[0].detail
    with pytest.raises(ic.SymmetryViolation):
        report.raise_if_failed("symmetry")


def test_zeros_everywhere_are_stuck_and_not_called_equal_besides():
    report = check(constant(0.0, 0.0, 0.0))
    assert [finding.invariant for finding in report.failures] == ["trainable"]


@pytest.mark.parametrize("values", [(None, None, 0.0), (None, 0.0, None), (None, 0.1, None)])
def test_units_that_only_start_equal(values):
    assert check(constant(*values)).verdict == "pass"


def sharded(count, axis=0):
    """A weight drawn shard by shard, every shard from the same seed."""

    def factory():
        model = Net()
        with torch.no_grad():
            shard = torch.chunk(model.second.weight, count, axis)[0].clone()
            model.second.weight.copy_(torch.cat([shard] * count, axis))
        return model

    return factory


@pytest.mark.parametrize(("count", "axis"), [(2, 0), (4, 0), (2, 1), (8, 1)])
def test_shards_of_one_seed_are_copies(count, axis):
    report = check(sharded(count, axis))
    assert report.invariants["symmetry"].verdict == "fail"
    [finding] = report.failures
    assert finding.site == "second"
    assert f"weight is {count} copies of one block" in finding.message
    assert "one seed" in finding.cause


@pytest.mark.parametrize("groups", [2, 4])
def test_blocks_of_an_identity_were_drawn_by_nobody(groups):
    def factory():
        conv = nn.Conv2d(16, 16, 3, padding=1, groups=groups)
        nn.init.dirac_(conv.weight, groups=groups)
        return nn.Sequential(conv, nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))

    assert check(factory, inputs=ic.images(16, 8, 8, batch=16)).verdict == "pass"


class Members(nn.Module):
    """An ensemble whose second member is a deepcopy of the first."""

    def __init__(self, copied=True, averaged=True):
        super().__init__()
        self.one = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 4))
        self.other = copy.deepcopy(self.one)
        if not copied:
            for layer in self.other[::2]:
                layer.reset_parameters()
        self.averaged = averaged

    def forward(self, x):
        both = torch.stack([self.one(x), self.other(x)])
        return both.mean(0) if self.averaged else both.transpose(0, 1)


def onto_one_target(output):
    return (output - 1).square().mean()


def test_members_that_are_copies_and_stay_so():
    report = check(Members)
    assert [finding.invariant for finding in report.failures] == ["symmetry"]
    [finding] = report.failures
    assert "other.0.weight and one.0.weight are equal, and stay so" in finding.detail
    assert "deepcopy" in finding.fix


def test_members_that_are_copies_until_their_losses_differ():
    apart = functools.partial(Members, averaged=False)
    assert check(apart).verdict == "pass"
    assert check(apart, loss=onto_one_target).invariants["symmetry"].verdict == "fail"


def test_members_that_were_drawn_one_by_one():
    for averaged in (True, False):
        factory = functools.partial(Members, copied=False, averaged=averaged)
        assert check(factory, loss=onto_one_target).verdict == "pass"


def test_where_gradients_are_not_finite_nothing_is_said_of_equal_units():
    def factory():
        model = Net()
        nn.init.zeros_(model.second.weight)
        model.second.bias.data[0] = torch.nan
        return model

    report = check(factory)
    assert report.invariants["finite"].verdict == "fail"
    assert report.invariants["symmetry"].verdict != "fail"


def test_repeated_channels_for_a_sub_pixel_convolution_are_none():
    def factory():
        conv = nn.Conv2d(3, 16, 3, padding=1)
        kernel = torch.randn(4, 3, 3, 3) * (2 / 27) ** 0.5
        with torch.no_grad():
            conv.weight.copy_(kernel.repeat_interleave(4, 0))
        return nn.Sequential(conv, nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))

    assert check(factory, inputs=ic.images(3, 8, 8, batch=16)).verdict == "pass"


def test_the_trace_says_what_the_steps_showed():
    torch.manual_seed(0)
    call = source(INPUTS).sample(np.random.default_rng(0))
    wanted = Wanted(steps=True)
    moving = probe.trace(Net(), call, mode="train", seed=0, wanted=wanted).training
    assert (moving.steps, moving.stuck, moving.cut_off, moving.equal) == (0, (), (), ())
    gated = probe.trace(TwoStepsToOpen(), call, mode="train", seed=0, wanted=wanted).training
    assert (gated.steps, gated.stuck) == (2, ())
    stuck = probe.trace(BothZero(), call, mode="train", seed=0, wanted=wanted).training
    assert (stuck.steps, stuck.stuck) == (3, ("down.weight", "up.weight"))
    assert probe.trace(Net(), call, mode="train", seed=0).training is None
