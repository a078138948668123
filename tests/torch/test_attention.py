"""Softmaxes that start one-hot, and those that do not: attention written out, fused, and masked."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.probes.torch_attention import attention_share, softmax_share

D, T = 32, 8


class Attention(nn.Module):
    def __init__(self, std=None, scale=None, fused=False, causal=False, mask=None):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, 0, std or 1 / math.sqrt(D))
        self.scale = 1 / math.sqrt(D) if scale is None else scale
        self.fused, self.causal, self.mask = fused, causal, mask
        self.head = nn.Linear(D, 4)

    def forward(self, x):
        q, k, v = (f(x)[:, None] for f in (self.q, self.k, self.v))
        if self.fused:
            h = F.scaled_dot_product_attention(
                q, k, v, is_causal=self.causal, attn_mask=self.mask, scale=self.scale
            )
        else:
            scores = q @ k.transpose(-1, -2) * self.scale
            if self.causal:
                ahead = torch.ones(T, T, dtype=torch.bool).triu(1)
                scores = scores.masked_fill(ahead, -math.inf)
            h = torch.softmax(scores, -1) @ v
        return self.head(torch.relu(self.o(h[:, 0])))


def check(factory, **kwargs):
    return ic.check(factory, inputs=ic.normal(T, D, batch=32), **kwargs)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_at_its_usual_scale_passes(fused, causal):
    report = check(lambda: Attention(fused=fused, causal=causal))
    assert report.verdict == "pass", str(report)
    assert report.invariants["saturation"].verdict == "pass"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_one_hot_attention_fails_at_its_softmax(fused, causal):
    report = check(lambda: Attention(std=1.0, fused=fused, causal=causal), only="saturation")
    [finding] = report.failures
    assert "of its rows start one-hot" in finding.message
    assert "scores" in finding.cause
    assert finding.kind == "scores too large"
    assert finding.fixes[0].helped


def test_attention_without_its_scale_fails():
    assert check(lambda: Attention(scale=math.sqrt(D)), only="saturation").verdict == "fail"


def test_what_the_kernel_computes_is_what_the_formula_says():
    torch.manual_seed(0)
    q, k, v = (4 * torch.randn(3, 2, 32, 16) for _ in range(3))
    for mask in (None, torch.rand(32, 32) > 0.5, torch.randn(32, 32)):
        scores = q @ k.transpose(-1, -2) / 4
        if mask is not None:
            scores = scores + mask if mask.dtype != torch.bool else scores.masked_fill(~mask, -math.inf)
        wanted = softmax_share(scores, scores.softmax(-1), -1)
        assert 0.1 < wanted < 1
        assert attention_share((q, k, v, 0.0, False), {"attn_mask": mask}) == pytest.approx(wanted)
    causal = scores.masked_fill(torch.ones(32, 32).triu(1).bool(), -math.inf)
    plain = (q @ k.transpose(-1, -2) / 4).masked_fill(torch.ones(32, 32).triu(1).bool(), -math.inf)
    assert causal.shape == plain.shape
    assert attention_share((q, k, v, 0.0, True), {}) == pytest.approx(
        softmax_share(plain, plain.softmax(-1), -1)
    )


def test_a_row_without_a_choice_is_not_counted():
    scores = torch.full((4, 6), -math.inf)
    scores[:, 0] = 0.0
    assert softmax_share(scores, scores.softmax(-1), -1) is None
    scores[0, 1] = 0.0
    assert softmax_share(scores, scores.softmax(-1), -1) == 0.0
    assert softmax_share(torch.zeros(4, 1), torch.ones(4, 1), -1) is None
