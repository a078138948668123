"""A flow -> a Trace: sites, gradients, noise and steps. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pytest_initcheck.probes.graph.flow import Flow
from pytest_initcheck.trace import NOTHING_MORE, Glimpse, Trace, Wanted


def trace(flow: Flow, *, framework: str, batch: int, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    """Run a flow forward and backward and return what was seen, as a probe's ``trace`` does."""
    raise NotImplementedError


def glimpse(flow: Flow, *, batch: int) -> Glimpse:
    """Run a flow forward only, and look for rare events."""
    raise NotImplementedError
