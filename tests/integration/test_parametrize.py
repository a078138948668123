"""``pytest.mark.parametrize`` on a declared factory."""

from __future__ import annotations

import pytest


def source(marks: str, parameters: str = "width", body: str = "return net(rng, width=width)") -> str:
    return f"""
{marks}
@ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
@ic.stays_finite()
def mlp(rng, {parameters}):
    {body}
"""


def test_every_parameter_set_is_a_model_with_its_own_inputs(project):
    project.write(source("@pytest.mark.parametrize('width', [16, 32])"))
    project.run("--initcheck").assert_outcomes(passed=2)
    assert project.ids("--initcheck") == [
        "test_models.py::mlp::finite[16]",
        "test_models.py::mlp::finite[32]",
    ]


def test_stacked_marks_combine_as_those_of_a_test_do(project):
    marks = """
@pytest.mark.parametrize('depth', [1, 2])
@pytest.mark.parametrize('width', [16, 32])
"""
    body = "return net(rng, width=width, depth=depth)"
    project.write(source(marks, "width, depth", body) + marks + "def test_order(width, depth): pass\n")
    ids = project.ids("--initcheck")
    models = [id.split("[")[1].split("]")[0] for id in ids if "mlp" in id]
    tests = [id.split("[")[1].split("]")[0] for id in ids if "test_order" in id]
    assert models == tests == ["16-1", "16-2", "32-1", "32-2"]


@pytest.mark.parametrize(
    ("mark", "wanted"),
    [
        ("'width', [16, 32], ids=['small', 'large']", ["small", "large"]),
        ("'width', [16, 32], ids=lambda w: f'w{w}'", ["w16", "w32"]),
        ("'width', [pytest.param(16, id='small'), 32]", ["small", "32"]),
        ("'width, depth', [(16, 1), (32, 2)]", ["16-1", "32-2"]),
        ("('width',), [(16,), (32,)]", ["16", "32"]),
        ("argnames='width', argvalues=[16]", ["16"]),
        ("'width, depth', [(16, int), (32, [2])]", ["16-int", "32-depth1"]),
        ("'width, depth', [(16, None), (32, 'a\\n')]", ["16-None", "32-a\\n"]),
    ],
)
def test_ids(project, mark, wanted):
    project.write(source(f"@pytest.mark.parametrize({mark})", "width, depth=1"))
    found = [id.partition("[")[2].rpartition("]")[0] for id in project.ids("--initcheck")]
    assert found == wanted


def test_the_id_of_the_declaration_comes_first(project):
    text = source("@pytest.mark.parametrize('width', [16])").replace(
        "ic.model(inputs", "ic.model(id='he', inputs"
    )
    project.write(text)
    assert project.ids("--initcheck") == ["test_models.py::mlp::finite[he-16]"]


def test_marks_of_one_parameter_set(project):
    project.write(
        source("@pytest.mark.parametrize('width', [16, pytest.param(32, marks=pytest.mark.skip)])")
    )
    project.run("--initcheck").assert_outcomes(passed=1, skipped=1)


def test_no_parameter_set_is_a_visible_skip(project):
    project.write(source("@pytest.mark.parametrize('width', [])"))
    result = project.run("--initcheck", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*got an empty parameter set"])


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("'width', [16], indirect=True", "*parametrize(indirect=...) needs fixtures*"),
        ("'widht', [16]", "*gives 'widht', but the factory's parameters are: rng, width"),
        ("'width', [16, 16]", "*2 parameter sets have the id '16'*"),
        ("'width', [16, 32], ids=['one']", "*2 parameter sets and 1 ids"),
        ("('width', 'rng'), [(16,)]", "*names width, rng, but gives 1 values"),
    ],
)
def test_what_does_not_fit_is_one_line(project, mark, message):
    project.write(source(f"@pytest.mark.parametrize({mark})"))
    result = project.run("--initcheck")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"test_models.py::mlp: {message}"])


def test_an_argument_given_twice(project):
    twice = "@pytest.mark.parametrize('width', [16])\n@pytest.mark.parametrize('width', [32])"
    project.write(source(twice))
    project.run("--initcheck").stdout.fnmatch_lines(["*parametrize gives 'width' twice"])
