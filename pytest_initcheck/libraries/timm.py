"""``timm:NAME``: any model of ``timm.list_models()``. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.inputs import Call, images
from pytest_initcheck.libraries import meta
from pytest_initcheck.libraries.blueprint import BATCH, FUNCTION, Blueprint, refused, unknown

SIDES = (64, 96, 128, 160, 192)
"""Sides of images that are tried before the model's own, which may be large."""


def blueprint(name: str, directory: Path) -> Blueprint:
    """Return the blueprint of a model, at the smallest image that its architecture takes.

    Raises ConfigError for an unknown name or one that cannot be built.
    """
    import timm

    spec = f"timm:{name}"
    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        raise ConfigError(
            f"cannot build {spec}: nothing is downloaded; name an architecture of timm.list_models()"
        )
    architecture = name.partition(".")[0]  # a tag names weights, which are not loaded
    if not timm.is_model(architecture):
        raise unknown(spec, "timm", architecture, timm.list_models(), "timm.list_models()")

    def create(**arguments: Any) -> Any:
        return timm.create_model(architecture, pretrained=False, **arguments)

    try:
        model = meta.outline(create)
    except Exception as error:
        raise refused(spec, error, FUNCTION) from error
    meta.check_size(spec, model, "choose a smaller variant")
    channels, side, arguments = _image(model, create)
    del model

    def build() -> Any:
        return create(**arguments)

    return Blueprint(build, Call((images(channels, side, side, batch=BATCH),), {}))


def _image(model: Any, create: Any) -> tuple[int, int, dict[str, Any]]:
    """Return the channels, the side and what the model has to be told of it.

    A model that takes any size is tried as it is, one with a table of positions is built for the size.
    """
    import torch

    channels, *_, own = model.default_cfg.get("input_size") or (3, 224, 224)
    model.train()
    sides = [side for side in SIDES if side < own]
    if not model.default_cfg.get("fixed_input_size"):
        side = meta.first_that_works(sides, lambda s: model(torch.empty(BATCH, channels, s, s)), model)
        if side is not None:
            return channels, side, {}
    side = meta.first_that_works(
        sides, lambda s: create(img_size=s).train()(torch.empty(BATCH, channels, s, s)), model
    )
    return (channels, own, {}) if side is None else (channels, side, {"img_size": side})


def inputs_of(model: Any) -> Call | None:
    """Return the inputs of a model that timm built, at the size that it was made for."""
    known = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    size = known.get("input_size") if isinstance(known, dict) else None
    if size is None or not type(model).__module__.startswith("timm."):
        return None
    embedding = getattr(model, "patch_embed", None)
    height, width = getattr(embedding, "img_size", None) or size[1:]
    return Call((images(size[0], height, width, batch=BATCH),), {})
