"""Reading a trace as a graph: the signal path, its runs between normalisations, its layers.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_initcheck import theory
from pytest_initcheck.trace import Site, Trace

LINEAR = ("linear", "embedding")
_BOUNDED = ("tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign", "erf", "sin")


@dataclass(frozen=True, slots=True)
class Layer:
    """A weight layer on the signal path: its site, what it reads through and what follows it."""

    site: Site
    read: Site
    reads_through: str
    followed_by: str


@dataclass(frozen=True, slots=True)
class Run:
    """Layers between two normalisations: their scale is forgotten at either end.

    ``plain`` says that nothing but layers and activations lies between them.
    """

    origin: Site
    layers: tuple[Layer, ...]
    plain: bool
    last: bool


def readers(trace: Trace) -> tuple[tuple[int, ...], ...]:
    """Return, for each site, the sites that read it."""
    found: list[list[int]] = [[] for _ in trace.sites]
    for site in trace.sites:
        for read in site.reads:
            found[read].append(site.index)
    return tuple(tuple(items) for items in found)


_NONLINEAR = (
    *("abs", "amax", "amin", "cos", "exp", "exp2", "expm1", "log", "log1p", "max", "maximum"),
    *("min", "minimum", "pow", "sqrt", "square", "where", "_cdist_forward"),
    *("max_pool1d", "max_pool2d", "max_pool3d"),
)


def nonlinear(site: Site) -> bool:
    """Tell whether the site bends its input: an activation of the table or any other bend.

    A product of two sites does too; a polynomial, a maxout or a radial basis is an activation
    without a name.
    """
    if site.activation is not None or site.kind in ("softmax", "recurrent", "attention"):
        return True
    return site.op in _NONLINEAR or (site.kind == "mul" and len(site.reads) > 1)


def known_linear(trace: Trace) -> bool:
    """Tell whether every operation was seen, some bear weights, and none is of a kind without a name.

    Scale, inputs and gradients of such a model are judged as of any other. A function that
    taps may do more than it shows.
    """
    kinds = {site.kind for site in trace.sites}
    return not trace.tapped and "linear" in kinds and "other" not in kinds


def exempt_inputs(trace: Trace) -> frozenset[int]:
    """Return the input sites without a scale of their own: ids, one-hot rows, masks."""
    sites = [site.index for site in trace.sites if site.kind == "input"]
    pairs = zip(sites, trace.inputs, strict=False)
    return frozenset(index for index, column in pairs if column.exempt)


def _signal(site: Site) -> float:
    value = site.value.batch_variance
    return value if math.isfinite(value) else 0.0


def signal_path(trace: Trace) -> tuple[Site, ...]:
    """Return the sites from an input to the logits along the largest centred signal.

    At a gate the path follows what is gated, at an addition the larger operand.
    """
    if trace.logits < 0:
        return ()
    path = [trace.sites[trace.logits]]
    while path[-1].reads:
        operands = [trace.sites[index] for index in path[-1].reads]
        if path[-1].kind in ("mul", "norm", "activation"):
            operands = [s for s in operands if not _is_gate(s)] or operands
        path.append(max(operands, key=_signal))
    return tuple(reversed(path))


def is_bounded(site: Site) -> bool:
    """Tell whether the site's values have fixed bounds: those of a bounded activation, or shares."""
    return site.activation in _BOUNDED or site.kind == "softmax"


def _is_gate(site: Site) -> bool:
    return is_bounded(site) or site.kind == "scale"


def runs(trace: Trace) -> tuple[Run, ...]:
    """Cut the signal path at its normalisations into runs of layers; the head is left out.

    The head is the last weight layer: its scale is a choice (zero heads, small policy heads), and the
    logits are judged by themselves.
    """
    path = signal_path(trace)
    weighted = [site.index for site in path if site.kind in LINEAR]
    head = weighted[-1] if weighted else -1
    found: list[Run] = []
    origin: Site | None = None
    layers: list[Layer] = []
    through, plain = "identity", True
    for before, site in zip((None, *path), path, strict=False):
        if origin is None or before is None:
            origin = site
        if site.kind == "norm":
            found.append(Run(origin, tuple(layers), plain, last=False))
            origin, layers, through, plain = site, [], "identity", True
        elif site.kind in LINEAR and site.index != head and before is not None:
            layers.append(Layer(site, before, through, "identity"))
            through = "identity"
            plain = plain and site.op != "conv"
        elif site.activation is not None and site.index != trace.output:
            through = site.activation
            if layers and layers[-1].followed_by == "identity":
                layers[-1] = Layer(
                    layers[-1].site, layers[-1].read, layers[-1].reads_through, site.activation
                )
        elif site.kind not in ("input", "cast", *LINEAR):
            plain = False
    if origin is not None:
        found.append(Run(origin, tuple(layers), plain, last=True))
    return tuple(run for run in found if run.layers or run.last)


def path_layers(trace: Trace) -> list[Layer]:
    """Return the weight layers of the signal path, the head left out."""
    return [layer for run in runs(trace) for layer in run.layers]


def run_spread(run: Run) -> tuple[float, float]:
    """Return (b, V) of ln q at the end of the run, by the luck of a correct init (principles.md 1.4)."""
    widths = tuple(layer.site.units for layer in run.layers)
    return theory.length_spread(widths, tuple(layer.followed_by for layer in run.layers))


