'''Whether a probe says what any probe says: reference networks, and claims to be checked one by one.

A probe's author writes ``build``, which makes a model of their framework from a network's weights, and
two lines of pytest::

    from pytest_initcheck import conformance

    def build(network, weights):
        """Return the model that network.text describes, with these arrays."""

    @pytest.mark.parametrize("claim", conformance.claims(probe, build), ids=str)
    def test_the_probe_conforms(claim):
        claim()

The references are computed in float64 by plain numpy (``reading.py``), which shares nothing with a probe
but the random readouts of ``probes/readouts.py``; a probe's float32 has to agree to 1e-5, names aside.
PYTEST_DONT_REWRITE
'''

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.conformance import probe_claims as _claims
from pytest_initcheck.conformance.agreement import Disagreement
from pytest_initcheck.conformance.networks import HEADS, NETWORKS, Network, network
from pytest_initcheck.conformance.reading import EPSILON, Array
from pytest_initcheck.conformance.subject import Build, Channels, Subject
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.probes.protocol import Probe

__all__ = ["EPSILON", "HEADS", "NETWORKS", "Claim", "Disagreement", "Network", "claims", "network"]


@dataclass(frozen=True, eq=False)
class Claim:
    """One claim about a probe on one network; calling it raises Disagreement where it does not hold."""

    name: str
    subject: Subject
    check: Callable[[Subject], None]

    def __call__(self) -> None:
        self.check(self.subject)

    def __str__(self) -> str:
        return self.name


def claims(
    probe: Probe,
    build: Build,
    *,
    only: tuple[str, ...] = (),
    channels: Channels = "last",
    gradients: bool = True,
    inputs: Callable[[Array], Any] | None = None,
) -> tuple[Claim, ...]:
    """Return what a probe has to satisfy, as callables with names.

    * ``build(network, weights)`` returns a model; the layout of the weights is that of ``Network``.
    * ``only`` names the networks that the framework can express; all by default.
    * ``channels`` is "first" where its models take images so; inputs are then turned.
    * ``gradients=False`` leaves out what a framework without differentiation cannot say.
    * ``inputs`` makes what the models take of a numpy batch, where they do not take that.

    Raises ConfigError for an unknown network.
    """
    known = [each.name for each in NETWORKS]
    for name in only:
        if name not in known:
            raise ConfigError(f"no reference network {name!r}{did_you_mean(name, known)}")
    subjects = [
        Subject(probe, build, each, channels, inputs)
        for each in NETWORKS
        if not only or each.name in only
    ]
    found = [_claim(subjects[0], check, alone=True) for check in _claims.ONCE]
    for subject in subjects:
        checks = _claims.EACH + (_claims.GRADIENTS if gradients else ())
        checks += _claims.RECTIFIED if subject.network.off is not None else ()
        found += [_claim(subject, check) for check in checks]
    return tuple(found)


def _claim(subject: Subject, check: Callable[[Subject], None], *, alone: bool = False) -> Claim:
    name = check.__name__.replace("_", " ")
    return Claim(name if alone else f"{subject.network.name}: {name}", subject, check)
