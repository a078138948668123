"""``hf:NAME`` and ``hf-tiny:NAME``: a model type, a class, or a folder with a config.json.

Nothing is downloaded: configurations come from the installed library or from the folder, weights are
drawn.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Any

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import Call
from pytest_initcheck.libraries import meta
from pytest_initcheck.libraries.blueprint import FUNCTION, Blueprint, refused, unknown
from pytest_initcheck.libraries.shrunk import shrunk
from pytest_initcheck.libraries.transformers_inputs import arguments

_TASKS = (
    "SEQ_TO_SEQ_CAUSAL_LM",
    "SPEECH_SEQ_2_SEQ",
    "MASKED_LM",
    "CAUSAL_LM",
    "CTC",
    "ZERO_SHOT_IMAGE_CLASSIFICATION",
    "IMAGE_CLASSIFICATION",
    "VIDEO_CLASSIFICATION",
    "AUDIO_CLASSIFICATION",
    "SEMANTIC_SEGMENTATION",
    "OBJECT_DETECTION",
    "IMAGE_TEXT_TO_TEXT",
    "TIME_SERIES_PREDICTION",
)
"""Which of a type's classes is meant: the first of these, or else the bare model."""
_TINY = "its configuration cannot be made small; write one that is small, and pass hf:FOLDER"
_FOLDER = "pass a folder with a config.json, as in hf:./my_model"


def blueprint(name: str, directory: Path, *, tiny: bool = False) -> Blueprint:
    """Return the blueprint of a model, made small if asked for.

    Raises ConfigError for an unknown name, a model of the hub, or one that cannot be built.
    """
    spec = f"{'hf-tiny' if tiny else 'hf'}:{name}"
    found, architecture = _found(spec, name, directory)
    try:
        config = shrunk(found) if tiny else found
        _make_observable(config)
        model = meta.outline(lambda: architecture(copy.deepcopy(config)))
        inputs = arguments(model, config)
    except Exception as error:
        to_blame = tiny and _can_be_built(architecture, found)
        raise refused(spec, error, _TINY if to_blame else FUNCTION) from error
    meta.check_size(spec, model, f"check hf-tiny:{name}, the same made small")
    del model

    def build() -> Any:
        return architecture(copy.deepcopy(config))  # some models write to theirs

    return Blueprint(build, inputs)


def _can_be_built(architecture: Any, config: Any) -> bool:
    try:
        with meta.shapes_only():
            architecture(copy.deepcopy(config))
    except Exception:  # whatever the library says; the first error is the one that is shown
        return False
    return True


def _found(spec: str, name: str, directory: Path) -> tuple[Any, Any]:
    """Return the configuration and the class."""
    folder = directory / name
    if (folder / "config.json").is_file():
        return _of_folder(spec, folder)
    if folder.is_dir() and ("/" in name or name.startswith(".")):
        raise ConfigError(f"cannot build {spec}: {name} holds no config.json; {_FOLDER}")
    import transformers

    types = importlib.import_module("transformers.models.auto.configuration_auto")
    if name in types.CONFIG_MAPPING_NAMES:
        return _of_type(spec, name)
    found: Any = getattr(transformers, name, None) if name.isidentifier() else None
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        config_class = getattr(found, "config_class", None)
        if config_class is not None:
            return _default(spec, config_class), found
        raise ConfigError(f"cannot build {spec}: {name} has no configuration of its own; {_FOLDER}")
    if "/" in name:
        raise ConfigError(
            f"cannot build {spec}: there is no such folder, and nothing is downloaded from the hub; "
            f"name a model type, as in hf:gpt2, or {_FOLDER}"
        )
    known = [*types.CONFIG_MAPPING_NAMES, *_classes(transformers, name)]
    listing = "transformers.CONFIG_MAPPING"
    raise unknown(spec, "transformers", name, known, listing)


def _classes(library: Any, name: str) -> list[str]:
    """Return the names of model classes, where a class may have been meant."""
    endings = ("Model", "LMHeadModel", "Classification", "Generation", "LM", "CTC")
    return [each for each in dir(library) if each.endswith(endings)] if name[:1].isupper() else []


def _of_folder(spec: str, folder: Path) -> tuple[Any, Any]:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise refused(spec, error, f"is {folder / 'config.json'} a configuration?") from error
    for name in config.architectures or ():
        found = getattr(transformers, name, None)
        if found is not None:
            return config, found
    return config, _class_of(spec, config)


def _of_type(spec: str, name: str) -> tuple[Any, Any]:
    from transformers import CONFIG_MAPPING

    config = _default(spec, CONFIG_MAPPING[name])
    return config, _class_of(spec, config)


def _default(spec: str, config_class: Any) -> Any:
    try:
        return config_class()
    except Exception as error:
        raise refused(spec, error, f"it has no default configuration, so {_FOLDER}") from error


def _class_of(spec: str, config: Any) -> Any:
    import transformers

    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    tables = [f"MODEL_FOR_{task}_MAPPING_NAMES" for task in _TASKS]
    others = [key for key in vars(auto) if key.startswith("MODEL_") and key.endswith("_NAMES")]
    for table in (*tables, "MODEL_MAPPING_NAMES", *others):
        name = getattr(auto, table, {}).get(config.model_type)
        name = name if isinstance(name, (str, type(None))) else name[0]
        if name is not None and hasattr(transformers, name):
            return getattr(transformers, name)
    raise ConfigError(
        f"cannot build {spec}: transformers has no torch model of type {config.model_type!r}; {FUNCTION}"
    )


def _make_observable(config: Any) -> None:
    """Turn off what only hides the initialisation: noise, caches and fused attention."""
    for part in _parts(config):
        for key, value in list(vars(part).items()):
            # dropout, layerdrop and drop path of all spellings: probing is done without them
            noise = isinstance(value, float) and ("drop" in key or key.endswith("pdrop"))
            if noise:
                setattr(part, key, 0.0)
        for key in ("use_cache", "apply_spec_augment"):
            if getattr(part, key, None) is True:
                setattr(part, key, False)
    config._attn_implementation = "eager"


def _parts(config: Any) -> list[Any]:
    """Return a configuration with all that it holds."""
    import transformers

    held = [v for v in vars(config).values() if isinstance(v, transformers.PretrainedConfig)]
    return [config, *(part for each in held for part in _parts(each))]


def inputs_of(model: Any) -> Call | None:
    """Return the inputs of a model of this library that was built elsewhere."""
    import transformers

    if not isinstance(model, transformers.PreTrainedModel):
        return None
    try:
        outline = meta.outline(lambda: type(model)(copy.deepcopy(model.config)))
        found = arguments(outline, model.config)
    except Exception:  # a class of the user's, perhaps, that is built in another way
        return None
    return found if isinstance(found, Call) else None
