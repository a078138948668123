"""Specifications of networks, and the factories that build them for each framework.

A specification is a small frozen value whose text has no address in it; weights are drawn by the
factory, never stored.  A framework is imported when a network is built for it.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.networks.convnet import ConvnetSpec
from pytest_initcheck.networks.dense import (
    TEXTBOOK_ACTIVATIONS,
    NetworkSpec,
    build_numpy,
    build_torch,
    textbook_depth,
)
from pytest_initcheck.networks.frameworks import FRAMEWORKS, Framework
from pytest_initcheck.networks.recurrent import RecurrentSpec
from pytest_initcheck.networks.residual import BRANCHES, Branch, ResidualSpec
from pytest_initcheck.networks.transformer import TransformerSpec

__all__ = [
    "BRANCHES",
    "FRAMEWORKS",
    "TEXTBOOK_ACTIVATIONS",
    "Branch",
    "ConvnetSpec",
    "Framework",
    "NetworkSpec",
    "RecurrentSpec",
    "ResidualSpec",
    "TransformerSpec",
    "build_numpy",
    "build_torch",
    "textbook_depth",
]
