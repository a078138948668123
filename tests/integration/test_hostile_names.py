"""A hostile model id stays inert in every output of one run."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

ID = 'x"]]><script>alert(1)</script>\n::error::\x1b[2J](javascript:y)|` ::warning:: ##[add-mask]a'
WEIGHT = "::error file=a.py::a module of this name"
SOURCE = f"""
@ic.model(inputs=ic.normal(32), id={ID!r})
def broken(rng):
    import numpy as np
    weights = {{{WEIGHT!r}: rng.normal(0, 5, (32, 32)), "v": rng.normal(0, .2, (32, 4))}}
    return lambda x: np.tanh(x @ weights[{WEIGHT!r}]) @ weights["v"]
"""


@pytest.fixture
def written(project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    project.write(SOURCE)
    project.result = project.run(
        "--initcheck",
        "--initcheck-json",
        "o.json",
        "--initcheck-sarif",
        "o.sarif",
        "--junitxml",
        "o.xml",
    )
    return project


def read(project, name):
    return (project.path / name).read_text(encoding="utf-8")


def test_json_and_sarif_have_it_as_text(written):
    [model] = json.loads(read(written, "o.json"))["models"]
    assert model["verdict"] == "fail"
    log = json.loads(read(written, "o.sarif"))
    assert len(log["runs"][0]["results"]) == 1
    assert "\x1b" not in json.dumps(log, ensure_ascii=False)


def test_junit_is_valid_xml_with_the_same_cases(written):
    cases = list(ET.fromstring(read(written, "o.xml")).iter("testcase"))
    assert len(cases) == 8
    assert not list(ET.fromstring(read(written, "o.xml")).iter("script"))


def test_the_log_has_one_command_and_no_escape(written):
    lines = written.result.stdout.str().splitlines()
    assert len([line for line in lines if line.lstrip().startswith("::")]) == 1
    assert not any("##[" in line for line in lines)
    assert any(WEIGHT[2:] in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_the_step_summary_has_no_markup_of_it(written):
    text = read(written, "summary.md")
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not any(line.startswith("::") for line in text.splitlines())
