"""torch functions and modules as activations: values and slopes by torch itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_initcheck import theory
from pytest_initcheck.activations import activation, from_callable
from pytest_initcheck.errors import ConfigError

Z = np.linspace(-7.03, 7.01, 113)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (torch.tanh, "tanh"),
        (torch.relu, "relu"),
        (F.relu, "relu"),
        (F.gelu, "gelu"),
        (F.silu, "silu"),
        (F.leaky_relu, "leaky_relu"),
        (nn.ReLU(), "relu"),
        (nn.ReLU(inplace=True), "relu"),
        (nn.SELU(), "selu"),
        (nn.LeakyReLU(), "leaky_relu"),
        (nn.Hardswish(), "hardswish"),
        (nn.Tanhshrink(), "tanhshrink"),
        (nn.RReLU(), "rrelu"),
        (nn.PReLU(), "prelu"),
        (nn.LogSigmoid(), "log_sigmoid"),
        (nn.Identity(), "identity"),
    ],
    ids=range(16),
)
def test_what_torch_has_under_a_name_of_the_table_is_that_row(given, name):
    assert activation(given) is activation(name)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (nn.LeakyReLU(0.2), "leaky_relu(0.2)"),
        (nn.ELU(0.5), "elu(0.5)"),
        (nn.CELU(2.0), "celu(2)"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (nn.Hardtanh(-2, 0.5), "hardtanh(-2,0.5)"),
        (nn.Threshold(0.5, -0.25), "threshold(0.5,-0.25)"),
        (nn.Softshrink(1.25), "softshrink(1.25)"),
        (nn.Hardshrink(1.25), "hardshrink(1.25)"),
        (nn.Sequential(nn.PReLU(init=0.125), nn.Identity()), "prelu(0.125)"),
        (lambda x: torch.where(x > 0, x, 0.2 * x), "leaky_relu(0.2)"),
        (lambda x: x.clamp(min=0), "relu"),
        (lambda x: x * x.sigmoid(), "silu"),
    ],
    ids=range(12),
)
def test_other_callables_of_torch_agree_with_the_table(given, name):
    got, wanted = activation(given), activation(name)
    np.testing.assert_allclose(got.phi(Z), wanted.phi(Z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got.derivative(Z), wanted.derivative(Z), rtol=1e-12, atol=1e-14)
    assert theory.second_moment(given, 2.5) == pytest.approx(theory.second_moment(name, 2.5), rel=1e-11)
    assert theory.chi_1(given, 1.0, q=2.5) == pytest.approx(theory.chi_1(name, 1.0, q=2.5), rel=1e-11)


def test_the_derivative_is_by_autograd_and_nothing_is_left_behind():
    module = nn.Sequential(nn.Softplus(beta=3), nn.Tanh())
    act = from_callable(module)
    z = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(z), z)
    with torch.no_grad():
        assert act.derivative(np.array(0.3)) == pytest.approx(slope.item(), rel=1e-14)
    assert module.training
    assert act.derivative(np.zeros((2, 3))).shape == (2, 3)
    state = torch.random.get_rng_state()
    activation(nn.RReLU(0.1, 0.5))
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_module_that_changes_later_does_not_change_the_activation():
    module = nn.PReLU(init=0.5)
    act = activation(module)
    with torch.no_grad():
        module.weight.fill_(0.0)
    assert act.phi(np.array(-1.0)) == pytest.approx(-0.5)
    assert module.weight.dtype == torch.float32


def test_a_constant_has_slope_zero():
    act = from_callable(lambda x: torch.zeros_like(x))
    assert (act.derivative(Z) == 0).all()


def test_single_precision_is_refused_unless_a_row_is_meant():
    with pytest.raises(ConfigError, match="returns less than float64"):
        activation(lambda x: torch.tanh(x.float()))
    with pytest.raises(
        ConfigError, match=r"ReLU is a class, an activation is what it makes; write ReLU"
    ):
        activation(nn.ReLU)


def test_a_random_function_of_torch_is_refused():
    with pytest.raises(ConfigError, match="draws random numbers"):
        activation(lambda x: F.dropout(torch.as_tensor(x)))
    with pytest.raises(ConfigError, match="mixes elements, as softmax does"):
        activation(lambda x: x.softmax(0))


def test_what_neither_numpy_nor_torch_can_call_is_refused_by_its_first_error():
    with pytest.raises(ConfigError, match=r"raises TypeError on an array: (must|only)"):
        activation(math.floor)


def test_a_gate_of_torch_changes_the_shape():
    with pytest.raises(ConfigError, match=r"turns shape \(1999,\)|raises"):
        activation(nn.GLU())
