"""A trace as rows of a report, and what a matched init would show there. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from pytest_initcheck import theory
from pytest_initcheck.activations import activation
from pytest_initcheck.invariants.length_map import matched_lengths
from pytest_initcheck.profiles import gains
from pytest_initcheck.report.result import PreActivations, SiteRow
from pytest_initcheck.runs import Layer, Run, runs, signal_path
from pytest_initcheck.trace import Site, Trace

_PASSED_ON = ("activation", "cast", "pool", "slice")
"""What may lie between two layers: its effect on the length is measured, theory goes on behind it."""


def rows(
    trace: Trace,
    first_wrong: str | None,
    extremes: Mapping[str, tuple[float, float]],
    *,
    plots: bool,
) -> tuple[SiteRow, ...]:
    """Return a row per site; what only plots show is left out without ``plots``.

    * ``first_wrong`` is the name of the site to mark, ``extremes`` as in the evidence.
    """
    ratios = gains(trace)
    expected = expected_lengths(trace) if plots else {}
    return tuple(
        SiteRow(
            name=site.name,
            op=site.op,
            second_moment=site.value.second_moment,
            batch_variance=site.value.batch_variance,
            saturated=site.saturated,
            dead=site.dead,
            gain=ratios.get(site.index),
            non_finite=not (site.value.finite and math.isfinite(site.value.second_moment)),
            first_wrong=site.name == first_wrong,
            kind=site.kind,
            index=site.index,
            reads=site.reads,
            gradient=site.gradient.second_moment if plots and site.gradient else None,
            expected=expected.get(site.index),
            spread=extremes.get(site.name) if plots else None,
            pre_activations=_pre_activations(site),
        )
        for site in trace.sites
    )


def _pre_activations(site: Site) -> PreActivations | None:
    if site.pre_activations is None or site.activation is None:
        return None
    seen = site.pre_activations
    return PreActivations(seen.counts, seen.low, seen.high, *linear_range(site.activation))


def linear_range(name: str) -> tuple[float | None, float | None]:
    """Return from where to where an activation responds; None is a side on which it never stops.

    Of a bounded one that is where abs(phi') is at least 5 % of its maximum, of a rectifier the active
    side.

    >>> linear_range("relu"), linear_range("hardtanh"), linear_range("gelu")
    ((0.0, None), (-1.0, 1.0), (None, None))
    """
    phi = activation(name)
    if phi.saturated_beyond is not None:
        return -phi.saturated_beyond, phi.saturated_beyond
    return phi.inactive_below, None


# -- what a matched init would show ----------------------------------------------------------------


def expected_lengths(trace: Trace) -> dict[int, tuple[float, float]]:
    """Return, by site, between which second moments a matched init lies, but for two deviations of luck.

    They are known along runs of layers from one normalisation to the next, the head left out.
    """
    found: dict[int, tuple[float, float]] = {}
    path = signal_path(trace)
    place = {site.index: position for position, site in enumerate(path)}
    for run in runs(trace):
        for matched in matched_lengths(run, _passed(run, path, place)):
            index = matched.layer.site.index
            found[index] = matched.bounds
            behind = path[place[index] + 1]  # a layer of a run is never the last site of the path
            if behind.activation is not None:
                low, high = (theory.second_moment(behind.activation, q) for q in matched.bounds)
                found[behind.index] = min(low, high), max(low, high)
    return found


def _passed(run: Run, path: tuple[Site, ...], place: Mapping[int, int]) -> list[float]:
    """Return by what each layer's input differs from what the activation before it put out.

    The list ends at the first layer that theory cannot say anything about.
    """
    first = run.layers[0] if run.layers else None
    if first is None or first.site.op == "embedding" or is_projection(first):
        return []
    factors = [1.0]
    for before, layer in pairwise(run.layers):
        between = path[place[before.site.index] + 1 : place[layer.read.index] + 1]
        bends = [site for site in between if site.activation is not None]
        length = (bends[-1] if bends else before.site).value.second_moment
        known = len(bends) < 2 and all(site.kind in _PASSED_ON for site in between)
        if not (known and 0 < length < math.inf):
            break
        factors.append(layer.read.value.second_moment / length)
    return factors


def is_projection(layer: Layer) -> bool:
    """Tell whether a layer neither reads an activation nor feeds one: its scale is then a choice."""
    return layer.reads_through == layer.followed_by == "identity"
