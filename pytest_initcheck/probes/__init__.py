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
    probes = loaded()
    others = [probe for probe in probes if probe.FRAMEWORK in added() and probe.owns(model)]
    if len(others) > 1:
        names = " and ".join(distribution(added()[probe.FRAMEWORK]) for probe in others)
        raise ModelError(
            f"{names} both claim a model of type {type(model).__qualname__}; uninstall one of them"
        )
    # asked one by one: numpy's, the last, looks at everything that an object holds
    own = (probe for probe in probes if probe.FRAMEWORK not in added() and probe.owns(model))
    found = others[0] if others else next(own, None)
    if found is None:
        raise unknown(model)
    return found
