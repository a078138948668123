"""What a model of transformers is called with, read off its configuration. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pytest_initcheck.distributions import Distribution, images, normal
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import Call
from pytest_initcheck.libraries import meta
from pytest_initcheck.libraries.arrays import Boxes, Ids, Scenes, plain_ids
from pytest_initcheck.libraries.blueprint import BATCH
from pytest_initcheck.libraries.shrunk import special_ids

LENGTH = 16
"""Tokens of a text."""
SIDES = (64, 128, 224)
"""Sides of images that are tried before the configuration's own."""
SAMPLES = 6400
"""Of a sound wave: some 20 frames."""
SPECTRUM_FRAMES = 64


def arguments(model: Any, config: Any) -> Call | Callable[[np.random.Generator], Call]:
    """Return the arguments of a model, which needs no numbers: it is tried on the meta device.

    For a model that takes something else, a function that says so, where inputs are asked for.
    """
    parameters = inspect.signature(type(model).forward).parameters
    main = _main(model, parameters)
    text = config.get_text_config(decoder=True)
    candidates = _KINDS[main](config) if main in _KINDS else []
    others: dict[str, Any] = {}
    if main == "input_ids" and "pixel_values" in parameters and not _has_placeholders(config):
        # two towers; the one of text reads the position of its end
        candidates = [_ids(text, last=getattr(text, "eos_token_id", None))]
        others["pixel_values"] = _images(config)[0]
    if main == "pixel_values" and "input_ids" in parameters:
        others["input_ids"] = _ids(text)
    if main == "input_ids" and "bbox" in parameters:
        others["bbox"] = Boxes((LENGTH,), BATCH)
    if "decoder_input_ids" in parameters and getattr(config, "is_encoder_decoder", False):
        others["decoder_input_ids"] = _ids(text)
    if None in (*candidates, *others.values()) or not candidates:
        return _not_inferred(type(model).__name__, main)
    calls = [Call((), {main: candidate, **others}) for candidate in candidates]
    if len(calls) == 1:
        return calls[0]
    found = meta.first_that_works(calls, lambda call: model(**_sampled(call)), model)
    return found if found is not None else calls[-1]


def _main(model: Any, parameters: Mapping[str, Any]) -> str:
    said = str(getattr(model, "main_input_name", ""))
    return said if said in parameters else next(name for name in parameters if name != "self")


def _sampled(call: Call) -> dict[str, Any]:
    """Return a call's arguments on the device in whose context they are made."""
    import torch

    rng = np.random.default_rng(0)
    device = torch.get_default_device()
    arrays = {name: value.sample(rng, BATCH) for name, value in call.kwargs.items()}
    return {name: torch.as_tensor(array, device=device) for name, array in arrays.items()}


def _not_inferred(name: str, main: str) -> Callable[[np.random.Generator], Call]:
    def refuse(rng: np.random.Generator) -> Call:
        raise ConfigError(
            f"the inputs of {name} cannot be inferred from its configuration: it takes {main}; use "
            "--initcheck-inputs, or declare it with @ic.model(inputs=ic.call(...))"
        )

    return refuse


def _has_placeholders(config: Any) -> bool:
    """Tell whether images are announced by a token each: then text alone is a complete input."""
    return any("image_token" in key for key in vars(config))


def _ids(text: Any, last: Any = None) -> Ids | None:
    vocabulary = getattr(text, "vocab_size", None)
    if not isinstance(vocabulary, int):
        return None
    special = [each for key, value in vars(text).items() for each in special_ids(key, value)]
    low, high = plain_ids(vocabulary, special)
    shape = getattr(text, "axial_pos_shape", None)  # reformer takes texts of one length only
    length = int(np.prod(shape)) if shape and getattr(text, "axial_pos_embds", False) else LENGTH
    last = last if isinstance(last, int) and last < vocabulary else None
    return Ids((length,), low, high, BATCH, last)


def _first(part: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(part, name, None)) is not None), None)


def _images(config: Any) -> list[Distribution]:
    """The configuration's own size last: the smallest that works is taken."""
    part = getattr(config, "vision_config", None) or config
    size = _first(part, "image_size", "img_size")
    own = tuple(size)[-2:] if isinstance(size, (list, tuple)) else (size, size) if size else None
    if part is not config:
        return [images(_channels(part), *(own or (SIDES[2],) * 2), batch=BATCH)]
    smaller = [(side, side) for side in SIDES if own is None or side < min(own)]
    sizes = smaller if own is None else [*smaller, own]
    return [images(_channels(part), *sides, batch=BATCH) for sides in sizes]


def _channels(part: Any) -> int:
    channels = _first(part, "num_channels", "in_channels", "in_chans", "num_input_channels")
    return channels if isinstance(channels, int) else 3


def _pixels(config: Any) -> list[Distribution]:
    frames = _first(config, "num_frames", "frames_per_clip")
    return [*_videos(config, frames), *_images(config)] if frames else _images(config)


def _videos(config: Any, frames: int | None = None) -> list[Distribution]:
    frames = frames or _first(config, "num_frames", "frames_per_clip") or 16
    return [Scenes((frames, *each.shape), BATCH) for each in _images(config)]


def _waves(config: Any) -> list[Distribution]:
    """A sound wave with or without a channel, or a spectrum where the configuration counts its bins."""
    bins, frames = getattr(config, "num_mel_bins", None), getattr(config, "max_length", None)
    if bins and frames:
        return [Scenes((frames, bins), BATCH)]
    return [normal(1, SAMPLES, batch=BATCH), normal(SAMPLES, batch=BATCH)]


def _spectra(config: Any) -> list[Distribution]:
    """A spectrum, [bins, frames] or [frames, features]."""
    part = _first(config, "audio_config", "encoder_config") or config
    bins = _first(part, "num_mel_bins", "feature_size") or 80
    features = _first(part, "feature_projection_input_dim", "input_dim")
    if features is None:
        per_channel = getattr(part, "input_feat_per_channel", None)
        features = per_channel * part.input_channels if per_channel else bins
    frames = 2 * (getattr(part, "max_source_positions", None) or SPECTRUM_FRAMES // 2)
    sizes = ((SPECTRUM_FRAMES, features), (bins, SPECTRUM_FRAMES), (bins, frames))
    return [Scenes(size, BATCH) for size in sizes]


def _past(config: Any) -> list[Distribution]:
    length, channels = getattr(config, "context_length", 32), getattr(config, "num_input_channels", None)
    return [normal(length, channels, batch=BATCH) if channels else normal(length, batch=BATCH)]


_KINDS: Mapping[str, Callable[[Any], list[Any]]] = {
    "input_ids": lambda config: [_ids(config.get_text_config(decoder=True))],
    "pixel_values": _pixels,
    "pixel_values_videos": _videos,
    "input_values": _waves,
    "input_features": _spectra,
    "past_values": _past,
}
"""What the main input of a model may be, by its name; the first that works is used."""
