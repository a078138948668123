"""Causes and the remedies that follow from them, and the remedies that many causes share.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_initcheck import theory
from pytest_initcheck.edits import Edit
from pytest_initcheck.trace import Moments, Parameter, Site, Trace


@dataclass(frozen=True)
class Remedy:
    """A change in words and, where the check can make it, as edits."""

    advice: str
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Why:
    """A cause: its kind, what was found beside what is needed, and remedies, the best first.

    * ``place`` names the wrong place where it is none of the trace's sites.
    """

    kind: str
    cause: str
    remedies: tuple[Remedy, ...]
    place: str | None = None


def advice(*words: str) -> tuple[Remedy, ...]:
    """Return remedies that only the author of the model can apply."""
    return tuple(map(Remedy, words))


def nothing_stands_out() -> Why:
    """Return what to say where every layer is as it should be."""
    return Why(
        "no single layer",
        "no single layer stands out",
        advice("compare the table below with a matched init"),
    )


def standardised(name: str, value: Moments) -> Remedy:
    """Return the change that brings an input with these moments to mean 0 and standard deviation 1."""
    std = math.sqrt(max(value.second_moment - value.mean**2, 0.0)) or 1.0
    edit = Edit("standardise", (name,), (value.mean, std))
    return Remedy("scale the inputs by the training set's mean and standard deviation", (edit,))


def centred(name: str, value: Moments) -> Remedy:
    """Return the change that takes the mean out of an input."""
    edit = Edit("standardise", (name,), (value.mean, 1.0))
    return Remedy("take the training set's mean out of the inputs", (edit,))


def standardised_columns(name: str) -> Remedy:
    edit = Edit("standardise-columns", (name,))
    return Remedy("scale every column by the training set's mean and std of that column", (edit,))


def matched_gain(after: str, *, smallest: bool = False) -> float:
    """Return the largest gain (or the smallest) that a textbook gives a layer before this activation."""
    low, high = theory.matched_gains(after) if after != "identity" else (1.0, 1.0)
    return low if smallest else high


def drawn(weights: Sequence[Parameter], after: str, *, smallest: bool = False) -> Remedy:
    """Return the draw of these weights with the gain that the activation behind them needs."""
    gain = matched_gain(after, smallest=smallest)
    stds = tuple(gain / math.sqrt(effective_fan_in(weight)) for weight in weights)
    fan_in = effective_fan_in(weights[0])
    names = weights[0].name + (f" and {len(weights) - 1} more" if len(weights) > 1 else "")
    if len({round(std, 12) for std in stds}) == 1:
        size = f"{stds[0]:.3g} = {gain:.4g} / sqrt({fan_in})"
    else:
        size = f"{gain:.4g} / sqrt(fan_in)"
    edit = Edit("draw", tuple(weight.name for weight in weights), stds, after)
    return Remedy(f"draw {names} with std {size}", (edit,))


def effective_fan_in(weight: Parameter) -> int:
    """Return a weight's fan_in; of a vector or a look-up that no layer shows, the length of a row."""
    if weight.fan_in:
        return weight.fan_in
    return max(math.prod(weight.shape[1:]) if len(weight.shape) > 1 else weight.count, 1)


def filled(words: str, parameters: Iterable[Parameter], value: float) -> Remedy:
    names = tuple(parameter.name for parameter in parameters)
    return Remedy(words, (Edit("fill", names, (value,) * len(names)),))


def scaled(words: str, parameters: Iterable[Parameter], factor: float) -> Remedy:
    names = tuple(dict.fromkeys(parameter.name for parameter in parameters))
    return Remedy(words, (Edit("scale", names, (factor,) * len(names)),))


def without(site: Site) -> Remedy:
    """Return the removal of an activation."""
    edit = Edit("remove", (site.name,))
    return Remedy(f"leave out the {site.activation or site.op} at the output", (edit,))


def input_name(trace: Trace, site: Site) -> str:
    """Return the name of the input that this site is, or was cast from."""
    while site.kind != "input" and site.reads:
        site = trace.sites[site.reads[0]]
    return site.name
