"""The probe under test with one network: models built, traced, and weights found by what they are.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pytest_initcheck.conformance.agreement import TOLERANCE, Disagreement
from pytest_initcheck.conformance.networks import Network
from pytest_initcheck.conformance.reading import Array
from pytest_initcheck.conformance.reference import Reference, Weight, reference
from pytest_initcheck.factory import preserved_global_states, seed_everything
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.protocol import Probe
from pytest_initcheck.trace import NOTHING_MORE, Glimpse, Parameter, Trace, Wanted

Build = Callable[[Network, Mapping[str, Array]], Any]
Channels = Literal["last", "first"]
SEED = 3
MODE = "train"


@dataclass(frozen=True, eq=False)
class Subject:
    """A probe, what builds models for it, and one reference network."""

    probe: Probe
    build: Build
    network: Network
    channels: Channels = "last"
    prepare: Callable[[Array], Any] | None = None

    def model(self, **changed: Array) -> Any:
        """Return the network with the reference weights; ``layer__kernel=`` changes some."""
        weights = self.network.weights()
        weights |= {name.replace("__", "."): value for name, value in changed.items()}
        return self.build(self.network, weights)

    def call(self, x: Array | None = None) -> Call:
        """Return the call with the reference inputs, or these."""
        x = self.network.batch() if x is None else x
        if self.channels == "first" and x.ndim == 4:
            x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        return Call((x if self.prepare is None else self.prepare(x),), {})

    def trace(self, model: Any, seed: int = SEED, wanted: Wanted = NOTHING_MORE) -> Trace:
        return self.probe.trace(model, self.call(), mode=MODE, seed=seed, wanted=wanted)

    def glimpse(self, model: Any) -> Glimpse:
        return self.probe.glimpse(model, self.call(), mode=MODE, seed=SEED)

    @functools.cached_property
    def traced(self) -> Trace:
        """The trace of the reference weights, made once."""
        return self.trace(self.model(), wanted=Wanted(site_gradients=True))

    @property
    def reference(self) -> Reference:
        return reference(self.network, SEED)

    def weight(self, name: str) -> Weight:
        """Return what the reference says of a weight."""
        return next(weight for weight in self.reference.weights if weight.name == name)

    def parameter(self, name: str, trace: Trace | None = None) -> Parameter:
        """Return the probe's parameter that holds a weight of the reference.

        It is told by its count and moments: every probe has names of its own.  In another trace it is
        the one of the same name.
        """
        wanted = self.weight(name)
        found = [p for p in self.traced.parameters if _is(p, wanted)]
        if len(found) != 1:
            raise Disagreement(
                f"{name}: {len(found)} parameters have its {wanted.count} entries, mean "
                f"{wanted.mean:.6g} and second moment {wanted.second_moment:.6g}; one has to"
            )
        if trace is None:
            return found[0]
        return next(p for p in trace.parameters if p.name == found[0].name)


def _is(parameter: Parameter, weight: Weight) -> bool:
    scale = weight.second_moment
    return (
        parameter.count == weight.count
        and abs(parameter.second_moment - scale) <= TOLERANCE * scale
        and abs(parameter.mean - weight.mean) <= TOLERANCE * scale**0.5
    )


def with_first(subject: Subject, name: str, value: float) -> Any:
    """Return the model with the first entry of one weight replaced."""
    weight = subject.network.weights()[name]
    weight.reshape(-1)[0] = value
    return subject.model(**{name.replace(".", "__"): weight})


def narrowed(subject: Subject) -> Subject:
    """Return the subject with inputs that have one unit too few."""
    units = subject.network.inputs[-1] - 1
    network = replace(subject.network, inputs=(*subject.network.inputs[:-1], units))
    return replace(subject, network=network)


def kernel_of(subject: Subject) -> str:
    """A dense kernel: the last of the network."""
    return [name for name in subject.network.shapes if name.endswith(".kernel")][-1]


def seed_all(subject: Subject) -> None:
    """Seed as a check does: a probe whose framework has no generator of its own draws from numpy's."""
    seed_everything(SEED)
    subject.probe.seed(SEED)


@contextmanager
def as_before(subject: Subject) -> Iterator[None]:
    with preserved_global_states(), subject.probe.preserved():
        yield
