"""``check_initializer``: does an init function give what the activation behind the layer needs?

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_initcheck import evidence, sequential
from pytest_initcheck.activations import Array
from pytest_initcheck.activations import activation as activation_named
from pytest_initcheck.errors import ConfigError, InitCheckWarning, ModelError
from pytest_initcheck.evidence import Claims
from pytest_initcheck.factory import Seeds, preserved_global_states
from pytest_initcheck.initializer_check.findings import findings_of
from pytest_initcheck.initializer_check.forms import Form, draw, form_of, layer_of
from pytest_initcheck.initializer_check.measures import (
    Asked,
    Tolerances,
    measures,
    nearest,
    second_moment,
    seeds_wanted,
)
from pytest_initcheck.initializers.layers import Layer
from pytest_initcheck.initializers.library_schemes import scheme as scheme_named
from pytest_initcheck.initializers.matching import Need, needs
from pytest_initcheck.initializers.recogniser import recognise
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.report.initializer import InitializerReport
from pytest_initcheck.report.result import VERDICT_ORDER

__all__ = ["check_initializer"]

_IN_PLACE = ("tensor", "module")
_FEW = 3
"""A draw of at most that many different values may be deterministic on purpose (identity, zeros)."""


def check_initializer(
    fn: Any,
    shape_or_layer: tuple[int, ...] | Layer,
    *,
    activation: str = "relu",
    criterion: str | None = None,
    scheme: str | Scheme | None = None,
    seed: int = 0,
    raises: bool = True,
    variance: float = 0.05,
    mean: float = 0.05,
    directions: float = 2.0,
) -> InitializerReport:
    """Check that an init function gives a layer the variance, mean and independence that it needs.

    * ``fn`` is called as its signature says. A parameter named ``shape`` (or ``size``): it returns an
      array of that shape, with ``rng``, ``generator`` or ``key`` filled in if it has one of them. A
      first parameter named ``module``, ``layer``, ``m`` or ``mod``, or annotated as nn.Module: it
      fills the weight of a torch module of the layer's kind. Otherwise it fills a torch tensor in
      place, as nn.init does. A Scheme is drawn from.
    * ``shape_or_layer``: a tuple is ``[out, in, *kernel]`` for functions that fill in place and
      ``[*kernel, in, out]`` for those that return an array; so is a layer without a ``layout``.
    * ``activation`` is what follows the layer, "identity" for none; ``criterion`` is "forward",
      "backward" or "compromise", by default any of them will do (principles.md 6.4); but where a
      function that fills in place reads the fan_out off the shape as the fan_in (a transposed
      convolution, a weight stored as ``[in, out]``) "backward" has to be asked for.
    * ``scheme`` asks for a scheme instead: its variance (the criterion's if there is one), and the
      shape of its distribution.
    * ``raises=False`` returns a failed report instead of raising it.
    * ``variance``, ``mean`` and ``directions`` are tolerances: of E[w^2], relatively; of the share
      that the mean adds to a unit's second moment; of how many times fewer directions the units span.

    Raises InitializerViolation for an initialiser that fails, InitCheckError for one that cannot be
    judged, ConfigError for an argument that cannot be used.  Draws come from derived seeds, and the
    verdict from the sequential test of principles.md 2.1; global random states are put back.

    >>> def my_init(rng, shape):
    ...     return rng.normal(0, (2 / shape[0]) ** 0.5, shape)
    >>> check_initializer(my_init, (256, 64), activation="relu").verdict
    'pass'
    >>> print(check_initializer(my_init, (256, 64), activation="selu", raises=False).verdict)
    fail
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is a whole number from 0, got {seed!r}")
    form = form_of(fn)
    layer = layer_of(shape_or_layer, form)
    wanted = scheme_named(scheme) if isinstance(scheme, str) else scheme
    chosen = isinstance(shape_or_layer, Layer) and shape_or_layer.layout is not None
    native = layer if chosen or wanted is None else _native(layer, wanted)
    limits = Tolerances(variance, mean, directions)
    asked = _asked(layer, native, activation, criterion, wanted, limits)
    if criterion is None and wanted is None and form.kind in _IN_PLACE and _fans_are_swapped(layer):
        asked = replace(asked, needs=tuple(n for n in asked.needs if n.criterion != "backward"))
    report = InitializerReport(
        id=form.name,
        layer=layer.text,
        activation=activation_named(activation).name,
        criterion=criterion,
        scheme=None if wanted is None else wanted.name,
        verdict="error",
        root_seed=seed,
        needed={need.criterion: (need.low, need.high) for need in asked.needs},
        notes=_scheme_note(wanted, native, activation, criterion),
    )
    with preserved_global_states():
        try:
            report = _judged(report, form, asked)
        except ModelError as error:
            report = replace(report, error=str(error), error_traceback=error.traceback_text)
    if raises:
        report.raise_if_failed()
        if report.verdict == "inconclusive":
            warnings.warn(str(report), InitCheckWarning, stacklevel=2)
    return report


def _native(layer: Layer, wanted: Scheme) -> Layer:
    """The layer as the scheme's library stores it: its fans are read off that shape."""
    if not isinstance(wanted, Scheme) or wanted.library is None:
        return layer
    if layer.kind == "conv_transposed" and layer.groups > 1:
        return layer
    return replace(layer, layout=None).laid_out(wanted.library)


def _fans_are_swapped(layer: Layer) -> bool:
    """Tell whether torch reads the fan_out of this shape as its fan_in.

    Keeping the gradient's length is then a misreading rather than a choice. Of an embedding, whose
    fan_in is 1, dividing by its width is an ordinary choice.
    """
    if layer.kind in ("embedding", "tied"):
        return False
    return layer.library_fans("torch")[0] == layer.fan_out != layer.fan_in


def _asked(
    layer: Layer,
    native: Layer,
    activation: str,
    criterion: str | None,
    wanted: Scheme | None,
    limits: Tolerances,
) -> Asked:
    found = needs(activation, layer, criterion)
    if wanted is not None:
        if not isinstance(wanted, Scheme):
            raise ConfigError(f"scheme is a name or a Scheme, got {wanted!r}")
        if reason := wanted.misfit(native):
            raise ConfigError(f"{reason}; {native.text} has shape {native.shape}")
        if criterion is None:
            found = (_need_of(wanted, wanted.layer_variance(native)),)
    return Asked(layer, found, limits, wanted, native)


def _need_of(wanted: Scheme, variance: float) -> Need:
    """What a scheme gives, as gain^2 / fan where it is of that form."""
    scaled = wanted.draw in ("normal", "uniform", "truncated_normal") and wanted.mode != "absolute"
    gain = abs(wanted.gain) if scaled and variance else variance**0.5
    return Need("scheme", gain**2 / variance if variance else 1.0, gain, gain)


def _scheme_note(
    wanted: Scheme | None, layer: Layer, activation: str, criterion: str | None
) -> tuple[str, ...]:
    """Say where the scheme that was asked for is itself not what the activation needs."""
    if wanted is None or criterion is not None:
        return ()
    variance = wanted.layer_variance(layer)
    found = needs(activation, layer)
    if variance == 0 or min(abs(need.distance(variance)) for need in found) < 0.05:
        return ()
    return (
        f"{wanted.name} itself gives this layer {variance:.3g}; {activation} needs {found[0].low:.3g}",
    )


@dataclass(frozen=True)
class _Draws:
    """A source of inits that differ, numbered from 0."""

    form: Form
    layer: Layer
    seeds: Seeds

    def of(self, init: int) -> Array:
        return draw(self.form, self.layer, self.seeds.of(init)[0])


@dataclass(frozen=True)
class _Look:
    """What the replicates showed: claims, the last replicate's weights, and how much was drawn."""

    claims: Claims
    weights: tuple[Array, ...]
    inits: int
    replicates: int


def _judged(report: InitializerReport, form: Form, asked: Asked) -> InitializerReport:
    layer = asked.layer
    draws = _Draws(form, layer, Seeds(report.root_seed, form.name, layer.text))
    first = draws.of(0)
    if not np.array_equal(first, draws.of(0), equal_nan=True):
        raise ModelError(
            f"{form.name} draws from unseeded entropy: one seed gave two different weights; draw from "
            "torch's or NumPy's global generator, or take rng (or generator, key) as a parameter"
        )
    if not np.isfinite(first).all():
        bad = int((~np.isfinite(first)).sum())
        raise ModelError(
            f"{form.name} left {bad} of {first.size} weights NaN or infinite; "
            "fill the whole weight, and divide by no fan that can be 0"
        )
    second = draws.of(1)
    deterministic = bool(np.array_equal(first, second))
    if deterministic and len(np.unique(first)) > _FEW:
        raise ModelError(
            f"{form.name} ignores the seed: two inits are equal; remove the fixed seed from it, "
            "or take rng (or generator, key) as a parameter"
        )
    if deterministic:
        look = _Look(_one_look(first, asked), (first,), 2, 1)
    else:
        look = _walked(draws, [first, second], asked)
    recognised = recognise(first, layer)
    verdicts = _verdicts(look.claims)
    met = nearest(asked.needs, second_moment(look.weights))
    if met.criterion in ("backward", "compromise") and report.criterion is None:
        says = f"the {met.criterion} criterion is met; the forward one needs {asked.needs[0].low:.3g}"
        report = replace(report, notes=(*report.notes, says) if verdicts["variance"] == "pass" else ())
    return replace(
        report,
        verdict=min(verdicts.values(), key=VERDICT_ORDER.index),
        verdicts=verdicts,
        findings=findings_of(look.claims, look.weights, asked, form, recognised, report.activation),
        second_moment=second_moment(look.weights),
        mean=float(np.mean([w.mean() for w in look.weights])),
        recognised=tuple(match.text for match in recognised),
        replicates=look.replicates,
        seeds=look.inits,
        claims=len(look.claims),
        error_bound=0.0 if deterministic else len(look.claims) * sequential.claim_error_bound(),
    )


def _one_look(weight: Array, asked: Asked) -> Claims:
    claims: Claims = {}
    for invariant, found in measures([weight], asked, deterministic=True).items():
        looked = tuple(replace(measure, fact=True) for measure in found)
        claims = evidence.step(claims, invariant, looked, frozenset(), fatal=False)
    return {key: replace(claim, one_look=True) for key, claim in claims.items()}


def _walked(draws: _Draws, drawn: list[Array], asked: Asked) -> _Look:
    """Step every claim until all are decided."""
    per_replicate = seeds_wanted(asked.layer)
    claims: Claims = {}
    ready, init, replicate = list(drawn), len(drawn), 0
    group: tuple[Array, ...] = ()
    while replicate == 0 or any(claim.open for claim in claims.values()):
        missing = max(0, per_replicate - len(ready))
        ready += [draws.of(init + index) for index in range(missing)]
        init += missing
        group, ready = tuple(ready[:per_replicate]), ready[per_replicate:]
        for invariant, found in measures(group, asked).items():
            claims = evidence.step(claims, invariant, found, frozenset(), fatal=False)
        replicate += 1
    return _Look(claims, group, init, replicate)


def _verdicts(claims: Claims) -> dict[str, str]:
    found: dict[str, str] = {}
    for (invariant, _), claim in claims.items():
        pair = (found.get(invariant, "pass"), claim.verdict)
        found[invariant] = min(pair, key=VERDICT_ORDER.index)
    return found
