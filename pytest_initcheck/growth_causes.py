"""Why a signal grows or strays though no weight layer is wrong. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from pytest_initcheck.invariants import Measure
from pytest_initcheck.remedies import Remedy, Why, advice, filled, nothing_stands_out, scaled
from pytest_initcheck.runs import (
    last_stretch,
    layer_before,
    path_layers,
    residual_additions,
    run_spread,
    runs,
)
from pytest_initcheck.trace import Parameter, Site, Trace

_UNUSUAL_NORM = 4.0
"""A normalisation that puts out four times the second moment of a usual one is worth naming."""
_UNUSUAL_SUM = 4.0
_SUMS = ("sum", "cumsum", "index_add", "scatter_add", "segment_reduce", "logsumexp")


def why_residual(trace: Trace) -> Why | None:
    """Name residual additions where they, and not the weights, make the signal grow."""
    additions = [site for site, _ in residual_additions(trace) if len(site.reads) == 2]
    inside, _ = last_stretch(trace)
    if len(additions) < 2 or not inside:
        return None
    branches = [_stream_and_branch(trace, site) for site in additions]
    grown = math.fsum(
        math.log(site.value.second_moment / stream.value.second_moment)
        for site, (stream, _) in zip(additions, branches, strict=True)
        if stream.value.second_moment > 0
    )
    most = max(site.value.second_moment for site in inside if math.isfinite(site.value.second_moment))
    if most <= 1 or grown < 0.5 * math.log(most):
        return None
    each = math.exp(grown / len(additions))
    factor = len(additions) ** -0.5
    last = _branch_ends(trace, [branch for _, branch in branches])
    words = f"scale the last layer of every branch by 1 / sqrt({len(additions)}) = {factor:.2g}"
    tried = (
        scaled(words, last, factor),
        filled("start the last layer of every branch at zero", last, 0.0),
    )
    return Why(
        "residual growth",
        f"{len(additions)} residual additions without normalisation, each makes the signal "
        f"{each:.2g} times as large",
        (*(tried if last else advice(words)), Remedy("or normalise every branch")),
    )


def _stream_and_branch(trace: Trace, site: Site) -> tuple[Site, Site]:
    """Return the operands of an addition: the stream, from which the branch starts, and the branch.

    Where neither starts from the other, as behind a projection, the stream is the larger operand.
    """
    one, other = (trace.sites[index] for index in site.reads)
    if one.index in trace.leading_to({other.index}):
        return one, other
    if other.index in trace.leading_to({one.index}):
        return other, one
    smaller, larger = sorted((one, other), key=lambda operand: operand.value.second_moment)
    return larger, smaller


def _branch_ends(trace: Trace, branches: list[Site]) -> list[Parameter]:
    """Return the weight that each branch ends with."""
    found: dict[str, Parameter] = {}
    for branch in branches:
        weight = layer_before(trace, branch).weight
        if weight is not None:
            found.setdefault(weight.name, weight)
    return list(found.values())


def why_norm(trace: Trace) -> Why | None:
    """Name the last normalisation where its own scale is what is large."""
    _, origins = last_stretch(trace)
    norms = [site for site in origins if site.kind == "norm"]
    largest = max(norms, key=lambda site: site.value.second_moment, default=None)
    if largest is None or not largest.value.second_moment > _UNUSUAL_NORM:
        return None
    inside = (f"{largest.name}.", f"{largest.name}/")
    scales = [p for p in trace.parameters if p.name.startswith(inside) and p.multiplicative]
    words = f"start the scale of {largest.name} at 1"
    return Why(
        "scale of a norm",
        f"the normalisation {largest.name} puts out a root mean square of "
        f"{math.sqrt(largest.value.second_moment):.3g}, where 1 is usual: its scale is too large",
        (filled(words, scales, 1.0),) if scales else advice(words),
        place=largest.name,
    )


def why_sums(trace: Trace, measure: Measure) -> Why | None:
    """Name the sums that make the signal grow where no weight layer does."""
    if measure.direction != "exploding":
        return None
    grown = []
    for site in trace.sites:
        before = max((trace.sites[index].value.second_moment for index in site.reads), default=0.0)
        sums = site.op in _SUMS and 0 < before < math.inf
        if sums and site.value.second_moment > _UNUSUAL_SUM * before:
            grown.append((site, math.sqrt(site.value.second_moment / before)))
    if not grown:
        return None
    first, factor = grown[0]
    more = f", and {len(grown) - 1} later ones alike" if len(grown) > 1 else ""
    return Why(
        "missing norm",
        f"{first.name} sums without dividing: its result is {factor:.3g} times as large as a term{more}",
        advice("take a mean instead of the sum, or normalise behind it"),
        place=first.name,
    )


def why_spread(trace: Trace) -> Why:
    spread = max((run_spread(run)[1] for run in runs(trace)), default=0.0)
    widths = [layer.site.units for layer in path_layers(trace)]
    if not widths:
        return nothing_stands_out()
    return Why(
        "width too small",
        f"{len(widths)} layers of width {min(widths)} and up: by luck a correct init of them differs by "
        f"a factor of {math.exp(math.sqrt(spread) / 2):.3g}",
        advice("widen the layers, add normalisation, or draw orthogonal weights"),
    )
