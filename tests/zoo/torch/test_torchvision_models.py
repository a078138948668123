"""``torchvision:``: every kind of model that ``torchvision.models.list_models()`` names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import pytest_initcheck as ic
from pytest_initcheck import specs
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import source
from pytest_initcheck.libraries import meta
from pytest_initcheck.probes.torch_inputs import prepared

SHAPES = {
    "squeezenet1_1": (8, 3, 64, 64),
    "googlenet": (8, 3, 64, 64),
    "vit_b_32": (8, 3, 64, 64),
    "regnet_y_400mf": (8, 3, 64, 64),
    "efficientnet_b0": (8, 3, 64, 64),
    "quantized_mobilenet_v2": (8, 3, 64, 64),
    "segmentation/lraspp_mobilenet_v3_large": (8, 3, 64, 64),
    "detection/ssdlite320_mobilenet_v3_large": (8, 3, 128, 128),
    "fasterrcnn_mobilenet_v3_large_fpn": (8, 3, 128, 128),
    "r3d_18": (8, 3, 8, 64, 64),
    "raft_small": (8, 3, 128, 128),
}


def load(name):
    return specs.load(f"torchvision:{name}", Path())


@pytest.mark.parametrize("name", SHAPES)
def test_a_name_gives_a_model_and_its_inputs(name):
    declared = load(name)
    call = source(declared.declaration.inputs).sample(np.random.default_rng(0))
    assert {value.shape for value in call.args} == {SHAPES[name]}
    model = declared()
    with torch.no_grad():
        model(*prepared(model, call).args)


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_a_good_model_passes(name):
    report = ic.check(load(name), id=name)
    assert report.verdict == "pass", str(report)


def test_a_detector_puts_out_a_row_per_image():
    declared = load("keypointrcnn_resnet50_fpn")
    call = source(declared.declaration.inputs).sample(np.random.default_rng(0))
    model = declared()
    with torch.no_grad():
        found = model(*prepared(model, ic.call(call.args[0][:2])).args)
    assert list(found) == ["scores", "corners", "objectness", "offsets", "keypoint"]
    assert all(len(found[key]) == 2 for key in ("scores", "corners", "keypoint"))
    assert {len(level) for level in found["objectness"]} == {2}


def test_class_scores_of_one_stage_come_first():
    model = load("ssdlite320_mobilenet_v3_large")()
    with torch.no_grad():
        found = model.eval()(torch.zeros(2, 3, 128, 128))
    assert next(iter(found)) == "cls_logits"


def test_stochastic_depth_is_off():
    model = load("efficientnet_b0")()
    depths = [part.p for part in model.modules() if type(part).__name__ == "StochasticDepth"]
    assert depths
    assert not any(depths)


def test_loading_draws_nothing_even_where_numbers_are_needed_to_build():
    before = torch.get_rng_state()
    load("regnet_y_400mf")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "torchvision has no model 'resnet5'; did you mean 'resnet50'"),
        ("zzzzzz", "no model 'zzzzzz'; torchvision.models.list_models() has all names"),
        ("classification/resnet50", "torchvision has no model 'resnet50'; did you mean 'resnet50'"),
    ],
)
def test_an_unknown_name_is_one_line(name, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load(name)
    assert str(caught.value).startswith(f"cannot build torchvision:{name}: ")


def test_a_model_that_does_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(meta, "_memory", lambda: 10**9)
    with pytest.raises(ConfigError, match="this machine has 1; choose a smaller variant"):
        load("vgg16")


def test_on_the_command_line(pytester):
    result = pytester.runpytest_inprocess(
        "--initcheck-model", "torchvision:squeezenet1_1", "-p", "no:cacheprovider", "-W", "default", "-v"
    )
    result.assert_outcomes(passed=7, skipped=1)
    result.stdout.fnmatch_lines(["torchvision:squeezenet1_1::dead-relu PASSED*"])
