"""What of a model had no part in what it returned. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from dataclasses import replace

from pytest_initcheck.trace import Trace

FOR_NOTHING = "the model computes with it and returns nothing of that"


def without_dead_ends(trace: Trace) -> Trace:
    """Return the trace with what is computed for nothing listed as such, not as stuck or cut off.

    The last block of many residual stacks computes a skip that nobody reads; over one position attention
    has nothing to choose, whatever its queries and keys are.
    """
    training = trace.training
    if training is None or not (training.cut_off or training.stuck):
        return trace
    reach = trace.leading_to({trace.output, *trace.returned})
    read = {p.name for i in reach for p in (trace.sites[i].weight, trace.sites[i].bias) if p is not None}
    ends = []
    for name in (*training.cut_off, *training.stuck):
        site = trace.site_of(name)
        if site >= 0 and site not in reach and name not in read:
            ends.append(name)
    return replace(
        trace,
        parameters=tuple(replace(p, used=False) if p.name in ends else p for p in trace.parameters),
        training=replace(
            training,
            stuck=tuple(name for name in training.stuck if name not in ends),
            cut_off=tuple(name for name in training.cut_off if name not in ends),
        ),
        unobserved=(*trace.unobserved, *((name, FOR_NOTHING) for name in ends)),
    )
