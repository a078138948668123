"""What a probe measured on one initialisation: plain, frozen data. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


HISTOGRAM_BINS = 48
HISTOGRAM_VALUES = 2**20
"""Values that a histogram looks at: of more it takes every k-th."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in each of equally wide bins from ``low`` to ``high``, the last one closed."""

    counts: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter tensor: its statistics and, for a weight, the fans of the layer it serves.

    * ``multiplicative`` is False for what is only ever added (biases, positional embeddings).
    * ``trainable``: it asks for a gradient; ``used``: the forward pass read it.
    * ``gradient`` is the squared gradient of a readout of the differences between samples, NaN where
      none was taken.
    * ``copies`` counts the contiguous blocks of a matrix that are equal to each other, 1 if none are.
    * ``aliases`` are the other names of a tensor that is tied.
    * ``path`` is the expression that reaches the tensor in the user's code.
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
    kurtosis: float = math.nan
    trainable: bool = True
    used: bool = True
    gradient: float = math.nan
    copies: int = 1
    aliases: tuple[str, ...] = ()
    path: str = ""

    @property
    def sigma_w2(self) -> float:
        """fan_in * E[w^2], the weight variance in the scale of the length map (principles.md 1.1)."""
        return self.fan_in * self.second_moment


def owner_and_leaf(name: str) -> tuple[str, str]:
    """Return a tensor's name in two: whose it is, and what it is there.

    Modules are told apart by dots, layers of Keras and haiku by slashes.

    >>> owner_and_leaf("features.0.weight"), owner_and_leaf("encoder/dense/kernel"), owner_and_leaf("w1")
    (('features.0', 'weight'), ('encoder/dense', 'kernel'), ('', 'w1'))
    """
    at = max(name.rfind("."), name.rfind("/"))
    return (name[:at], name[at + 1 :]) if at >= 0 else ("", name)


@dataclass(frozen=True, slots=True)
class Site:
    """One operation: what it is, which sites it reads, and what its value looks like.

    ``saturated`` is a share of (unit, sample) pairs, ``dead`` a share of units; both are None where
    the operation has no such notion.  ``coverage`` is the average share of a convolution's taps that
    lie inside the image: zero padding takes the rest of the second moment (principles.md 1.7).
    ``gradient`` has the moments of the gradient of a random readout of the differences between
    samples with respect to the value, ``pre_activations`` what an activation reads, where they were
    asked for.
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
    gradient: Moments | None = None
    pre_activations: Histogram | None = None


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
class Sensitivity:
    """How much the output changes under relative noise at the first parameters (principles.md R9).

    * ``change`` is E dy^2 / (2 Var y) under noise of 1 %: 1 where the outputs of two inputs that
      differ by it are as far apart as those of any two inputs.
    * ``growth`` is E dy^2 / Var y over the noise's own relative size, at a noise so small that nothing
      is cut off: NaN where ``change`` left no need to look.
    """

    change: float
    growth: float = math.nan


@dataclass(frozen=True, slots=True)
class Training:
    """What a few normalised gradient steps on a copy showed (principles.md R2, R3).

    * ``stuck`` tensors had a gradient of exactly zero in every step.
    * ``cut_off`` tensors were used, but no path through autograd leads to them.
    * ``equal`` matrices had rows (or columns) that were all equal, and still have.
    * ``twins`` are pairs of tensors that were drawn equal, and still are.
    """

    steps: int
    stuck: tuple[str, ...]
    cut_off: tuple[str, ...]
    equal: tuple[str, ...]
    twins: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a trace shall hold besides the forward pass and the two gradients of principles.md R8.

    ``loss`` is the user's: called with the model's output and, where it takes two, the inputs.
    """

    site_gradients: bool = False
    noise: bool = False
    steps: bool = False
    kurtosis: bool = False
    histograms: bool = False
    loss: Callable[..., Any] | None = None

    def __or__(self, other: Wanted) -> Wanted:
        """Return what either wants."""
        return Wanted(
            self.site_gradients or other.site_gradients,
            self.noise or other.noise,
            self.steps or other.steps,
            self.kurtosis or other.kurtosis,
            self.histograms or other.histograms,
            self.loss or other.loss,
        )


NOTHING_MORE = Wanted()

STEPS = 3
"""Gradient steps after which every tensor of a good model has moved: adaLN-zero and Fixup need 2."""
STEP = 0.01
"""Root mean square of a normalised step."""
NOISE = 0.01
FAINT_NOISE = 1e-5
"""Relative sizes of the noise of principles.md R9: one to judge by, one that is amplified undamped."""
CHAOTIC = 0.5
"""Beyond this change under noise the output is a hash of the input."""


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
    nothing could be measured there.  ``tapped``: the model shows what it chose to, and may do more.
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
    sensitivity: Sensitivity | None = None
    training: Training | None = None
    tapped: bool = False

    @property
    def elements(self) -> int:
        """How much one replicate handles: parameters and site values, and each call as so many more."""
        numbers = sum(p.count for p in self.parameters) + sum(s.value.count for s in self.sites)
        return numbers + CALL_ELEMENTS * len(self.sites)

    def site_of(self, parameter: str) -> int:
        """Return the site that a parameter belongs to: that reads it, or bears its module's name.

        -1 if there is none.
        """
        for site in self.sites:
            if parameter in [p.name for p in (site.weight, site.bias) if p is not None]:
                return site.index
        owner, _ = owner_and_leaf(parameter)
        for site in self.sites:
            if site.name in (owner, parameter):
                return site.index
        inside = (s.index for s in self.sites if owner and s.name.startswith((f"{owner}.", f"{owner}/")))
        return next(inside, -1)

    def leading_to(self, ends: set[int]) -> frozenset[int]:
        """Return these sites and all that they depend on.

        Attention over one position is 1 whatever its queries and keys are: how many there are is for the
        inputs to say.  A softmax over the one unit of a layer is the model's own.
        """
        found: set[int] = set()
        waiting = [index for index in ends if index >= 0]
        while waiting:
            index = waiting.pop()
            if index in found:
                continue
            found.add(index)
            site = self.sites[index]
            if not self._chooses_nothing(site):
                waiting.extend(site.reads)
        return frozenset(found)

    def _chooses_nothing(self, site: Site) -> bool:
        if site.kind != "softmax" or site.value.low < site.value.high:
            return False
        while site.reads and site.kind not in ("linear", "matmul", "embedding", "recurrent"):
            site = self.sites[site.reads[0]]
        return site.kind == "matmul"
