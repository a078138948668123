"""Precisions and kinds of numbers: half, double, complex, quantised, and parameters without any."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pytest_initcheck as ic

torch.manual_seed(0)
X = torch.randn(32, 16)


def mlp():
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_is_judged_alike(dtype):
    report = ic.check(lambda: mlp().to(dtype), inputs=ic.normal(16), id="same")
    expected = ic.check(mlp, inputs=ic.normal(16), id="same")
    assert report.verdict == expected.verdict == "pass"
    for row, other in zip(report.sites, expected.sites, strict=True):
        assert row.second_moment == pytest.approx(other.second_moment, rel=0.05)


def test_values_that_overflow_half_precision_fail():
    def bad():
        model = mlp().half()
        nn.init.normal_(model[0].weight, 0, 3000.0)
        nn.init.normal_(model[2].weight, 0, 3000.0)
        return model

    assert ic.check(bad, inputs=ic.normal(16), only="finite").verdict == "fail"


def test_mixed_precision_by_hand(fn, traced):
    model = fn(
        lambda self, x: self.b(self.a(x).float()), a=nn.Linear(16, 16).bfloat16(), b=nn.Linear(16, 2)
    )
    found = traced(model, X)
    assert found.gradient.live_matrices == 2


def test_autocast_inside_of_forward(fn, traced):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.m(x).float()

    found = traced(fn(forward, m=mlp()), X)
    assert [s.kind for s in found.sites if s.kind in ("linear", "activation")] == [
        "linear",
        "activation",
        "linear",
    ]
    assert {s.weight.name for s in found.sites if s.weight is not None} == {"m.0.weight", "m.2.weight"}


def test_complex_parameters(fn, traced):
    model = fn(
        lambda self, x: self.out(self.c(x.to(torch.complex64)).abs()),
        c=nn.Linear(16, 16, dtype=torch.complex64),
        out=nn.Linear(16, 2),
    )
    found = traced(model, X)
    layer = next(s for s in found.sites if s.weight is not None)
    assert layer.weight.name == "c.weight"
    assert layer.value.second_moment > 0
    assert found.gradient.live_matrices == 2


def test_a_model_that_is_complex_throughout(traced):
    model = nn.Sequential(
        nn.Linear(16, 16, dtype=torch.complex64), nn.Tanh(), nn.Linear(16, 2, dtype=torch.complex64)
    )
    found = traced(model, X.to(torch.complex64))
    assert all(s.value.finite for s in found.sites)
    assert found.gradient.live_matrices == 2


def test_parameters_in_eight_bits(fn, traced):
    model = fn(lambda self, x: self.out(x @ self.w.float()), out=nn.Linear(4, 2))
    model.w = nn.Parameter(torch.randn(16, 4).to(torch.float8_e4m3fn), requires_grad=False)
    found = traced(model, X)
    assert [s.weight.name for s in found.sites if s.weight is not None] == ["w", "out.weight"]
    assert found.parameters[0].second_moment == pytest.approx(1, rel=0.3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_quantised_part_is_seen_from_outside(traced):
    part = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(16, 16)), {nn.Linear})
    found = traced(nn.Sequential(part, nn.ReLU(), nn.Linear(16, 2)), X)
    assert [s.activation for s in found.sites if s.activation] == ["relu"]
    assert "2.weight" in [p.name for p in found.parameters]
    assert any("quantised" in reason for _, reason in found.unobserved)


def test_whole_numbers_are_no_initialisation(traced):
    model = mlp()
    model.index = nn.Parameter(torch.arange(3), requires_grad=False)
    found = traced(model, X)
    assert "index" not in [p.name for p in found.parameters]
    assert found.unobserved == ()
