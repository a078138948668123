"""What is harm and what is a choice: offsets, units, ids, what a model does to its inputs itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic


class Model(nn.Module):
    """A model of parts and a forward function."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *args):
        return self.run(self, *args)


def he(*widths, head=1.0):
    layers = []
    for a, b in itertools.pairwise(widths):
        linear = nn.Linear(a, b)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    with torch.no_grad():
        layers[-2].weight.mul_(head * 0.5**0.5)
    return nn.Sequential(*layers[:-1])


def verdicts(factory, inputs, **kwargs):
    report = ic.check(factory, inputs=inputs, id="model", **{"try_fixes": False, **kwargs})
    return report.verdict, {(item.invariant, item.direction) for item in report.failures}, report


def offset_head():
    model = he(16, 64, 1)
    nn.init.constant_(model[-1].bias, 50.0)
    return model


def two_units():
    model = he(16, 64, 2)
    with torch.no_grad():
        model[-1].bias.copy_(torch.tensor([20.0, 3.0]))
    return model


CHOICES = {
    "the target's mean in the bias": offset_head,
    "two targets in their own units": two_units,
    "an expected age": lambda: Model(
        lambda s, x: (torch.softmax(s.n(x), -1) * torch.arange(101.0)).sum(-1), n=he(16, 64, 101)
    ),
    "quantiles in order": lambda: Model(
        lambda s, x: torch.cumsum(F.softplus(s.n(x)), -1), n=he(16, 64, 50)
    ),
    "a log-likelihood": lambda: Model(lambda s, x: -(s.n(x) ** 2).sum(-1), n=he(16, 64, 64)),
    "a depth in metres": lambda: Model(lambda s, x: 80 * torch.sigmoid(s.n(x)), n=he(16, 64, 1)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_an_offset_or_a_unit_of_the_output_is_a_choice(name):
    verdict, _, report = verdicts(CHOICES[name], ic.normal(16))
    assert verdict == "pass", str(report)


def test_logits_that_vary_too_much_are_harm():
    verdict, failures, report = verdicts(lambda: he(16, 64, 5, head=30.0), ic.normal(16))
    assert (verdict, failures) == ("fail", {("variance", "exploding")})
    assert report.failures[0].site == "2"


@pytest.mark.parametrize("order", ["first", "second", "dict"])
def test_every_output_is_judged(order):
    def factory():
        def forward(s, x):
            h = torch.relu(s.trunk(x))
            outputs = [s.policy(h), s.value(h)]
            if order == "first":
                return tuple(reversed(outputs))
            return dict(zip(("logits", "value"), outputs, strict=True)) if order == "dict" else outputs

        value = nn.Linear(64, 1)
        nn.init.normal_(value.weight, 0, 5.0)
        return Model(forward, trunk=he(32, 64), policy=nn.Linear(64, 4), value=value)

    verdict, failures, report = verdicts(factory, ic.normal(32))
    assert (verdict, failures) == ("fail", {("variance", "exploding")})
    assert report.failures[0].site == "value"


def test_a_tensor_that_the_model_goes_on_from_is_no_output_of_its_own():
    # a residual stream in front of a norm may be of any size
    def factory():
        def forward(s, x):
            stream = 30 * s.a(x)
            return s.b(F.layer_norm(stream, (32,))), stream

        return Model(forward, a=he(16, 32, 32), b=nn.Linear(32, 4))

    assert verdicts(factory, ic.normal(16))[0] == "pass"


def test_what_becomes_the_ids_of_an_embedding_is_no_signal():
    def factory():
        def forward(s, x):
            return s.n(s.e((x * 128).long()[:, 0]))

        return Model(forward, e=nn.Embedding(128, 8), n=he(8, 32, 3))

    assert verdicts(factory, ic.uniform(1))[0] == "pass"


def pixels(rng):
    return torch.from_numpy(rng.integers(0, 256, (64, 3, 8, 8)).astype(np.uint8))


def flat_net(scale):
    return lambda: Model(lambda s, x: s.n(scale(x).flatten(1)), n=he(192, 64, 10))


@pytest.mark.parametrize(
    ("scale", "failing"),
    [
        (lambda x: x.float(), True),
        (lambda x: x.float() / 255, False),
        (lambda x: x / 255, False),
        (lambda x: (x.float() - 127.5) / 73.6, False),
    ],
    ids=["raw", "cast and divided", "divided", "standardised"],
)
def test_pixels_are_judged_as_the_first_layer_reads_them(scale, failing):
    verdict, failures, report = verdicts(flat_net(scale), pixels)
    assert (("inputs", None) in failures) == failing, str(report)
    assert (verdict == "pass") == (not failing)
    if failing:
        found = next(item for item in report.failures if item.invariant == "inputs")
        assert "raw pixels 0..255" in found.cause
        assert found.fixes[0].code.startswith("x = (x - 12")


def test_a_batch_norm_in_front_takes_any_scale():
    def raw(rng):
        return rng.normal(50, [1, 1000, 30, 0.01], (64, 4)).astype(np.float32)

    good = lambda: nn.Sequential(nn.BatchNorm1d(4), *he(4, 64, 3))  # noqa: E731
    assert verdicts(good, raw)[0] == "pass"
    assert ("inputs", None) in verdicts(lambda: he(4, 64, 3), raw)[1]


def test_ids_that_an_embedding_reads_have_no_scale():
    model = lambda: Model(  # noqa: E731
        lambda s, x: s.n(s.e(x).mean(1)), e=nn.Embedding(5000, 16), n=he(16, 32, 3)
    )
    assert verdicts(model, ic.tokens(12, vocabulary=5000))[0] == "pass"


def test_a_float64_tensor_is_refused_as_in_training():
    verdict, _, report = verdicts(lambda: he(16, 32, 3), torch.randn(64, 16, dtype=torch.float64))
    assert verdict == "error"
    assert "on input (64, 16) float64" in report.error
    assert verdicts(lambda: he(16, 32, 3), np.random.default_rng(0).normal(size=(64, 16)))[0] == "pass"


def residual(branch):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = he(64, 64)

        def forward(self, x):
            return x + branch * F.relu(self.a(x)) * 2**0.5

    return lambda: nn.Sequential(nn.Linear(64, 64), *[Block() for _ in range(16)], nn.Linear(64, 4))


def test_residual_growth_is_named_and_its_fix_helps():
    verdict, failures, report = verdicts(residual(1.0), ic.normal(64))
    assert (verdict, failures) == ("fail", {("variance", "exploding")})
    found = report.failures[0]
    assert found.site.startswith("1.")
    assert "16 residual additions without normalisation" in found.cause
    assert "1 / sqrt(16) = 0.25" in found.fix
    assert verdicts(residual(0.25), ic.normal(64))[0] == "pass"


def test_the_scale_of_the_last_normalisation_is_named():
    def factory():
        model = nn.Sequential(*he(32, 64)[:1], nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.constant_(model[1].weight, 100.0)
        return model

    _, failures, report = verdicts(factory, ic.normal(32))
    assert failures == {("variance", "exploding")}
    assert "the normalisation 1 puts out a root mean square of 100" in report.failures[0].cause


def test_what_explodes_is_looked_for_behind_the_last_normalisation():
    def factory():
        a, head = nn.Linear(64, 64), nn.Linear(64, 10)
        nn.init.normal_(a.weight)
        nn.init.normal_(head.weight, 0, 3.0)
        return nn.Sequential(a, nn.LayerNorm(64), nn.ReLU(), head)

    _, _, report = verdicts(factory, ic.normal(64))
    assert [item.site for item in report.failures] == ["3"]


def test_an_lstm_is_judged_gate_by_gate():
    class Net(nn.Module):
        def __init__(self, std):
            super().__init__()
            self.r, self.o = nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 3)
            for parameter in self.r.parameters() if std else ():
                nn.init.normal_(parameter, 0, std)

        def forward(self, x):
            return self.o(self.r(x)[0][:, -1])

    enabled = torch.backends.mkldnn.enabled
    good = verdicts(lambda: Net(None), ic.normal(6, 16))
    assert (good[0], good[2].unobserved) == ("pass", ())
    assert verdicts(lambda: Net(1.0), ic.normal(6, 16))[1] == {("saturation", None)}
    assert torch.backends.mkldnn.enabled == enabled


def test_an_init_that_draws_nothing_is_judged_as_such():
    def factory():
        model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
        for layer in (model[0], model[2]):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        return model

    assert verdicts(factory, ic.normal(32))[0] == "pass"


WIDE, TALL = (16, 2048), (2048, 16)


@pytest.mark.parametrize(
    ("shape", "act"), [(WIDE, "tanh"), (TALL, "tanh"), (WIDE, "relu"), (TALL, "relu"), (TALL, "leaky")]
)
@pytest.mark.parametrize("product", [False, True], ids=["Linear", "x @ w"])
def test_the_printed_code_draws_the_printed_std(shape, act, product):
    fan_in, units = shape
    phi = {"tanh": torch.tanh, "relu": torch.relu, "leaky": lambda x: F.leaky_relu(x, 0.2)}[act]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            size = (fan_in, units) if product else (units, fan_in)
            self.w = nn.Parameter(10 * torch.randn(size))
            self.head = nn.Linear(units, 3)

        def forward(self, x):
            return self.head(phi(x @ self.w if product else F.linear(x, self.w)))

    _, _, report = verdicts(Net, ic.normal(fan_in))
    found = next(item for item in report.failures if item.site == "w")
    model, fix = Net(), found.fixes[0]
    exec(fix.code, {"nn": nn, "model": model})
    said = float(fix.advice.split("with std ")[1].split(" ")[0].rstrip(","))
    assert float(model.w.detach().std()) == pytest.approx(said, rel=0.05)


def test_the_code_for_several_layers_is_one_loop_that_helps():
    def deep():
        layers = [each for _ in range(14) for each in (nn.Linear(64, 64), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(64, 3))

    _, _, report = verdicts(deep, ic.normal(64))
    code = report.failures[0].fixes[0].code
    assert code.startswith("for i in range(0, 27, 2):\n    nn.init.kaiming_normal_(model[i].weight")

    def mended():
        model = deep()
        exec(code, {"nn": nn, "model": model})
        return model

    assert verdicts(mended, ic.normal(64))[0] == "pass"


def gated(bias, std=0.0):
    """A residual gate behind a norm: y = LN(x) + sigmoid(Wx + b) * f(x)."""

    def factory():
        gate = nn.Linear(32, 32)
        nn.init.normal_(gate.weight, 0, std or 32**-0.5)
        nn.init.constant_(gate.bias, bias)

        def forward(s, x):
            x = torch.relu(s.stem(x))
            x = F.layer_norm(x, (32,))
            return s.head(x + torch.sigmoid(s.gate(0.1 * x if not std else x)) * s.f(x))

        return Model(forward, stem=he(16, 32), gate=gate, f=he(32, 32), head=nn.Linear(32, 4))

    return factory


@pytest.mark.parametrize(
    ("bias", "std", "failing"), [(-4.0, 0, False), (-6.0, 0, False), (-20.0, 0, True), (0.0, 3.0, True)]
)
def test_a_gate_that_its_bias_closes_is_a_choice_while_it_can_open(bias, std, failing):
    _, failures, report = verdicts(gated(bias, std), ic.normal(16))
    assert (("saturation", None) in failures) == failing, str(report)


def test_chrono_gates_pass():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(8, 16), nn.Linear(16, 3)
            forget = torch.log(1 + 782 * torch.rand(16))  # Tallec and Ollivier 2018, T = 784
            with torch.no_grad():
                self.cell.bias_hh.zero_()
                self.cell.bias_ih.zero_()
                self.cell.bias_ih[16:32], self.cell.bias_ih[:16] = forget, -forget

        def forward(self, x):
            h = c = x.new_zeros(len(x), 16)
            for step in range(x.shape[1]):
                h, c = self.cell(x[:, step], (h, c))
            return self.head(h)

    verdict, _, report = verdicts(Cell, ic.normal(6, 8))
    assert verdict == "pass", str(report)
