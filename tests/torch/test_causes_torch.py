"""One small model per kind of cause: it is named at its place, and its fix was tried."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic


def he(layer, gain=2**0.5):
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    nn.init.zeros_(layer.bias)
    return layer


def mlp(init, act=nn.ReLU, depth=8, width=64, out=5):
    layers = [each for _ in range(depth) for each in (init(nn.Linear(width, width)), act())]
    return nn.Sequential(*layers, nn.Linear(width, out))


def diagnosed(factory, inputs=None, **kwargs):
    report = ic.check(factory, inputs=inputs or ic.normal(64), id="m", **kwargs)
    assert report.verdict == "fail", report
    return report.failures[0], report


def test_the_weight_of_a_state_that_starts_at_zero_is_no_bias():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.wx, self.wh, self.wy = (nn.Parameter(torch.randn(n, 64)) for n in (32, 64, 64))

        def forward(self, x):
            h = torch.zeros(len(x), 64)
            for t in range(x.shape[1]):
                h = torch.tanh(x[:, t] @ self.wx + h @ self.wh)
            return h @ self.wy

    finding, report = diagnosed(Recurrent, ic.normal(6, 32))
    assert finding.kind == "init gain", report
    assert "wh" in finding.fixes[0].code
    assert finding.fixes[0].helped


def transposed_fan():
    """Fan-out in place of fan_in, in layers that shrink: 1024 -> 16 drawn with 2 / 16."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.ModuleList(nn.Linear(16, 1024) for _ in range(4))
            self.narrow = nn.ModuleList(nn.Linear(1024, 16) for _ in range(4))
            for layer in self.wide:
                he(layer)
            for layer in self.narrow:
                nn.init.normal_(layer.weight, std=math.sqrt(2 / 16) * 1.0)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            for wide, narrow in zip(self.wide, self.narrow, strict=True):
                x = F.relu(narrow(F.relu(wide(x))))
            return x

    return Net()


def test_a_fan_of_another_axis():
    found, report = diagnosed(transposed_fan, ic.normal(16))
    assert (found.site, found.kind) == ("narrow.0", "wrong fan"), report
    assert "drawn for a fan of 16 where fan_in is 1024" in found.cause
    assert found.fixes[0].helped


def transposed():
    """torch reads the fan_in of a transposed convolution off its outputs."""
    layers = []
    for _ in range(4):
        layers += [nn.ConvTranspose2d(256, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 256, 1), nn.ReLU()]
    return nn.Sequential(*kaiming(layers), nn.Flatten(), nn.Linear(256 * 36, 3))


def depthwise():
    """fan_out without its division by groups."""
    layers = []
    for _ in range(10):
        layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU()]
    return nn.Sequential(*kaiming(layers, mode="fan_out"), nn.Flatten(), nn.Linear(64 * 64, 3))


def kaiming(layers, **mode):
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", **mode)
        nn.init.zeros_(layer.bias)
    return layers


@pytest.mark.parametrize(
    ("factory", "inputs", "fans"),
    [
        (transposed, ic.normal(256, 6, 6), "a fan of 36 where fan_in is 2304"),
        (depthwise, ic.normal(64, 8, 8), "a fan of 576 where fan_in is 9"),
    ],
    ids=["transposed", "depthwise"],
)
def test_a_fan_that_is_misread(factory, inputs, fans):
    found, _ = diagnosed(factory, inputs, batch=16)
    assert (found.site, found.kind) == ("0", "wrong fan")
    assert fans in found.cause
    assert found.fixes[0].helped


def test_selu_wants_lecun():
    def factory():
        return mlp(lambda layer: he(layer, gain=3.0), nn.SELU, depth=16)

    found, report = diagnosed(factory)
    assert (found.site, found.kind) == ("0", "activation mismatch"), report
    assert "selu needs" in found.cause
    assert 'nonlinearity="linear"' in found.fixes[0].code
    assert found.fixes[0].helped


def test_a_bias_that_kills():
    def biased(layer):
        nn.init.constant_(he(layer).bias, -4.0)
        return layer

    found, _ = diagnosed(lambda: mlp(biased))
    assert (found.site, found.kind) == ("0", "bias offset")
    assert "7 more layers like it" in found.cause
    assert found.fixes[0].helped


def test_inputs_that_are_not_centred():
    """What all inputs share outweighs what tells them apart."""

    def factory():
        return mlp(lambda layer: he(layer, 5 / 3), nn.Tanh, depth=2)

    found, _ = diagnosed(factory, ic.normal(64, mean=6.0, std=0.5))
    assert (found.site, found.kind) in {("input", "input offset"), ("0", "input offset")}
    assert found.fixes[0].code.startswith("x = ")


def test_the_scale_of_a_norm_at_zero():
    def factory():
        layers = [e for _ in range(3) for e in (he(nn.Linear(64, 64)), nn.LayerNorm(64), nn.ReLU())]
        for norm in layers[1::3]:
            nn.init.zeros_(norm.weight)
            nn.init.ones_(norm.bias)
        return nn.Sequential(*layers, nn.Linear(64, 3))

    found, _ = diagnosed(factory)
    assert (found.site, found.kind) == ("1", "scale of a norm")
    assert found.fixes[0].code == "for i in range(1, 8, 3):\n    nn.init.ones_(model[i].weight)"
    assert found.fixes[0].helped


class Attention(nn.Module):
    def __init__(self, std):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, std=std)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 8
        return self.head(torch.softmax(scores, -1) @ self.v(x))


