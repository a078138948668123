"""How unlikely a sample of weights is under a distribution: p-values, two-sided unless said.

Plain numpy; principles.md 6.5 has the laws.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.initializers.marginals import Marginal

MOST_VALUES = 2**16
"""Distances to a distribution are taken at that many of the sorted values, evenly spaced."""
MOST_ROWS = 256
"""Correlations are taken between that many rows, evenly spaced."""


def two_sided(z: float) -> float:
    """Return P(abs(N(0, 1)) >= abs(z)).

    >>> round(two_sided(1.96), 4)
    0.05
    """
    return math.erfc(abs(z) / math.sqrt(2))


def pearson_z(z: float, skewness: float) -> float:
    """Return the normal score of a standardised sum with this skewness.

    The sum is taken for a shifted gamma variable (Pearson III), whose cube root is nearly normal
    (Wilson and Hilferty 1931); for squares of normals that is chi-square itself.
    """
    if skewness < 0:
        return -pearson_z(-z, -skewness)
    if skewness < 1e-6:
        return z
    freedom = 8 / skewness**2
    ratio = 1 + z * math.sqrt(2 / freedom)
    if ratio <= 0:
        return -40.0
    root = float(ratio ** (1 / 3))
    return (root - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))


def second_moment(found: float, count: int, law: Marginal) -> float:
    """Return the p-value of a mean of w^2 over ``count`` independent draws.

    >>> round(second_moment(1.0, 100, Marginal("normal")), 2)  # a mean is not a median
    0.96
    """
    wanted = law.moment(2)
    spread = math.sqrt(max(law.moment(4) - wanted**2, 0.0) / count)
    if spread <= 1e-9 * wanted:
        return float(math.isclose(found, wanted, rel_tol=1e-4))
    skewness = law.skewness_of_squares / math.sqrt(count)
    return two_sided(pearson_z((found - wanted) / spread, skewness))


def mean(found: float, count: int, law: Marginal) -> float:
    """Return the p-value of a mean over ``count`` independent draws."""
    spread = math.sqrt(max(law.moment(2) - law.moment(1) ** 2, 0.0) / count)
    if spread == 0:
        return float(math.isclose(found, law.moment(1), rel_tol=1e-6))
    return two_sided((found - law.moment(1)) / spread)


def kolmogorov(values: Array, law: Marginal, count: int | None = None) -> float:
    """Return the p-value of Kolmogorov's distance between sorted values and a given distribution.

    * ``values`` may be every k-th of ``count`` sorted ones: the distance is then seen at those.
    * Stephens' (1970) small-sample form: lambda = (sqrt(n) + 0.12 + 0.11 / sqrt(n)) D.

    >>> round(kolmogorov((np.arange(100) + 0.5) / 100, Marginal("uniform", 0.5, 0.5)), 6)
    1.0
    """
    n = values.size if count is None else count
    below = law.cdf(values)
    ranks = np.arange(values.size) * max(1, n // MOST_VALUES if count else 1)
    distance = float(max(((ranks + 1) / n - below).max(), (below - ranks / n).max()))
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    return kolmogorov_tail(scaled)


def kolmogorov_tail(scaled: float) -> float:
    """Return 2 sum (-1)^(k-1) exp(-2 k^2 x^2) (Kolmogorov 1933).

    >>> round(kolmogorov_tail(1.358), 3)
    0.05
    """
    if scaled < 0.3:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 40))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def normalised_rows(rows: Array) -> Array:
    """Return at most MOST_ROWS rows of length 1; rows of zeros are left out."""
    chosen = rows[:: max(1, math.ceil(len(rows) / MOST_ROWS))]
    lengths = np.sqrt(np.einsum("ij,ij->i", chosen, chosen))
    return np.asarray(chosen[lengths > 0] / lengths[lengths > 0, None])


def excess_correlation(rows: Array) -> tuple[float, float]:
    """Return d times the mean squared cosine between rows of length d, and what chance spreads it by.

    Independent rows give 1: a squared cosine has mean 1/d and variance 2 (d - 1) / (d^2 (d + 2)), and
    pairs are uncorrelated. Rows that span only r directions give d / r.
    """
    unit = normalised_rows(rows)
    n, d = unit.shape
    if n < 2 or d < 2:
        return 1.0, math.inf
    gram = unit @ unit.T
    pairs = n * (n - 1) / 2
    ratio = float((np.einsum("ij,ij->", gram, gram) - np.einsum("ii,ii->", gram, gram)) / 2 / pairs) * d
    return ratio, math.sqrt(2 * (d - 1) / (d + 2) / pairs)


def rows_independent(rows: Array) -> float:
    """Return the p-value of :func:`excess_correlation`; 1 for fewer than 8 rows or columns.

    The sum of squared cosines is close to a multiple of chi-square.
    """
    ratio, spread = excess_correlation(rows)
    if min(rows.shape) < 8 or not math.isfinite(spread):
        return 1.0
    # chi-square with this spread has skewness sqrt(8 / freedom), freedom = 2 / spread^2
    return two_sided(pearson_z((ratio - 1) / spread, 2 * spread))
