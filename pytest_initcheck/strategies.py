"""Hypothesis strategies for what a network starts from: inputs, shapes, activations, schemes.

``from pytest_initcheck import strategies as ist``.  They draw specifications, small frozen values,
never the elements of an array: Hypothesis prefers simple elements, whose variance says nothing about
training.  They never draw seeds: a drawn seed would be searched for a bad one, and every property
would fail.  Examples shrink towards N(0, 1) inputs, small shapes and ReLU.  What was drawn is an event,
which ``--hypothesis-show-statistics`` counts.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn

from pytest_initcheck import theory
from pytest_initcheck.activations import NAMES, Family
from pytest_initcheck.activations import activation as activation_named
from pytest_initcheck.errors import ConfigError, did_you_mean
from pytest_initcheck.initializers import library_schemes, matched, named_schemes
from pytest_initcheck.initializers.layer_kinds import (
    conv,
    conv_transposed,
    dense,
    depthwise_conv,
    embedding,
    fused_qkv,
    grouped_conv,
    recurrent,
    tied,
)
from pytest_initcheck.initializers.layers import CELLS, Kind, Layer
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.inputs import Images, Normal, Uniform
from pytest_initcheck.networks import (
    BRANCHES,
    FRAMEWORKS,
    TEXTBOOK_ACTIVATIONS,
    ConvnetSpec,
    Framework,
    NetworkSpec,
    RecurrentSpec,
    ResidualSpec,
    TransformerSpec,
    textbook_depth,
)

__all__ = ["activations", "initializers", "input_distributions", "layer_shapes", "networks"]

_KINDS: tuple[Kind, ...] = get_args(Kind)
_FAMILIES: tuple[Family, ...] = get_args(Family)
_KERNELS = ((3, 3), (1, 1), (3,), (5, 5), (7, 7), (3, 5))
_STRIDES = (1, 2, 3)
_GROUPS = (1, 2, 4, 8)
_SLOPES = (0.01, 0.1, 0.2, 0.3)
_ALPHAS = (0.5, 2.0)
_USUAL = ("relu", "leaky_relu(0.01)", "tanh", "selu", "elu", "gelu", "silu", "sigmoid")
_FEATURE_RATIOS = (1.0, 0.5, 2.0)
_MOST_OUTPUTS = 16
_MOST_TOKENS = 16
_IMAGE_SIZES = (8, 16)

NetworkKind = Literal["mlp", "convnet", "residual", "transformer", "rnn"]
AnySpec = NetworkSpec | ConvnetSpec | ResidualSpec | TransformerSpec | RecurrentSpec
_NETWORK_KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)
_NUMPY_KINDS: tuple[NetworkKind, ...] = ("mlp", "residual", "rnn")
_BOUNDED_DEPTH: tuple[NetworkKind, ...] = ("residual", "transformer")
"""Their stream carries any depth: an activation's length is not iterated."""


def _check_range(low_name: str, low: float, high_name: str, high: float, least: float) -> None:
    if low < least:
        raise InvalidArgument(f"{low_name}={low:g} must be at least {least:g}")
    if low > high:
        raise InvalidArgument(f"{low_name}={low:g} must not be above {high_name}={high:g}")


