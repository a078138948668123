"""The table of torch.nn.init is torch.nn.init: its real draws have the moments that the table says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from pytest_initcheck import initializers as init
from pytest_initcheck.initializers.library_schemes import LIBRARY
from pytest_initcheck.initializers.torch_schemes import torch_gain
from pytest_initcheck.probes.torch_weights import module_of

LAYERS = tuple(
    layer.laid_out("torch")
    for layer in (
        init.dense(64, 48),
        init.conv(16, 24, 3),
        init.conv(16, 24, 3, 3),
        init.conv(6, 10, 3, 3, 3),
        init.grouped_conv(32, 64, 3, 3, groups=4),
        init.depthwise_conv(48, 3, 3, multiplier=2),
        init.conv_transposed(32, 16, 4, 4, stride=2),
        init.conv_transposed(16, 32, 3, groups=4),
        init.embedding(100, 32),
        init.tied(100, 32),
        init.fused_qkv(32),
        init.fused(32, 64, blocks=2),
        init.recurrent(16, 32),
        init.recurrent(16, 32, cell="gru"),
        init.recurrent(16, 32, cell="rnn"),
    )
)
CALLS = (
    ("uniform_", {}),
    ("uniform_", {"a": -0.3, "b": 0.1}),
    ("normal_", {}),
    ("normal_", {"mean": 0.5, "std": 0.1}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", {"std": 3.0}),
    ("trunc_normal_", {"mean": 1.0, "std": 0.7, "a": 0.5, "b": 4.0}),
    ("constant_", {"val": 0.25}),
    ("ones_", {}),
    ("zeros_", {}),
    ("eye_", {}),
    ("dirac_", {}),
    ("dirac_", {"groups": 2}),
    ("xavier_uniform_", {}),
    ("xavier_normal_", {"gain": 5 / 3}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}),
    ("kaiming_normal_", {}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", {"nonlinearity": "selu"}),
    ("kaiming_normal_", {"a": 0.2, "nonlinearity": "leaky_relu"}),
    ("orthogonal_", {}),
    ("orthogonal_", {"gain": 2.0}),
    ("sparse_", {"sparsity": 0.9}),
    ("sparse_", {"sparsity": 0.25, "std": 1.0}),
)
DRAWS = 6


def name_of(call) -> str:
    name, parameters = call
    return f"{name}({', '.join(f'{key}={value:.3g}' if isinstance(value, float) else f'{key}={value}' for key, value in parameters.items())})"


def test_every_function_of_the_table_is_drawn():
    assert {f"torch.{name}" for name, _ in CALLS} == {n for n in LIBRARY if n.startswith("torch.")}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_real_draws_have_the_moments_of_the_table(call, layer):
    name, parameters = call
    scheme = init.scheme(f"torch.{name}", **parameters)
    fill = getattr(nn.init, name)
    weight = torch.empty(layer.shape)
    if scheme.misfit(layer):
        with pytest.raises(ValueError, match=r"dimensions|divisible"):
            fill(weight, **parameters)
        return
    torch.manual_seed(0)
    draws = np.stack([fill(weight, **parameters).double().numpy().copy() for _ in range(DRAWS)])
    wanted, found = scheme.layer_variance(layer), (draws**2).mean()
    error = max(scheme.layer_error(layer) / math.sqrt(DRAWS), 1e-6)
    assert abs(found - wanted) <= 4.5 * error * wanted
    spread = math.sqrt(max(wanted - scheme.layer_mean(layer) ** 2, 0) / draws.size)
    assert abs(draws.mean() - scheme.layer_mean(layer)) <= 4.5 * spread + 1e-7
    if wanted:
        kurtosis = (draws**4).mean() / found**2
        assert kurtosis == pytest.approx(scheme.layer_kurtosis(layer), rel=0.25)
    if scheme.deterministic:
        assert np.allclose(draws[0], scheme.sample(np.random.default_rng(0), layer))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
def test_fans_are_torchs(layer):
    weight = torch.empty(layer.shape)
    assert layer.library_fans("torch") == nn.init._calculate_fan_in_and_fan_out(weight)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)
def test_modules_have_weights_of_the_layers_shape(layer):
    module, name = module_of(layer)
    assert tuple(getattr(module, name).shape) == layer.shape


@pytest.mark.parametrize(
    "layer", [item for item in LAYERS if "conv" in item.kind], ids=lambda layer: layer.text
)
def test_true_fans_keep_the_length_through_a_real_convolution(layer):
    """Var w = 1 / fan_in keeps E[z^2] = E[x^2], 1 / fan_out the gradient's, away from the borders."""
    torch.manual_seed(0)
    module, _ = module_of(layer)
    nn.init.zeros_(module.bias)
    axes = len(layer.kernel)
    forward, backward = [], []
    for _ in range(12):
        nn.init.normal_(module.weight, std=layer.fan_in**-0.5)
        x = torch.randn(2, layer.inputs, *([24 if axes < 3 else 12] * axes), requires_grad=True)
        z = module(x)
        inner = (slice(None), slice(None), *([slice(6, -6) if axes < 3 else slice(3, -3)] * axes))
        forward.append(float((z.detach()[inner] ** 2).mean()))
        nn.init.normal_(module.weight, std=layer.fan_out**-0.5)
        (gradient,) = torch.autograd.grad(module(x), x, torch.randn_like(z))
        backward.append(float((gradient[inner] ** 2).mean()))
    assert np.mean(forward) == pytest.approx(1, rel=0.12)
    assert np.mean(backward) == pytest.approx(1, rel=0.12)


@pytest.mark.parametrize("nonlinearity", ["linear", "sigmoid", "tanh", "relu", "selu", "conv2d"])
def test_gains_are_torchs(nonlinearity):
    assert torch_gain(nonlinearity) == pytest.approx(nn.init.calculate_gain(nonlinearity))


def test_the_leaky_gain_is_torchs():
    assert torch_gain("leaky_relu") == pytest.approx(nn.init.calculate_gain("leaky_relu"))
    assert torch_gain("leaky_relu", 0.2) == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.2))


@pytest.mark.parametrize("layer", LAYERS[:7], ids=lambda layer: layer.text)
def test_pytorchs_default_is_recognised_in_a_fresh_module(layer):
    torch.manual_seed(0)
    module, name = module_of(layer)
    first = init.recognise(getattr(module, name).detach().numpy(), layer)[0]
    assert first.note == "PyTorch's default" or layer.kind == "conv_transposed"
