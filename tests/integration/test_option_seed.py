"""``--initcheck-seed``: the root of every draw."""

from __future__ import annotations

import json
import re

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
def classifier(rng):
    return net(rng)
"""


def moments(project, *args: str) -> list[float]:
    project.run("--initcheck", "--initcheck-json", "out.json", *args)
    document = json.loads((project.path / "out.json").read_text())
    return [site["second_moment"] for site in document["models"][0]["sites"]]


def test_the_default_is_fixed(project):
    project.write(SOURCE)
    assert moments(project) == moments(project) == moments(project, "--initcheck-seed", "0")


def test_another_seed_draws_other_models(project):
    project.write(SOURCE)
    assert moments(project) != moments(project, "--initcheck-seed", "1")


def test_random_is_printed_and_can_be_repeated(project):
    project.write(SOURCE)
    result = project.run("--initcheck", "--initcheck-seed", "random", "--initcheck-json", "a.json")
    seed = re.search(r"^initcheck: .*seed (\d+)", result.stdout.str(), re.MULTILINE)
    assert seed is not None
    document = json.loads((project.path / "a.json").read_text())
    assert document["root_seed"] == int(seed[1])
    again = moments(project, "--initcheck-seed", seed[1])
    assert again == [site["second_moment"] for site in document["models"][0]["sites"]]


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", "²"])
def test_what_is_no_seed_is_a_usage_error(project, seed):
    result = project.run(f"--initcheck-seed={seed}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: initcheck: --initcheck-seed wants a whole number from 0 or 'random'*"]
    )
