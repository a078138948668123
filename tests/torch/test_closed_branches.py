"""Branches that start closed, tokens that start at zero, and the events of rare draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pytest_initcheck as ic

D = 16


class Gated(nn.Module):
    """A rectifier behind a branch that is multiplied by a learnt number."""

    def __init__(self, gain=0.0, bias=0.0):
        super().__init__()
        self.inp, self.inner, self.out = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)
        self.head = nn.Linear(D, 4)
        self.gain = nn.Parameter(torch.full((1,), gain))
        nn.init.constant_(self.inner.bias, bias)

    def forward(self, x):
        h = torch.relu(self.inp(x))
        closed = self.gain * h
        gate = torch.sigmoid(self.out(torch.relu(self.inner(closed))))
        return self.head(h + gate * closed)


def test_a_closed_branch_is_not_dead():
    report = ic.check(Gated, inputs=ic.normal(D))
    assert report.verdict == "pass", str(report)


def test_a_dead_layer_is_dead_although_it_reads_little():
    report = ic.check(lambda: Gated(gain=1e-6, bias=-1.0), inputs=ic.normal(D), only="dead-relu")
    assert report.failures[0].site == "inner"


class Tokens(nn.Module):
    """A class token at zero in front of a normalisation with a tiny epsilon."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, D))
        self.norm = nn.LayerNorm(D, eps=1e-12)
        self.mix, self.head = nn.Linear(D, D), nn.Linear(D, 4)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = torch.nn.functional.gelu(self.mix(self.norm(x)))
        return self.head(x.mean(1))


def test_a_token_at_zero_moves_no_outputs_together():
    report = ic.check(Tokens, inputs=ic.normal(4, D))
    assert report.verdict == "pass", str(report)


class Overflowing(nn.Module):
    """Infinite in between, finite at the end: only whole traces show it."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(D, D), nn.Linear(D, 4)

    def forward(self, x):
        z = self.first(x)
        return self.head(torch.tanh(1 / (z - z)))


def test_what_only_traces_show_is_looked_for_in_traces():
    report = ic.check(Overflowing, inputs=ic.normal(D), only="finite")
    assert report.verdict == "fail"
    assert "seen in 7 of 7 fresh inits" in report.failures[0].proof


def test_a_level_without_elements_is_no_error():
    class Empty(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(D, 4)

        def forward(self, x):
            none = torch.relu(x[:0])
            return self.head(torch.relu(torch.cat([x, none])))

    assert ic.check(Empty, inputs=ic.normal(D)).verdict == "pass"


@pytest.mark.parametrize("start", [-math.inf, -1e38])
def test_a_running_maximum_is_no_activation(start):
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.key, self.head = nn.Linear(D, D), nn.Linear(D, 4)

        def forward(self, x):
            keys = self.key(x)
            most = torch.full_like(keys, start)
            now = torch.maximum(most, keys)
            weight, rest = torch.exp(most - now), torch.exp(keys - now)
            return self.head(torch.relu(keys) * (0.5 * weight + rest) / (weight + rest))

    report = ic.check(Running, inputs=ic.normal(D))
    assert report.verdict == "pass", str(report)


@pytest.mark.parametrize("positions", [1, 4])
def test_attention_over_one_position_has_nothing_to_choose(positions):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.head = (nn.Linear(D, D) for _ in range(4))
            self.place = nn.Parameter(torch.zeros(positions))

        def forward(self, x):
            scores = self.q(x) @ self.k(x).transpose(1, 2) / D**0.5 + self.place
            return self.head(torch.relu((scores.softmax(-1) @ self.v(x)).mean(1)))

    report = ic.check(Attention, inputs=ic.normal(positions, D))
    assert report.verdict == "pass", str(report)
    listed = [line for line in report.unobserved if "q.weight" in line]
    assert bool(listed) is (positions == 1)
