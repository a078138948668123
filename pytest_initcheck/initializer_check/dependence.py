"""Rows of a weight that are copies of each other, or that span too few directions.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_initcheck.activations import Array
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.significance import excess_correlation, normalised_rows

_NEAR = 0.99
"""Rows whose cosine is beyond it are copies of each other, up to a factor."""
_ROUNDING = 1e-9
"""By how much the projections of equal rows may differ, relatively."""
_ENTRIES = 16
"""Rows with that many entries do not come so near by chance: below 1e-12 per pair."""


@dataclass(frozen=True, slots=True)
class Copies:
    """How large a share of the rows has a copy, and one pair of them."""

    share: float
    pair: tuple[int, int]
    what: str
    exact: bool


def copies(weight: Array, layer: Layer, *, within: bool) -> Copies | None:
    """Return the rows, or columns, of a weight that are copies of others; None for none.

    * ``within`` looks inside the first group only: the groups of a deterministic init may agree, for
      they read different channels.
    """
    rows = layer.rows(weight)
    if within:
        rows = rows[: layer.units // layer.groups]
    for matrix, what in ((rows, "units"), (rows.T, "inputs")):
        found = _equal(matrix, what) or _near(matrix, what, layer)
        if found is not None:
            return found
    return None


def _equal(matrix: Array, what: str) -> Copies | None:
    if matrix.shape[0] < 2 or matrix.shape[1] < 2:
        return None
    # equal rows have equal projections: sorting those finds them without comparing every pair
    direction = np.random.default_rng(0).standard_normal(matrix.shape[1])
    projected = matrix @ direction
    order = np.argsort(projected, kind="stable")
    close = np.flatnonzero(np.diff(projected[order]) <= _ROUNDING * np.abs(projected).max())
    first, second = order[close], order[close + 1]
    equal = (matrix[first] == matrix[second]).all(1) & (matrix[first] != 0).any(1)
    if not equal.any():
        return None
    members = np.unique(np.concatenate([first[equal], second[equal]]))
    row = int(members[0])
    partner = next(int(r) for r in members[1:] if (matrix[r] == matrix[row]).all())
    return Copies(len(members) / len(matrix), (row, partner), what, exact=True)


def _near(matrix: Array, what: str, layer: Layer) -> Copies | None:
    """Copies up to noise or a factor: among neighbours, halves, blocks, groups and a sample of all."""
    n = len(matrix)
    full = (matrix != 0).sum(1) >= _ENTRIES
    if full.sum() < 2:
        return None
    parts = {2, layer.blocks, layer.groups} if what == "units" else {2}
    for step in (1, *(n // part for part in sorted(parts) if part > 1 and n % part == 0)):
        if not 0 < step < n:
            continue
        upper, lower = matrix[:-step], matrix[step:]
        dot = np.einsum("ij,ij->i", upper, lower)
        sizes = np.einsum("ij,ij->i", upper, upper) * np.einsum("ij,ij->i", lower, lower)
        near = (dot**2 > _NEAR**2 * sizes) & full[:-step] & full[step:]
        if near.any():
            row = int(near.argmax())
            return Copies(min(1.0, 2 * float(near.sum()) / n), (row, row + step), what, exact=False)
    unit = normalised_rows(matrix[full])
    gram = np.abs(unit @ unit.T)
    np.fill_diagonal(gram, 0.0)
    if gram.max(initial=0.0) <= _NEAR:
        return None
    share = float((gram.max(1) > _NEAR).mean())
    first, second = np.unravel_index(int(gram.argmax()), gram.shape)
    stride = max(1, -(-int(full.sum()) // len(unit)))
    places = np.flatnonzero(full)
    return Copies(share, (int(places[first * stride]), int(places[second * stride])), what, False)


def shared_directions(weight: Array, layer: Layer, *, within: bool) -> tuple[float, float]:
    """Return how many times fewer directions the units span than chance gives, and its spread.

    The mean of the weight is taken out, and so are columns of zeros: a kernel that is zero around its
    centre has no more directions than its centre.
    """
    rows = layer.rows(weight - weight.mean())
    if within:
        rows = rows[: layer.units // layer.groups]
    used = (layer.rows(weight) != 0).any(0)
    return excess_correlation(rows[:, used])
