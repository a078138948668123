"""The examples in the docstrings of the modules that need no framework run."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterable

import pytest

MODULES = (
    "activations",
    "activations.callables",
    "activations.error_function",
    "activations.form",
    "activations.interpolation",
    "activations.parametrised",
    "config",
    "conformance.agreement",
    "conformance.networks",
    "declare",
    "distributions",
    "engine",
    "evidence",
    "explain",
    "explain.markdown",
    "factory",
    "families",
    "initializer_check",
    "initializer_check.causes",
    "initializers",
    "initializers.keras_schemes",
    "initializers.layer_kinds",
    "initializers.layers",
    "initializers.library_schemes",
    "initializers.marginals",
    "initializers.matching",
    "initializers.orthonormal",
    "initializers.recogniser",
    "initializers.scheme_forms",
    "initializers.schemes",
    "initializers.significance",
    "initializers.textbook",
    "initializers.torch_schemes",
    "inputs",
    "libraries",
    "libraries.arrays",
    "libraries.blueprint",
    "libraries.shrunk",
    "networks.convnet",
    "networks.dense",
    "networks.frameworks",
    "networks.recurrent",
    "networks.residual",
    "networks.transformer",
    "numpy",
    "parametrize",
    "probes.protocol",
    "report.course",
    "report.figure_traces",
    "report.figure_values",
    "report.figures",
    "report.files",
    "report.github",
    "report.html",
    "report.json",
    "report.ledger",
    "report.markdown",
    "report.message",
    "report.outline",
    "report.palette",
    "report.sarif",
    "report.wording",
    "runs",
    "sequential",
    "site_rows",
    "specs",
    "strategies",
    "theory",
    "theory.correlations",
    "theory.dead_units",
    "theory.finite_width",
    "theory.gains",
    "theory.gaussian",
    "theory.layers",
    "theory.lengths",
    "theory.moments",
    "theory.relu_lengths",
    "theory.roots",
    "trace",
)
MUST_HAVE_EXAMPLES = (
    "activations",
    "config",
    "distributions",
    "initializer_check",
    "initializers",
    "initializers.layer_kinds",
    "initializers.layers",
    "initializers.library_schemes",
    "initializers.marginals",
    "initializers.matching",
    "initializers.orthonormal",
    "initializers.recogniser",
    "initializers.schemes",
    "initializers.significance",
    "initializers.textbook",
    "initializers.torch_schemes",
    "inputs",
    "libraries",
    "libraries.arrays",
    "libraries.blueprint",
    "libraries.shrunk",
    "networks.convnet",
    "networks.dense",
    "networks.recurrent",
    "networks.residual",
    "networks.transformer",
    "sequential",
    "theory",
    "theory.correlations",
    "theory.dead_units",
    "theory.finite_width",
    "theory.gains",
    "theory.layers",
    "theory.lengths",
    "theory.relu_lengths",
)


def run(tests: Iterable[doctest.DocTest]) -> doctest.TestResults:
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        runner.run(test)
    return runner.summarize(verbose=False)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    results = run(doctest.DocTestFinder().find(importlib.import_module(f"pytest_initcheck.{name}")))
    assert results.failed == 0
    assert results.attempted > 0 or name not in MUST_HAVE_EXAMPLES


@pytest.mark.parametrize(("source", "failed"), [(">>> 1 + 1\n3\n", 1), (">>> 1 + 1\n2\n", 0)])
def test_a_wrong_example_would_be_seen(source, failed):
    test = doctest.DocTestParser().get_doctest(source, {}, "an example", None, 0)
    assert run([test]).failed == failed
