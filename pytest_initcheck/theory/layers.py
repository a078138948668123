"""What single layers do to means and second moments: padding, pooling, dropout, norms, residuals.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.activations import Array, normal_cdf
from pytest_initcheck.theory.gaussian import gaussian_mean, integral

_NODES = 128


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, variance and second moment of one value."""

    mean: float
    variance: float
    second_moment: float


def _at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value:g}")


# -- convolutions -------------------------------------------------------------------------------------


def padding_profile(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    layers: int = 1,
) -> Array:
    """Return E[z^2] per position after ``layers`` zero-padded convolutions, over that without a border.

    * ``size`` positions along one axis, all 1 at the input; an image's profile is the product of its
      axes' (principles.md 1.7).
    * ``padding`` is by default the one that keeps the size at stride 1.

    Position i of a layer reads the mean of the ``kernel`` taps i * stride + k * dilation - padding of
    the layer before, zeros outside it.

    Raises ValueError for sizes that leave no position.

    >>> padding_profile(4, 3).round(4).tolist()
    [0.6667, 1.0, 1.0, 0.6667]
    """
    _at_least(1, size=size, kernel=kernel, stride=stride, dilation=dilation)
    _at_least(0, layers=layers)
    pad = dilation * (kernel - 1) // 2 if padding is None else padding
    _at_least(0, padding=pad)
    profile = np.ones(size)
    for _ in range(layers):
        padded = np.pad(profile, pad)
        positions = (len(padded) - dilation * (kernel - 1) - 1) // stride + 1
        if positions < 1:
            raise ValueError(
                f"a kernel of {kernel} (dilation {dilation}) does not fit into {len(padded)} positions; "
                "pad more or use fewer layers"
            )
        taps = np.arange(positions)[:, None] * stride + np.arange(kernel) * dilation
        profile = padded[taps].mean(axis=1)
    return profile


def padding_factor(
    sizes: int | Sequence[int],
    kernel: int | Sequence[int],
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    layers: int = 1,
) -> float:
    """Return the mean E[z^2] over an image after zero-padded convolutions, over that without a border.

    * ``sizes`` and ``kernel`` are per axis, or one number for one axis or all of them.

    The factors of several layers do not multiply: borders eat further in (principles.md 1.7).

    Raises ValueError as :func:`padding_profile` does, or if sizes and kernel have different axes.

    >>> [round(padding_factor((8, 8), 3, layers=depth), 4) for depth in (1, 5, 20)]
    [0.8403, 0.5457, 0.1546]
    """
    axes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    kernels = (kernel,) * len(axes) if isinstance(kernel, int) else tuple(kernel)
    if len(axes) != len(kernels):
        raise ValueError(
            f"sizes have {len(axes)} axes and the kernel has {len(kernels)}; give one side per axis"
        )
    return math.prod(
        float(
            padding_profile(
                size, side, stride=stride, padding=padding, dilation=dilation, layers=layers
            ).mean()
        )
        for size, side in zip(axes, kernels, strict=True)
    )


def max_pool_moments(taps: int, *, rectified: bool = False) -> Moments:
    """Return the moments of the largest of ``taps`` independent N(0, 1) values.

    * ``rectified`` takes a ReLU before or after, which is the same.

    From the density n pdf(z) cdf(z)^(n-1) of a maximum (principles.md 1.7).

    Raises ValueError for fewer than one tap.

    >>> four = max_pool_moments(4)
    >>> round(four.mean, 5), round(four.variance, 5), round(four.second_moment, 5)
    (1.02938, 0.49172, 1.55133)
    """
    _at_least(1, taps=taps)

    def power(order: int) -> float:
        def weighted(z: Array) -> Array:
            value = np.maximum(z, 0.0) if rectified else z
            return np.asarray(value**order * taps * normal_cdf(z) ** (taps - 1))

        return gaussian_mean(weighted, 1.0, (0.0,))

    mean, second = power(1), power(2)
    return Moments(mean, second - mean**2, second)


def average_pool_variance(taps: int, correlation: float = 0.0) -> float:
    """Return the variance of a mean of ``taps`` unit-variance values that correlate pairwise.

    (1 + (n - 1) rho) / n; the mean is kept.

    Raises ValueError for fewer than one tap, or a correlation that so many values cannot have.

    >>> average_pool_variance(4), average_pool_variance(4, 1.0)
    (0.25, 1.0)
    """
    _at_least(1, taps=taps)
    variance = (1 + (taps - 1) * correlation) / taps
    if correlation > 1 or variance < 0:
        raise ValueError(f"{taps} values cannot correlate pairwise by {correlation:g}")
    return variance


# -- dropout and normalisation ------------------------------------------------------------------------


