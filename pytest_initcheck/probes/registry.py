"""Which probes there are: the package's own, and those of other distributions.

The package's own are a literal table, in the order in which they are asked; they are entry points too,
for whoever lists the group.  A distribution adds a probe by an entry point of the group
``pytest_initcheck.probes``: its name is that of the framework's module, its value a module or an object
that offers what ``Probe`` says::

    [project.entry-points."pytest_initcheck.probes"]
    tinygrad = "initcheck_tinygrad.probe"

A probe is imported where its framework is in ``sys.modules``, and not before.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from pytest_initcheck.errors import ModelError, did_you_mean
from pytest_initcheck.probes.protocol import Probe, incomplete

GROUP = "pytest_initcheck.probes"

OWN: Mapping[str, str] = {
    "keras": "pytest_initcheck.probes.keras",
    "torch": "pytest_initcheck.probes.torch",
    "jax": "pytest_initcheck.probes.jax",
    "numpy": "pytest_initcheck.probes.numpy",
}
"""Keras comes before its backends: its layers on torch are torch modules.  numpy takes any function."""


@functools.cache
def added() -> Mapping[str, EntryPoint]:
    """Return the probes of other distributions, by framework; read once in a process.

    Raises ModelError where two bear one name.
    """
    found = [entry for entry in entry_points(group=GROUP) if distribution(entry) != "pytest-initcheck"]
    times = Counter(entry.name for entry in found)
    for entry in found:
        if entry.name in OWN:
            raise ModelError(
                f"{distribution(entry)} registers a probe under the name {entry.name!r}, which is "
                "pytest-initcheck's own; name it after the module of its framework"
            )
        if times[entry.name] > 1:
            all_of_them = " and ".join(distribution(e) for e in found if e.name == entry.name)
            raise ModelError(
                f"{all_of_them} both register a probe for {entry.name!r}; uninstall one of them"
            )
    return {entry.name: entry for entry in found}


def distribution(entry: EntryPoint) -> str:
    """Return the name of the distribution that an entry point belongs to."""
    return entry.dist.name if entry.dist is not None else f"the entry point {entry.value}"


@functools.cache
def _imported(entry: EntryPoint) -> Probe:
    try:
        probe = entry.load()
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise _unusable(entry, f"raises {type(error).__name__} on import: {first}") from error
    lack = incomplete(probe)
    if lack is not None:
        raise _unusable(entry, lack)
    if entry.name != probe.FRAMEWORK:
        raise _unusable(entry, f"has FRAMEWORK = {probe.FRAMEWORK!r}; the two are the same word")
    return cast(Probe, probe)


def _unusable(entry: EntryPoint, why: str) -> ModelError:
    who = distribution(entry)
    return ModelError(
        f"the probe {entry.name!r} of {who} cannot be used: {entry.value} {why}; "
        f"update {who} or uninstall it"
    )


def loaded() -> tuple[Probe, ...]:
    """Return the probes whose framework this process has imported already, those added first.

    Raises ModelError for an added one that cannot be used.
    """
    others = tuple(_imported(entry) for name, entry in added().items() if _in_process(name))
    return others + tuple(_own(name) for name in OWN if _in_process(name))


def _in_process(framework: str) -> bool:
    return sys.modules.get(framework) is not None


def _own(framework: str) -> Probe:
    return cast(Probe, importlib.import_module(OWN[framework]))


def named(framework: str) -> Probe:
    """Return the probe of a framework, importing it.

    Raises ModelError with the install command if the framework is missing.
    """
    if framework not in OWN:
        if framework not in added():
            raise ModelError(
                f"no probe is called {framework!r}{did_you_mean(framework, [*OWN, *added()])}"
            )
        return _imported(added()[framework])
    try:
        return _own(framework)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        raise ModelError(
            f"{framework} is not installed; run: python -m pip install 'pytest-initcheck[{framework}]'"
        ) from error
