"""Initialisation schemes by name: which match an activation, and which a given weight looks like.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck.initializers.layer_kinds import (
    conv,
    conv_transposed,
    dense,
    depthwise_conv,
    embedding,
    fused,
    fused_qkv,
    grouped_conv,
    recurrent,
    tied,
)
from pytest_initcheck.initializers.layers import CELLS, Kind, Layer
from pytest_initcheck.initializers.library_schemes import library_schemes, scheme
from pytest_initcheck.initializers.matching import (
    CRITERIA,
    Criterion,
    Need,
    matched,
    needed_variance,
    needs,
)
from pytest_initcheck.initializers.recogniser import Match, recognise
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.initializers.textbook import (
    constant,
    delta_orthogonal,
    fixup,
    gpt2,
    he_normal,
    he_truncated_normal,
    he_uniform,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    mup_hidden,
    mup_input,
    mup_output,
    named_schemes,
    normal,
    ones,
    orthogonal,
    pytorch_default,
    siren_first,
    siren_hidden,
    uniform,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from pytest_initcheck.initializers.torch_schemes import torch_gain

__all__ = [
    "CELLS",
    "CRITERIA",
    "Criterion",
    "Kind",
    "Layer",
    "Match",
    "Need",
    "Scheme",
    "constant",
    "conv",
    "conv_transposed",
    "delta_orthogonal",
    "dense",
    "depthwise_conv",
    "describe",
    "embedding",
    "fixup",
    "fused",
    "fused_qkv",
    "gpt2",
    "grouped_conv",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "library_schemes",
    "matched",
    "mup_hidden",
    "mup_input",
    "mup_output",
    "named_schemes",
    "needed_variance",
    "needs",
    "normal",
    "ones",
    "orthogonal",
    "pytorch_default",
    "recognise",
    "recurrent",
    "scheme",
    "siren_first",
    "siren_hidden",
    "tied",
    "torch_gain",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

_LARGEST_Z = 3.0
_ROUNDING = 1e-6
"""Relative error of a second moment that was summed in single precision."""


def describe(
    fan_in: int,
    fan_out: int,
    second_moment: float,
    count: int,
    *,
    units: int | None = None,
    mean: float | None = None,
) -> tuple[Scheme, ...]:
    """Return the named schemes whose variance a weight's second moment agrees with, likeliest first.

    * ``second_moment`` is E[w^2] over the ``count`` entries; agreement is within 3 standard
      deviations of each scheme's own sampling error.
    * ``mean`` tells a constant from a draw.

    >>> describe(256, 256, 1 / (3 * 256), 256 * 256)[0].name
    'kaiming_uniform(a=sqrt(5))'
    >>> describe(256, 256, 0.0, 256 * 256)[0].name
    'zeros'
    """
    if second_moment == 0:
        return (constant(0.0),)
    if mean is not None and count > 1 and abs(mean * mean - second_moment) <= _ROUNDING * second_moment:
        return (constant(mean),)
    likelihoods: list[tuple[float, Scheme]] = []
    for each in named_schemes():
        error = max(each.relative_error(count), _ROUNDING)
        z = (second_moment / each.variance(fan_in, fan_out, units=units) - 1) / error
        if abs(z) <= _LARGEST_Z:
            likelihoods.append((-math.log(error) - z * z / 2, each))
    # the sort is stable: among equals the order of the table decides
    return tuple(each for _, each in sorted(likelihoods, key=lambda pair: -pair[0]))
