"""Input distributions: small frozen values with a seed-driven ``sample``.

The shape never contains the batch, and the text is the grammar of ``--initcheck-inputs``, which
:func:`parse` reads back.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.errors import ConfigError, did_you_mean

DEFAULT_BATCH = 64
"""A ReLU unit with independent inputs is inactive on all of them by luck in 2^-64 of cases."""


@runtime_checkable
class Distribution(Protocol):
    """What every input distribution offers."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def batch(self) -> int | None: ...
    @property
    def text(self) -> str: ...
    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]: ...


def _number_text(number: float) -> str:
    """The shortest text that reads back as the same number."""
    short = f"{number:g}"
    return short if isinstance(number, float) and float(short) == number else repr(number)


def _text_of(name: str, numbers: tuple[float, ...], shape: tuple[int, ...], batch: int | None) -> str:
    sides = "x".join(str(side) for side in shape)
    text = f"{name}({','.join(_number_text(number) for number in numbers)}):{sides}"
    return f"{text}@{batch}" if batch is not None else text


@dataclass(frozen=True)
class Normal:
    """Independent N(mean, std^2) entries, float32."""

    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 1.0
    batch: int | None = None

    @property
    def text(self) -> str:
        return _text_of("normal", (self.mean, self.std), self.shape, self.batch)

    @property
    def second_moment(self) -> float:
        """E[x^2] of one entry."""
        return self.mean**2 + self.std**2

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        draw = rng.standard_normal((batch, *self.shape))
        return (self.mean + self.std * draw).astype(np.float32)


@dataclass(frozen=True)
class Uniform:
    """Independent U(low, high) entries, float32."""

    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0
    batch: int | None = None

    @property
    def text(self) -> str:
        return _text_of("uniform", (self.low, self.high), self.shape, self.batch)

    @property
    def second_moment(self) -> float:
        """E[x^2] of one entry."""
        return (self.low**2 + self.low * self.high + self.high**2) / 3

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        return rng.uniform(self.low, self.high, (batch, *self.shape)).astype(np.float32)


@dataclass(frozen=True)
class Images:
    """Image-like arrays (channels, height, width): smooth blobs, pixel noise, a brightness each.

    Standardised over the batch, then given ``mean`` and ``std``; neighbouring pixels correlate, as
    they do in photographs.
    """

    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 1.0
    batch: int | None = None

    @property
    def text(self) -> str:
        return _text_of("images", (self.mean, self.std), self.shape, self.batch)

    @property
    def second_moment(self) -> float:
        """E[x^2] of one entry."""
        return self.mean**2 + self.std**2

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        channels, height, width = self.shape
        rows, columns = max(height // 8, 2), max(width // 8, 2)
        coarse = rng.standard_normal((batch, channels, rows, columns))
        y, x = _interpolation(height, rows), _interpolation(width, columns)
        blobs = np.einsum("hr,bcrk,wk->bchw", y, coarse, x)
        noise = 0.3 * rng.standard_normal(blobs.shape)
        image: NDArray[np.float64] = blobs + noise + 0.4 * rng.standard_normal((batch, 1, 1, 1))
        image = (image - image.mean()) / image.std()
        return (self.mean + self.std * image).astype(np.float32)


def _interpolation(size: int, knots: int) -> NDArray[np.float64]:
    position = np.linspace(0, knots - 1, size)[:, None]
    return np.maximum(0.0, 1.0 - np.abs(position - np.arange(knots)[None, :]))


@dataclass(frozen=True)
class Tokens:
    """Integer ids, uniform below ``vocabulary``, int64."""

    shape: tuple[int, ...]
    vocabulary: int = 1000
    batch: int | None = None

    @property
    def text(self) -> str:
        return _text_of("tokens", (self.vocabulary,), self.shape, self.batch)

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        return rng.integers(0, self.vocabulary, (batch, *self.shape))


@dataclass(frozen=True)
class OneHot:
    """One-hot rows over ``classes``, float32; the array has shape (batch, *shape, classes)."""

    shape: tuple[int, ...]
    classes: int = 10
    batch: int | None = None

    @property
    def text(self) -> str:
        return _text_of("one_hot", (self.classes,), self.shape, self.batch)

    def sample(self, rng: np.random.Generator, batch: int) -> NDArray[Any]:
        chosen = rng.integers(0, self.classes, (batch, *self.shape))
        rows: NDArray[np.float32] = np.eye(self.classes, dtype=np.float32)[chosen]
        return rows


def _checked_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(not isinstance(side, int) or isinstance(side, bool) or side < 1 for side in shape):
        raise ConfigError(f"ic.{name}: a shape has positive whole sides without the batch, got {shape}")
    return shape


def _checked_batch(batch: int | None) -> int | None:
    if batch is not None and batch < 2:
        raise ConfigError(f"a batch has at least 2 samples, got {batch}: statistics compare samples")
    return batch


def _finite(name: str, **values: float) -> None:
    for key, value in values.items():
        if not math.isfinite(value):
            raise ConfigError(f"ic.{name}: {key} must be finite, got {value}")


def normal(*shape: int, mean: float = 0.0, std: float = 1.0, batch: int | None = None) -> Normal:
    """Return N(mean, std^2) inputs of this shape, the batch not included.

    Raises ConfigError for a shape, std or batch that cannot be.

    >>> normal(784, batch=64).text
    'normal(0,1):784@64'
    """
    _finite("normal", mean=mean, std=std)
    if std <= 0:
        raise ConfigError(f"ic.normal: std must be positive, got {std}")
    return Normal(_checked_shape("normal", shape), float(mean), float(std), _checked_batch(batch))


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, batch: int | None = None) -> Uniform:
    """Return U(low, high) inputs of this shape, the batch not included.

    Raises ConfigError unless low < high.

    >>> uniform(3, 32, 32, low=-1).text
    'uniform(-1,1):3x32x32'
    """
    _finite("uniform", low=low, high=high)
    if low >= high:
        raise ConfigError(f"ic.uniform: low must be below high, got {low} and {high}")
    return Uniform(_checked_shape("uniform", shape), float(low), float(high), _checked_batch(batch))


