"""Which schemes explain a given weight: significance tests of what each says about it.

A scheme is rejected where the smallest p-value of its tests, times their number (Bonferroni), is below
the limit; principles.md 6.5 has the tests.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers import significance
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.library_schemes import library_schemes, scheme
from pytest_initcheck.initializers.marginals import Marginal
from pytest_initcheck.initializers.orthonormal import is_orthogonal
from pytest_initcheck.initializers.schemes import TRUNCATED_STD, Scheme
from pytest_initcheck.initializers.textbook import (
    constant,
    delta_orthogonal,
    gpt2,
    mup_input,
    mup_output,
    named_schemes,
    siren_first,
    siren_hidden,
)

_TESTS = 5
"""Second moment, mean, shape, support, independence."""
_FAR = 1e6
_EXACT = 1e-4
"""Relative error of a second moment that single precision explains."""


@dataclass(frozen=True, slots=True)
class Match:
    """A scheme that explains a weight.

    * ``p_value``: how often a draw of the scheme looks as unlikely as this weight, at least.
    * ``note`` names other schemes that are the same on this layer, and what a name does not say.
    * ``fitted``: a free parameter was taken from the weight.
    """

    scheme: Scheme
    p_value: float
    note: str = ""
    fitted: bool = False

    @property
    def text(self) -> str:
        return f"{self.scheme.name}, {self.note}" if self.note else self.scheme.name


@dataclass(frozen=True)
class _Weight:
    """What the tests look at, computed once per weight."""

    array: Array
    layer: Layer
    values: Array
    range: tuple[float, float]
    count: int
    mean: float
    second_moment: float
    zeros: float
    independence: float
    centred_independence: float

    @property
    def std(self) -> float:
        return math.sqrt(max(self.second_moment - self.mean**2, 0.0))


def recognise(weight: Array, layer: Layer, *, limit: float = 0.01) -> tuple[Match, ...]:
    """Return the schemes that explain this weight, best first, named ones before fitted ones.

    * ``weight`` is an array of the layer's shape, a torch CPU tensor among them.
    * ``limit``: a scheme is left out if its p-value is below it, so a true one is with that
      probability, at most.

    Raises ConfigError for a weight of another shape, or one that is not finite.

    >>> from pytest_initcheck.initializers import dense, pytorch_default
    >>> layer = dense(256, 128)
    >>> recognise(pytorch_default().sample(np.random.default_rng(0), layer), layer)[0].text
    "kaiming_uniform(a=sqrt(5)), PyTorch's default"
    """
    array = np.asarray(weight, dtype=np.float64)
    if array.shape != layer.shape:
        raise ConfigError(
            f"the weight has shape {array.shape}, {layer.text} has {layer.shape}; "
            "pass the layer in the weight's layout, for example dense(64, 32, layout='torch')"
        )
    if not np.isfinite(array).all():
        raise ConfigError("the weight holds values that are NaN or infinite; no scheme draws them")
    seen = _seen(array, layer)
    fixed = _judged(seen, (*_named(), *library_schemes()), limit, fitted=False)
    free = _judged(seen, tuple(_fitted(seen)), limit, fitted=True)
    return (*_merged(fixed, layer), *free)


def _named() -> tuple[Scheme, ...]:
    papers = (mup_output(), mup_input(), siren_first(), siren_hidden(), gpt2())
    return (*named_schemes(), delta_orthogonal(), *papers, constant(0.0))


def _seen(array: Array, layer: Layer) -> _Weight:
    ordered = np.sort(array, axis=None)
    return _Weight(
        array,
        layer,
        ordered[:: max(1, array.size // significance.MOST_VALUES)],
        (float(ordered[0]), float(ordered[-1])),
        array.size,
        float(array.mean()),
        float(np.dot(array.ravel(), array.ravel()) / array.size),
        float((array == 0).mean()),
        significance.rows_independent(layer.rows(array)),
        significance.rows_independent(layer.rows(array - array.mean())),
    )


def _judged(seen: _Weight, schemes: tuple[Scheme, ...], limit: float, *, fitted: bool) -> list[Match]:
    """The schemes that are not rejected, the likeliest first; among equals the order decides."""
    found = []
    for each in schemes:
        if each.misfit(seen.layer):
            continue
        p_value = _p_value(each, seen, fitted=fitted, limit=limit)
        if p_value > limit:
            found.append((-_likelihood(each, seen), Match(each, p_value, _note(each), fitted)))
    found.sort(key=lambda pair: round(pair[0], 9) if math.isfinite(pair[0]) else _FAR)
    return [match for _, match in found]


def _likelihood(each: Scheme, seen: _Weight) -> float:
    """Mean log-likelihood per entry; out of reach of others where a scheme leaves hardly any freedom."""
    if each.deterministic:
        return 2 * _FAR
    if each.draw in ("orthogonal", "delta_orthogonal", "sparse"):
        return _FAR
    return each.marginal(seen.layer).log_likelihood(seen.values)


def _p_value(each: Scheme, seen: _Weight, *, fitted: bool, limit: float) -> float:
    layer = seen.layer
    wanted = each.layer_variance(layer)
    exact = abs(seen.second_moment - wanted) <= _EXACT * wanted
    if each.draw in ("constant", "identity", "dirac"):
        same = exact and np.allclose(
            seen.array, each.sample(np.random.default_rng(0), layer), rtol=_EXACT, atol=0
        )
        return float(same)
    if each.draw in ("orthogonal", "delta_orthogonal"):
        return float(exact and _orthogonal(each, seen))
    if each.draw == "sparse":
        return _sparse(each, seen)
    if seen.zeros > 0.01:
        return 0.0
    law = each.marginal(layer)
    moments = (1.0, 1.0) if fitted else _moments(law, seen)
    worst = min(*moments, seen.centred_independence if law.mean else seen.independence)
    if _TESTS * worst <= limit:
        return _TESTS * worst
    low, high = law.support
    edge = 1e-5 * max(abs(low), abs(high)) if math.isfinite(high) else 0.0
    if seen.range[0] < low - edge or seen.range[1] > high + edge:
        return 0.0
    worst = min(worst, significance.kolmogorov(seen.values, law, seen.count))
    return min(1.0, _TESTS * worst)


def _moments(law: Marginal, seen: _Weight) -> tuple[float, float]:
    return (
        significance.second_moment(seen.second_moment, seen.count, law),
        significance.mean(seen.mean, seen.count, law),
    )


def _orthogonal(each: Scheme, seen: _Weight) -> bool:
    layer, array = seen.layer, seen.array
    copies = layer.groups * layer.blocks
    if each.draw == "delta_orthogonal":
        # [copies, units, inputs, taps]
        rows = layer.rows(array).reshape(copies, layer.units // copies, -1, layer.positions)
        if each.library:
            rows = np.moveaxis(array.reshape(-1, *array.shape[-2:]), 0, -1)[None]
        sizes = np.abs(rows).sum((0, 1, 2))
        centre = int(sizes.argmax())
        return not np.delete(sizes, centre).any() and all(
            is_orthogonal(block[:, :, centre]) for block in rows[:16]
        )
    if each.library == "torch":
        return is_orthogonal(array.reshape(array.shape[0], -1))
    if each.library:
        return is_orthogonal(array.reshape(-1, array.shape[-1]))
    blocks = layer.rows(array).reshape(copies, layer.units // copies, -1)
    return all(is_orthogonal(block) for block in blocks[:16])


def fits_exactly(each: Scheme, weight: Array, layer: Layer) -> bool:
    """Tell whether a weight has the structure that every draw of the scheme has.

    That is orthogonality, the number of zeros of a sparse draw, or the values of a deterministic one.
    """
    seen = _seen(np.asarray(weight, dtype=np.float64), layer)
    if each.draw in ("orthogonal", "delta_orthogonal"):
        return _orthogonal(each, seen)
    if each.draw == "sparse":
        return _sparse(each, seen) > 0
    drawn = each.sample(np.random.default_rng(0), layer)
    return bool(np.allclose(seen.array, drawn, rtol=_EXACT, atol=0))


def _sparse(each: Scheme, seen: _Weight) -> float:
    matrix = seen.array.reshape(seen.layer.shape[0], -1)
    wanted = math.ceil(each.sparsity * len(matrix))
    if ((matrix == 0).sum(0) != wanted).any():
        return 0.0
    values = np.sort(matrix[matrix != 0])
    return significance.kolmogorov(values, each.marginal(seen.layer)) if values.size else 0.0


def _fitted(seen: _Weight) -> Iterator[Scheme]:
    """The schemes with a free parameter, at the value that fits."""
    low, high = seen.range
    if low == high:
        yield constant(seen.mean)
        return
    std, root = seen.std, math.sqrt(seen.second_moment)
    centred = abs(seen.mean) < 3 * std / math.sqrt(seen.count)
    middle = 0.0 if centred else seen.mean
    yield _free("normal", std if middle else root, middle)
    if centred:
        high = max(-low, high)
        low = -high
    span = high - low
    yield Scheme(
        f"uniform(low={low:.4g}, high={high:.4g})",
        "uniform",
        span / math.sqrt(12),
        "absolute",
        mean=(low + high) / 2,
    )
    wide = root / TRUNCATED_STD
    if centred and max(-low, high) <= 2.02 * wide:
        # the cut is where the largest entry is, or the sampling error of the scale would exceed it
        std = max(root, max(-low, high) * TRUNCATED_STD / 2)
        yield replace(_free("truncated_normal", std, 0.0), draw="truncated_normal")
    rows = seen.layer.rows(seen.array)
    if is_orthogonal(rows):
        gain = math.sqrt(seen.second_moment * max(rows.shape))
        yield Scheme(
            f"orthogonal(gain={gain:.4g})",
            "orthogonal",
            gain * math.sqrt(_orthogonal_fan(seen.layer) / max(rows.shape)),
            "long_side",
        )
    if len(seen.layer.shape) == 2 and 0.01 < seen.zeros < 1:
        drawn = math.sqrt(seen.second_moment / (1 - seen.zeros))
        yield scheme("torch.sparse_", sparsity=round(seen.zeros, 12), std=drawn)


def _orthogonal_fan(layer: Layer) -> float:
    copies = layer.groups * layer.blocks
    return layer.fan_in if layer.units // copies <= layer.per_unit else layer.fan_out


def _free(family: str, std: float, mean: float) -> Scheme:
    parameters = f"std={std:.4g}" if not mean else f"mean={mean:.4g}, std={std:.4g}"
    return Scheme(f"{family}({parameters})", "normal", std, "absolute", mean=mean)


def _note(each: Scheme) -> str:
    return "PyTorch's default" if "sqrt(5)" in each.name else ""


def _merged(matches: list[Match], layer: Layer) -> list[Match]:
    """Schemes that are the same on this layer become one match, under the first name."""
    kept: dict[object, Match] = {}
    for match in matches:
        each = match.scheme
        key = (
            each.draw,
            float(f"{each.layer_variance(layer):.9e}"),
            float(f"{each.layer_mean(layer):.9e}"),
            each.marginal(layer).support[1] if each.bounds else None,
        )
        if key not in kept:
            kept[key] = match
        elif not kept[key].note and each.library:
            kept[key] = replace(kept[key], note=f"the same as {each.name} here")
    return list(kept.values())
