"""Histograms of pre-activations in torch: as numpy's, however the activation is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.probes.numpy_sites import histogram as of_array
from pytest_initcheck.probes.torch_reductions import histogram as of_tensor
from pytest_initcheck.report.result import SiteRow
from pytest_initcheck.trace import HISTOGRAM_VALUES


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(64, 33)),
        np.random.default_rng(1).normal(size=(2, HISTOGRAM_VALUES)),
        np.full((3, 5), 2.0),
        np.array([[np.nan, 1.0, 4.0, np.inf]]),
    ],
    ids=["normal", "more than are looked at", "equal", "not finite"],
)
def test_torch_and_numpy_agree(values):
    assert of_tensor(torch.from_numpy(values)) == of_array(values)


def test_what_has_no_histogram():
    assert of_tensor(torch.full((2, 2), torch.nan)) is None
    assert of_tensor(torch.zeros(0, 3)) is None
    assert of_tensor(torch.eye(3).to_sparse()) is None


def test_other_types():
    half = torch.randn(64, 32).to(torch.bfloat16)
    assert of_tensor(half) == of_tensor(half.double())
    assert sum(of_tensor(torch.randn(4, 4, dtype=torch.complex64)).counts) == 32


class Written(nn.Module):
    """One layer, and an activation written in a way of its own."""

    def __init__(self, phi):
        super().__init__()
        self.layer, self.head, self.phi = nn.Linear(32, 32), nn.Linear(32, 4), phi

    def forward(self, x):
        return self.head(self.phi(self.layer(x)))


def activation_row(phi) -> SiteRow:
    report = ic.check(lambda: Written(phi), inputs=ic.normal(32))
    # one that is written out is the last of its parts
    return [row for row in report.sites if row.kind == "activation"][-1]


WAYS = {
    "module": (nn.ReLU(), torch.relu),
    "in place": (nn.ReLU(inplace=True), torch.relu),
    "overwritten": (torch.Tensor.tanh_, torch.tanh),
    "product": (lambda x: x * torch.sigmoid(x), F.silu),
    "written out": (lambda x: x * torch.tanh(F.softplus(x)), F.mish),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_argument_is_seen_however_the_activation_is_written(way):
    written, plain = WAYS[way]
    seen, expected = activation_row(written), activation_row(plain)
    assert seen.pre_activations is not None
    assert (seen.op, seen.pre_activations) == (expected.op, expected.pre_activations)


def test_the_gate_of_a_gated_unit_is_shown():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(32, 32), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(F.glu(self.layer(x)))

    report = ic.check(Gated, inputs=ic.normal(32))
    (gate,) = [row for row in report.sites if row.op == "sigmoid"]
    assert sum(gate.pre_activations.counts) == 64 * 16
    assert gate.pre_activations.linear_to == pytest.approx(-gate.pre_activations.linear_from)


def test_a_part_of_another_activation_has_none_of_its_own():
    report = ic.check(lambda: Written(WAYS["product"][0]), inputs=ic.normal(32))
    assert [row.op for row in report.sites if row.pre_activations is not None] == ["silu"]