def dropout_moments(mean: float, second_moment: float, p: float) -> Moments:
    """Return the moments behind inverted dropout, which zeroes a share ``p`` and scales the rest up.

    The mean is kept and E[x^2] grows by 1 / (1 - p), so the variance grows by more than that where
    the mean is not 0 (Srivastava et al. 2014, section 10).

    Raises ValueError for p outside [0, 1).

    >>> dropout_moments(0.0, 1.0, 0.5)
    Moments(mean=0.0, variance=2.0, second_moment=2.0)
    """
    _share("p", p)
    if p == 1:
        raise ValueError("p = 1 drops everything; use a p below 1")
    second = second_moment / (1 - p)
    return Moments(mean, second - mean**2, second)


def layer_norm_second_moment(variance: float, eps: float = 1e-5) -> float:
    """Return E[y^2] behind a layer norm that reads values of this variance: v / (v + eps).

    * For RMS norm ``variance`` is the second moment.

    Raises ValueError for a negative variance or eps.

    >>> layer_norm_second_moment(1e-5)
    0.5
    """
    if variance < 0 or eps < 0:
        raise ValueError(f"variance and eps are not negative, got {variance:g} and {eps:g}")
    return variance / (variance + eps) if variance > 0 else 0.0


# -- residual networks --------------------------------------------------------------------------------


def residual_length(
    blocks: int, *, branch: float = 1.0, pre_norm: bool = False, start: float = 1.0
) -> float:
    """Return E[x^2] after residual blocks x + f(x) whose branches are independent of their input.

    * ``branch`` is E[f^2] over the E[x^2] that the branch reads; under ``pre_norm``, where it reads a
      normalised input, it is E[f^2] itself.

    start (1 + branch)^n, or start + n branch under pre-norm: exponential against linear (Brock et
    al. 2021, section 3.1).

    Raises ValueError for negative numbers.

    >>> residual_length(8), residual_length(20, pre_norm=True)
    (256.0, 21.0)
    """
    _at_least(0, blocks=blocks)
    if branch < 0 or start < 0:
        raise ValueError(f"second moments are not negative, got branch={branch:g}, start={start:g}")
    return start + blocks * branch if pre_norm else start * (1 + branch) ** blocks


def residual_branch_scale(branches: int) -> float:
    """Return 1 / sqrt(N), which keeps the sum of N pre-norm branches at the variance of one.

    GPT-2 scales the last weight of each branch by it, two branches per block (Radford et al. 2019,
    section 2.3).

    Raises ValueError for fewer than one branch.

    >>> round(residual_branch_scale(2 * 12), 4)
    0.2041
    """
    _at_least(1, branches=branches)
    return 1 / math.sqrt(branches)


# -- attention and embeddings -------------------------------------------------------------------------


def attention_second_moment(tokens: int, logit_variance: float, value_correlation: float = 0.0) -> float:
    """Return E[y^2] of softmax attention over unit-variance values.

    * logits are independent N(0, ``logit_variance``); values correlate by ``value_correlation``
      between tokens.

    rho + (1 - rho) E sum w^2; the sum is near exp(s^2) / T while that is small, and is taken exactly
    by sum w^2 = T E[exp(2x) / S^2], 1/S^2 = int t exp(-t S) dt (principles.md 1.7).

    Raises ValueError for fewer than one token, a negative variance or a share outside [0, 1].

    >>> attention_second_moment(64, 0.0)
    0.015625
    >>> round(attention_second_moment(1024, 1.0), 5)  # exp(1) / 1024 = .00265
    0.00264
    """
    _at_least(1, tokens=tokens)
    _share("value_correlation", value_correlation)
    if not 0 <= logit_variance < math.inf:
        raise ValueError(f"logit_variance is not negative, got {logit_variance:g}")
    spread = logit_variance > 0 and tokens > 1
    share = _squared_weights(tokens, logit_variance) if spread else 1 / tokens
    return value_correlation + (1 - value_correlation) * share


def _squared_weights(tokens: int, variance: float) -> float:
    sigma = math.sqrt(variance)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    z = 12 * np.concatenate([(nodes - 1) / 2, (nodes + 1) / 2])
    density = 6 * np.tile(weights, 2) * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    def weighted(log_t: Array) -> Array:
        t = np.exp(log_t)[..., None]
        one = np.exp(-t * np.exp(sigma * z))
        others = one @ density
        squared = (t**2 * np.exp(2 * sigma * z) * one) @ density  # t dt = t^2 d ln t
        return np.asarray(tokens * squared * others ** (tokens - 1))

    centre, reach = -math.log(tokens), 14 * sigma + 14
    return integral(weighted, np.linspace(centre - reach - variance, centre + reach, 65))


def tied_logit_variance(width: int, embedding_std: float) -> float:
    """Return the variance of the logits of a head that shares N(0, std^2) embeddings.

    * ``width`` features, normalised to second moment 1 before the head: width * std^2.

    Raises ValueError for a width below 1.

    >>> round(tied_logit_variance(512, 0.02), 4), tied_logit_variance(512, 1.0)
    (0.2048, 512.0)
    """
    _at_least(1, width=width)
    return width * embedding_std**2