def images(
    channels: int, height: int, width: int, *, mean: float = 0.0, std: float = 1.0, batch: int = 32
) -> Images:
    """Return image-like inputs (channels, height, width) with correlated pixels.

    >>> images(3, 32, 32).sample(np.random.default_rng(0), 4).shape
    (4, 3, 32, 32)
    """
    _finite("images", mean=mean, std=std)
    if std <= 0:
        raise ConfigError(f"ic.images: std must be positive, got {std}")
    shape = _checked_shape("images", (channels, height, width))
    return Images(shape, float(mean), float(std), _checked_batch(batch))


def tokens(*shape: int, vocabulary: int, batch: int | None = None) -> Tokens:
    """Return integer ids below ``vocabulary``, for example ``tokens(32, vocabulary=1000)``.

    >>> tokens(32, vocabulary=1000).text
    'tokens(1000):32'
    """
    if vocabulary < 2:
        raise ConfigError(f"ic.tokens: vocabulary must be at least 2, got {vocabulary}")
    return Tokens(_checked_shape("tokens", shape), vocabulary, _checked_batch(batch))


def one_hot(*shape: int, classes: int, batch: int | None = None) -> OneHot:
    """Return one-hot rows: arrays of shape (batch, *shape, classes).

    >>> one_hot(classes=10).sample(np.random.default_rng(0), 2).shape
    (2, 10)
    """
    if classes < 2:
        raise ConfigError(f"ic.one_hot: classes must be at least 2, got {classes}")
    return OneHot(_checked_shape("one_hot", shape), classes, _checked_batch(batch))


DISTRIBUTIONS = (Normal, Uniform, Images, Tokens, OneHot)
_GRAMMAR = "NAME[(NUMBERS)]:SHAPE[@BATCH], for example normal:784@64 or uniform(0,1):3x32x32"


def parse(text: str) -> Distribution:
    """Return the distribution that this text spells, the inverse of ``.text``.

    Raises ConfigError for anything else, with the grammar.

    >>> parse("tokens(1000):32@8")
    Tokens(shape=(32,), vocabulary=1000, batch=8)
    """
    match = re.fullmatch(r"\s*([\w-]+)(?:\(([^)]*)\))?:((?:\d+)(?:x\d+)*)?(?:@(\d+))?\s*", text)
    if match is None:
        raise ConfigError(f"cannot read inputs {text!r}; wanted {_GRAMMAR}")
    name = match[1].replace("-", "_")
    shape = tuple(int(side) for side in match[3].split("x")) if match[3] else ()
    batch = _checked_batch(int(match[4])) if match[4] else None
    try:
        numbers = [float(part) for part in match[2].split(",")] if match[2] else []
    except ValueError:
        raise ConfigError(f"cannot read inputs {text!r}: numbers in brackets, {_GRAMMAR}") from None
    return _from_parts(text, name, numbers, shape, batch)


def _from_parts(
    text: str, name: str, numbers: list[float], shape: tuple[int, ...], batch: int | None
) -> Distribution:
    most = {"normal": 2, "uniform": 2, "images": 2, "tokens": 1, "one_hot": 1}
    if name not in most:
        raise ConfigError(f"unknown input distribution {name!r}{did_you_mean(name, most)}")
    if len(numbers) > most[name]:
        raise ConfigError(f"too many numbers in inputs {text!r}; wanted {_GRAMMAR}")
    if name == "normal":
        return normal(*shape, **dict(zip(("mean", "std"), numbers, strict=False)), batch=batch)
    if name == "uniform":
        return uniform(*shape, **dict(zip(("low", "high"), numbers, strict=False)), batch=batch)
    if name == "images":
        if len(shape) != 3:
            raise ConfigError(f"images take CHANNELSxHEIGHTxWIDTH, got {text!r}")
        mean, std = [*numbers, *(0.0, 1.0)[len(numbers) :]]
        return images(*shape, mean=mean, std=std, batch=batch or 32)
    if not numbers:
        raise ConfigError(f"{name} needs its size in brackets, for example {name}(1000):32")
    if not numbers[0].is_integer():
        raise ConfigError(f"{name} needs a whole number as its size, got {text!r}")
    if name == "tokens":
        return tokens(*shape, vocabulary=int(numbers[0]), batch=batch)
    return one_hot(*shape, classes=int(numbers[0]), batch=batch)
