"""Inputs that only library models take: ids without special ones, boxes, videos and spectrograms.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.distributions import Images


@dataclass(frozen=True)
class Ids:
    """Token ids, uniform from ``low`` to below ``high``, int64.

    * ``last`` ends every row, for text towers that read the position of the end-of-text token.
    """

    shape: tuple[int, ...]
    low: int
    high: int
    batch: int | None = None
    last: int | None = None

    @property
    def text(self) -> str:
        sides = "x".join(str(side) for side in self.shape)
        end = "" if self.last is None else f",{self.last}"
        return f"ids({self.low}..{self.high - 1}{end}):{sides}@{self.batch}"

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        rows = rng.integers(self.low, self.high, (batch, *self.shape))
        if self.last is not None:
            rows[..., -1] = self.last
        return rows


@dataclass(frozen=True)
class Boxes:
    """Boxes (left, top, right, bottom) on a page of 1000 by 1000, one per token, int64."""

    shape: tuple[int, ...]
    batch: int | None = None

    @property
    def text(self) -> str:
        return f"boxes:{'x'.join(str(side) for side in self.shape)}@{self.batch}"

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        corners = np.sort(rng.integers(0, 1000, (2, 2, batch, *self.shape)), axis=0)
        return np.stack([corners[0, 0], corners[0, 1], corners[1, 0], corners[1, 1]], axis=-1)


@dataclass(frozen=True)
class Scenes:
    """Pictures in the last two axes, of mean 0 and variance 1: frames of a video, a spectrogram.

    Neighbours correlate and samples differ in level, as in recordings. Of white noise a model that takes
    a mean over patches sees almost nothing.
    """

    shape: tuple[int, ...]
    batch: int | None = None

    @property
    def text(self) -> str:
        return f"scenes:{'x'.join(str(side) for side in self.shape)}@{self.batch}"

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        *leading, height, width = self.shape
        pictures = Images((math.prod(leading), height, width)).sample(rng, batch)
        return pictures.reshape(batch, *self.shape)


def plain_ids(vocabulary: int, special: Iterable[int]) -> tuple[int, int]:
    """Return the longest range of ids without a special one, as ``low`` and ``high`` (exclusive).

    >>> plain_ids(1000, [0, 101, 102])
    (103, 1000)
    """
    walls = sorted({-1, vocabulary, *(each for each in special if 0 <= each < vocabulary)})
    left, right = max(itertools.pairwise(walls), key=lambda gap: gap[1] - gap[0])
    return left + 1, right