def test_scores_that_are_too_large():
    found, _ = diagnosed(lambda: Attention(1.0), ic.normal(6, 64))
    assert found.kind == "scores too large"
    assert found.fixes[0].helped
    assert found.fixes[0].edits[0].names == ("q.weight", "k.weight")


def test_scores_of_weights_that_are_right():
    """Without 1 / sqrt(d): only the author can add it, the weights can make up for it."""

    class Unscaled(Attention):
        def forward(self, x):
            scores = 8 * self.q(x) @ self.k(x).transpose(1, 2)
            return self.head(torch.softmax(scores, -1) @ self.v(x))

    found, _ = diagnosed(lambda: Unscaled(0.125), ic.normal(6, 64))
    assert found.kind == "scores too large"
    assert found.fixes[0].helped
    assert found.fixes[0].edits[0].kind == "scale"
    assert any("1 / sqrt(d)" in fix.advice for fix in found.fixes)


def test_sums_over_neighbours():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(he(nn.Linear(16, 16)) for _ in range(4))

        def forward(self, x):  # (batch, nodes, features): every node reads the sum of all
            for layer in self.layers:
                x = F.relu(layer(x.sum(1, keepdim=True).expand_as(x)))
            return x.mean(1)

    found, _ = diagnosed(Sums, ic.normal(30, 16))
    assert found.kind == "missing norm"
    assert "sums without dividing" in found.cause
    assert found.fixes[0].result == "not tried: only you can make this change"


class Residual(nn.Module):
    def __init__(self, blocks=24):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(he(nn.Linear(64, 64)), nn.ReLU(), he(nn.Linear(64, 64))) for _ in range(blocks)
        )
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def test_residual_growth_scales_the_ends_of_branches():
    found, _ = diagnosed(Residual)
    assert found.kind == "residual growth"
    assert found.fixes[0].helped
    assert found.fixes[0].edits[0].names == tuple(f"blocks.{k}.2.weight" for k in range(24))
    assert (
        found.fixes[0].code == "for i in range(0, 24):\n    model.blocks[i][2].weight.data.mul_(0.204)"
    )


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(64), nn.Linear(64, 64), nn.Linear(64, 64)
        nn.init.normal_(self.a.weight, std=10)
        nn.init.normal_(self.b.weight, std=0.02)

    def forward(self, x):
        return x + self.b(torch.tanh(self.a(self.norm(x))))


def test_layers_beside_the_signal_path_are_mended_together():
    found, _ = diagnosed(lambda: nn.Sequential(*[Branch() for _ in range(6)], nn.Linear(64, 3)))
    assert (found.site, found.kind) == ("0.a", "init gain")
    assert "5 more layers like it" in found.cause
    assert found.fixes[0].helped
    assert found.fixes[0].code.startswith("for i in range(0, 6):")


def test_a_rectifier_on_the_output_that_is_a_call():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp(he, depth=12)
            self.b = nn.Linear(5, 1)

        def forward(self, x):
            return F.relu(self.b(F.relu(self.body(x))))

    found, _ = diagnosed(Net)
    assert (found.site, found.kind) == ("b", "activation mismatch")
    assert found.fixes[0].helped is None
    assert "is a call in the forward pass, and no module" in found.fixes[0].result
    assert found.fixes[0].code == "", "code that cannot be run is none"


def test_memory_that_was_never_written():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = he(nn.Linear(64, 64)), nn.Linear(64, 3)
            self.scale = nn.Parameter(torch.full((64,), 3e30))

        def forward(self, x):
            return self.b(F.relu(self.a(x)) * self.scale)

    class Nan(Net):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.cat([torch.full((1,), float("nan")), torch.ones(63)]))

    found, _ = diagnosed(Nan)
    assert (found.site, found.kind) == ("scale", "uninitialised memory")
    assert "scale holds 1 numbers that are NaN or infinite" in found.cause
    assert found.fixes[0].helped


def test_a_bounded_head_set_by_its_bias_is_a_note():
    def factory():
        model = nn.Sequential(*mlp(he), nn.Sigmoid())
        nn.init.normal_(model[-2].weight, std=0.01)
        nn.init.constant_(model[-2].bias, -math.log(99))
        return model

    report = ic.check(factory, inputs=ic.normal(64))
    assert report.verdict == "pass"
    [note] = report.notes
    assert "100 % saturated by the bias of 16 (-4.6 on average)" in note
    assert note in str(report).replace("\n          ", " ")


def test_a_head_without_such_a_bias_has_no_note():
    report = ic.check(lambda: nn.Sequential(*mlp(he), nn.Sigmoid()), inputs=ic.normal(64))
    assert report.notes == ()


def test_the_fixture_does_not_try_fixes_inside_a_property_test(pytester):
    pytester.makepyfile(
        """
        import torch
        from hypothesis import given, settings, strategies as st
        from torch import nn
        import pytest_initcheck as ic

        def deep(width):
            layers = [e for _ in range(14) for e in (nn.Linear(width, width), nn.ReLU())]
            return nn.Sequential(*layers, nn.Linear(width, 3))

        @settings(max_examples=2, deadline=None, database=None)
        @given(width=st.just(32))
        def test_inside(initcheck, width):
            initcheck(lambda: deep(width), inputs=ic.normal(width))

        def test_outside(initcheck):
            initcheck(lambda: deep(32), inputs=ic.normal(32))
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    inside, _, outside = text.partition("test_outside __")
    assert "passes, " not in inside
    assert "kaiming_normal_" in inside
    assert outside
