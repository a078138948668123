"""gradient: networks that hash their input, and the backward map where it is asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck import theory
from pytest_initcheck.inputs import source
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.trace import Wanted

COORDINATES = ic.uniform(2, low=-1, high=1, batch=64)


class Sine(nn.Module):
    def __init__(self, inputs, units, bound, omega):
        super().__init__()
        self.linear, self.omega = nn.Linear(inputs, units), omega
        if bound is not None:
            nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


def siren(default=False, width=64, depth=4, omega=30.0):
    """Sitzmann et al. 2020, or the same with torch's default init."""
    hidden = None if default else math.sqrt(6 / width) / omega
    first = Sine(2, width, None if default else 0.5, omega)
    rest = [Sine(width, width, hidden, omega) for _ in range(depth)]
    return nn.Sequential(first, *rest, nn.Linear(width, 3))


def stack(gain, depth, phi=nn.Tanh, width=64, norm=None):
    layers = []
    for _ in range(depth):
        layer = nn.Linear(width, width)
        nn.init.normal_(layer.weight, 0, gain / math.sqrt(width))
        nn.init.zeros_(layer.bias)
        layers += [layer, *([] if norm is None else [norm(width)]), phi()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def check(factory, inputs=None, **kwargs):
    return ic.check(factory, inputs=inputs or ic.normal(64, batch=64), only="gradient", **kwargs)


def test_a_siren_with_default_init_is_a_hash_and_its_own_init_is_none():
    assert check(siren, COORDINATES).verdict == "pass"
    report = check(lambda: siren(default=True), COORDINATES)
    [finding] = report.failures
    assert (finding.invariant, finding.direction) == ("gradient", "exploding")
    assert "hash of its input: noise moves it " in finding.message
    assert "1 % of noise moves the output" in finding.detail
    assert "phases" in finding.cause
    assert "nn.init." in finding.fix
    with pytest.raises(ic.GradientViolation):
        report.raise_if_failed()


@pytest.mark.parametrize(
    "factory",
    [
        lambda: stack(5 / 3, 60),
        lambda: stack(math.sqrt(2), 40, nn.ReLU),
        lambda: stack(1.0, 40, nn.SELU),
        lambda: stack(math.sqrt(2), 40, nn.ReLU, norm=nn.BatchNorm1d),
    ],
    ids=["tanh 5/3", "relu", "selu", "batch norm"],
)
def test_deep_networks_that_train_are_no_hash(factory):
    assert check(factory).verdict == "pass"


def test_batch_norm_is_not_judged_by_noise():
    report = check(lambda: stack(math.sqrt(2), 3, nn.ReLU, norm=nn.BatchNorm1d))
    assert report.invariants["gradient"].verdict == "skipped"


def sensitivity(model, inputs, seed=0):
    call = source(inputs).sample(np.random.default_rng(seed))
    return probe.trace(model, call, mode="train", seed=seed, wanted=Wanted(noise=True)).sensitivity


def test_a_linear_map_passes_its_noise_on():
    torch.manual_seed(0)
    seen = sensitivity(nn.Linear(64, 32), ic.normal(64, batch=256))
    assert seen.change == pytest.approx(1e-4 / 2, rel=0.1)
    assert math.isnan(seen.growth)


def test_noise_goes_in_behind_what_has_no_parameters():
    class Encoded(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2 * 12, 4)

        def forward(self, x):
            phases = (x[..., None] * 2.0 ** torch.arange(12)).flatten(-2)
            return self.head(torch.sin(phases))

    torch.manual_seed(0)
    assert sensitivity(Encoded(), COORDINATES).change < 1e-3


@pytest.mark.parametrize("in_place", [False, True])
def test_a_value_that_is_read_twice_has_one_noise(in_place):
    class Difference(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))

        def forward(self, x):
            again = x
            if in_place:
                x = x.clone()
                again = x
                x.mul_(self.scale)
                return again + 0.0
            return x * self.scale - again * self.scale + x * self.scale

    torch.manual_seed(0)
    assert sensitivity(Difference(), ic.normal(8, batch=256)).change == pytest.approx(5e-5, rel=0.2)


def test_ids_have_their_noise_behind_the_embedding():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(64, 4))
    assert sensitivity(model, ic.tokens(4, vocabulary=50)).change == pytest.approx(5e-5, rel=0.3)


