"""``--initcheck-model`` and ``--initcheck-inputs``: models that nobody declared."""

from __future__ import annotations

import pytest

ZOO = """
import numpy as np
from nets import dead, net

def good(rng):
    return net(rng)

class Holder:
    @staticmethod
    def nested(rng):
        return net(rng)

built = net(np.random.default_rng(0))
"""


@pytest.fixture
def zoo(project):
    project.pytester.makepyfile(zoo=ZOO)
    return project


def test_a_module_and_a_name(zoo):
    result = zoo.run("--initcheck-model", "zoo:good", "--initcheck-inputs", "normal:32@32", "-v")
    result.assert_outcomes(passed=7, skipped=1)
    result.stdout.fnmatch_lines(
        ["*collected 8 items", "", "zoo:good::finite PASSED*", "*", "zoo:good::dead-relu PASSED*"]
    )


def test_a_file_and_a_name(zoo):
    folder = zoo.path / "nets_of_mine"
    folder.mkdir()
    (zoo.path / "zoo.py").rename(folder / "zoo.py")
    zoo.pytester.syspathinsert(zoo.path)
    result = zoo.run(
        "--initcheck-model", "nets_of_mine/zoo.py:good", "-v", "--initcheck-inputs", "normal:32"
    )
    result.assert_outcomes(passed=7, skipped=1)
    result.stdout.fnmatch_lines(["nets_of_mine/zoo.py:good::finite PASSED*"])


def test_a_file_in_a_package_may_import_its_siblings(zoo):
    package = zoo.path / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "layers.py").write_text("from nets import net\n")
    (package / "models.py").write_text("from .layers import net\n")
    zoo.pytester.syspathinsert(zoo.path)
    result = zoo.run("--initcheck-model", "pkg/models.py:net", "--initcheck-inputs", "normal:32")
    result.assert_outcomes(passed=7, skipped=1)


def test_inputs_are_inferred_from_the_first_layer(zoo):
    zoo.run("--initcheck-model", "zoo:good").assert_outcomes(passed=7, skipped=1)


def test_a_name_inside_a_class(zoo):
    zoo.run("--initcheck-model", "zoo:Holder.nested").assert_outcomes(passed=7, skipped=1)


def test_a_built_model_is_judged_by_facts(zoo):
    result = zoo.run("--initcheck-model", "zoo:built", "--initcheck-inputs", "normal:32")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*InitCheckWarning*pass the factory*"])


def test_several_models_with_inputs_each_or_one_for_all(zoo):
    models = ("--initcheck-model", "zoo:good", "--initcheck-model", "zoo:dead")
    both = zoo.run(*models, "--initcheck-inputs", "normal:32", "-k", "finite or dead-relu")
    both.assert_outcomes(passed=3, failed=1, deselected=12)
    inputs = ("--initcheck-inputs", "normal:32", "--initcheck-inputs", "uniform(0,500):32")
    each = zoo.run(*models, *inputs, "-k", "inputs")
    each.assert_outcomes(passed=1, failed=1, deselected=14)
    each.stdout.fnmatch_lines(["inputs FAIL zoo:dead*"])


def test_a_declared_factory_keeps_what_it_declares(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32, mean=9), id="he")
        @ic.normalized_inputs()
        def declared(rng):
            return net(rng)

        @pytest.mark.parametrize("width", [16, 32])
        @ic.model()
        @ic.stays_finite()
        def sized(rng, width):
            return net(rng, width=width)
        """,
        name="zoo",
    )
    result = project.run("--initcheck-model", "zoo:declared")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["inputs FAIL zoo:declared[[]he[]]*"])
    overridden = project.run("--initcheck-model", "zoo:declared", "--initcheck-inputs", "normal:32")
    overridden.assert_outcomes(passed=2)
    assert project.ids("--initcheck-model", "zoo:sized") == [
        "zoo:sized::finite[16]",
        "zoo:sized::finite[32]",
    ]


def test_it_works_where_there_is_no_test(pytester):
    pytester.makepyfile(zoo="def bad():\n    raise RuntimeError('no')\n")
    result = pytester.runpytest_inprocess("--initcheck-model", "zoo:bad", "-k", "finite")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(["ERROR zoo:bad  *raised RuntimeError: no"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--initcheck-model", "zoo"],
            "*cannot read model 'zoo'; wanted pkg.mod:name, path.py:name or hf:name",
        ),
        (
            ["--initcheck-model", "torchvison:resnet18"],
            "*No module named 'torchvison'; did you mean torchvision:NAME, or run pytest where *",
        ),
        (
            ["--initcheck-model", "timm:"],
            "*cannot read model 'timm:': a name follows the colon, as in timm:resnet18",
        ),
        (
            ["--initcheck-model", "zoo.txt/a:b"],
            "*'zoo.txt/a' is neither a module nor a file that ends in .py",
        ),
        (
            ["--initcheck-model", "zooo:good"],
            "*cannot import model 'zooo:good': ModuleNotFoundError: *'zooo'*",
        ),
        (["--initcheck-model", "zoo:goood"], "*zoo has no 'goood'; did you mean 'good'?"),
        (["--initcheck-model", "zoo.py:goood"], "*zoo.py has no 'goood'; did you mean 'good'?"),
        (["--initcheck-model", "nowhere.py:good"], "*no such file: *nowhere.py"),
        (
            ["--initcheck-model", "raising:x"],
            "*cannot import model 'raising:x': ValueError: oh no (*raising.py:2)",
        ),
        (
            ["--initcheck-model", "leaving:x"],
            "*cannot import model 'leaving:x': SystemExit: 3 (*leaving.py:2)",
        ),
        (["--initcheck-model", "zoo:good", "--initcheck-model", "zoo:good"], "*zoo:good is given twice"),
        (
            ["--initcheck-inputs", "normal:4"],
            "*--initcheck-inputs describes the models of --initcheck-model*",
        ),
        (
            ["--initcheck-model", "zoo:good", "--initcheck-inputs", "norml:4"],
            "*unknown input distribution 'norml'; did you mean 'normal'?",
        ),
        (
            ["--initcheck-model", "zoo:good", *["--initcheck-inputs", "normal:4"] * 2],
            "*--initcheck-inputs was given 2 times for 1 --initcheck-model; *",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_4(zoo, arguments, message):
    zoo.pytester.makepyfile(raising="x = 1\nraise ValueError('oh\\nno')", leaving="x = 1\nexit(3)")
    zoo.write("def test_other(): pass")
    result = zoo.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.errlines if line]) == 1
    result.stderr.fnmatch_lines([f"ERROR: initcheck: {message}"])
    result.stdout.no_fnmatch_line("*test session starts*")


def test_sys_path_is_as_it_was_afterwards(zoo):
    import sys

    before = list(sys.path)
    zoo.run("--initcheck-model", "zoo:good", "-k", "finite")
    assert sys.path == before
