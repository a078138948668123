"""``--initcheck-json``: the contract for other tools."""

from __future__ import annotations

import json
import math

import jsonschema
import pytest

from pytest_initcheck.report.json import schema
from pytest_initcheck.sequential import claim_error_bound

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_dead_relu(0.9)
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)

@ic.model(inputs=ic.normal(32))
def raising(rng):
    raise ValueError("no weights")
"""
MODEL_KEYS = {
    "id", "framework", "verdict", "error", "example", "replicates", "seeds", "invariants", "findings",
    "sites", "unobserved",
}  # fmt: skip
FINDING_KEYS = {
    "invariant", "severity", "verdict", "direction", "site", "value", "limit", "message", "cause", "fix",
}  # fmt: skip
SITE_KEYS = {
    "name", "op", "second_moment", "batch_variance", "saturated", "dead", "gain", "non_finite",
    "kind", "reads", "gradient", "expected", "spread", "pre_activations",
}  # fmt: skip


@pytest.fixture
def document(project):
    project.write(SOURCE)
    result = project.run("--initcheck", "--initcheck-json", "reports/out.json")
    result.stdout.fnmatch_lines(["report: *out.json"])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads((project.path / "reports" / "out.json").read_text(), parse_constant=refuse)


def test_the_whole_of_it(document):
    assert document["schema_version"] == 1
    assert document["pytest_initcheck"].count(".") == 2
    assert document["python"].startswith("3.")
    assert "numpy" in document["frameworks"]
    assert document["root_seed"] == 0
    assert document["claims"] == sum(model["claims"] for model in document["models"])
    assert math.isclose(document["error_bound"], document["claims"] * claim_error_bound())
    assert document["complete"] is True
    assert document["stopped"] is None
    assert document["items"]["ran"] == document["items"]["declared"] > 0


def test_it_fits_its_schema(document):
    jsonschema.validate(document, schema())


def test_it_fits_its_schema_with_all_that_plots_need(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-json", "out.json", "--initcheck-html", "out.html")
    found = json.loads((project.path / "out.json").read_text())
    assert any(site["pre_activations"] for model in found["models"] for site in model["sites"])
    jsonschema.validate(found, schema())


def test_every_model(document):
    models = {model["id"]: model for model in document["models"]}
    assert list(models) == [f"test_models.py::{name}" for name in ("broken", "good", "raising")]
    for model in models.values():
        assert model.keys() >= MODEL_KEYS
        for result in model["invariants"].values():
            assert result.keys() >= {"verdict", "replicates", "limit", "limit_source"}
        for finding in model["findings"]:
            assert finding.keys() >= FINDING_KEYS
        for site in model["sites"]:
            assert site.keys() >= SITE_KEYS
    assert [models[id]["verdict"] for id in models] == ["fail", "pass", "error"]
    assert "no weights" in models["test_models.py::raising"]["error"]
    assert models["test_models.py::good"]["invariants"].keys() == {"finite", "dead-relu"}
    source = models["test_models.py::good"]["invariants"]["dead-relu"]["limit_source"]
    assert source == "@bounded_dead_relu"
    assert models["test_models.py::good"]["seeds"] >= models["test_models.py::good"]["replicates"] >= 3


def test_findings(document):
    broken = next(model for model in document["models"] if model["id"].endswith("broken"))
    finding = next(each for each in broken["findings"] if each["invariant"] == "dead-relu")
    assert finding["severity"] == "error"
    assert finding["verdict"] == "fail"
    assert finding["site"] in {site["name"] for site in broken["sites"]}
    assert finding["message"]
    assert finding["cause"]
    assert finding["fix"]


def test_direction_is_set_for_variance(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.preserves_variance(2)
        def exploding(rng):
            return net(rng, gain=9)

        @ic.model(inputs=ic.normal(32))
        @ic.preserves_variance(2)
        def vanishing(rng):
            return net(rng, gain=0.1)
        """
    )
    project.run("--initcheck", "--initcheck-json", "out.json")
    models = json.loads((project.path / "out.json").read_text())["models"]
    assert [model["findings"][0]["direction"] for model in models] == ["exploding", "vanishing"]


def test_what_is_not_finite_is_null_and_said(project):
    project.write(
        """
        import numpy as np
        @ic.model(inputs=ic.normal(32))
        def overflowing(rng):
            return net(rng, gain=1e150)
        """
    )
    project.run("--initcheck", "--initcheck-json", "out.json", "-W", "ignore")
    model = json.loads((project.path / "out.json").read_text())["models"][0]
    assert model["verdict"] in ("fail", "error")
    jsonschema.validate(json.loads((project.path / "out.json").read_text()), schema())
    odd = [site for site in model["sites"] if site["second_moment"] is None]
    assert odd
    assert all(site["non_finite"] for site in odd)


def test_fixture_calls_are_in_it_without_the_option_initcheck(project):
    project.write("def test_it(initcheck):\n    initcheck(net, inputs=ic.normal(32))\n")
    project.run("--initcheck-json", "out.json")
    models = json.loads((project.path / "out.json").read_text())["models"]
    assert [model["id"] for model in models] == ["test_models.py::test_it::net[normal(0,1):32]"]


def test_an_empty_run_writes_an_empty_report(project):
    project.run("--initcheck-json", "out.json")
    found = json.loads((project.path / "out.json").read_text())
    assert found["models"] == []
    jsonschema.validate(found, schema())


def test_collect_only_writes_nothing(project):
    project.write(SOURCE)
    project.run("--initcheck", "--collect-only", "--initcheck-json", "out.json")
    assert not (project.path / "out.json").exists()


@pytest.mark.parametrize("target", [".", "nets.py/out.json"])
def test_a_path_that_cannot_be_written_is_refused_before_anything_runs(project, target):
    project.write("def test_other(): raise AssertionError\n")
    result = project.run("--initcheck-json", target)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck: cannot write --initcheck-json *"])
    result.stdout.no_fnmatch_line("*test session starts*")


def test_a_report_that_cannot_be_written_at_the_end_is_no_success(project):
    project.write(
        """
        import pathlib
        def test_in_the_way():
            pathlib.Path("out.json").mkdir()
        """
    )
    result = project.run("--initcheck-json", "out.json")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["the report could not be written to *out.json: *"])
