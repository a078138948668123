"""What a probe measured on one initialisation: plain, frozen data. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from dataclasses import dataclass

CALL_ELEMENTS = 2**14
"""One observed call costs about as much as reducing so many elements (an unrolled network has many)."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of one array: ``count`` elements, samples along the first axis.

    ``batch_variance`` is the variance over the batch, per unit and position, averaged over them:
    the part of the second moment that depends on the input.
    """

    count: int
    mean: float
    second_moment: float
    batch_variance: float
    low: float
    high: float
    non_finite: int

    @property
    def finite(self) -> bool:
        return self.non_finite == 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter tensor: its statistics and, for a weight, the fans of the layer it serves.

    ``multiplicative`` is False for what is only ever added (biases, positional embeddings);
    ``aliases`` are the other names of a tensor that is tied.
    """

    name: str
    shape: tuple[int, ...]
    count: int
    mean: float
    second_moment: float
    constant: bool
    non_finite: int
    fan_in: int = 0
    fan_out: int = 0
    multiplicative: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def sigma_w2(self) -> float:
        """fan_in * E[w^2], the weight variance in the scale of the length map (principles.md 1.1)."""
        return self.fan_in * self.second_moment


@dataclass(frozen=True, slots=True)
class Site:
    """One operation: what it is, which sites it reads, and what its value looks like.

    ``saturated`` is a share of (unit, sample) pairs, ``dead`` a share of units; both are None where
    the operation has no such notion.  ``coverage`` is the average share of a convolution's taps that
    lie inside the image: zero padding takes the rest of the second moment (principles.md 1.7).
    """

    index: int
    name: str
    kind: str
    op: str
    reads: tuple[int, ...]
    units: int
    value: Moments
    activation: str | None = None
    saturated: float | None = None
    dead: float | None = None
    weight: Parameter | None = None
    bias: Parameter | None = None
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class InputColumns:
    """Statistics of one input array, columns being features or channels."""

    name: str
    shape: tuple[int, ...]
    value: Moments
    exempt: bool
    smallest_column: float = math.nan
    largest_column: float = math.nan
    largest_index: int = 0
    smallest_index: int = 0


@dataclass(frozen=True, slots=True)
class GradientEvidence:
    """Two gradients at the logits (principles.md R8).

    ``difference`` sums the squared gradients of the multiplicative parameters for a random readout of
    the differences between samples, ``common`` those of all parameters for a readout that every
    sample shares, per sample and position.
    """

    difference: float
    common: float
    live_matrices: int
    matrices: int
    non_finite: tuple[str, ...]
    first_over_last: float


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a cheap forward pass shows about rare events: nothing else is measured.

    ``quiet`` says that parameters and output are finite, that no rectifier layer is wholly dead and
    that the output differs between samples; ``length`` is the output's second moment.
    """

    quiet: bool
    length: float


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A parameter tensor reduced to what tells two draws apart.

    ``constant``: it holds at most two values, as zeros, ones and an identity do: nothing was drawn.
    """

    name: str
    digest: str
    constant: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """The sites of one forward pass in execution order, with the parameters and gradients.

    ``output`` and ``logits`` are site indices (-1 if the output was not seen); the logits are the
    input of a closing sigmoid, tanh or softmax.  ``returned`` are the sites of everything that the
    model returned with a batch axis.  ``unobserved`` pairs a place with the reason why
    nothing could be measured there.
    """

    framework: str
    batch: int
    sites: tuple[Site, ...]
    inputs: tuple[InputColumns, ...]
    parameters: tuple[Parameter, ...]
    output: int
    logits: int
    gradient: GradientEvidence | None
    unobserved: tuple[tuple[str, str], ...] = ()
    returned: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        """How much one replicate handles: parameters and site values, and each call as so many more."""
        numbers = sum(p.count for p in self.parameters) + sum(s.value.count for s in self.sites)
        return numbers + CALL_ELEMENTS * len(self.sites)
