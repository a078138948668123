"""Data-driven initialisation: orthogonal layers, rescaled one after the other to unit variance.

Mishkin and Matas 2016, "All you need is a good init" (LSUV). PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from pytest_initcheck.edits import Edit
from pytest_initcheck.remedies import effective_fan_in
from pytest_initcheck.runs import LINEAR, path_layers
from pytest_initcheck.trace import Parameter, Site, Trace

ROUNDS = 12
CLOSE = 0.1
"""ln of how far a layer's standard deviation may stay from 1."""


def unit_variance(draw: Callable[[tuple[Edit, ...]], Trace], start: Trace) -> tuple[Edit, ...]:
    """Return the orthogonal draw after which every layer of the signal path has variance 1.

    * ``draw`` builds the model once more, makes these edits of it, and traces it.
    * ``start`` is the trace of the model as it is.

    The factors are those of one initialisation, rounded as they are printed; () where no layer of the
    path has a weight of its own, or where the factors do not settle.
    """
    layers = _layers(start)
    if not layers:
        return ()
    names = tuple(weight.name for weight in layers.values())
    factors = {index: _first_gain(weight) for index, weight in layers.items()}
    for _ in range(ROUNDS):
        edits = (Edit("orthogonal", names, tuple(factors.values())),)
        trace = draw(edits)
        logs = _logs(trace, layers)
        if logs is None:
            return ()
        if all(abs(log) < CLOSE for log in logs.values()):
            return edits
        before = 0.0
        for index, log in logs.items():
            # the layers before are mended in the same round: what a layer itself adds is left
            factors[index] = float(f"{factors[index] * math.exp(before - log):.3g}")
            before = log
    return ()


def _first_gain(weight: Parameter) -> float:
    """Return the gain that gives an orthogonal matrix [rows, columns] the variance 1 / fan_in.

    Its entries have variance 1 / max(rows, columns) (Saxe et al. 2014).
    """
    rows = weight.shape[0]
    columns = math.prod(weight.shape[1:])
    return float(f"{math.sqrt(max(rows, columns) / effective_fan_in(weight)):.3g}")


def _layers(trace: Trace) -> dict[int, Parameter]:
    uses = Counter(site.weight.name for site in trace.sites if site.weight is not None)
    found: dict[int, Parameter] = {}
    for layer in path_layers(trace):
        site: Site = layer.site
        weight = site.weight
        known = {each.name for each in found.values()}
        if weight is None or weight.name in known or site.op == "embedding":
            continue
        # of a weight that is used again and again, as in a recurrent cell, no use is the one to scale
        if len(weight.shape) > 1 and site.kind in LINEAR and uses[weight.name] == 1:
            found[site.index] = weight
    return found


def _logs(trace: Trace, layers: dict[int, Parameter]) -> dict[int, float] | None:
    """Return ln of each layer's standard deviation; None where one is not a positive number."""
    moments = {site.weight.name: site.value for site in trace.sites if site.weight is not None}
    found: dict[int, float] = {}
    for index, weight in layers.items():
        moment = moments[weight.name].second_moment if weight.name in moments else math.nan
        if not 0 < moment < math.inf:
            return None
        found[index] = math.log(moment) / 2
    return found
