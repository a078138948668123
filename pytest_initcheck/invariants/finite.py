"""finite: parameters, values and gradients are finite (principles.md R1).

A value that a softmax, an exponential or a maximum takes back, an -inf of a mask say, is none of it.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure, event
from pytest_initcheck.runs import readers
from pytest_initcheck.sequential import FATAL_P0, FATAL_P1
from pytest_initcheck.trace import Trace

NAME = "finite"
_TAKE_BACK = (
    "logsumexp",
    "amax",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "topk",
    "exp",
    "exp2",
)

_ENDS = ("softmax", "slice")
"""A part that is finite is one that was left unmasked."""


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return three fatal claims: on parameters, on values, on gradients."""
    bad_parameter = next((p for p in trace.parameters if p.non_finite), None)
    masks = _masked_out(trace)
    bad_site = next(
        (s for s in trace.sites if not (s.value.finite or s.kind == "input" or s.index in masks)), None
    )
    owner = -1
    if bad_parameter is not None:
        owner = next((s.index for s in trace.sites if bad_parameter.name in _names(s)), -1)
    found = [
        _claim("parameters", owner, bad_parameter is not None, getattr(bad_parameter, "name", None)),
        _claim("values", -1 if bad_site is None else bad_site.index, bad_site is not None, None),
    ]
    if trace.gradient is not None:
        bad = trace.gradient.non_finite
        found.append(_claim("gradients", -1, bool(bad), bad[0] if bad else None))
    return tuple(found)


def _masked_out(trace: Trace) -> set[int]:
    """Return the sites whose infinities end in softmaxes, exponentials and maxima, or reach nothing.

    What is written over, or read by nobody, harms nothing: what reads its memory is measured too.
    NaN and +inf would make their output NaN or infinite, so what is left is -inf put there on purpose.
    """
    read = readers(trace)
    returned = {trace.output, *trace.returned}
    masks: set[int] = set()
    for site in reversed(trace.sites):
        if site.value.finite or site.index in returned:
            continue
        followers = [trace.sites[index] for index in read[site.index]]
        if all(
            follower.index in masks
            or (follower.value.finite and (follower.kind in _ENDS or follower.op in _TAKE_BACK))
            for follower in followers
        ):
            masks.add(site.index)
    return masks


def _names(site: object) -> tuple[str, ...]:
    parameters = (getattr(site, "weight", None), getattr(site, "bias", None))
    return tuple(p.name for p in parameters if p is not None)


def _claim(name: str, site: int, happened: bool, note: str | None) -> Measure:
    return event(name, site, happened, p0=FATAL_P0, p1=FATAL_P1, note=note)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return 1
