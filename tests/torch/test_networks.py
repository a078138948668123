"""The torch networks of a specification: the same layers, drawn from torch's own generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_initcheck import initializers as init
from pytest_initcheck.activations import NAMES, activation
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.networks import NetworkSpec


def build(spec: NetworkSpec, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return spec.factory("torch")()


def test_the_layers_are_those_of_the_specification():
    spec = NetworkSpec((8, 16, 16, 4), "relu", init.he_normal())
    model = build(spec)
    assert [type(module).__name__ for module in model] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    shapes = [tuple(module.weight.shape) for module in model if hasattr(module, "weight")]
    assert shapes == [(16, 8), (16, 16), (4, 16)]


def test_batch_norm_stands_before_every_hidden_activation():
    spec = NetworkSpec((8, 16, 4), "tanh", init.xavier_normal(), batch_norm=True, framework="torch")
    assert [type(m).__name__ for m in build(spec)] == ["Linear", "BatchNorm1d", "Tanh", "Linear"]


def test_a_network_without_bias_has_none():
    assert build(NetworkSpec((4, 4), "relu", init.he_normal(), bias=False))[0].bias is None


@pytest.mark.parametrize("scheme", [*init.named_schemes(), init.constant(0.25)], ids=lambda s: s.name)
def test_weights_have_the_variance_kurtosis_and_biases_of_their_scheme(scheme):
    spec = NetworkSpec((300, 400, 2), "relu", scheme)
    linear = build(spec)[0]
    w = linear.weight.detach().double().numpy()
    wanted = scheme.layer_variance(spec.layers[0])
    assert abs((w**2).mean() / wanted - 1) < 4.5 * max(scheme.relative_error(w.size), 1e-5)
    assert (w**4).mean() / (w**2).mean() ** 2 == pytest.approx(scheme.kurtosis, rel=0.03)
    largest = linear.bias.abs().max().item()
    assert largest == pytest.approx(scheme.bias_bound / np.sqrt(300), rel=0.03, abs=1e-9)


def test_the_default_of_torch_is_what_pytorch_default_says():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = torch.nn.Linear(300, 400)
    w = linear.weight.detach().double().numpy()
    described = init.describe(300, 400, float((w**2).mean()), w.size)
    assert described[0] == init.pytorch_default()
    assert linear.bias.abs().max().item() == pytest.approx(1 / np.sqrt(300), rel=0.03)


def test_the_draw_follows_torchs_generator():
    spec = NetworkSpec((4, 4), "relu", init.he_normal())
    first, again, other = (build(spec, seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


NUMBERED = (
    "leaky_relu(0.2)",
    "prelu(0.125)",
    "rrelu(0.1,0.3)",
    "elu(0.5)",
    "celu(2)",
    "softplus(2)",
    "hardtanh(-2,0.5)",
    "threshold(0.5,-0.25)",
    "softshrink(1.25)",
    "hardshrink(1.25)",
)


@pytest.mark.parametrize("name", [*NAMES, *NUMBERED])
def test_every_activation_of_the_table_is_torchs_own(name):
    spec = NetworkSpec((2, 2, 2), name, init.he_normal())
    module = build(spec)[1].double().eval()
    z = torch.linspace(-8.97, 9.01, 181, dtype=torch.float64, requires_grad=True)
    got = module(z)
    act = activation(name)
    np.testing.assert_allclose(got.detach(), act.phi(z.detach().numpy()), rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(got.sum(), z)
    # torch's softplus is linear where exp(-beta z) is under 2e-9
    np.testing.assert_allclose(slope, act.derivative(z.detach().numpy()), rtol=1e-8, atol=1e-8)


def test_a_gate_is_no_layer_of_a_network():
    with pytest.raises(ConfigError, match="swiglu halves its input; choose an elementwise activation"):
        NetworkSpec((2, 2, 2), "swiglu", init.he_normal())
    z = torch.randn(4, 6, dtype=torch.float64)
    np.testing.assert_allclose(torch.nn.GLU()(z), activation("glu").phi(z.numpy()), rtol=1e-12)
