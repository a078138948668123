"""What a detector of torchvision puts out before its boxes are chosen. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from typing import Any

_REGIONS = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0), (0.25, 0.25, 0.75, 0.75))
"""Regions that are read in every image, in fractions of its sides."""


def heads_of(detector: Any) -> Any:
    """Return a module that maps a batch of images to the outputs of all heads.

    In training a detector wants boxes and returns losses, in evaluation it returns what it kept: neither
    has a row per image. Its heads do. The second stage reads the same regions in every image.
    """
    from torch import nn

    class Heads(nn.Module):
        """A detector's backbone and heads."""

        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, images: Any) -> Any:
            features = detector.backbone(images)
            if hasattr(detector, "roi_heads"):
                return _two_stages(detector, images, features)
            levels = list(features.values()) if hasattr(features, "values") else [features]
            found = detector.head(levels)
            return {key: found[key] for key in sorted(found, key=lambda key: key != "cls_logits")}

    return Heads()


def _two_stages(detector: Any, images: Any, features: Any) -> dict[str, Any]:
    count, (height, width) = len(images), images.shape[-2:]
    scale = images.new_tensor([width, height, width, height])
    regions = [images.new_tensor(_REGIONS) * scale] * count
    sizes = [(height, width)] * count
    stage = detector.roi_heads
    read = stage.box_head(stage.box_roi_pool(features, regions, sizes))
    scores, corners = stage.box_predictor(read)
    objectness, offsets = detector.rpn.head(list(features.values()))
    found = {
        "scores": scores.reshape(count, -1),
        "corners": corners.reshape(count, -1),
        "objectness": objectness,
        "offsets": offsets,
    }
    for kind in ("mask", "keypoint"):
        pool = getattr(stage, f"{kind}_roi_pool", None)
        if pool is not None:
            read = getattr(stage, f"{kind}_head")(pool(features, regions, sizes))
            made = getattr(stage, f"{kind}_predictor")(read)
            found[kind] = made.reshape(count, -1)
    return found
