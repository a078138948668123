"""inputs: the inputs are scaled as an initialisation assumes (principles.md R7).

The bound of 46 is where a matched readout of the raw input would itself be saturated: half of the
sigmoids that read logits of variance 46 are past p = .01.  What is judged is what the first weight
layers read: a model may scale its inputs itself.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure
from pytest_initcheck.runs import LINEAR, readers
from pytest_initcheck.trace import InputColumns, Site, Trace

NAME = "inputs"
_TOLERANCE = 0.25
_ENDS = (*LINEAR, "norm", "scale", "matmul", "recurrent", "attention")


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return the claims on scale and columns, and on mean and std where those are asked for."""
    found: list[Measure] = []
    sites = [site for site in trace.sites if site.kind == "input"]
    for column, site in zip(trace.inputs, sites, strict=False):
        found.extend(_claims(column, site, first_reads(trace, site), limits))
    return tuple(found)


def first_reads(trace: Trace, start: Site) -> tuple[Site, ...]:
    """Return what the first weight layers read of this input: itself, or what the model made of it.

    The walk ends where other signals come in, where values are summed up, and at a normalisation,
    behind which the input's scale is forgotten. Ids that an embedding looks up are no values.
    """
    read = readers(trace)
    found: list[Site] = []
    waiting, seen = [start], {start.index}
    while waiting:
        site = waiting.pop()
        followers = [trace.sites[index] for index in read[site.index]]
        if any(follower.kind in LINEAR and follower.op != "embedding" for follower in followers):
            found.append(site)
        for follower in followers:
            alone = len(follower.reads) == 1 or follower.kind == "cat"
            ends = follower.kind in _ENDS or follower.op == "sum"
            if alone and not ends and follower.index not in seen:
                seen.add(follower.index)
                waiting.append(follower)
    return tuple(found)


def _claims(column: InputColumns, site: Site, reads: tuple[Site, ...], limits: Limits) -> list[Measure]:
    most, ratio = limits["input_second_moment"] or math.inf, limits["input_columns"] or math.inf
    found: list[Measure] = []
    # ids and one-hot rows have no scale of their own; what the model casts them to has
    judged = [each for each in reads if each.index != site.index or not column.exempt]
    if judged:
        largest = max(judged, key=lambda each: each.value.second_moment)
        found.append(
            Measure(
                f"{column.name}/scale",
                largest.index,
                largest.value.second_moment,
                high=most,
                limit=(0.0, most),
                fact=True,
            )
        )
    if column.exempt:
        return found
    if math.isfinite(column.smallest_column) and any(each.index == site.index for each in reads):
        found.append(
            Measure(
                f"{column.name}/columns",
                site.index,
                column.largest_column / column.smallest_column,
                high=ratio,
                limit=(0.0, ratio),
                fact=True,
                note=f"column {column.largest_index} against column {column.smallest_index}",
            )
        )
    value = column.value
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0))
    mean_wanted, std_wanted = limits["input_mean"], limits["input_std"]
    # the mean of a batch strays by std / sqrt(count) per column, far below the tolerance
    if mean_wanted is not None:
        reach = _TOLERANCE * (std_wanted or std or 1.0)
        bounds = (mean_wanted - reach, mean_wanted + reach)
        found.append(_between(f"{column.name}/mean", site.index, value.mean, bounds))
    if std_wanted is not None:
        bounds = (std_wanted / (1 + _TOLERANCE), std_wanted * (1 + _TOLERANCE))
        found.append(_between(f"{column.name}/std", site.index, std, bounds))
    return found


def _between(claim: str, site: int, value: float, bounds: tuple[float, float]) -> Measure:
    return Measure(claim, site, value, bounds[0], bounds[1], bounds, fact=True)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return 1
