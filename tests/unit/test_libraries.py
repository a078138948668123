"""What is said about libraries' models without any library: names, inputs, small configurations."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import specs
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import source
from pytest_initcheck.libraries import PACKAGES, blueprint
from pytest_initcheck.libraries.arrays import Boxes, Ids, plain_ids
from pytest_initcheck.libraries.blueprint import refused, unknown
from pytest_initcheck.libraries.shrunk import HEADS, LAYERS, VOCABULARY, WIDTH, shrunk


def test_every_prefix_has_a_package():
    assert set(PACKAGES) == set(specs.LIBRARIES)


@pytest.mark.parametrize("prefix", PACKAGES)
def test_a_library_that_is_missing_is_one_line_with_the_command(prefix, monkeypatch):
    package = PACKAGES[prefix]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found("math")
    )
    with pytest.raises(ConfigError) as caught:
        specs.load(f"{prefix}:some_model", Path())
    assert str(caught.value) == (
        f"{prefix}:some_model needs {package}, which is not installed; "
        f"run: python -m pip install {package}"
    )


def test_torch_is_asked_for_before_the_library(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="timm:resnet18 needs torch, which is not installed"):
        blueprint("timm", "resnet18", Path())


@pytest.mark.parametrize("prefix", PACKAGES)
def test_a_prefix_alone_is_no_model(prefix):
    with pytest.raises(ConfigError, match=f"a name follows the colon, as in {prefix}:"):
        specs.load(f"{prefix}:", Path())


def test_a_library_that_does_not_import_is_one_line(monkeypatch):
    def broken(*_):
        raise ImportError("libcudart.so.13\nis missing")

    monkeypatch.setattr("pytest_initcheck.libraries.blueprint", broken)
    with pytest.raises(
        ConfigError, match=r"cannot import model 'timm:vgg11': ImportError: libcudart"
    ) as e:
        specs.load("timm:vgg11", Path())
    assert "\n" not in str(e.value)


def test_a_name_that_is_near_no_other():
    error = unknown("timm:zzz", "timm", "zzz", ["resnet18"], "timm.list_models()")
    assert str(error).endswith("timm has no model 'zzz'; timm.list_models() has all names")


def test_an_error_without_a_text():
    assert str(refused("hf:x", KeyError(), "sorry")) == "cannot build hf:x: KeyError: ; sorry"


def test_ids_avoid_special_ones_and_end_as_asked():
    ids = Ids((5,), 3, 9, 8, last=2)
    rows = ids.sample(np.random.default_rng(0), 100)
    assert rows.shape == (100, 5)
    assert rows.dtype == np.int64
    assert set(rows[:, :-1].flat) == set(range(3, 9))
    assert set(rows[:, -1]) == {2}
    assert ids.text == "ids(3..8,2):5@8"


def test_boxes_are_boxes():
    rows = Boxes((7,), 4).sample(np.random.default_rng(0), 4)
    assert rows.shape == (4, 7, 4)
    assert (rows[..., 0] <= rows[..., 2]).all()
    assert (rows[..., 1] <= rows[..., 3]).all()
    assert rows.min() >= 0
    assert rows.max() < 1000


@pytest.mark.parametrize(
    ("special", "window"),
    [([], (0, 10)), ([0, 1], (2, 10)), ([9], (0, 9)), ([0, 4], (5, 10)), ([-1, 50], (0, 10))],
)
def test_plain_ids(special, window):
    assert plain_ids(10, special) == window


def test_a_call_of_them_is_a_source_whose_batch_is_theirs():
    inputs = source(ic.call(input_ids=Ids((5,), 3, 9, 8), bbox=Boxes((5,), 8)))
    assert inputs.text == "call(input_ids=ids(3..8):5@8, bbox=boxes:5@8)"
    call = inputs.sample(np.random.default_rng(0))
    assert {name: value.shape for name, value in call.kwargs.items()} == {
        "input_ids": (8, 5),
        "bbox": (8, 5, 4),
    }


class Config:
    """What a configuration offers to be made small."""

    def __init__(self, **values):
        self.values = values

    def to_dict(self):
        return dict(self.values)

    @classmethod
    def from_dict(cls, values):
        return cls(**values)


def small(**values):
    return shrunk(Config(**values)).values


def test_a_language_model_is_made_small():
    made = small(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=32000,
        layer_types=["full"] * 32,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        initializer_range=0.02,
    )
    assert made["hidden_size"] == WIDTH
    assert made["intermediate_size"] == 352
    assert made["num_hidden_layers"] == LAYERS
    assert made["layer_types"] == ["full"] * LAYERS
    assert made["num_attention_heads"] == HEADS
    assert made["num_key_value_heads"] == HEADS // 2
    assert made["head_dim"] * HEADS == WIDTH
    assert made["vocab_size"] == VOCABULARY
    assert made["rms_norm_eps"] == 1e-6
    assert made["tie_word_embeddings"] is False


def test_the_gain_of_a_layer_is_kept():
    made = small(hidden_size=2048, initializer_range=0.02)
    assert made["initializer_range"] ** 2 * made["hidden_size"] == pytest.approx(0.02**2 * 2048)


@pytest.mark.parametrize(("before", "after"), [(8, 4), (1, 1), (4, 2)])
def test_shared_heads(before, after):
    assert small(num_attention_heads=8, num_key_value_heads=before)["num_key_value_heads"] == after


def test_what_is_small_already_stays():
    values = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 100}
    assert small(**values) == values


def test_special_ids_move_into_the_small_vocabulary():
    made = small(vocab_size=50000, bos_token_id=1, eos_token_id=[49999, 2], pad_token_id=49998)
    assert made["bos_token_id"] == 1
    assert made["eos_token_id"] == [VOCABULARY - 2, 2]
    assert made["pad_token_id"] == VOCABULARY - 1


def test_parts_are_divided_by_one_factor():
    made = small(
        model_type="pair",
        text_config={"model_type": "text", "hidden_size": 512, "projection_dim": 256},
        vision_config={"model_type": "vision", "hidden_size": 1024, "projection_dim": 256},
        rope_parameters={"rope_theta": 10000.0},
    )
    assert made["vision_config"]["hidden_size"] == 128
    assert made["text_config"]["hidden_size"] == 64
    assert made["text_config"]["projection_dim"] == made["vision_config"]["projection_dim"] == 32
    assert made["rope_parameters"] == {"rope_theta": 10000.0}


def test_an_architecture_with_stages_keeps_its_widths_and_loses_depth():
    made = small(depths=[3, 3, 27, 3], hidden_sizes=[96, 192, 384, 768], out_features=["stage4"])
    assert made == {"depths": [2, 2, 2, 2], "hidden_sizes": [96, 192, 384, 768]}


@pytest.mark.parametrize(
    ("patch", "side", "after"),
    [(16, 224, 64), (32, 224, 128), (14, 224, 70), (16, 32, 32), (None, 224, 64)],
)
def test_an_image_holds_some_patches(patch, side, after):
    assert small(image_size=side, patch_size=patch)["image_size"] == after


def test_windows_have_to_fit_into_an_image():
    assert small(image_size=224, window_size=7)["image_size"] == 224


def test_shares_of_a_head():
    made = small(
        hidden_size=4096,
        num_attention_heads=32,
        rope_parameters={"mrope_section": [16, 24, 24], "rope_theta": 1.0},
    )
    assert made["rope_parameters"] == {"mrope_section": [4, 6, 6], "rope_theta": 1.0}
