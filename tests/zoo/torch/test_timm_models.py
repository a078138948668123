"""``timm:``: models of ``timm.list_models()`` at the smallest image that they take."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import pytest_initcheck as ic
from pytest_initcheck import specs
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import source
from pytest_initcheck.libraries import meta
from pytest_initcheck.probes.torch_inputs import prepared

SHAPES = {
    "resnet18": (8, 3, 64, 64),
    "resnet18.a1_in1k": (8, 3, 64, 64),
    "vit_tiny_patch16_224": (8, 3, 64, 64),
    "mixer_s32_224": (8, 3, 64, 64),
    "convnext_atto": (8, 3, 64, 64),
    "eva02_tiny_patch14_224": (8, 3, 64, 64),
    "coatnet_nano_rw_224": (8, 3, 64, 64),
}


def load(name):
    return specs.load(f"timm:{name}", Path())


@pytest.mark.parametrize("name", SHAPES)
def test_a_name_gives_a_model_and_its_inputs(name):
    declared = load(name)
    call = source(declared.declaration.inputs).sample(np.random.default_rng(0))
    assert call.args[0].shape == SHAPES[name]
    model = declared()
    with torch.no_grad():
        model(*prepared(model, call).args)


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224"])
def test_a_good_model_passes(name):
    report = ic.check(load(name), id=name)
    assert report.verdict == "pass", str(report)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "timm has no model 'resnet5'; did you mean 'resnet50'"),
        ("zzzzzz", "no model 'zzzzzz'; timm.list_models() has all names"),
        ("hf-hub:timm/resnet18", "nothing is downloaded; name an architecture of timm.list_models()"),
    ],
)
def test_an_unknown_name_is_one_line(name, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load(name)
    assert str(caught.value).startswith(f"cannot build timm:{name}: ")


def test_a_model_that_cannot_be_built(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no such layer")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ConfigError, match="ValueError: no such layer; write a function that builds it"):
        load("resnet18")


def test_a_model_that_does_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(meta, "_memory", lambda: 10**8)
    with pytest.raises(ConfigError, match=r"this machine has 0; choose a smaller variant"):
        load("resnet18")


@pytest.mark.parametrize(
    ("arguments", "side"),
    [({"model_name": "resnet10t"}, 176), ({"model_name": "vit_tiny_patch16_224", "img_size": 32}, 32)],
)
def test_the_inputs_of_a_model_built_by_a_function_are_inferred(arguments, side):
    from pytest_initcheck.libraries import inputs_of

    found = inputs_of(timm.create_model(**arguments))
    assert found is not None
    assert found.args[0].shape == (3, side, side)
    assert inputs_of(torch.nn.Linear(2, 2)) is None
