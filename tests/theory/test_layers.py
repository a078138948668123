"""Padding, pooling, dropout, norms, residuals, attention: closed forms, draws and refusals."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import theory


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_a_profile_is_what_convolving_ones_by_hand_gives(
    size, kernel, stride, padding, dilation, layers
):
    expected = [1.0] * size
    for _ in range(layers):
        reach = len(expected) + 2 * padding - dilation * (kernel - 1)
        if reach < 1:
            with pytest.raises(ValueError, match=f"a kernel of {kernel} .* does not fit into"):
                theory.padding_profile(
                    size, kernel, stride=stride, padding=padding, dilation=dilation, layers=layers
                )
            return
        taps = [
            [i * stride + k * dilation - padding for k in range(kernel)]
            for i in range((reach - 1) // stride + 1)
        ]
        expected = [sum(expected[t] for t in row if 0 <= t < len(expected)) / kernel for row in taps]
    profile = theory.padding_profile(
        size, kernel, stride=stride, padding=padding, dilation=dilation, layers=layers
    )
    np.testing.assert_allclose(profile, expected, rtol=1e-12, atol=1e-15)


def test_an_image_is_the_product_of_its_axes():
    one = theory.padding_factor(8, 3, layers=4)
    assert theory.padding_factor((8, 8), 3, layers=4) == pytest.approx(one**2)
    assert theory.padding_factor((8, 6), (3, 1)) == pytest.approx(theory.padding_factor(8, 3))
    assert theory.padding_factor((8, 8, 8), 3) == pytest.approx(theory.padding_factor(8, 3) ** 3)
    assert theory.padding_factor(30, 3, padding=0, layers=5) == 1.0
    # the naive power is far off
    assert one**2 > 1.2 * theory.padding_factor((8, 8), 3) ** 4


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 9, 25])
@pytest.mark.parametrize("rectified", [False, True])
def test_the_maximum_of_normal_values_agrees_with_mpmath(taps, rectified):
    def power(order):
        low = 0 if rectified else -12
        density = lambda z: z**order * taps * mp.npdf(z) * mp.ncdf(z) ** (taps - 1)  # noqa: E731
        return float(mp.quad(density, sorted({mp.mpf(low), -3, 0, 3, 12} - set(range(-3, low)))))

    moments = theory.max_pool_moments(taps, rectified=rectified)
    assert moments.mean == pytest.approx(power(1), rel=1e-11, abs=1e-15)
    assert moments.second_moment == pytest.approx(power(2), rel=1e-11)
    assert moments.variance == pytest.approx(moments.second_moment - moments.mean**2)


def test_the_maximum_of_two_is_known():
    assert theory.max_pool_moments(2).mean == pytest.approx(1 / math.sqrt(math.pi), rel=1e-13)
    assert theory.max_pool_moments(1) == pytest.approx(theory.Moments(0.0, 1.0, 1.0)) or (
        theory.max_pool_moments(1).variance == pytest.approx(1)
    )
    assert theory.max_pool_moments(1, rectified=True).second_moment == pytest.approx(0.5)


def test_a_mean_of_values():
    assert theory.average_pool_variance(9) == pytest.approx(1 / 9)
    assert theory.average_pool_variance(2, -1.0) == 0
    assert theory.average_pool_variance(4, 0.2) == pytest.approx(0.4)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0, 4), st.floats(0, 0.95))
def test_dropout_keeps_the_mean_and_raises_the_rest(mean, variance, p):
    got = theory.dropout_moments(mean, mean**2 + variance, p)
    assert got.mean == mean
    wanted = variance / (1 - p) + mean**2 * p / (1 - p)
    assert got.variance == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_norms():
    assert theory.layer_norm_second_moment(1.0) == pytest.approx(1 - 1e-5, rel=1e-6)
    assert theory.layer_norm_second_moment(0.0) == 0
    assert theory.layer_norm_second_moment(3.0, 0.0) == 1


def test_residual_networks():
    assert theory.residual_length(0) == 1
    assert theory.residual_length(3, branch=0.5, start=2.0) == pytest.approx(2 * 1.5**3)
    assert theory.residual_length(20, branch=0.5, pre_norm=True, start=2.0) == 12
    scaled = theory.residual_branch_scale(24) ** 2
    assert theory.residual_length(24, branch=scaled, pre_norm=True) == pytest.approx(2)


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 30), st.floats(0, 1))
def test_attention_lies_between_a_mean_and_a_choice(tokens, variance, rho):
    got = theory.attention_second_moment(tokens, variance, rho)
    low = rho + (1 - rho) / tokens
    assert low * (1 - 1e-7) <= got <= 1 + 1e-7
    if 0 < variance < 0.05:
        assert got == pytest.approx(rho + (1 - rho) * math.exp(variance) / tokens, rel=1 / tokens + 1e-3)


def test_attention_of_two_tokens_agrees_with_quadrature():
    # softmax over two is a sigmoid of the difference
    def squares(x):
        p = 1 / (1 + np.exp(-x))
        return p**2 + (1 - p) ** 2

    for variance in (0.1, 1.0, 9.0):
        wanted = theory.gaussian_mean(squares, 2 * variance)
        assert theory.attention_second_moment(2, variance) == pytest.approx(wanted, rel=1e-8)


def test_tied_embeddings():
    assert theory.tied_logit_variance(768, 0.02) == pytest.approx(0.3072)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.padding_profile(0, 3), "size must be at least 1, got 0"),
        (lambda: theory.padding_profile(4, 3, padding=-1), "padding must be at least 0, got -1"),
        (
            lambda: theory.padding_factor((8, 8), (3,)),
            "sizes have 2 axes and the kernel has 1; give one",
        ),
        (lambda: theory.max_pool_moments(0), "taps must be at least 1, got 0"),
        (lambda: theory.average_pool_variance(3, -0.9), r"3 values cannot correlate pairwise by -0\.9"),
        (lambda: theory.dropout_moments(0.0, 1.0, 1.0), "p = 1 drops everything; use a p below 1"),
        (lambda: theory.dropout_moments(0.0, 1.0, -0.1), "p must lie between 0 and 1, got -0.1"),
        (lambda: theory.layer_norm_second_moment(-1.0), "variance and eps are not negative, got -1"),
        (lambda: theory.residual_length(-1), "blocks must be at least 0, got -1"),
        (lambda: theory.residual_length(1, branch=-1.0), "second moments are not negative"),
        (lambda: theory.residual_branch_scale(0), "branches must be at least 1, got 0"),
        (lambda: theory.attention_second_moment(0, 1.0), "tokens must be at least 1, got 0"),
        (lambda: theory.attention_second_moment(4, -1.0), "logit_variance is not negative, got -1"),
        (
            lambda: theory.attention_second_moment(4, 1.0, 2.0),
            "value_correlation must lie between 0 and 1",
        ),
        (lambda: theory.tied_logit_variance(0, 1.0), "width must be at least 1, got 0"),
        (lambda: theory.dead_fraction(0, 4), "depth and batch count from 1, got 0 and 4"),
        (lambda: theory.born_dead_bounds(0, 4), "width and depth count from 1, got 0 and 4"),
    ],
    ids=range(17),
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("width", "depth", "drawn"), [(2, 3, 0.338), (2, 5, 0.622), (3, 10, 0.632), (4, 20, 0.650)]
)
def test_born_dead_networks_lie_within_their_bounds(width, depth, drawn):
    low, high = theory.born_dead_bounds(width, depth)
    assert low < drawn < high


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 60))
def test_born_dead_bounds_are_probabilities_in_order(width, depth):
    low, high = theory.born_dead_bounds(width, depth)
    assert 0 <= low <= high + 1e-15 <= 1 + 1e-15
