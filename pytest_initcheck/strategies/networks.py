"""Specifications of networks, drawn.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn

from pytest_initcheck import theory
from pytest_initcheck.initializers import matched
from pytest_initcheck.initializers.schemes import Scheme
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
from pytest_initcheck.strategies.arguments import check_activation, check_known, check_range
from pytest_initcheck.strategies.schemes import textbook_schemes

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

    * ``framework`` is "torch", "numpy", "jax" (plain functions) or "keras" (on its backend).
    * ``kinds`` are any of mlp, convnet, residual, transformer and rnn, simplest first; numpy has mlp,
      residual and rnn. ``spec.inputs`` are N(0, 1) inputs of the shape that the network takes.
    * ``activation`` fixes the activation; by default it is drawn from those that train at depth.
    * ``matching`` draws a scheme that matches the activation, otherwise any named scheme.
    * ``min_width`` and ``max_width`` bound the hidden layers, the channels or the stream.
    * ``min_depth`` and ``max_depth`` bound how many hidden layers, blocks or steps there are.
    * ``batch_norm`` normalises every hidden layer of an mlp or a convnet; numpy has none.

    Matched networks whose length is unstable (GELU, SiLU, Mish) are no deeper than their width
    carries, and scale their first layer for E[x^2] = 1; an mlp's ``spec.for_inputs`` does so for other
    inputs. Shrinks to one hidden ReLU layer of ``min_width`` under He's scheme.
    """
    check_known("framework", (framework,), FRAMEWORKS)
    check_known("kinds", kinds, _NETWORK_KINDS)
    check_activation(activation)
    check_range("min_width", min_width, "max_width", max_width, 1)
    check_range("min_depth", min_depth, "max_depth", max_depth, 1)
    if batch_norm and framework == "numpy":
        raise InvalidArgument("batch_norm=True needs framework='torch', 'jax' or 'keras'")
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
    scheme = draw(st.sampled_from(matched(name) if matching else textbook_schemes()))
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
        framework=size.framework,
    )


def _residual(draw: DrawFn, size: _Size) -> ResidualSpec:
    branches = [each for each in BRANCHES if size.framework != "numpy" or each != "pre_norm"]
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
        framework=size.framework,
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
