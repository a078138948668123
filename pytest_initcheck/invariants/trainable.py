"""trainable: every trainable tensor receives a gradient within three steps (principles.md R2).

At step 0 a tensor behind a zero head, a zero gate or a zero branch has none, on purpose: Fixup and
adaLN-zero need two normalised steps, nothing good needs more.  A tensor that still has none has both
factors of a product at zero, a dead unit above it, or no path through autograd.

What is only added, as biases are, goes with the layers around it: behind a normalisation or a softmax
its gradient is zero by nature.  What the output does not depend on, on these inputs, is listed and not
judged.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure
from pytest_initcheck.trace import Parameter, Trace, Wanted

NAME = "trainable"


def wanted(limits: Limits) -> Wanted:
    """Return what a trace must hold for this invariant."""
    return Wanted(steps=True)


def measure(trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
    """Return one claim per trainable tensor that the forward pass used."""
    if trace.training is None:
        return ()
    stuck = {*trace.training.stuck, *trace.training.cut_off}
    return tuple(
        Measure(
            parameter.name,
            trace.site_of(parameter.name),
            1.0 if parameter.name in stuck else 0.0,
            high=0.5,
            limit=(0.0, 0.0),
            fact=True,
            note="cut off" if parameter.name in trace.training.cut_off else None,
        )
        for parameter in judged(trace)
    )


def judged(trace: Trace) -> tuple[Parameter, ...]:
    """Return the tensors that must move: trainable, used, and not only ever added."""
    return tuple(p for p in trace.parameters if p.trainable and p.used and p.count and p.multiplicative)


def seeds_wanted(trace: Trace, limits: Limits) -> int:
    return 1