def _check_known(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(values, str) or not values:
        raise InvalidArgument(f"{name}={values!r} must be a tuple of at least one of {', '.join(known)}")
    for value in values:
        if value not in known:
            raise InvalidArgument(f"{name} has no {value!r}{did_you_mean(str(value), known)}")


def _check_activation(name: str | None) -> None:
    try:
        if name is not None:
            activation_named(name)
    except ConfigError as error:
        raise InvalidArgument(str(error)) from None


@st.composite
def input_distributions(
    draw: DrawFn,
    *,
    shape: tuple[int, ...] | None = None,
    min_features: int = 8,
    max_features: int = 256,
    max_mean: float = 2.0,
    min_std: float = 0.25,
    max_std: float = 2.0,
) -> Normal | Uniform | Images:
    """Return a strategy for input distributions: normal, uniform and, for three sides, images.

    * ``shape`` is the shape of one sample; by default a vector of drawn length.
    * ``min_features`` and ``max_features`` bound that length.
    * ``max_mean`` is the largest absolute mean; 0 gives centred inputs.
    * ``min_std`` and ``max_std`` bound the standard deviation.

    Shrinks to N(0, 1), or to the standard deviation that is nearest to 1.
    """
    _check_range("min_features", min_features, "max_features", max_features, 1)
    _check_range("min_std", min_std, "max_std", max_std, 0.01)
    if max_mean < 0:
        raise InvalidArgument(f"max_mean={max_mean:g} must not be negative")
    if shape is None:
        shape = (draw(st.integers(min_features, max_features)),)
    _check_range("the smallest side of shape", min(shape, default=1), "infinity", math.inf, 1)
    families = ["normal", "uniform"]
    if max_mean >= 0.5 and min_std <= math.sqrt(1 / 12) <= max_std:
        families.append("unit")
    if len(shape) == 3:
        families.append("images")
    family = draw(st.sampled_from(families))
    event(f"inputs: {family}")
    # every family draws the same choices: Hypothesis calls the shortest example the simplest
    mean = draw(_hundredths(0.0, -max_mean, max_mean))
    stretch = math.sqrt(3) if family == "uniform" else 1.0
    spread = draw(_hundredths(1.0, stretch * min_std, stretch * max_std))
    if family == "unit":  # pixels divided by 255
        return Uniform(shape, 0.0, 1.0)
    if family == "uniform":
        return Uniform(shape, round(mean - spread, 4), round(mean + spread, 4))
    return Normal(shape, mean, spread) if family == "normal" else Images(shape, mean, spread)


def _hundredths(simplest: float, low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers in steps of 1/100 from the simplest: their text is short and reads back."""
    start = min(max(simplest, low), high)

    def steps(room: float, sign: int) -> st.SearchStrategy[float]:
        most = math.floor(100 * room + 1e-9)
        return st.integers(0, most).map(lambda n: round(start + sign * n / 100, 4))

    return steps(high - start, 1) | steps(start - low, -1)


@st.composite
def layer_shapes(
    draw: DrawFn,
    *,
    kinds: tuple[Kind, ...] = _KINDS,
    min_width: int = 8,
    max_width: int = 256,
) -> Layer:
    """Return a strategy for the shapes of weights.

    * ``kinds`` are the kinds of layer, simplest first: dense, conv, grouped_conv, depthwise_conv,
      conv_transposed, embedding, fused (query, key and value), recurrent, tied.
    * ``min_width`` and ``max_width`` bound inputs and units, for convolutions the channels, for fused
      and recurrent weights those of one block.

    Shrinks to a square dense layer of ``min_width``.
    """
    _check_known("kinds", kinds, _KINDS)
    _check_range("min_width", min_width, "max_width", max_width, 1)
    kind = draw(st.sampled_from(kinds))
    event(f"layer: {kind}")
    inputs, units = (draw(st.integers(min_width, max_width)) for _ in range(2))
    match kind:
        case "dense":
            return dense(inputs, units)
        case "embedding":
            return embedding(inputs, units)
        case "tied":
            return tied(inputs, units)
        case "fused":
            return fused_qkv(units)
        case "recurrent":
            return recurrent(inputs, units, cell=draw(st.sampled_from(list(CELLS))))
    kernel = draw(st.sampled_from(_KERNELS))
    if kind == "conv":
        return conv(inputs, units, *kernel)
    # always drawn, and cut afterwards: Hypothesis calls the shortest example the simplest
    stride = min(draw(st.sampled_from(_STRIDES)), *kernel)
    if kind == "conv_transposed":
        return conv_transposed(inputs, units, *kernel, stride=stride)
    if kind == "depthwise_conv":
        return depthwise_conv(inputs, *kernel, stride=stride)
    groups = draw(st.sampled_from(_GROUPS))
    channels, outputs = (side - side % groups for side in (inputs, units))
    if min(channels, outputs) < min_width:
        groups, channels, outputs = 1, inputs, units
    return grouped_conv(channels, outputs, *kernel, groups=groups, stride=stride)


def _names(families: Sequence[Family]) -> tuple[str, ...]:
    """Every activation of these families, the usual ones first."""
    leaky = [f"leaky_relu({slope:g})" for slope in _SLOPES]
    elus = [f"elu({alpha:g})" for alpha in _ALPHAS]
    plain = [name for name in NAMES if name != "leaky_relu"]
    names = dict.fromkeys((*_USUAL, *leaky, *elus, *plain))
    return tuple(name for name in names if activation_named(name).family in families)


@st.composite
def activations(draw: DrawFn, *, families: tuple[Family, ...] | None = None) -> str:
    """Return a strategy for the names of activations, as ``activation=`` takes them.

    * ``families`` are any of linear, rectifier, smooth_rectifier, self_normalising, bounded, periodic
      and shrink; by default all of them.

    Shrinks to ReLU.
    """
    if families is not None:
        _check_known("families", families, _FAMILIES)
    name = draw(st.sampled_from(_names(_FAMILIES if families is None else families)))
    event(f"activation: {name}")
    return name


@st.composite
def initializers(draw: DrawFn, *, activation: str | None = None) -> Scheme:
    """Return a strategy for initialisation schemes.

    * ``activation`` narrows them to those that keep the length under it; by default every textbook
      scheme is drawn, the wrong ones included, and those of torch, keras and jax.

    Shrinks to He's normal scheme, or to the most usual one that matches.
    """
    _check_activation(activation)
    if activation is not None:
        scheme = draw(st.sampled_from(matched(activation)))
    else:
        scheme = draw(st.sampled_from((*_textbook(), *library_schemes())))
    event(f"scheme: {scheme.name}")
    return scheme


def _textbook() -> list[Scheme]:
    return sorted(named_schemes(), key=lambda scheme: scheme.name != "he_normal")


@st.composite
def networks(
    draw: DrawFn,
    *,
    framework: Framework = "torch",
    kinds: tuple[NetworkKind, ...] = ("mlp",),
    activation: str | None = None,
    matching: bool = True,
    min_width: int = 16,
    max_width: int = 128,
    min_depth: int = 1,
    max_depth: int = 20,
    batch_norm: bool = False,
) -> AnySpec:
    """Return a strategy for specifications of networks; ``spec.factory()`` builds them.

    * ``framework`` is "torch" or "numpy".
    * ``kinds`` are any of mlp, convnet, residual, transformer and rnn, simplest first; numpy has mlp,
      residual and rnn. ``spec.inputs`` are N(0, 1) inputs of the shape that the network takes.
    * ``activation`` fixes the activation; by default it is drawn from those that train at depth.
    * ``matching`` draws a scheme that matches the activation, otherwise any named scheme.
    * ``min_width`` and ``max_width`` bound the hidden layers, the channels or the stream.
    * ``min_depth`` and ``max_depth`` bound how many hidden layers, blocks or steps there are.
    * ``batch_norm`` normalises every hidden layer of an mlp or a convnet; torch only.

    Matched networks whose length is unstable (GELU, SiLU, Mish) are no deeper than their width
    carries, and scale their first layer for E[x^2] = 1; an mlp's ``spec.for_inputs`` does so for other
    inputs. Shrinks to one hidden ReLU layer of ``min_width`` under He's scheme.
    """
    _check_known("framework", (framework,), FRAMEWORKS)
    _check_known("kinds", kinds, _NETWORK_KINDS)
    _check_activation(activation)
    _check_range("min_width", min_width, "max_width", max_width, 1)
    _check_range("min_depth", min_depth, "max_depth", max_depth, 1)
    if batch_norm and framework == "numpy":
        raise InvalidArgument("batch_norm=True needs framework='torch'")
    for kind in kinds:
        if framework == "numpy" and kind not in _NUMPY_KINDS:
            raise InvalidArgument(f"kinds={kinds!r}: numpy has {', '.join(_NUMPY_KINDS)}, not {kind!r}")
    names = TEXTBOOK_ACTIVATIONS if activation is None else (activation,)
    kind = draw(st.sampled_from(kinds))

    def deepest(name: str, width: int) -> float:
        free = not matching or kind in _BOUNDED_DEPTH
        return max_depth if free else min(max_depth, textbook_depth(name, width))

    carried = [name for name in names if deepest(name, max_width) >= min_depth]
    if not carried:
        raise InvalidArgument(
            f"max_width={max_width} does not carry min_depth={min_depth} layers of {activation}; "
            "widen it, or pass matching=False"
        )
    name = draw(st.sampled_from(carried))
    narrowest = next(n for n in range(min_width, max_width + 1) if deepest(name, n) >= min_depth)
    width = draw(st.integers(narrowest, max_width))
    depth = draw(st.integers(min_depth, int(deepest(name, width))))
    scheme = draw(st.sampled_from(matched(name) if matching else _textbook()))
    unstable = matching and theory.length_slope(name) > 1 + 1e-9
    size = _Size(framework, width, depth, name, scheme, 1.0 if unstable else None, batch_norm)
    spec = _OF_KIND[kind](draw, size)
    event(f"network: {kind}")
    event(f"activation: {name}")
    event(f"scheme: {scheme.name}")
    return spec


@dataclass(frozen=True)
class _Size:
    """What every kind of network is made from."""

    framework: Framework
    width: int
    depth: int
    activation: str
    scheme: Scheme
    first_gain: float | None
    batch_norm: bool


def _features(draw: DrawFn, width: int) -> int:
    return max(1, round(width * draw(st.sampled_from(_FEATURE_RATIOS))))


def _mlp(draw: DrawFn, size: _Size) -> NetworkSpec:
    features = _features(draw, size.width)
    return NetworkSpec(
        (features, *[size.width] * size.depth, draw(st.integers(1, _MOST_OUTPUTS))),
        size.activation,
        size.scheme,
        batch_norm=size.batch_norm,
        first_gain=size.first_gain,
        framework=size.framework,
    )


def _convnet(draw: DrawFn, size: _Size) -> ConvnetSpec:
    return ConvnetSpec(
        (draw(st.sampled_from((3, 1))), *[size.width] * size.depth),
        draw(st.sampled_from(_IMAGE_SIZES)),
        size.activation,
        size.scheme,
        batch_norm=size.batch_norm,
        outputs=draw(st.integers(1, _MOST_OUTPUTS)),
        first_gain=size.first_gain,
    )


def _residual(draw: DrawFn, size: _Size) -> ResidualSpec:
    branches = [each for each in BRANCHES if size.framework == "torch" or each != "pre_norm"]
    return ResidualSpec(
        _features(draw, size.width),
        size.width,
        size.depth,
        size.activation,
        size.scheme,
        draw(st.sampled_from(branches)),
        draw(st.integers(1, _MOST_OUTPUTS)),
        framework=size.framework,
    )


def _transformer(draw: DrawFn, size: _Size) -> TransformerSpec:
    heads = draw(st.sampled_from([count for count in (1, 2, 4) if size.width % count == 0]))
    return TransformerSpec(
        size.width,
        heads,
        size.depth,
        draw(st.integers(2, _MOST_TOKENS)),
        size.activation,
        size.scheme,
        outputs=draw(st.integers(1, _MOST_OUTPUTS)),
    )


def _rnn(draw: DrawFn, size: _Size) -> RecurrentSpec:
    return RecurrentSpec(
        _features(draw, size.width),
        size.width,
        size.depth,
        size.activation,
        size.scheme,
        draw(st.integers(1, _MOST_OUTPUTS)),
        framework=size.framework,
    )


_OF_KIND: Mapping[str, Callable[[DrawFn, _Size], AnySpec]] = {
    "mlp": _mlp,
    "convnet": _convnet,
    "residual": _residual,
    "transformer": _transformer,
    "rnn": _rnn,
}
