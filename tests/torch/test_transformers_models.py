"""``hf:`` and ``hf-tiny:``: transformers' models by name, with random weights and inferred inputs."""

from __future__ import annotations

import re

import pytest
import torch
import transformers
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

import pytest_initcheck as ic
from pytest_initcheck import specs
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.libraries import meta
from pytest_initcheck.libraries import transformers as models

transformers.logging.set_verbosity_error()


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def load(spec, directory="."):
    from pathlib import Path

    return specs.load(spec, Path(directory))


FAMILIES = {
    "gpt2": ("GPT2LMHeadModel", {"input_ids": (8, 16)}),
    "bert": ("BertForMaskedLM", {"input_ids": (8, 16)}),
    "llama": ("LlamaForCausalLM", {"input_ids": (8, 16)}),
    "mixtral": ("MixtralForCausalLM", {"input_ids": (8, 16)}),
    "mamba": ("MambaForCausalLM", {"input_ids": (8, 16)}),
    "reformer": ("ReformerForMaskedLM", {"input_ids": (8, 16)}),
    "t5": ("T5ForConditionalGeneration", {"input_ids": (8, 16), "decoder_input_ids": (8, 16)}),
    "layoutlm": ("LayoutLMForMaskedLM", {"input_ids": (8, 16), "bbox": (8, 16, 4)}),
    "vit": ("ViTForImageClassification", {"pixel_values": (8, 3, 64, 64)}),
    "segformer": ("SegformerForImageClassification", {"pixel_values": (8, 3, 64, 64)}),
    "clip": ("CLIPModel", {"input_ids": (8, 16), "pixel_values": (8, 3, 128, 128)}),
    "videomae": ("VideoMAEForVideoClassification", {"pixel_values": (8, 4, 3, 64, 64)}),
    "wav2vec2": ("Wav2Vec2ForCTC", {"input_values": (8, 6400)}),
    "whisper": (
        "WhisperForConditionalGeneration",
        {"input_features": (8, 80, 64), "decoder_input_ids": (8, 16)},
    ),
    "speech_to_text": (
        "Speech2TextForConditionalGeneration",
        {"input_features": (8, 64, 80), "decoder_input_ids": (8, 16)},
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_type_gives_a_small_model_and_its_inputs(name):
    import numpy as np

    from pytest_initcheck.inputs import source
    from pytest_initcheck.probes.torch_inputs import prepared

    kind, shapes = FAMILIES[name]
    declared = load(f"hf-tiny:{name}")
    model = declared()
    assert type(model).__name__ == kind
    assert sum(p.numel() for p in model.parameters()) < 5e6
    call = source(declared.declaration.inputs).sample(np.random.default_rng(0))
    assert {key: value.shape for key, value in call.kwargs.items()} == shapes
    call = prepared(model, call)
    with torch.no_grad():
        model(**call.kwargs)


@pytest.mark.parametrize("name", ["gpt2", "t5", "vit"])
def test_a_good_model_passes(name):
    report = ic.check(load(f"hf-tiny:{name}"), id=name)
    assert report.verdict == "pass", str(report)


def test_what_hides_an_initialisation_is_off():
    model = load("hf-tiny:wav2vec2")()
    assert model.config._attn_implementation == "eager"
    assert model.config.apply_spec_augment is False
    assert model.config.layerdrop == model.config.hidden_dropout == 0
    assert load("hf-tiny:gpt2")().config.use_cache is False


def test_what_is_tied_stays_tied():
    model = load("hf-tiny:gpt2")()
    assert model.lm_head.weight is model.transformer.wte.weight


def test_a_model_is_drawn_anew_each_time():
    declared = load("hf-tiny:gpt2")
    first, second = declared(), declared()
    assert first.config is not second.config
    assert not torch.equal(first.lm_head.weight, second.lm_head.weight)


def test_loading_draws_nothing():
    before = torch.get_rng_state()
    load("hf-tiny:bert")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_class_by_name():
    assert type(load("hf-tiny:BertModel")()).__name__ == "BertModel"
    assert type(load("hf-tiny:GPT2ForSequenceClassification")()).__name__.startswith("GPT2ForSeq")


def test_a_type_in_full_size():
    model = load("hf:bloom")()  # the library's default is small
    assert model.config.hidden_size == 64


def test_a_folder(tmp_path):
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained(tmp_path / "mine")
    declared = load("hf:mine", tmp_path)
    assert declared.declaration.inputs.kwargs["input_ids"].high == 50
    assert type(declared()).__name__ == "BertForMaskedLM"
    config.architectures = None
    config.save_pretrained(tmp_path / "mine")
    assert type(load("hf:./mine", tmp_path)()).__name__ == "BertForMaskedLM"
    assert type(load(f"hf:{tmp_path / 'mine'}")()).__name__ == "BertForMaskedLM"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:gtp2", "cannot build hf:gtp2: transformers has no model 'gtp2'; did you mean 'gpt2'"),
        (
            "hf:BertForMaskdLM",
            "transformers has no model 'BertForMaskdLM'; did you mean 'BertForMaskedLM'",
        ),
        ("hf-tiny:zzzzzzzz", "no model 'zzzzzzzz'; transformers.CONFIG_MAPPING has all names"),
        (
            "hf:openai/gpt2",
            "there is no such folder, and nothing is downloaded from the hub; name a model",
        ),
        ("hf:PreTrainedModel", "PreTrainedModel has no configuration of its own; pass a folder"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line(spec, message):
    with pytest.raises(ConfigError) as caught:
        load(spec)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"cannot build {spec}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_no_configuration(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"\./empty holds no config\.json; pass a folder with"):
        load("hf:./empty", tmp_path)
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(
        ConfigError, match=r"cannot build hf:\./empty: .*is .*config\.json a configuration"
    ):
        load("hf:./empty", tmp_path)


def test_a_model_that_does_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(meta, "_memory", lambda: 24 * 10**9)
    message = (
        "cannot build hf:llama: its 6.7 billion parameters need 81 GB to be checked and this machine has "
        "24; check hf-tiny:llama, the same made small"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        load("hf:llama")
    monkeypatch.setattr(meta, "_memory", lambda: None)  # a system that does not tell
    meta.check_size("hf:bert", BertForMaskedLM(BertConfig(num_hidden_layers=1)), "")


def refuse(*_):
    raise ValueError("heads do not divide the width")


def test_a_configuration_that_cannot_be_made_small(monkeypatch):
    monkeypatch.setattr(models, "shrunk", refuse)
    message = (
        "cannot build hf-tiny:gpt2: ValueError: heads do not divide the width; its configuration cannot "
        "be made small; write one that is small, and pass hf:FOLDER"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        load("hf-tiny:gpt2")


@pytest.mark.parametrize("prefix", ["hf", "hf-tiny"])
def test_a_class_that_cannot_be_built_in_any_size(prefix, monkeypatch):
    monkeypatch.setattr(BertForMaskedLM, "__init__", refuse)
    with pytest.raises(ConfigError, match="divide the width; write a function that builds it"):
        load(f"{prefix}:bert")


def test_a_type_without_a_default_configuration(monkeypatch):
    monkeypatch.setattr(BertConfig, "__init__", refuse)
    with pytest.raises(
        ConfigError, match=r"no default configuration, so pass a folder with a config\.json"
    ):
        load("hf:bert")


def test_a_type_that_has_no_model_of_torch(monkeypatch):
    monkeypatch.setattr(BertConfig, "model_type", "brt")
    with pytest.raises(
        ConfigError, match="no torch model of type 'brt'; write a function that builds it"
    ):
        load("hf:bert")


def test_inputs_that_cannot_be_inferred_are_one_item_s_error(pytester):
    result = pytester.runpytest_inprocess(
        "--initcheck-model", "hf-tiny:decision_transformer", "-p", "no:cacheprovider", "-W", "default"
    )
    result.assert_outcomes(failed=8)
    text = " ".join(result.stdout.str().split())  # folded at the terminal's width
    assert (
        "ERROR hf-tiny:decision_transformer the inputs of DecisionTransformerModel cannot be inferred "
        "from its configuration: it takes states; use --initcheck-inputs, or declare it with "
    ) in text


def tiny_gpt2():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=200,
            n_positions=64,
            n_embd=64,
            n_layer=2,
            n_head=4,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def test_the_inputs_of_a_model_built_by_a_function_are_inferred_too():
    report = ic.check(tiny_gpt2)
    assert report.verdict == "pass", str(report)
    assert report.inputs == "inferred"


def test_on_the_command_line(pytester):
    result = pytester.runpytest_inprocess(
        "--initcheck-model", "hf-tiny:gpt2", "-p", "no:cacheprovider", "-v", "-W", "default"
    )
    result.assert_outcomes(passed=6, skipped=2)
    result.stdout.fnmatch_lines(["hf-tiny:gpt2::finite PASSED*", "hf-tiny:gpt2::variance PASSED*"])


def test_other_inputs_win_on_the_command_line(pytester):
    result = pytester.runpytest_inprocess(
        "--initcheck-model", "hf-tiny:gpt2", "--initcheck-inputs", "tokens(9999):16@8",
        "-p", "no:cacheprovider", "-W", "default", "-k", "finite",
    )  # fmt: skip
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        ["ERROR hf-tiny:gpt2  *the model raised IndexError on input (8, 16) int64*"]
    )


def test_an_unknown_name_on_the_command_line_is_one_line_and_exit_code_4(pytester):
    result = pytester.runpytest_inprocess("--initcheck-model", "hf:gtp2", "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.errlines if line]) == 1
    result.stderr.fnmatch_lines(["ERROR: initcheck: cannot build hf:gtp2: *; did you mean 'gpt2'*"])
