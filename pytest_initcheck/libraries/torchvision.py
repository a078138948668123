"""``torchvision:NAME``: any model of ``torchvision.models.list_models()``. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_initcheck.distributions import Distribution, images
from pytest_initcheck.inputs import Call
from pytest_initcheck.libraries import meta
from pytest_initcheck.libraries.arrays import Scenes
from pytest_initcheck.libraries.blueprint import BATCH, FUNCTION, Blueprint, refused, unknown

SIDES = (64, 96, 128, 160, 192, 224, 299)
"""Sides of images; the smallest that an architecture takes is used."""
_DETECTOR_SIDES = (128, 192, 256, 300)
_CLIPS = ((8, 64, 64), (16, 64, 64), (16, 112, 112), (16, 224, 224))
"""Frames and sides of videos."""
_ROOMS = ("detection", "segmentation", "video", "optical_flow", "quantization")


def blueprint(name: str, directory: Path) -> Blueprint:
    """Return the blueprint of a model; ``detection/NAME`` and its like are read as ``NAME``.

    Raises ConfigError for an unknown name or one that cannot be built.
    """
    from torchvision import models

    spec = f"torchvision:{name}"
    room, _, plain = name.rpartition("/")
    known = models.list_models()
    if plain not in known or room not in ("", *_ROOMS):
        raise unknown(spec, "torchvision", plain, known, "torchvision.models.list_models()")
    builder = models.get_model_builder(plain)
    given = _without_weights(plain, inspect.signature(builder).parameters)

    def create(**more: Any) -> Any:
        return _quiet(builder(**given, **more))

    try:
        model = meta.outline(create)
    except Exception as error:
        raise refused(spec, error, FUNCTION) from error
    meta.check_size(spec, model, "choose a smaller variant")
    inputs, more = _inputs(builder.__module__, model, create)
    detector = ".detection." in builder.__module__

    def build() -> Any:
        model = create(**more)
        if detector:
            from pytest_initcheck.libraries.torchvision_detectors import heads_of

            return heads_of(model)
        return model

    return Blueprint(build, inputs)


def _without_weights(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"weights": None}
    if "weights_backbone" in parameters:
        given["weights_backbone"] = None  # by default a detector downloads its backbone's
    if name.removeprefix("quantized_") in ("googlenet", "inception_v3"):
        given["init_weights"] = True  # the default, of which the library warns that it will change
    return given


def _quiet(model: Any) -> Any:
    """Turn off stochastic depth, as a check does with dropout."""
    for part in model.modules():
        if type(part).__name__ == "StochasticDepth":
            part.p = 0.0
    return model


def _inputs(module: str, model: Any, create: Callable[..., Any]) -> tuple[Call, dict[str, Any]]:
    """Return what the model is called with, and what it has to be told of it."""
    import torch

    model.train()
    if ".detection." in module:
        side = meta.first_that_works(
            _DETECTOR_SIDES, lambda s: model.backbone(torch.empty(BATCH, 3, s, s)), model
        )
        return _pictures(side or _DETECTOR_SIDES[-1]), {}
    if ".optical_flow." in module:
        side = meta.first_that_works(SIDES, lambda s: model(*[torch.empty(BATCH, 3, s, s)] * 2), model)
        return _pictures(side or 128, number=2), {}
    if ".video." in module:
        clips = [(clip, more) for clip in _CLIPS for more in ({}, {"spatial_size": clip[1:]})]
        shape, more = _smallest(model, create, clips)
        return Call((Scenes((3, *shape), BATCH),), {}), more
    squares = [((side, side), more) for side in SIDES for more in ({}, {"image_size": side})]
    (side, _), more = _smallest(model, create, squares)
    return _pictures(side), more


def _smallest(model: Any, create: Callable[..., Any], choices: list[Any]) -> Any:
    """Return the first shape that the model takes, as it is or built for it, or the last."""
    import torch

    def attempt(choice: Any) -> None:
        shape, more = choice
        tried = create(**more).train() if more else model
        tried(torch.empty(BATCH, 3, *shape))

    return meta.first_that_works(choices, attempt, model) or (choices[-1][0], {})


def _pictures(side: int, number: int = 1) -> Call:
    picture: Distribution = images(3, side, side, batch=BATCH)
    return Call((picture,) * number, {})
