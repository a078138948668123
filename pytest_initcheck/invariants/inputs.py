"""inputs: the inputs are scaled as an initialisation assumes (principles.md R7).

The bound of 46 is where a matched readout of the raw input would itself be saturated: half of the
sigmoids that read logits of variance 46 are past p = .01.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure
from pytest_initcheck.trace import InputColumns, Trace

NAME = "inputs"
_TOLERANCE = 0.25


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return the claims on scale and columns, and on mean and std where those are asked for."""
    found: list[Measure] = []
    inputs = [site.index for site in trace.sites if site.kind == "input"]
    for index, column in enumerate(trace.inputs):
        site = inputs[index] if index < len(inputs) else -1
        if not column.exempt:
            found.extend(_claims(column, site, limits))
    return tuple(found)


def _claims(column: InputColumns, site: int, limits: Limits) -> list[Measure]:
    most, ratio = limits["input_second_moment"] or math.inf, limits["input_columns"] or math.inf
    found = [
        Measure(
            f"{column.name}/scale",
            site,
            column.value.second_moment,
            high=most,
            limit=(0.0, most),
            fact=True,
        )
    ]
    if math.isfinite(column.smallest_column):
        found.append(
            Measure(
                f"{column.name}/columns",
                site,
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
        found.append(_between(f"{column.name}/mean", site, value.mean, bounds))
    if std_wanted is not None:
        bounds = (std_wanted / (1 + _TOLERANCE), std_wanted * (1 + _TOLERANCE))
        found.append(_between(f"{column.name}/std", site, std, bounds))
    return found


def _between(claim: str, site: int, value: float, bounds: tuple[float, float]) -> Measure:
    return Measure(claim, site, value, bounds[0], bounds[1], bounds, fact=True)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return 1
