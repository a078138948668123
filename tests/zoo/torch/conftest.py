"""Tests of this folder need torchvision and timm: ``tox run -e zoo-torch``. They survive no second import."""

from __future__ import annotations

import timm  # noqa: F401
import torch
import torchvision  # noqa: F401

torch.set_num_threads(1)
