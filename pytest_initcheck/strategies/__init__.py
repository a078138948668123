"""Hypothesis strategies for what a network starts from: inputs, shapes, activations, schemes.

``from pytest_initcheck import strategies as ist``.  They draw specifications, small frozen values,
never the elements of an array: Hypothesis prefers simple elements, whose variance says nothing about
training.  They never draw seeds: a drawn seed would be searched for a bad one, and every property
would fail.  Examples shrink towards N(0, 1) inputs, small shapes and ReLU.  What was drawn is an event,
which ``--hypothesis-show-statistics`` counts.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_initcheck.strategies.inputs import input_distributions
from pytest_initcheck.strategies.networks import networks
from pytest_initcheck.strategies.schemes import activations, initializers
from pytest_initcheck.strategies.shapes import layer_shapes

__all__ = ["activations", "initializers", "input_distributions", "layer_shapes", "networks"]
