"""The engine: fresh initialisations, guards, claims, a Report.  No pytest, no Hypothesis.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import fnmatch
import importlib
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np

from pytest_initcheck import evidence, probes, sequential
from pytest_initcheck.config import Limits, resolve, selected
from pytest_initcheck.declare import Allow, Declared
from pytest_initcheck.diagnosis import findings_for
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.evidence import Claims, Key
from pytest_initcheck.factory import Seeds, build, canonical, is_factory, number, preserved_random_states
from pytest_initcheck.inputs import DEFAULT_BATCH, Call, Source, source
from pytest_initcheck.invariants import Measure
from pytest_initcheck.report.result import VERDICT_ORDER, InvariantResult, Report, SiteRow
from pytest_initcheck.runs import LINEAR
from pytest_initcheck.trace import Fingerprint, Trace

MOST_SEEDS = 16
_REPLICATE_ELEMENTS = 2**26
_RARE_ELEMENTS = 2**28
_CLEAN_INITS = 63
"""That many clean initialisations pass a fatal claim (sequential.py)."""
_NEEDS_ACTIVATION = ("variance", "saturation", "dead-relu")


@dataclass(frozen=True)
class Subject:
    """One model to judge, with everything that the verdict depends on."""

    factory: Any
    id: str
    inputs: Any = None
    example: Mapping[str, Any] | None = None
    only: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=resolve)
    mode: str = "train"
    root_seed: int = 0
    batch: int = DEFAULT_BATCH
    allows: tuple[Allow, ...] = ()
    ignore_sites: tuple[str, ...] = ()
    strict: bool = False


def check(
    factory: Any,
    *,
    inputs: Any = None,
    only: Iterable[str] | str | None = None,
    mode: str = "train",
    seed: int = 0,
    id: str | None = None,
    allow: Iterable[Allow] = (),
    ignore_sites: Iterable[str] | str = (),
    batch: int = DEFAULT_BATCH,
    strict: bool = False,
    **limits: float,
) -> Report:
    """Check a model factory and return the Report.

    * ``factory`` returns a freshly initialised model; it takes nothing, or one of ``rng`` (NumPy),
      ``generator`` (torch), ``key`` (JAX). A built model is accepted: facts decide, the rest is
      inconclusive.
    * ``inputs`` is a distribution, a batch, a loader, a function of ``rng`` or ``ic.call(...)``.
    * ``only`` names the invariants to check, besides ``finite``.
    * ``seed`` is the root of every derived seed.
    * ``limits`` are keywords of the table: ``variance=10``, ``saturation=0.1``, ``dead_relu=0.2``.

    Raises ConfigError for an argument that cannot be used; a model that cannot be judged is a Report
    whose verdict is ``"error"``.

    >>> import pytest_initcheck as ic
    >>> def network(rng):
    ...     he = lambda n: rng.normal(0, (2 / n) ** 0.5, (n, 64))
    ...     return [(he(64), None, "relu"), (he(64), None, "relu"), (he(64), None, None)]
    >>> ic.check(network, inputs=ic.normal(64)).verdict
    'pass'
    """
    if mode not in ("train", "eval"):
        raise ConfigError(f"mode is 'train' or 'eval', got {mode!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is a whole number from 0, got {seed!r}")
    wanted = None if only is None else tuple([only] if isinstance(only, str) else only)
    declared: Mapping[str, Any] = {}
    allows = tuple(allow)
    if isinstance(factory, Declared):
        declaration = factory.declaration
        inputs = declaration.inputs if inputs is None else inputs
        wanted = wanted or declaration.only or None
        declared, allows = declaration.limits, (*allows, *declaration.allows)
        factory = factory.factory
    globs = (ignore_sites,) if isinstance(ignore_sites, str) else tuple(ignore_sites)
    return judge(
        Subject(
            factory=factory,
            id=id or getattr(factory, "__qualname__", type(factory).__qualname__),
            inputs=inputs,
            only=wanted,
            limits=resolve(("call", limits), ("decorator", declared)),
            mode=mode,
            root_seed=seed,
            batch=batch,
            allows=allows,
            ignore_sites=globs,
            strict=strict,
        )
    )


def judge(subject: Subject) -> Report:
    """Return the Report on one model; a model that cannot be judged has the verdict ``"error"``.

    Global random states are as they were afterwards, and so is a model that was passed in.
    """
    started = time.perf_counter()
    selected(subject.only)
    with preserved_random_states():
        try:
            report = _Judgement(subject).report()
        except ModelError as error:
            report = Report(
                id=subject.id,
                framework=None,
                verdict="error",
                root_seed=subject.root_seed,
                error=str(error),
                error_traceback=error.traceback_text,
                example=canonical(subject.example) or None,
                strict=subject.strict,
                frameworks=_versions(),
            )
    return replace(report, seconds=time.perf_counter() - started)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "numpy") if name in sys.modules}


class _Judgement:
    """One run of the engine over one subject."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.example = dict(subject.example or {})
        self.invariants = selected(subject.only)
        self.modules = {name: _module(name) for name in self.invariants}
        self.seeds = Seeds(subject.root_seed, subject.id, canonical(subject.example))
        self.drawn = 0
        self.traces: list[Trace] = []
        self.claims: Claims = {}
        self.allowed_hits: set[Allow] = set()
        self.fingerprints: dict[tuple[str, ...], int] = {}
        self.lengths: list[float] = []
        self.per_replicate = 1

    # -- drawing ---------------------------------------------------------------------------------

    def report(self) -> Report:
        built = not is_factory(self.subject.factory)
        if built:
            self._built()
        else:
            self._replicates()
            self._rare_events()
        return self._summed_up(built)

    def _built(self) -> None:
        model = self.subject.factory
        probe = probes.probe_for(model)
        self._guard_parameters(probe.fingerprints(model))
        trace = self._trace(model, 0)
        self._check_first(trace)
        self._measure_group([trace])
        self.claims = {key: replace(claim, one_look=True) for key, claim in self.claims.items()}

    def _model(self, replicate: int) -> Any:
        weights, _ = self.seeds.of(replicate)
        self.drawn = max(self.drawn, replicate + 1)
        return build(self.subject.factory, weights, self.example)

    def _trace(self, model: Any, replicate: int) -> Trace:
        probe = probes.probe_for(model)
        self.drawn = max(self.drawn, replicate + 1)
        trace = probe.trace(
            model, self._call(model, replicate), mode=self.subject.mode, seed=self._forward_seed(replicate)
        )
        for column in trace.inputs:
            if not column.value.finite:
                raise ModelError(
                    f"{column.name} holds {column.value.non_finite} values that are NaN or infinite; "
                    "clean the inputs first: nothing behind them can be judged"
                )
        if trace.output >= 0:
            self.lengths.append(trace.sites[trace.output].value.second_moment)
        return trace

    def _forward_seed(self, replicate: int) -> int:
        return number(self.seeds.of(replicate)[1].spawn(1)[0])

    def _call(self, model: Any, replicate: int) -> Call:
        chosen = self._source(model)
        rng = np.random.default_rng(self.seeds.of(replicate)[1])
        try:
            return chosen.sample(rng)
        except (ConfigError, ModelError):
            raise
        except Exception as error:
            raise ModelError(f"the inputs raised {type(error).__name__}: {error}") from error

    def _source(self, model: Any) -> Source:
        inputs = self.subject.inputs
        if inputs is None:
            inputs = probes.probe_for(model).infer_inputs(model)
        return source(inputs, self.subject.batch)

    # -- guards ----------------------------------------------------------------------------------

    def _guard_parameters(self, prints: tuple[Fingerprint, ...]) -> None:
        if not prints:
            raise ModelError(
                "the model has no parameters, so there is no initialisation to check; "
                "return the model itself, or arrays that its forward function closes over"
            )

    def _guard_seeds(self, model: Any, replicate: int) -> None:
        """Two draws that are equal are one draw (statistics.md 5.4)."""
        prints = probes.probe_for(model).fingerprints(model)
        self._guard_parameters(prints)
        drawn = tuple(p.digest for p in prints if not p.constant)
        if replicate == 0:
            again = probes.probe_for(model).fingerprints(self._model(0))
            if tuple(p.digest for p in again) != tuple(p.digest for p in prints):
                raise ModelError(
                    "the factory draws from unseeded entropy: one seed gave two different models; "
                    "draw from torch's or NumPy's global generator, or take rng (or generator) as parameter"
                )
        if not drawn:
            return
        if drawn in self.fingerprints:
            raise ModelError(
                "the factory ignores the seed: two initialisations are equal in every tensor; "
                "remove the fixed seed from it, or take rng (or generator) as parameter"
            )
        self.fingerprints[drawn] = replicate

    def _check_first(self, trace: Trace) -> None:
        seen = any(
            site.activation is not None or site.kind in ("softmax", "recurrent", "attention")
            for site in trace.sites
        )
        if not seen and self.subject.only is None:
            raise ModelError(
                "no activation was seen in the forward pass, so saturation, dead units and variance "
                "have nothing to say; show it (numpy: ic.numpy.tap), or for a linear model ask for "
                "only=['finite', 'inputs']"
            )

    # -- claims ----------------------------------------------------------------------------------

    def _replicates(self) -> None:
        replicate = 0
        while True:
            group = []
            for index in range(self.per_replicate):
                number_of_init = replicate * self.per_replicate + index
                trace = self._fresh(number_of_init)
                group.append(trace)
                if number_of_init == 0:
                    self._check_first(trace)
                    self.per_replicate = self._seeds_per_replicate(trace)
                    group += [self._fresh(k) for k in range(1, self.per_replicate)]
                    break
            self._measure_group(group)
            replicate += 1
            if not any(claim.open and not claim.fatal for claim in self.claims.values()):
                return

    def _fresh(self, replicate: int) -> Trace:
        model = self._model(replicate)
        self._guard_seeds(model, replicate)
        # the guard may have built the model once more and moved the global states
        trace = self._trace(model, replicate)
        self.traces = [*self.traces[:1], trace]
        return trace

    def _seeds_per_replicate(self, trace: Trace) -> int:
        wanted = max(module.seeds_wanted(trace, self.subject.limits) for module in self.modules.values())
        affordable = max(1, _REPLICATE_ELEMENTS // max(trace.elements, 1))
        return max(1, min(wanted, affordable, MOST_SEEDS))

    def _measure_group(self, group: list[Trace]) -> None:
        self.traces = self.traces or [group[0]]
        for name, module in self.modules.items():
            measured = [
                self._kept(name, trace, module.measure(trace, self.subject.limits, self.per_replicate))
                for trace in group
            ]
            self.claims = self._step(name, evidence.averaged(measured), fatal=False)
            for measures in measured:
                self.claims = self._step(name, measures, fatal=True)

    def _step(self, name: str, measures: tuple[Measure, ...], *, fatal: bool) -> Claims:
        chosen = tuple(m for m in measures if (m.fatal is not None) == fatal)
        return evidence.step(self.claims, name, chosen, self._allowed(name, chosen), fatal=fatal)

    def _kept(self, name: str, trace: Trace, measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
        globs = self.subject.ignore_sites
        return tuple(m for m in measures if not _matches(trace, m.site, globs))

    def _allowed(self, name: str, measures: Iterable[Measure]) -> frozenset[Key]:
        trace = self.traces[-1]
        keys = set()
        for allow in self.subject.allows:
            if allow.invariant != name:
                continue
            for measure in measures:
                if allow.at == "*" or _matches(trace, measure.site, (allow.at,)):
                    keys.add((name, measure.claim))
                    self.allowed_hits.add(allow)
        return frozenset(keys)

    def _rare_events(self) -> None:
        """Draw on for the fatal claims: forward passes, and whole traces where something is odd."""
        target = self._clean_inits()
        k = self.drawn
        while any(claim.fatal and claim.open for claim in self.claims.values()):
            events = any(claim.fatal and claim.open and claim.walk.violations for claim in self.claims.values())
            if k >= target and not events:
                break
            model = self._model(k)
            probe = probes.probe_for(model)
            call = self._call(model, k)
            seen = probe.glimpse(model, call, mode=self.subject.mode, seed=self._forward_seed(k))
            if seen.quiet:
                self.claims = evidence.quiet(self.claims)
            else:
                trace = self._trace(model, k)
                for name, module in self.modules.items():
                    measures = module.measure(trace, self.subject.limits, self.per_replicate)
                    kept = self._kept(name, trace, measures)
                    self.claims = self._step(name, kept, fatal=True)
            k += 1
        self.claims = {
            key: replace(claim, ended_early=True) if claim.fatal and claim.open else claim
            for key, claim in self.claims.items()
        }

    def _clean_inits(self) -> int:
        affordable = _RARE_ELEMENTS // max(self.traces[0].elements, 1)
        return min(_CLEAN_INITS, max(affordable, self.drawn))

    # -- the report --------------------------------------------------------------------------------

    def _summed_up(self, built: bool) -> Report:
        trace = self.traces[0]
        findings = findings_for(self.claims, trace, self.subject.limits, built=built)
        results = {name: self._result(name) for name in self.invariants}
        verdicts = {result.verdict for result in results.values()}
        verdict = next((v for v in VERDICT_ORDER if v in verdicts), "pass")
        judged = sum(c.verdict not in ("vacuous", "skipped") for c in self.claims.values())
        wrong = {finding.site for finding in findings if finding.severity == "error"}
        first_wrong = next((site.name for site in trace.sites if site.name in wrong), None)
        return Report(
            id=self.subject.id,
            framework=trace.framework,
            verdict=verdict,
            root_seed=self.subject.root_seed,
            invariants=results,
            findings=findings,
            sites=_rows(trace, first_wrong),
            unobserved=tuple(dict.fromkeys(f"{place}: {reason}" for place, reason in trace.unobserved)),
            example=canonical(self.subject.example) or None,
            inputs=self._source_text(),
            replicates=max((c.walk.replicates for c in self.claims.values() if not c.fatal), default=1),
            seeds=self.drawn,
            claims=judged,
            error_bound=judged * sequential.claim_error_bound(),
            spread=_spread(self.lengths),
            strict=self.subject.strict,
            frameworks=_versions(),
            notes=tuple(
                f"allow({a.invariant!r}, at={a.at!r}) matches nothing; remove it ({a.reason})"
                for a in self.subject.allows
                if a not in self.allowed_hits
            ),
        )

    def _source_text(self) -> str:
        if self.subject.inputs is None:
            return "inferred"
        return source(self.subject.inputs, self.subject.batch).text

    def _result(self, name: str) -> InvariantResult:
        claims = [claim for claim in self.claims.values() if claim.invariant == name]
        limit, origin = _limit_of(name, self.subject.limits)
        if not claims:
            return InvariantResult("skipped", 0, limit, origin, note=_NOT_APPLICABLE.get(name))
        verdicts = [claim.verdict for claim in claims]
        verdict = next(v for v in ("fail", "inconclusive", "pass", "vacuous", "skipped") if v in verdicts)
        notes = [c.measure.vacuous for c in claims if c.verdict == "vacuous"]
        if "skipped" in verdicts:
            notes.append("allowed at some sites")
        fatal = [claim for claim in claims if claim.fatal]
        return InvariantResult(
            verdict,
            max((c.walk.replicates for c in claims if not c.fatal), default=claims[0].walk.replicates),
            limit,
            origin,
            claims=sum(v not in ("vacuous", "skipped") for v in verdicts),
            inits_seen=max((c.seen for c in fatal), default=0),
            inits_wanted=_CLEAN_INITS if fatal else 0,
            note="; ".join(dict.fromkeys(n for n in notes if n)) or None,
        )


_NOT_APPLICABLE = {
    "saturation": "no hidden layer has a bounded activation",
    "dead-relu": "no layer has rectifier units",
    "inputs": "tokens and one-hot inputs have no scale to judge",
    "variance": "no run of layers was seen",
}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pytest_initcheck.invariants.{name.replace('-', '_')}")


def _matches(trace: Trace, site: int, globs: Iterable[str]) -> bool:
    if not 0 <= site < len(trace.sites):
        return False
    name = trace.sites[site].name
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _limit_of(name: str, limits: Limits) -> tuple[tuple[float | None, float | None] | None, str]:
    """Return an invariant's limit as (low, high), and where it came from."""
    if name == "variance":
        factor = limits["variance"]
        bounds = (2.0**-16, 46.0) if factor is None else (1 / factor, factor)
        return bounds, limits.source("variance")
    if name == "saturation":
        return (0.0, limits["saturation"]), limits.source("saturation")
    if name == "dead-relu":
        return (0.0, limits["dead_relu"]), limits.source("dead_relu")
    if name == "inputs":
        return (0.0, limits["input_second_moment"]), limits.source("input_second_moment")
    return None, "default"


def _spread(lengths: list[float]) -> float | None:
    logs = [math.log2(value) for value in lengths if value > 0 and math.isfinite(value)]
    return statistics.stdev(logs) if len(logs) > 1 else None


def _rows(trace: Trace, first_wrong: str | None) -> tuple[SiteRow, ...]:
    rows = []
    before: dict[int, float] = {}
    for site in trace.sites:
        upstream = [before[read] for read in site.reads if read in before]
        gain = None
        moment = site.value.second_moment
        if site.kind in LINEAR:
            if upstream and upstream[0] > 0 and math.isfinite(moment):
                gain = moment / upstream[0]
            before[site.index] = moment
        elif site.kind == "input":
            before[site.index] = moment
        elif upstream:
            before[site.index] = upstream[0]
        rows.append(
            SiteRow(
                site.name,
                site.op,
                moment,
                site.value.batch_variance,
                site.saturated,
                site.dead,
                gain,
                not site.value.finite,
                site.name == first_wrong,
            )
        )
    return tuple(rows)