def last_stretch(trace: Trace) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
    """Return the sites between the last normalisations and the logits, and the sites they start from.

    Everything that the logits depend on is walked back, not the signal path alone.
    """
    if trace.logits < 0:
        return (), ()
    inside: set[int] = set()
    origins: set[int] = set()
    waiting = [trace.logits]
    while waiting:
        index = waiting.pop()
        if index in inside or index in origins:
            continue
        site = trace.sites[index]
        if site.kind in ("norm", "input", "cast", "embedding") or _is_gate(site):
            # an embedding's ids are no signal, whatever they were computed from
            origins.add(index)
            continue
        inside.add(index)
        waiting.extend(site.reads)
    return (
        tuple(trace.sites[i] for i in sorted(inside)),
        tuple(trace.sites[i] for i in sorted(origins)),
    )


def residual_additions(trace: Trace) -> list[tuple[Site, float]]:
    """Return the additions of two signals since the last normalisation, and how much each grows.

    The factor compares with the larger operand, in second moments: x + f(x) with a branch that keeps
    the length doubles it.
    """
    inside, _ = last_stretch(trace)
    found = []
    for site in inside:
        if site.kind == "add" and len(site.reads) > 1:
            largest = max(trace.sites[index].value.second_moment for index in site.reads)
            if largest > 0 and site.value.second_moment > 0:
                found.append((site, site.value.second_moment / largest))
    return found


def hidden_bounded(trace: Trace) -> tuple[Site, ...]:
    """Return the bounded activations, and softmaxes, that something reads.

    An output's saturation is a choice.
    """
    read = readers(trace)
    return tuple(
        site
        for site in trace.sites
        if site.saturated is not None and site.index != trace.output and read[site.index]
    )


def rectifiers(trace: Trace) -> tuple[Site, ...]:
    """Return the activations that can be inactive, the output among them.

    Where nothing but zeros comes in, behind a gate or a branch that starts at zero, the layer is closed
    and not dead: whether it opens is for `trainable` to say.
    """
    return tuple(site for site in trace.sites if site.dead is not None and not _closed(trace, site))


def _closed(trace: Trace, site: Site) -> bool:
    if site.dead != 1:
        return False
    layer = layer_before(trace, site)
    reads = [trace.sites[index] for index in layer.reads]
    return bool(reads) and all(
        read.kind != "input" and read.value.low == read.value.high == 0 for read in reads
    )


def rectifier_depths(trace: Trace) -> dict[int, int]:
    """Return, per site, how many rectifiers lie on the longest way to it since an input or batch norm.

    Batch normalisation centres every unit over the batch, so correlations start anew behind it.
    """
    depths: dict[int, int] = {}
    for site in trace.sites:
        below = max((depths[index] for index in site.reads), default=0)
        if site.kind == "norm" and "batch_norm" in site.op:
            below = 0
        depths[site.index] = below + (site.dead is not None)
    return depths


def layer_before(trace: Trace, site: Site) -> Site:
    """Return the weight layer that feeds this site, or the site itself if there is none."""
    current = site
    while current.kind not in LINEAR:
        if not current.reads:
            return site
        current = max((trace.sites[index] for index in current.reads), key=_signal)
    return current


def activation_after(trace: Trace, site: Site) -> str | None:
    """Return the activation that reads this site, through additions, norms and pools if need be."""
    read = readers(trace)
    waiting, seen = list(read[site.index]), set()
    while waiting:
        index = waiting.pop(0)
        if index in seen:
            continue
        seen.add(index)
        follower = trace.sites[index]
        if follower.activation is not None:
            return follower.activation
        if follower.kind not in LINEAR:
            waiting.extend(read[index])
    return None


def reads_through(trace: Trace, site: Site) -> str:
    """Return the activation behind which a weight layer reads, ``identity`` if there is none."""
    current = site
    while current.reads:
        current = max((trace.sites[index] for index in current.reads), key=_signal)
        if current.activation is not None:
            return current.activation
        if current.kind in (*LINEAR, "norm", "input"):
            break
    return "identity"


def head_of(trace: Trace) -> frozenset[int]:
    """Return the weight layers behind which no other weight layer and no activation comes."""
    read = readers(trace)
    last: dict[int, bool] = {}
    for site in reversed(trace.sites):
        followers = [trace.sites[index] for index in read[site.index]]
        last[site.index] = all(
            last[follower.index]
            and follower.kind not in (*LINEAR, "recurrent")
            and (follower.activation is None or not read[follower.index])
            for follower in followers
        )
    return frozenset(site.index for site in trace.sites if site.kind in LINEAR and last[site.index])


def signal_per_layer(trace: Trace) -> tuple[float, int]:
    """Return by how much a layer of the path changes what tells inputs apart, and over how many.

    The geometric mean from the first pre-activation to the last one before the head.
    """
    signals = [layer.site.value.batch_variance for layer in path_layers(trace)]
    signals = [signal for signal in signals if signal > 0]  # a layer that puts out zero has no rate
    if len(signals) < 2:
        return 1.0, len(signals)
    return (signals[-1] / signals[0]) ** (1 / (len(signals) - 1)), len(signals)