def test_an_output_that_does_not_differ_has_no_noise_to_tell():
    model = nn.Linear(8, 4)
    nn.init.zeros_(model.weight)
    assert sensitivity(model, ic.normal(8)) is None


# -- the backward map ------------------------------------------------------------------------------


def test_the_gradient_of_a_site_is_that_of_autograd():
    torch.manual_seed(0)
    model = stack(math.sqrt(2), 3, nn.ReLU)
    x = torch.randn(32, 64)
    call = ic.call(x)
    trace = probe.trace(model, call, mode="train", seed=5, wanted=Wanted(site_gradients=True))
    sites = [site for site in trace.sites if site.kind == "linear"]
    assert all(site.gradient is not None for site in sites)
    values = []
    hooks = [m.register_forward_hook(lambda m, a, out: values.append(out)) for m in model[::2]]
    out = model(x)
    drawn = np.random.default_rng(5).standard_normal(out.shape, dtype=np.float32)
    readout = torch.from_numpy(drawn)
    readout -= readout.mean(0, keepdim=True)
    readout /= readout.norm()
    wanted = torch.autograd.grad((out * readout).sum(), values)
    for hook in hooks:
        hook.remove()
    for site, gradient in zip(sites, wanted, strict=True):
        assert site.gradient.second_moment == pytest.approx(float(gradient.square().mean()), rel=1e-4)
        assert site.gradient.batch_variance == pytest.approx(
            float(gradient.var(0, correction=0).mean()), rel=1e-4
        )


@pytest.mark.parametrize(
    ("gain", "phi"),
    [
        (math.sqrt(2), nn.ReLU),
        (1.0, nn.Tanh),
        (5 / 3, nn.Tanh),
        (1.0, nn.SELU),
        (theory.gain("gelu"), nn.GELU),
    ],
    ids=["relu", "tanh 1", "tanh 5/3", "selu", "gelu"],
)
def test_a_matched_init_follows_the_backward_map(gain, phi):
    report = check(lambda: stack(gain, 8, phi), gradient=10)
    assert report.invariants["gradient"].verdict == "pass"


def convnet(*between, stride=1, gain=1.0):
    """Matched convolutions with something between them, a flattened image, a matched layer, a head."""

    def factory():
        layers = [nn.Conv2d(3, 32, 3, padding=1)]
        for make in between:
            layers += [nn.ReLU(), make(), nn.Conv2d(32, 32, 3, stride, padding=1)]
        layers += [nn.ReLU(), nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 5)]
        model = nn.Sequential(*layers)
        model(torch.zeros(1, 3, 16, 16))
        for layer in model:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.weight.data.mul_(gain)
                nn.init.zeros_(layer.bias)
        return model

    return factory


IMAGES = ic.images(3, 16, 16)


@pytest.mark.parametrize(
    "factory",
    [
        convnet(nn.Identity),
        convnet(lambda: nn.MaxPool2d(2), lambda: nn.MaxPool2d(2)),
        convnet(lambda: nn.AvgPool2d(2), lambda: nn.AvgPool2d(2)),
        convnet(nn.Identity, nn.Identity, stride=2),
        convnet(lambda: nn.AdaptiveAvgPool2d(1)),
    ],
    ids=["flattened", "max pools", "mean pools", "strides", "global mean"],
)
def test_the_backward_map_counts_positions(factory):
    report = check(factory, IMAGES, gradient=10)
    assert report.invariants["gradient"].verdict == "pass", str(report)


@pytest.mark.parametrize(("gain", "direction"), [(6.0, "exploding"), (0.15, "vanishing")])
def test_a_convnet_of_a_wrong_gain_leaves_the_backward_map(gain, direction):
    pools = convnet(lambda: nn.MaxPool2d(2), lambda: nn.MaxPool2d(2), gain=gain)
    report = check(pools, IMAGES, gradient=10)
    assert [finding.direction for finding in report.failures] == [direction]


@pytest.mark.parametrize(
    ("gain", "direction"), [(2.2, "exploding"), (0.7, "vanishing")], ids=["too large", "too small"]
)
def test_a_wrong_gain_leaves_the_backward_map(gain, direction):
    report = check(lambda: stack(gain, 12, nn.ReLU), gradient=10)
    [finding] = report.failures
    assert finding.direction == direction
    assert "backwards it " in finding.detail
    assert "relu needs 0.177" in finding.cause
