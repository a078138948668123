"""Networks of every kind: built as they are specified, and correct as the textbook says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck import strategies as ist
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import he_normal, lecun_normal, xavier_normal
from pytest_initcheck.networks import (
    BRANCHES,
    ConvnetSpec,
    RecurrentSpec,
    ResidualSpec,
    TransformerSpec,
)

HE = he_normal()
SPECS = (
    ConvnetSpec((3, 16, 16, 16), 16, "relu", HE),
    ConvnetSpec((1, 16, 16), 8, "tanh", xavier_normal(), batch_norm=True, outputs=3),
    *(ResidualSpec(8, 32, 5, "relu", HE, branch) for branch in BRANCHES),
    *(ResidualSpec(8, 32, 5, "relu", HE, branch, framework="numpy") for branch in BRANCHES[:2]),
    TransformerSpec(16, 2, 3, 6, "gelu", lecun_normal(1.5)),
    RecurrentSpec(8, 24, 6, "tanh", xavier_normal()),
    RecurrentSpec(8, 24, 6, "tanh", xavier_normal(), framework="numpy"),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_network_takes_its_inputs_and_puts_out_what_it_says(spec):
    x = spec.inputs.sample(np.random.default_rng(0), 4)
    factory = spec.factory()
    assert factory.__name__ == spec.text
    if spec.framework == "torch":
        out = factory()(torch.from_numpy(x)).detach().numpy()
    else:
        out = factory(np.random.default_rng(0))(x)
    rows = (4, spec.tokens) if isinstance(spec, TransformerSpec) else (4,)
    assert out.shape == (*rows, spec.outputs)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.text)
def test_a_matched_network_passes(spec):
    report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text)
    assert report.framework == spec.framework
    assert report.verdict == "pass", str(report)


def test_texts_tell_networks_apart():
    assert len({spec.text for spec in SPECS}) == len(SPECS)


def test_a_residual_stack_that_is_not_scaled_is_found_in_both_frameworks():
    for framework in ("torch", "numpy"):
        spec = ResidualSpec(8, 64, 16, "relu", HE, unscaled=True, framework=framework)
        report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text, try_fixes=False)
        assert [(item.invariant, item.direction) for item in report.failures] == [
            ("variance", "exploding")
        ]


def test_branches_that_start_at_zero_put_out_zero():
    model = ResidualSpec(8, 32, 2, "relu", HE, "zero").factory()()
    x = torch.randn(4, 32)
    assert torch.equal(model[1](x), x)


def test_gpt_2s_scale_is_that_of_the_last_layers():
    torch.manual_seed(0)
    plain = TransformerSpec(64, 4, 8, 4, "gelu", lecun_normal(), residual_scale=False).factory()()
    scaled = TransformerSpec(64, 4, 8, 4, "gelu", lecun_normal()).factory()()
    ratio = scaled[0].down.weight.std() / plain[0].down.weight.std()
    assert ratio.item() == pytest.approx(0.25, rel=0.05)
    assert (scaled[0].up.weight.std() / plain[0].up.weight.std()).item() == pytest.approx(1, rel=0.05)


def test_images_are_halved_after_every_second_convolution():
    model = ConvnetSpec((3, 8, 8, 8, 8), 16, "relu", HE).factory()()
    assert sum(isinstance(part, nn.AvgPool2d) for part in model) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvnetSpec((3,), 8, "relu", HE), "channels run from image to last layer"),
        (lambda: ConvnetSpec((3, 8), 2, "relu", HE), "an image has at least 4 pixels a side, got 2"),
        (lambda: ConvnetSpec((3, 8), 8, "relu", HE, framework="numpy"), "needs framework='torch'"),
        (lambda: ConvnetSpec((3, 8), 8, "rleu", HE), "did you mean 'relu'"),
        (lambda: ResidualSpec(8, 8, 2, "relu", HE, "scald"), "unknown branch 'scald'; did you mean"),
        (lambda: ResidualSpec(8, 8, 0, "relu", HE), "at least 1"),
        (
            lambda: ResidualSpec(8, 8, 1, "relu", HE, "pre_norm", framework="numpy"),
            "branch='pre_norm' needs framework='torch'",
        ),
        (lambda: ResidualSpec(8, 8, 1, "relu", HE).factory("jaks"), "unknown framework 'jaks'"),
        (lambda: TransformerSpec(16, 3, 1, 4, "gelu", HE), "heads must divide the width, got 16 and 3"),
        (lambda: TransformerSpec(16, 4, 1, 0, "gelu", HE), "at least 1"),
        (lambda: TransformerSpec(16, 4, 1, 2, "gelu", HE, framework="numpy"), "needs framework"),
        (lambda: RecurrentSpec(8, 8, 0, "tanh", HE), "at least 1"),
    ],
    ids=itertools.count(),
)
def test_what_cannot_be_built_is_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


KINDS = ("mlp", "convnet", "residual", "transformer", "rnn")


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_networks_of_every_kind_pass(kind):
    @settings(
        max_examples=6,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(ist.networks(kinds=(kind,), max_width=48, max_depth=6))
    def passes(spec):
        report = ic.check(spec.factory(), inputs=spec.inputs, id=spec.text)
        assert report.verdict == "pass", str(report)

    passes()
