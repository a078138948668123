"""Signal propagation at initialisation: lengths, correlations, gradients, finite width, dead units.

Notation: z = W a + b with W_ij independent of variance sigma_w2 / fan_in and b of variance sigma_b2,
a = phi(z), q = E[z^2].  An activation ``phi`` is a name, an Activation, or any callable over arrays
(:func:`pytest_initcheck.activations.activation`).  The formulas are those of docs/principles.md.

>>> from pytest_initcheck import theory
>>> round(theory.chi_1("tanh", 1.3, 0.05), 5), theory.phase("tanh", 1.3, 0.05)
(0.88016, 'ordered')

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.theory.correlations import (
    DepthScales,
    Phase,
    batchnorm_gradient_factor,
    chi_1,
    chi_c,
    correlation_fixed_point,
    correlation_map,
    critical_at_length,
    critical_sigma_w2,
    depth_scale,
    gradient_factor,
    phase,
    relu_correlation,
)
from pytest_initcheck.theory.dead_units import born_dead_bounds, dead_fraction, dead_layer_probability
from pytest_initcheck.theory.finite_width import (
    JacobianSpectrum,
    Spread,
    Weights,
    finite_width_spread,
    jacobian_spectrum,
    length_spread,
    length_spreads,
    moment_ratio,
)
from pytest_initcheck.theory.gains import (
    fluctuation,
    gain,
    kurtosis,
    length_slope,
    log_slope,
    matched_gains,
    mean,
    saturated_share,
    second_moment,
    variance,
)
from pytest_initcheck.theory.gaussian import gaussian_mean, gaussian_pair_mean
from pytest_initcheck.theory.layers import (
    Moments,
    attention_second_moment,
    average_pool_variance,
    dropout_moments,
    layer_norm_second_moment,
    max_pool_moments,
    padding_factor,
    padding_profile,
    residual_branch_scale,
    residual_length,
    tied_logit_variance,
)
from pytest_initcheck.theory.lengths import (
    FixedPoint,
    length_fixed_point,
    length_fixed_points,
    length_map,
)
from pytest_initcheck.theory.moments import Phi
from pytest_initcheck.theory.relu_lengths import relu_length_cdf, relu_length_quantile

__all__ = [
    "DepthScales",
    "FixedPoint",
    "JacobianSpectrum",
    "Moments",
    "Phase",
    "Phi",
    "Spread",
    "Weights",
    "attention_second_moment",
    "average_pool_variance",
    "batchnorm_gradient_factor",
    "born_dead_bounds",
    "chi_1",
    "chi_c",
    "correlation_fixed_point",
    "correlation_map",
    "critical_at_length",
    "critical_sigma_w2",
    "dead_fraction",
    "dead_layer_probability",
    "depth_scale",
    "dropout_moments",
    "finite_width_spread",
    "fluctuation",
    "gain",
    "gaussian_mean",
    "gaussian_pair_mean",
    "gradient_factor",
    "jacobian_spectrum",
    "kurtosis",
    "layer_norm_second_moment",
    "length_fixed_point",
    "length_fixed_points",
    "length_map",
    "length_slope",
    "length_spread",
    "length_spreads",
    "log_slope",
    "matched_gains",
    "max_pool_moments",
    "mean",
    "moment_ratio",
    "padding_factor",
    "padding_profile",
    "phase",
    "relu_correlation",
    "relu_length_cdf",
    "relu_length_quantile",
    "residual_branch_scale",
    "residual_length",
    "saturated_share",
    "second_moment",
    "tied_logit_variance",
    "variance",
]
