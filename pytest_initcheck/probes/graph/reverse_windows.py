"""Cotangents through convolutions and pools, for reverse mode. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.probes.graph.reverse_elementwise import Seen

Array = NDArray[Any]


def convolution(seen: Seen, cotangent: Array) -> Sequence[Array | None] | None:
    """Multiply with patches for the kernel, and scatter kernels for the image.

    None for groups and dilations, which no recorded numpy call has.
    """
    settings = seen.node.settings
    dilated = (*settings["image_dilation"], *settings["kernel_dilation"], settings.get("groups", 1))
    if any(int(n) != 1 for n in dilated):
        return None
    image = np.transpose(seen.operands[0], settings["image"]).astype(np.float64)
    kernel = np.transpose(seen.operands[1], settings["kernel"]).astype(np.float64)
    result = np.transpose(cotangent, settings["result"])
    padding = [(0, 0), (0, 0), *(tuple(map(int, pair)) for pair in settings["padding"])]
    padded = np.pad(image, padding)
    space = len(padding) - 2
    of_kernel, of_image = np.zeros_like(kernel), np.zeros_like(padded)
    for offset in itertools.product(*map(range, kernel.shape[2:])):
        at: Any = (slice(None), slice(None), *_places(offset, settings["strides"], result.shape[2:]))
        tap: Any = (slice(None), slice(None), *offset)
        sums = (0, *range(2, 2 + space))
        of_kernel[tap] = np.tensordot(result, padded[at], (sums, sums))
        of_image[at] += np.moveaxis(np.tensordot(kernel[tap], result, ((0,), (1,))), 0, 1)
    inner = tuple(slice(low, low + size) for (low, _), size in zip(padding, image.shape, strict=True))
    return (
        of_image[inner].transpose(np.argsort(settings["image"])),
        of_kernel.transpose(np.argsort(settings["kernel"])),
    )


def _places(offset: Sequence[int], strides: Sequence[int], counts: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(start, start + (count - 1) * int(step) + 1, int(step))
        for start, step, count in zip(offset, strides, counts, strict=True)
    )


_FILLED = {"window_max": -math.inf, "window_min": math.inf}


def pool(seen: Seen, cotangent: Array) -> Sequence[Array | None]:
    """Give each window's cotangent to its largest entries, in even shares, or to all of them."""
    settings, op = seen.node.settings, seen.node.op
    padding = [tuple(map(int, pair)) for pair in settings["padding"]]
    x = np.pad(seen.operands[0].astype(np.float64), padding, constant_values=_FILLED.get(op, 0.0))
    offsets = list(itertools.product(*(range(int(n)) for n in settings["size"])))
    places = [_places(offset, settings["strides"], cotangent.shape) for offset in offsets]
    gradient = np.zeros_like(x)
    if op in _FILLED:
        ties = sum((x[at] == seen.value).astype(np.float64) for at in places)
        share = cotangent / np.maximum(ties, 1)
        for at in places:
            gradient[at] += np.where(x[at] == seen.value, share, 0.0)
    else:
        share = cotangent / (len(offsets) if op == "window_mean" else 1)
        for at in places:
            gradient[at] += share
    inner = tuple(
        slice(low, low + size) for (low, _), size in zip(padding, seen.operands[0].shape, strict=True)
    )
    return (gradient[inner],)
