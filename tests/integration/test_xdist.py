"""The same verdicts alone, reversed, on workers and again; gathered by the controller, written once."""

from __future__ import annotations

import json
from typing import Any

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation(0.2)
def broken(rng):
    return saturated(rng)

@ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
@ic.family(depth=st.integers(1, 4), width=st.integers(16, 20), settings=settings(max_examples=5))
@ic.preserves_variance(10)
@ic.bounded_dead_relu(0.9)
def family(rng, depth, width):
    return net(rng, gain=0.3, depth=depth, width=width)

@ic.model()
def raising():
    raise ValueError("no")

def test_fixture(initcheck):
    initcheck(net, inputs=ic.normal(32))
"""
REVERSED = "def pytest_collection_modifyitems(items):\n    items.reverse()\n"


def report(project, *args: str) -> dict[str, Any]:
    project.run("--initcheck", "--initcheck-json", "out.json", *args)
    document: dict[str, Any] = json.loads((project.path / "out.json").read_text())
    for model in document["models"]:
        model["seconds"] = 0
    return document


@pytest.mark.parametrize("way", ["again", "workers", "reversed"])
def test_the_report_does_not_depend_on_how_it_was_run(project, way):
    project.write(SOURCE)
    expected = report(project)
    if way == "reversed":
        project.pytester.makeconftest(REVERSED)
    found = report(project, *(("-n", "2") if way == "workers" else ()))
    assert found == expected
    verdicts = {model["id"].partition("::")[2]: model["verdict"] for model in found["models"]}
    assert verdicts["good"] == "pass"
    assert verdicts["broken"] == "fail"
    assert verdicts["raising"] == "error"


@pytest.mark.parametrize("name", ["good", "broken"])
def test_a_model_alone_is_judged_as_among_others(project, name):
    project.write(SOURCE)
    together = report(project)["models"]
    alone = report(project, "-k", name)["models"]
    assert alone == [model for model in together if model["id"] == f"test_models.py::{name}"]


def test_the_summary_is_printed_once_by_the_controller(project):
    project.write(SOURCE)
    alone, spread = project.run("--initcheck"), project.run("--initcheck", "-n", "2")
    for result in (alone, spread):
        text = result.stdout.str()
        assert text.count("= initcheck =") == 1
        assert text.count("claims evaluated") == 1
    summaries = [
        [line for line in result.outlines if "claims evaluated" in line] for result in (alone, spread)
    ]
    assert summaries[0] == summaries[1]


def test_a_random_seed_is_the_same_on_every_worker(project):
    project.write(SOURCE)
    document = report(project, "-n", "2", "--initcheck-seed", "random")
    assert {model["root_seed"] for model in document["models"]} == {document["root_seed"]}


def test_specs_and_options_reach_the_workers(project):
    project.pytester.makepyfile(zoo="from nets import net\n")
    result = project.run(
        "-n", "2", "--initcheck-model", "zoo:net", "--initcheck-inputs", "normal:32", "--initcheck-only"
    )
    result.assert_outcomes(passed=7, skipped=1)
    bad = project.run("-n", "2", "--initcheck-model", "zoo:nett")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR
    bad.stderr.fnmatch_lines(["ERROR: initcheck: zoo has no 'nett'; did you mean 'net'?"])


def test_nothing_declared_and_declared_but_deselected(project):
    project.write("def test_other(): pass\n")
    project.run("--initcheck", "-n", "2").stdout.fnmatch_lines(["no model is declared*"])
    project.write(SOURCE)
    result = project.run("--initcheck", "-n", "2", "-k", "nothing_of_this_name")
    result.stdout.no_fnmatch_line("no model is declared*")


def test_the_fixture_alone_has_its_summary_with_workers(project):
    project.write("def test_it(initcheck):\n    initcheck(net, inputs=ic.normal(32))\n")
    result = project.run("-n", "2")
    result.stdout.fnmatch_lines(["* claims evaluated"])
