"""Dropout in every spelling is off; other noise is the same in every pass."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.trace import Wanted

torch.manual_seed(0)
X = torch.randn(32, 16)
P = 0.4


def uniform_mask(x):
    return x * (torch.rand_like(x) > P) / (1 - P)


def float_mask(x):
    return x * (torch.rand(x.shape) < 1 - P).float() / (1 - P)


def typed_mask(x):
    mask = (torch.empty_like(x).uniform_() >= P).to(x.dtype)
    return mask * x / (1 - P)


def scaled_mask(x):
    return (torch.rand_like(x) > P) / (1 - P) * x


def filled(x):
    return x.masked_fill(torch.rand_like(x) < P, 0.0) / (1 - P)


def filled_in_place(x):
    return (x * 1).masked_fill_(torch.rand_like(x) < P, 0) / (1 - P)


def chosen(x):
    return torch.where(torch.rand_like(x) < P, 0.0, x / (1 - P))


def kept_unless(x):
    return x * ~(torch.rand_like(x) < P) / (1 - P)


def broadcast(x):
    return x * (torch.rand(x.shape[0]) > P)[:, None] / (1 - P)


def per_sample(x):
    return x.div(1 - P) * torch.rand(x.shape[0], 1).add_(1 - P).floor_()


def floor(x):
    return x / (1 - P) * torch.floor(1 - P + torch.rand(x.shape[0], 1))


DROPOUTS = {
    "module": nn.Dropout(P),
    "channels": lambda x: nn.Dropout1d(P)(x[:, :, None])[:, :, 0],
    "images": lambda x: nn.Dropout2d(P)(x[:, :, None, None]).flatten(1),
    "alpha": nn.AlphaDropout(P),
    "features": nn.FeatureAlphaDropout(P),
    "function": lambda x: F.dropout(x, P, training=True),
    "function in place": lambda x: F.dropout(x * 1, P, training=True, inplace=True),
    "function by keyword": lambda x: F.dropout(input=x, p=P),
    "channels by function": lambda x: F.dropout2d(x[:, :, None, None], P).flatten(1),
    "alpha by function": lambda x: F.alpha_dropout(x, P, training=True),
    "torch": lambda x: torch.dropout(x, P, True),
    "bernoulli": lambda x: x * torch.bernoulli(torch.full_like(x, 1 - P)) / (1 - P),
    "bernoulli of a probability": lambda x: x * torch.bernoulli(torch.zeros_like(x), 1 - P) / (1 - P),
    "bernoulli in place": lambda x: x * torch.empty_like(x).bernoulli_(1 - P) / (1 - P),
    "comparison": uniform_mask,
    "float mask": float_mask,
    "typed mask": typed_mask,
    "scaled mask": scaled_mask,
    "filled": filled,
    "filled in place": filled_in_place,
    "chosen": chosen,
    "kept unless": kept_unless,
    "broadcast": broadcast,
    "stochastic depth by floor": per_sample,
    "stochastic depth by a floor out of place": floor,
}


class Net(nn.Module):
    def __init__(self, drop, depth=3, std=None):
        super().__init__()
        self.drop = drop
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.head = nn.Linear(16, 2)
        for layer in self.layers:
            if std is None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, 0, std)

    def forward(self, x):
        for layer in self.layers:
            x = self.drop(F.relu(layer(x)))
        return self.head(x)


def same(x):
    return x


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_is_off_in_every_spelling(name, traced):
    torch.manual_seed(1)
    expected = traced(Net(same), X)
    torch.manual_seed(1)
    found = traced(Net(DROPOUTS[name]), X)
    assert found.sites[-1].value.second_moment == pytest.approx(
        expected.sites[-1].value.second_moment, rel=1e-4
    )
    assert found.gradient.difference == pytest.approx(expected.gradient.difference, rel=1e-4)
    assert [s.activation for s in found.sites if s.activation] == ["relu"] * 3


@pytest.mark.parametrize("name", ["module", "comparison", "filled"])
def test_the_draw_is_random_outside_of_a_check(name):
    model = Net(DROPOUTS[name])
    assert not torch.equal(model(X), model(X))


def test_dropout_written_out_in_a_deep_net_does_not_change_a_verdict():
    deep = ic.check(lambda: Net(uniform_mask, depth=12), inputs=ic.normal(16), only="variance")
    assert deep.verdict == "pass", str(deep)


class Encoder(nn.Module):
    """A variational bottleneck: its forward pass draws."""

    def __init__(self, seen):
        super().__init__()
        self.encode, self.decode = nn.Linear(16, 16), nn.Linear(8, 16)
        object.__setattr__(self, "seen", seen)

    def forward(self, x):
        mean, log_variance = self.encode(x).relu().chunk(2, 1)
        noise = torch.randn_like(mean)
        self.seen.append(noise.clone())
        return self.decode(mean + torch.exp(0.5 * log_variance) * noise)


def test_noise_is_the_same_in_every_pass_of_one_seed(traced):
    drawn = [torch.zeros(0)]
    pass_on = drawn.append
    seen = type("Seen", (), {"append": staticmethod(pass_on)})()
    model = Encoder(seen)
    first = traced(model, X, seed=5)
    torch.rand(7)
    again = traced(model, X, seed=5)
    other = traced(model, X, seed=6)
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[1], drawn[3])
    assert first == again
    assert first != other
    assert float(drawn[1].std()) == pytest.approx(1, rel=0.2)


ELSEWHERE = {
    "numpy": lambda: np.random.standard_normal((32, 16)),
    "python": lambda: [[random.gauss(0, 1) for _ in range(16)] for _ in range(32)],
}


@pytest.mark.parametrize("generator", ELSEWHERE)
def test_what_other_generators_draw_is_the_same_in_every_pass(generator, fn):
    drawn = []

    def forward(self, x):
        noise = torch.tensor(ELSEWHERE[generator](), dtype=torch.float32)
        drawn.append(noise)
        return self.fc(x + noise)

    states = random.getstate(), np.random.get_state()[1].tolist()
    model = fn(forward, fc=nn.Linear(16, 4))
    call = Call((X,), {})
    seen = probe.trace(model, call, mode="train", seed=5, wanted=Wanted(noise=True))
    first, *others = drawn
    assert others
    assert all(torch.equal(first, other) for other in others)
    assert seen.sensitivity.change < 0.01  # with another draw it would be about 1
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_stochastic_units_keep_their_draw(fn, traced):
    model = fn(
        lambda self, x: self.out(torch.bernoulli(torch.sigmoid(self.fc(x)))),
        fc=nn.Linear(16, 16),
        out=nn.Linear(16, 2),
    )
    bits = traced(model, X).sites[-2].value
    assert (bits.low, bits.high) == (0.0, 1.0)


def test_a_random_mask_that_is_no_dropout_stays_random(fn, traced):
    def forward(self, x):
        mask = torch.rand(x.shape[1]) > 0.5
        return self.out(self.fc(x)[:, mask].sum(1, keepdim=True))

    found = traced(fn(forward, fc=nn.Linear(16, 16), out=nn.Linear(1, 2)), X)
    chosen_units = [s.units for s in found.sites if s.kind == "slice"]
    assert 0 < chosen_units[0] < 16
