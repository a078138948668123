"""The engine on torch models: factories, states, guards, and odd models that are good."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic


class Fn(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def linear(n, m, std, bias=0.0):
    layer = nn.Linear(n, m)
    nn.init.normal_(layer.weight, 0, std)
    nn.init.constant_(layer.bias, bias)
    return layer


def mlp(depth=2, width=32, std=None, act=nn.ReLU):
    parts = []
    for _ in range(depth):
        parts += [nn.Linear(width, width) if std is None else linear(width, width, std), act()]
    return nn.Sequential(*parts, nn.Linear(width, 4))


def check(factory, inputs="normal:32", **kwargs):
    return ic.check(factory, inputs=inputs, **kwargs)


# -- factories, seeds, states ----------------------------------------------------------------------


def with_generator(generator):
    model = mlp()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
    return model


def with_rng(rng):
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.2, parameter.shape)))
    return model


class Classifier(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.body = mlp(width=width)

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    "factory",
    [mlp, Classifier, lambda: mlp(), functools.partial(mlp, 3), with_generator, with_rng],
    ids=["function", "class", "lambda", "partial", "generator", "rng"],
)
def test_every_kind_of_factory(factory):
    report = check(factory, id="one")
    assert (report.verdict, report.framework) == ("pass", "torch"), report.error
    assert report.frameworks["torch"] == torch.__version__


def test_the_same_verdict_twice_and_states_as_they_were():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = check(mlp).to_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(100)
    again = check(mlp).to_dict()
    first.pop("seconds"), again.pop("seconds")
    assert first == again


def test_states_are_as_they_were_after_an_interrupt():
    before = torch.get_rng_state()

    def interrupted():
        mlp()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(interrupted)
    assert torch.equal(torch.get_rng_state(), before)


UNSEEDED = torch.Generator()


def unseeded():
    model = mlp()
    nn.init.normal_(model[0].weight, generator=UNSEEDED)
    return model


def fixed():
    torch.manual_seed(0)
    return mlp()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (unseeded, "draws from unseeded entropy"),
        (fixed, "ignores the seed"),
        (lambda: nn.Sequential(nn.ReLU()), "no parameters"),
        (
            lambda: Fn(lambda self, x: x + self.b, b=nn.Parameter(torch.ones(1))),
            "no activation was seen",
        ),
        (lambda: nn.Linear(32, 4, device="meta"), "meta device"),
        (lambda: Fn(lambda self, x: x.relu(), fc=nn.LazyLinear(4)), "lazy"),
        (lambda: Fn(lambda self, x: self.fc(x).relu().sum(), fc=nn.Linear(32, 4)), "a loss perhaps"),
    ],
    ids=["entropy", "fixed seed", "no parameters", "no layers", "meta", "lazy", "loss"],
)
def test_a_model_that_cannot_be_judged(factory, message):
    report = check(factory)
    assert report.verdict == "error"
    assert message in report.error
    assert "\n" not in report.error


def test_a_linear_model_is_judged_where_every_operation_is_known():
    assert check(lambda: nn.Linear(32, 4)).verdict == "pass"
    report = check(lambda: nn.Sequential(*[linear(32, 32, 1.0) for _ in range(3)]))
    assert [finding.invariant for finding in report.failures] == ["variance"]
    hidden = Fn(lambda self, x: self.fc(x).sinc(), fc=nn.Linear(32, 4))
    assert "no activation was seen" in check(hidden).error


def test_a_constant_init_is_deterministic_and_judged():
    def zeros():
        model = mlp()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return model

    report = check(zeros)
    assert report.error is None
    assert report.verdict == "fail"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("normal:31", r"on input (64, 31) float32: mat1 and mat2"),
        (torch.full((8, 32), math.nan), "input holds 256 values that are NaN or infinite"),
        (np.full((8, 32), np.inf), "input holds 256 values"),
        ("tokens(9):32", "on input (64, 32) int64"),
        (torch.ones(0, 32), "the inputs hold no samples"),
    ],
    ids=["shape", "nan", "infinite", "dtype", "empty"],
)
def test_inputs_that_do_not_fit(inputs, message):
    report = check(mlp, inputs)
    assert report.verdict == "error"
    assert message in report.error


def test_inputs_that_cannot_be_inferred():
    assert "pass inputs=" in ic.check(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).error
    assert ic.check(mlp).verdict == "pass"


def test_a_loader():
    data = torch.utils.data.TensorDataset(torch.randn(64, 32), torch.zeros(64))
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    assert check(mlp, loader).verdict == "pass"


def test_a_batch_of_the_user_is_not_written_to():
    x = torch.randn(64, 32)
    before = x.clone()
    report = check(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(32, 4), nn.ReLU()), x)
    assert report.verdict == "pass"
    assert torch.equal(x, before)


# -- a built model ---------------------------------------------------------------------------------


def test_a_built_model_is_judged_by_facts_and_left_as_it_was():
    model = nn.Sequential(
        nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4)
    )
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = check(model, id="built")
    assert report.verdict == "inconclusive"
    assert all("pass the factory" in item.message for item in report.findings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [m.training for m in model] == [True, False, True, True, True]
    assert not model[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_a_wholly_dead_layer_of_a_built_model_is_a_fact():
    model = nn.Sequential(linear(32, 32, 0.1, -100.0), nn.ReLU(), nn.Linear(32, 4))
    assert check(model, id="built").invariants["dead-relu"].verdict == "fail"


# -- bad models, however they are written ----------------------------------------------------------


class Functional(nn.Module):
    def __init__(self, act, std, depth):
        super().__init__()
        self.layers = nn.ModuleList(linear(32, 32, std) for _ in range(depth))
        self.head, self.act = nn.Linear(32, 4), act

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


class BareWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.ParameterList(nn.Parameter(torch.randn(32, 32) * 0.05) for _ in range(20))

    def forward(self, x):
        for weight in self.w:
            x = torch.clamp(x @ weight, min=0)
        return x


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = (linear(32, 32, 0.25) for _ in range(2))

    def forward(self, x):
        return x + self.second(F.relu(self.first(x)))


def beside_a_dead_branch():
    live, dead = nn.Linear(32, 16), linear(32, 16, 0.1, -9.0)
    forward = lambda self, x: self.out(F.relu(self.live(x)) + F.relu(self.dead(x)))  # noqa: E731
    return Fn(forward, live=live, dead=dead, out=nn.Linear(16, 4))


def hand_made_recurrence():
    cell = nn.LSTMCell(16, 16)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, 0, 3.0)

    def forward(self, x):
        state = (x.new_zeros(len(x), 16), x.new_zeros(len(x), 16))
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.out(state[0])

    return Fn(forward, cell=cell, out=nn.Linear(16, 2))


BAD = {
    "functional": (lambda: Functional(F.relu, 0.07, 20), "normal:32", "variance"),
    "half precision": (lambda: Functional(F.relu, 0.07, 20).bfloat16(), "normal:32", "variance"),
    "bare weights": (BareWeights, "normal:32", "variance"),
    "residual": (
        lambda: nn.Sequential(*[Residual() for _ in range(12)], nn.Linear(32, 4)),
        "normal:32",
        "variance",
    ),
    "tanh": (lambda: Functional(torch.tanh, 2.0, 2), "normal:32", "saturation"),
    "written softsign": (
        lambda: Functional(lambda z: z / (1 + z.abs()), 4.0, 2),
        "normal:32",
        "saturation",
    ),
    "gates": (
        lambda: nn.Sequential(linear(32, 64, 3.0), nn.GLU(), nn.Linear(32, 4)),
        "normal:32",
        "saturation",
    ),
    "recurrence": (hand_made_recurrence, "normal:5x16", "saturation"),
    "dead branch": (beside_a_dead_branch, "normal:32", "dead-relu"),
    "dead channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)).apply(
            lambda m: nn.init.constant_(m.bias, -50.0) if isinstance(m, nn.Conv2d) else None
        ),
        "normal:3x8x8",
        "dead-relu",
    ),
    "logarithm of zero": (
        lambda: Fn(
            lambda self, x: self.out(torch.log(F.relu(self.fc(x)))),
            fc=nn.Linear(32, 8),
            out=nn.Linear(8, 2),
        ),
        "normal:32",
        "finite",
    ),
    "raw pixels": (mlp, "uniform(0,255):32", "inputs"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_fails_however_it_is_written(name):
    factory, inputs, invariant = BAD[name]
    report = check(factory, inputs, id=name, only=invariant, try_fixes=False)
    assert report.invariants[invariant].verdict == "fail", str(report)


# -- odd models that are good ----------------------------------------------------------------------


class CausalAttention(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.qkv, self.out, self.norm = (
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        future = torch.ones(scores.shape[-2:]).triu(1).bool()
        return x + self.out(F.softmax(scores.masked_fill(future, -math.inf), -1) @ v)


class LayerScale(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width)
        self.scale = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x):
        return x + self.scale * self.down(F.gelu(self.up(self.norm(x))))


class Highway(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gate, self.body = linear(width, width, 0.2, -2.0), nn.Linear(width, width)

    def forward(self, x):
        open_ = torch.sigmoid(self.gate(x))
        return open_ * F.relu(self.body(x)) + (1 - open_) * x


class SqueezeExcite(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.conv, self.norm = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.squeeze, self.excite = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return x + y * weight[:, :, None, None]


def gated_recurrence():
    def forward(self, x):
        h = x.new_zeros(len(x), 16)
        for step in range(x.shape[1]):
            both = torch.cat([x[:, step], h], 1)
            z, n = torch.sigmoid(self.z(both)), torch.tanh(self.n(both))
            h = (1 - z) * h + z * n
        return self.out(h)

    return Fn(forward, z=nn.Linear(32, 16), n=nn.Linear(32, 16), out=nn.Linear(16, 3))


def zero_head():
    model = mlp()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return model


def siamese():
    forward = lambda self, a, b: (self.body(a) - self.body(b)).abs().sum(1)  # noqa: E731
    return Fn(forward, body=mlp())


def graph():
    adjacency = (
        (torch.rand(40, 40, generator=torch.Generator().manual_seed(0)) < 0.1).float().to_sparse()
    )
    x = torch.randn(40, 32, generator=torch.Generator().manual_seed(1))
    return ic.call(x, adjacency)


MASK = torch.triu(torch.full((6, 6), -math.inf), 1)
BATCH = torch.randn(8, 32, generator=torch.Generator().manual_seed(2))

GOOD = {
    "causal attention": (lambda: nn.Sequential(*[CausalAttention() for _ in range(3)], nn.GELU(), nn.Linear(16, 4)), "normal:6x16"),
    "encoder with a mask": (
        lambda: Fn(
            lambda self, x, mask: self.out(self.body(x, mask=mask)),
            body=nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),
            out=nn.Linear(16, 3),
        ),
        ic.call(ic.normal(6, 16), mask=MASK),
    ),
    "layer scale": (lambda: nn.Sequential(nn.Linear(32, 32), *[LayerScale() for _ in range(6)], nn.Linear(32, 4)), "normal:32"),
    "highway": (lambda: nn.Sequential(*[Highway() for _ in range(8)], nn.Linear(32, 4)), "normal:32"),
    "squeeze and excite": (
        lambda: nn.Sequential(nn.Conv2d(3, 16, 3), SqueezeExcite(), SqueezeExcite(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
        ic.images(3, 8, 8, batch=16),
    ),
    "gated recurrence": (gated_recurrence, "normal:8x16"),
    "gated linear units": (lambda: nn.Sequential(nn.Linear(32, 64), nn.GLU(), nn.Linear(32, 64), nn.GLU(), nn.Linear(32, 4)), "normal:32"),
    "zero head": (zero_head, "normal:32"),
    "siamese": (siamese, ic.call(ic.normal(32), ic.normal(32))),
    "one number per sample": (lambda: nn.Sequential(mlp(), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0)), "normal:32"),
    "channels last": (lambda: nn.Sequential(nn.Linear(3, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)), "normal:5x5x3"),
    "time first": (
        lambda: Fn(lambda self, x: self.out(self.rnn(x)[0][-1]), rnn=nn.GRU(16, 16), out=nn.Linear(16, 3)),
        lambda rng: rng.standard_normal((7, 12, 16)).astype(np.float32),
    ),
    "one sample": (mlp, BATCH[:1]),
    "two samples": (mlp, BATCH[:2]),
    "double precision": (lambda: mlp().double(), "normal:32"),
    "one-hot": (lambda: nn.Sequential(nn.Linear(100, 32), nn.ReLU(), nn.Linear(32, 4)), ic.one_hot(classes=100)),
    "equal samples": (mlp, torch.ones(16, 32)),
    "two units": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), "normal:2"),
    "spectral norm": (
        lambda: nn.Sequential(torch.nn.utils.parametrizations.spectral_norm(nn.Linear(32, 32)), nn.ReLU(), nn.Linear(32, 4)),
        "normal:32",
    ),
    "input in a dict": (lambda: Fn(lambda self, batch: self.body(batch["x"]), body=mlp()), ic.call({"x": BATCH})),
    "sparse graph": (
        lambda: Fn(lambda self, x, a: self.out(F.relu(torch.sparse.mm(a, self.fc(x)))), fc=nn.Linear(32, 16), out=nn.Linear(16, 3)),
        graph(),
    ),
    "checkpointed": (
        lambda: Fn(
            lambda self, x: self.out(torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=False)),
            body=mlp(), out=nn.Linear(4, 2),
        ),
        "normal:32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_model_that_is_good_passes(name):
    factory, inputs = GOOD[name]
    report = check(factory, inputs, id=name)
    assert report.verdict == "pass", str(report)
