"""Activations and initialisation schemes, drawn.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from pytest_initcheck.activations import NAMES, Family
from pytest_initcheck.activations import activation as activation_named
from pytest_initcheck.initializers import library_schemes, matched, named_schemes
from pytest_initcheck.initializers.schemes import Scheme
from pytest_initcheck.strategies.arguments import check_activation, check_known

_FAMILIES: tuple[Family, ...] = get_args(Family)
_SLOPES = (0.01, 0.1, 0.2, 0.3)
_ALPHAS = (0.5, 2.0)
_USUAL = ("relu", "leaky_relu(0.01)", "tanh", "selu", "elu", "gelu", "silu", "sigmoid")


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
        check_known("families", families, _FAMILIES)
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
    check_activation(activation)
    if activation is not None:
        scheme = draw(st.sampled_from(matched(activation)))
    else:
        scheme = draw(st.sampled_from((*textbook_schemes(), *library_schemes())))
    event(f"scheme: {scheme.name}")
    return scheme


def textbook_schemes() -> list[Scheme]:
    return sorted(named_schemes(), key=lambda scheme: scheme.name != "he_normal")
