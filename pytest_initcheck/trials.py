"""Fixes tried: fresh copies with edits made, judged by the same engine. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_initcheck import probes
from pytest_initcheck.diagnosis import Bench
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.evidence import Seen
from pytest_initcheck.probes.input_edits import spell_inputs
from pytest_initcheck.replicates import evidence_of, one_trace
from pytest_initcheck.subject import Evidence, Subject, Watch
from pytest_initcheck.trace import Parameter, Trace
from pytest_initcheck.unit_variance import unit_variance

_MEASURED_ELEMENTS = 2**26
"""Beyond so many parameters and activations a dozen further passes are too much for a last resort."""


def bench_for(subject: Subject, evidence: Evidence, watch: Watch | None = None) -> Bench:
    """Return what a diagnosis of this evidence may use; without ``subject.tries`` it tries nothing."""
    # an iterator gives its first batch only once, so the source is the one that was drawn from
    again = replace(subject, inputs=evidence.source, plots=False, expected=None, profiling=False)

    def retry(edits: tuple[Edit, ...]) -> Seen | str:
        try:
            return evidence_of(replace(again, edits=edits), watch)
        except (ModelError, ConfigError) as error:
            return str(error)

    def measured(made: tuple[Edit, ...]) -> tuple[Edit, ...]:
        if evidence.trace.elements > _MEASURED_ELEMENTS:
            return ()

        def draw(edits: tuple[Edit, ...]) -> Trace:
            return one_trace(replace(again, edits=(*made, *edits)))

        try:
            return unit_variance(draw, evidence.trace)
        except (ModelError, ConfigError):
            return ()

    if not subject.tries:
        return Bench(spelled)
    return Bench(spelled, retry, measured)


def spelled(edits: Sequence[Edit], trace: Trace) -> str:
    """Return the code that makes these edits of a model with this trace, and of its inputs."""
    dims = {column.name: len(column.shape) for column in trace.inputs}
    lines = [spell_inputs(edit, dims.get(edit.names[0], 2)) for edit in edits if edit.of_inputs]
    rest = [edit for edit in edits if not edit.of_inputs]
    if rest:
        known: Mapping[str, Parameter] = {p.name: p for p in trace.parameters}
        lines.append(probes.named(trace.framework).spell(rest, known))
    return "\n".join(line for line in lines if line)


def apply(edits: Sequence[Edit], framework: str | None, model: Any, *, instead: str) -> Any:
    """Make these edits of a model, in place, and return it.

    * ``instead`` is what the user can do where the edits are none of a model.

    Raises ConfigError where they are none of a model, or not of this one.
    """
    __tracebackhide__ = True
    if not edits or any(edit.of_inputs for edit in edits):
        what = "changes the inputs" if edits else "is for you to make"
        raise ConfigError(f"this fix {what}: {instead}")
    probe = probes.probe_for(model)
    if framework != probe.FRAMEWORK:
        raise ConfigError(f"this fix is for {framework}, and the model is of {probe.FRAMEWORK}")
    try:
        probe.apply(model, edits)
    except ModelError as error:
        raise ConfigError(f"the fix does not fit this model: {error}") from None
    return model
