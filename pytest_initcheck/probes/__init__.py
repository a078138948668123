"""One probe per framework, behind one small protocol; a framework is imported by its probe alone.

Where several probes own a model, one that another distribution added is taken before the package's own:
who installs it wants it.  Two added ones that own the same model are an error.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.protocol import Probe as Probe
from pytest_initcheck.probes.registry import added, distribution
from pytest_initcheck.probes.registry import loaded as loaded
from pytest_initcheck.probes.registry import named as named
from pytest_initcheck.probes.unknown import unknown


def probe_for(model: Any) -> Probe:
    """Return the probe that can observe this model.

    Raises ModelError if none can, or two that were added to the package's own.
    """
    owners = [probe for probe in loaded() if probe.owns(model)]
    others = [probe for probe in owners if probe.FRAMEWORK in added()]
    if len(others) > 1:
        names = " and ".join(distribution(added()[probe.FRAMEWORK]) for probe in others)
        raise ModelError(
            f"{names} both claim a model of type {type(model).__qualname__}; uninstall one of them"
        )
    if not owners:
        raise unknown(model)
    return owners[0]
