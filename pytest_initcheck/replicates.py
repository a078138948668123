"""Fresh initialisations, one after the other, until every claim is decided.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import copy
import fnmatch
import importlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from math import isfinite
from types import ModuleType
from typing import Any

import numpy as np

from pytest_initcheck import evidence, probes
from pytest_initcheck.config import DRIFT
from pytest_initcheck.declare import Allow
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.evidence import Claims, Key
from pytest_initcheck.factory import Seeds, build, canonical, is_factory, number
from pytest_initcheck.inputs import Call, Source, source
from pytest_initcheck.invariants import Measure
from pytest_initcheck.invariants.drift import Drift
from pytest_initcheck.probes.input_edits import edited
from pytest_initcheck.probes.tracebacks import user_traceback
from pytest_initcheck.profiles import FEWEST_INITS, INITS, LayerNumbers, numbers
from pytest_initcheck.runs import known_linear, nonlinear
from pytest_initcheck.subject import Evidence, Progress, Subject, Watch
from pytest_initcheck.trace import NOTHING_MORE, Fingerprint, Trace, Wanted

CLEAN_INITS = 63
"""That many clean initialisations pass a fatal claim (sequential.py)."""
MOST_SEEDS = 16
_REPLICATE_ELEMENTS = 2**26
_RARE_ELEMENTS = 2**28
"""Elements (parameters and activations) that one replicate, and all rare-event draws, may handle."""
_PROFILE_ELEMENTS = 2**30


def evidence_of(subject: Subject, watch: Watch | None = None) -> Evidence:
    """Draw, trace and measure until every claim is decided or its budget of replicates is used.

    * ``watch`` is called before each initialisation.

    Raises ModelError for a model that cannot be judged, ConfigError for unusable inputs.
    """
    return _Run(subject, watch).evidence()


def one_trace(subject: Subject) -> Trace:
    """Return the trace of the first initialisation alone.

    Raises ModelError for a model that cannot be traced, ConfigError for unusable inputs.
    """
    return _Run(subject, None).first_trace()


class _Run:
    """One run over one subject: draws, guards against false draws, and steps the claims."""

    def __init__(self, subject: Subject, watch: Watch | None) -> None:
        self.subject, self.watch = subject, watch
        self.example = dict(subject.example or {})
        self.modules: dict[str, Any] = {
            name: _module(name) for name in subject.invariants if name != DRIFT
        }
        self.wanted = _wanted(self.modules.values(), subject)
        self.seeds = Seeds(subject.root_seed, subject.id, canonical(subject.example))
        self.drawn = 0
        self.traces: list[Trace] = []
        self.claims: Claims = {}
        self.allowed_hits: set[Allow] = set()
        self.fingerprints: dict[tuple[str, ...], int] = {}
        self.lengths: list[float] = []
        self.numbers: list[dict[str, LayerNumbers]] = []
        self.extremes: dict[str, tuple[float, float]] = {}
        self.per_replicate = 1
        self.source: Source | None = None
        self.workload = ExitStack()

    # -- drawing ---------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        built = not is_factory(self.subject.factory)
        with self.workload:
            if built:
                self._built()
            else:
                self._replicates()
                self._rare_events()
                self._profile()
        return Evidence(
            self.claims,
            self.traces[0],
            self.drawn,
            tuple(self.lengths),
            self.extremes,
            tuple(allow for allow in self.subject.allows if allow not in self.allowed_hits),
            built,
            self._inputs(),
            self._source(None),
            tuple(self.numbers),
        )

    def first_trace(self) -> Trace:
        with self.workload:
            if is_factory(self.subject.factory):
                return self._trace(self._model(0), 0, NOTHING_MORE)
            model = self._edited(self._drawn(_copied(self.subject.factory), 0, keep=True), 0)
            return self._trace(model, 0, NOTHING_MORE)

    def _built(self) -> None:
        model = self.subject.factory
        probe = probes.probe_for(model)
        if self.subject.edits:
            model = _copied(model)
        model = self._edited(self._drawn(model, 0, keep=True), 0)
        self._guard_parameters(probe.fingerprints(model))
        trace = self._trace(model, 0)
        self._check_first(trace)
        self._measure_group([trace])
        self.claims = {key: replace(claim, one_look=True) for key, claim in self.claims.items()}

    def _model(self, replicate: int) -> Any:
        weights, _ = self.seeds.of(replicate)
        self.drawn = max(self.drawn, replicate + 1)
        self._tell(replicate)
        built = build(self.subject.factory, weights, self.example)
        return self._edited(self._drawn(built, replicate, keep=False), replicate)

    def _edited(self, model: Any, replicate: int) -> Any:
        if self.subject.edits:
            call = self._call(model, replicate)
            probes.probe_for(model).apply(model, self.subject.edits, call)
        return model

    def _tell(self, replicate: int) -> None:
        if self.watch is None:
            return
        undecided = {claim.invariant for claim in self.claims.values() if claim.open}
        names = [name for name in self.modules if name in undecided or not self.claims]
        example = canonical(self.subject.example)
        model = f"{self.subject.id}({example})" if example else self.subject.id
        self.watch(Progress(model, tuple(names), replicate // self.per_replicate + 1))

    def _drawn(self, model: Any, replicate: int, *, keep: bool) -> Any:
        """Have a model that draws on its first forward pass do so."""
        probe = probes.probe_for(model)
        seed = self._forward_seed(replicate)
        return probe.drawn(model, lambda: self._call(model, replicate), seed=seed, keep=keep)

    def _trace(self, model: Any, replicate: int, wanted: Wanted | None = None) -> Trace:
        probe = probes.probe_for(model)
        self.drawn = max(self.drawn, replicate + 1)
        call = self._call(model, replicate)
        if not self.traces:
            self.workload.enter_context(probe.workload(model, call))
        trace = probe.trace(
            model,
            call,
            mode=self.subject.mode,
            seed=self._forward_seed(replicate),
            wanted=self._wanted() if wanted is None else wanted,
        )
        for column in trace.inputs:
            if not column.value.finite:
                raise ModelError(
                    f"{column.name} holds {column.value.non_finite} values that are NaN or infinite; "
                    "clean the inputs first: nothing behind them can be judged"
                )
        self._note_lengths(trace)
        return trace

    def _note_lengths(self, trace: Trace) -> None:
        if trace.output >= 0:
            self.lengths.append(trace.sites[trace.output].value.second_moment)
        for site in trace.sites:
            moment = site.value.second_moment
            if isfinite(moment):
                low, high = self.extremes.get(site.name, (moment, moment))
                self.extremes[site.name] = min(low, moment), max(high, moment)

    def _wanted(self) -> Wanted:
        """The first trace is the one that reports show, with gradients at its sites."""
        if self.traces:
            return self.wanted
        return replace(self.wanted, site_gradients=True, histograms=self.subject.plots)

    def _forward_seed(self, replicate: int) -> int:
        return number(self.seeds.of(replicate)[1].spawn(1)[0])

    def _call(self, model: Any, replicate: int) -> Call:
        chosen = self._source(model)
        rng = np.random.default_rng(self.seeds.of(replicate)[1])
        try:
            return edited(chosen.sample(rng), self.subject.edits)
        except (ConfigError, ModelError):
            raise
        except Exception as error:
            raise ModelError(
                f"the inputs raised {type(error).__name__}: {error}",
                traceback_text=user_traceback(error),
            ) from error

    def _source(self, model: Any) -> Source:
        if self.source is None:
            # once: an iterator gives its first batch only once
            inputs = self.subject.inputs
            if inputs is None:
                inputs = probes.probe_for(model).infer_inputs(model)
            self.source = source(inputs, self.subject.batch)
        return self.source

    # -- guards ----------------------------------------------------------------------------------

    def _guard_parameters(self, prints: tuple[Fingerprint, ...]) -> None:
        if not prints:
            raise ModelError(
                "the model has no parameters, so there is no initialisation to check; "
                "return the model itself, or arrays that its forward function closes over"
            )

    def _guard_seeds(self, model: Any, replicate: int) -> None:
        """Two draws that are equal are one draw (principles.md 2.5)."""
        prints = probes.probe_for(model).fingerprints(model)
        self._guard_parameters(prints)
        drawn = tuple(p.digest for p in prints if not p.constant)
        if replicate == 0:
            again = probes.probe_for(model).fingerprints(self._model(0))
            if tuple(p.digest for p in again) != tuple(p.digest for p in prints):
                pairs = zip(prints, again, strict=False)
                differs = next((p.name for p, q in pairs if p != q), "sets of parameters")
                raise ModelError(
                    f"the factory draws from unseeded entropy: one seed gave two different {differs}; "
                    "draw from torch's or NumPy's global generator, take rng (or generator) as a "
                    "parameter, and initialise what empty() made"
                )
        if not drawn:
            return
        if drawn in self.fingerprints:
            raise ModelError(
                "the factory ignores the seed: two initialisations are equal in every tensor; "
                "remove the fixed seed from it, or take rng (or generator) as parameter; an init that "
                "is meant to draw nothing is checked by passing the built model"
            )
        self.fingerprints[drawn] = replicate

    def _check_first(self, trace: Trace) -> None:
        seen = any(map(nonlinear, trace.sites)) or known_linear(trace)
        if not seen and self.subject.only is None:
            show = "show it with ic.numpy.tap, or " if trace.tapped else ""
            raise ModelError(
                "no activation was seen in the forward pass, so saturation, dead units and variance "
                f"have nothing to say; {show}for a linear model ask for only=['finite', 'inputs'] in "
                "ic.model, the marker or the call"
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
                    self._expect()
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
        if self.subject.profiling:
            self.numbers.append(numbers(trace))
        return trace

    def _expect(self) -> None:
        """Compare with the baseline: the inputs are known now."""
        if self.subject.expected is not None:
            self.modules[DRIFT] = Drift(self.subject.expected, self._inputs())

    def _inputs(self) -> str:
        return "inferred" if self.subject.inputs is None else self._source(None).text

    def _seeds_per_replicate(self, trace: Trace) -> int:
        wanted: int = max(
            module.seeds_wanted(trace, self.subject.limits) for module in self.modules.values()
        )
        affordable = max(1, _REPLICATE_ELEMENTS // max(trace.elements, 1))
        return max(1, min(wanted, affordable, MOST_SEEDS))

    def _measure_group(self, group: list[Trace]) -> None:
        self.traces = self.traces or [group[0]]
        for name, module in self.modules.items():
            measured = [
                self._kept(name, trace, module.measure(trace, self.subject.limits, self.per_replicate))
                for trace in group
            ]
            common = evidence.averaged(measured)
            if hasattr(module, "measure_group"):
                common = (*common, *module.measure_group(group, self.subject.limits))
            self.claims = self._step(name, common, fatal=False)
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
            seen_in = {
                name
                for (name, _), claim in self.claims.items()
                if claim.fatal and claim.open and claim.walk.violations
            }
            if k >= target and not seen_in:
                break
            model = self._model(k)
            probe = probes.probe_for(model)
            call = self._call(model, k)
            # a glimpse sees outputs and parameters, and not every value in between
            quiet = "finite" not in seen_in
            if quiet:
                seed = self._forward_seed(k)
                seen = probe.glimpse(model, call, mode=self.subject.mode, seed=seed)
                quiet = seen.quiet
            if quiet:
                self.claims = evidence.quiet(self.claims)
                self.lengths.append(seen.length)
            else:
                trace = self._trace(model, k, NOTHING_MORE)
                for name, module in self.modules.items():
                    measures = module.measure(trace, self.subject.limits, self.per_replicate)
                    kept = self._kept(name, trace, measures)
                    self.claims = self._step(name, kept, fatal=True)
            k += 1
        self.claims = {
            key: replace(claim, ended_early=True) if claim.fatal and claim.open else claim
            for key, claim in self.claims.items()
        }

    def _profile(self) -> None:
        """Draw on until there are enough initialisations for a profile."""
        affordable = _PROFILE_ELEMENTS // max(self.traces[0].elements, 1)
        wanted = min(INITS, max(affordable, FEWEST_INITS)) if self.subject.profiling else 0
        first = self.drawn
        for k in range(first, first + wanted - len(self.numbers)):
            self.numbers.append(numbers(self._trace(self._model(k), k, NOTHING_MORE)))

    def _clean_inits(self) -> int:
        affordable = _RARE_ELEMENTS // max(self.traces[0].elements, 1)
        return min(CLEAN_INITS, max(affordable, self.drawn))


def _copied(model: Any) -> Any:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(f"the model cannot be copied: {type(error).__name__}: {error}") from error


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pytest_initcheck.invariants.{name.replace('-', '_')}")


def _wanted(modules: Iterable[ModuleType], subject: Subject) -> Wanted:
    """Return what all invariants together need of a trace."""
    total = Wanted(loss=subject.loss)
    for module in modules:
        if hasattr(module, "wanted"):
            total |= module.wanted(subject.limits)
    return total


def _matches(trace: Trace, site: int, globs: Iterable[str]) -> bool:
    if not 0 <= site < len(trace.sites):
        return False
    name = trace.sites[site].name
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)
