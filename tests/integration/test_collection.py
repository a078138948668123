"""What ``--initcheck`` collects, from where, and under which ids."""

from __future__ import annotations

import re
import textwrap

import pytest

GOOD = """
@ic.model(inputs=ic.normal(32))
def classifier(rng):
    return net(rng)
"""


def test_one_item_per_invariant(project, verdicts):
    project.write(GOOD)
    assert verdicts() == {
        "test_models.py::classifier::finite": "PASSED",
        "test_models.py::classifier::inputs": "PASSED",
        "test_models.py::classifier::variance": "PASSED",
        "test_models.py::classifier::saturation": "SKIPPED",  # a ReLU network has no bounded layer
        "test_models.py::classifier::dead-relu": "PASSED",
        "test_models.py::classifier::gradient": "PASSED",
        "test_models.py::classifier::trainable": "PASSED",
        "test_models.py::classifier::symmetry": "PASSED",
    }


def test_without_the_option_a_factory_is_neither_collected_nor_run(project):
    project.write(GOOD + "def test_it_is_callable():\n    assert classifier.__name__ == 'classifier'\n")
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("initcheck:*")
    result.stdout.no_fnmatch_line("*= initcheck =*")


def test_a_factory_named_like_a_test_is_no_test(project):
    project.write(GOOD.replace("classifier", "test_net"))
    assert project.ids() == []
    assert "test_models.py::test_net::variance" in project.ids("--initcheck")


def test_items_carry_the_marker(project):
    project.write(GOOD + "def test_other(): pass\n")
    project.run("--initcheck", "-m", "initcheck").assert_outcomes(passed=7, skipped=1, deselected=1)
    project.run("--initcheck", "-m", "not initcheck").assert_outcomes(passed=1, deselected=8)


def test_one_item_can_be_named(project):
    project.write(GOOD)
    project.run("--initcheck", "test_models.py::classifier::variance").assert_outcomes(passed=1)
    project.run("--initcheck", "-k", "classifier and finite").assert_outcomes(passed=1, deselected=7)


def test_invariant_decorators_narrow_and_commute(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.preserves_variance()
        @ic.bounded_dead_relu(0.9)
        def one(rng):
            return net(rng)

        @ic.bounded_dead_relu(0.9)
        @ic.preserves_variance()
        @ic.model(inputs=ic.normal(32))
        def two(rng):
            return net(rng)
        """
    )
    names = ("finite", "variance", "dead-relu")
    wanted = [f"test_models.py::{model}::{name}" for model in ("one", "two") for name in names]
    assert project.ids("--initcheck") == wanted


def test_models_py_is_collected_besides_the_test_files(project):
    project.write(GOOD + "def test_of_models(): raise AssertionError\n", name="models")
    project.run("--initcheck").assert_outcomes(passed=7, skipped=1)
    project.run().assert_outcomes()


def test_models_py_that_is_named_on_the_command_line_is_collected_once(project):
    project.write(GOOD, name="models")
    assert len(project.ids("--initcheck", "models.py")) == 8
    assert len(project.ids("--initcheck", "models.py::classifier::variance")) == 1


def test_models_py_that_has_nothing_to_do_with_it_is_not_imported(project):
    project.pytester.makepyfile(models="raise RuntimeError('needs its web framework')")
    project.write(GOOD)
    project.run("--initcheck").assert_outcomes(passed=7, skipped=1)


def test_initcheck_files_names_other_files(project):
    project.ini("initcheck_files = net_*.py src/zoo.py")
    project.write(GOOD, name="net_a")
    project.write(GOOD, name="models")
    (project.path / "src").mkdir()
    (project.path / "net_a.py").rename(project.path / "net_a.py")
    (project.path / "models.py").rename(project.path / "src" / "zoo.py")
    project.pytester.syspathinsert(project.path)
    ids = project.ids("--initcheck")
    assert {id.partition("::")[0] for id in ids} == {"net_a.py", "src/zoo.py"}


def test_an_imported_declaration_stays_where_it_is_declared(project):
    project.write(GOOD, name="models")
    project.write("from models import classifier\ndef test_it(): assert classifier\n")
    ids = project.ids("--initcheck")
    assert "models.py::classifier::variance" in ids
    assert not [id for id in ids if id.startswith("test_models.py::classifier")]


def test_a_class_can_be_bound_and_stays_a_class(project):
    project.pytester.makepyfile(
        zoo="""
        from nets import net
        class Net(list):
            def __init__(self):
                import numpy as np
                super().__init__(net(np.random.default_rng(np.random.randint(2**31))))
        """
    )
    project.write(
        """
        from zoo import Net
        Checked = ic.model(inputs=ic.normal(32))(Net)
        def test_class():
            assert isinstance(Net(), Net) and Checked.factory is Net
        """
    )
    project.run("--initcheck").assert_outcomes(passed=8, skipped=1)
    assert "test_models.py::Checked::finite" in project.ids("--initcheck")


def test_a_second_name_is_not_a_second_model(project):
    project.write(GOOD + "alias = classifier\n")
    assert len(project.ids("--initcheck")) == 8


def test_id_is_appended_and_tells_declarations_of_one_name_apart(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32), id="centred")
        @ic.stays_finite()
        def classifier(rng):
            return net(rng)

        @ic.model(inputs=ic.uniform(32), id="unit")
        @ic.stays_finite()
        def classifier(rng):
            return net(rng)
        """
    )
    assert project.ids("--initcheck") == [
        "test_models.py::classifier::finite[centred]",
        "test_models.py::classifier::finite[unit]",
    ]


def test_a_name_declared_twice_without_id_is_an_error(project):
    project.write(GOOD + GOOD)
    result = project.run("--initcheck")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["test_models.py::classifier: is declared more than once (lines 6 and 10); tell them *id=*"]
    )


def test_models_made_in_a_loop_need_an_id(project):
    loop = """
    for width in (16, 32):
        @ic.model(inputs=ic.normal(width){id})
        @ic.stays_finite()
        def looped(rng, width=width):
            return net(rng, width=width)
    """
    project.write(loop.format(id=""))
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(["*looped: is declared more than once*"])
    result.stdout.no_fnmatch_line("no model is declared*")
    project.write(loop.format(id=", id=str(width)"))
    assert project.ids("--initcheck") == [
        "test_models.py::looped::finite[16]",
        "test_models.py::looped::finite[32]",
    ]


def test_an_invariant_decorator_without_model_is_a_collection_error(project):
    project.write("@ic.preserves_variance()\ndef classifier(rng):\n    return net(rng)\n")
    result = project.run("--initcheck")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["test_models.py::classifier: lacks @ic.model: add @ic.model(inputs=...)*"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    project.run().assert_outcomes()


def test_allow_and_family_without_model_are_collection_errors(project):
    project.write(
        """
        @ic.allow("dead-relu", reason="why not")
        def one(rng): ...

        @ic.family(depth=st.integers(1, 3))
        def two(rng, depth): ...
        """
    )
    project.run("--initcheck").assert_outcomes(errors=2)


def test_marks_on_a_factory_apply_to_all_its_items(project, verdicts):
    project.write(
        """
        @pytest.mark.skip(reason="later")
        @ic.model(inputs=ic.normal(32))
        def above(rng):
            return net(rng)

        @ic.model(inputs=ic.normal(32))
        @pytest.mark.xfail(raises=ic.SaturationViolation, strict=True)
        @ic.bounded_saturation()
        @pytest.mark.skipif("False")
        def below(rng):
            return saturated(rng)
        """
    )
    found = verdicts("-k", "variance or saturation")
    assert found["test_models.py::above::variance"] == "SKIPPED"
    assert found["test_models.py::below::saturation"] == "XFAIL"


def test_the_marks_of_a_class_reach_its_model(project):
    project.write(
        """
        @pytest.mark.skip(reason="later")
        class Net: ...

        Checked = ic.model(inputs=ic.normal(32))(Net)
        """
    )
    project.run("--initcheck").assert_outcomes(skipped=8)


def test_usefixtures_is_refused(project):
    project.write("@pytest.mark.usefixtures('tmp_path')" + GOOD)
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(["*classifier: fixtures do not reach a declared model*"])


def test_limits_in_a_marker_on_a_factory(project):
    project.write("@pytest.mark.initcheck(variance=10, only='variance')" + GOOD)
    assert len(project.ids("--initcheck")) == 2
    project.write("@pytest.mark.initcheck(varianse=10)" + GOOD)
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(["*unknown argument 'varianse'; did you mean 'variance'?"])


def test_nothing_declared_is_said_with_the_remedy(project):
    project.write("def test_other(): pass\n")
    result = project.run("--initcheck")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no model is declared: decorate *", "@ic.model*"])


def test_collect_only_judges_nothing(project):
    project.write("@ic.model()\ndef classifier():\n    raise AssertionError('called')\n")
    result = project.run("--initcheck", "--collect-only")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*claims*")


@pytest.mark.parametrize(
    ("decorator", "line"),
    [
        (
            "@ic.model(inputs=ic.normal(32))\n@ic.bounded_saturation(1.5)",
            "saturation must be above 0 and below 1, got 1.5 (@bounded_saturation)",
        ),
        (
            "@ic.model(inputs=ic.normal(32))\n@ic.bounded_saturation(limt=0.1)",
            "@ic.bounded_saturation: unknown argument 'limt'; did you mean 'limit'?",
        ),
        (
            "@ic.model(inputs=ic.normal(32), mod='eval')",
            "@ic.model: unknown argument 'mod'; did you mean 'mode'?",
        ),
        ("@ic.model", "@ic.model is called first: @ic.model(inputs=...) or @ic.model()"),
        (
            "@ic.model(inputs=ic.normal(32))\n@ic.allow('dead-rel', reason='so')",
            "unknown invariant 'dead-rel'; did you mean 'dead-relu'?",
        ),
        ("@ic.bounded_saturation()", "lacks @ic.model: add @ic.model(inputs=...)*"),
        (
            "@pytest.mark.initcheck(saturaton=0.1)\n@ic.model(inputs=ic.normal(32))",
            "unknown argument 'saturaton'; did you mean 'saturation'?",
        ),
    ],
)
def test_a_mistake_in_a_declaration_costs_one_line_and_nothing_else(project, decorator, line):
    project.write(
        f"{decorator}\ndef broken(rng):\n    return net(rng)\n\n"
        "def test_other(): pass\n" + textwrap.dedent(GOOD)
    )
    result = project.run("--initcheck")
    result.assert_outcomes(passed=8, skipped=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"test_models.py::broken*: {line}"])
    result.stdout.no_fnmatch_line("*declare.py*")
    project.run().assert_outcomes(passed=1)


def test_a_broken_declaration_cannot_be_checked_by_hand_either(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.bounded_saturation(1.5)
        def broken(rng):
            return net(rng)

        def test_call():
            with pytest.raises(ic.ConfigError, match="broken: saturation must be above 0"):
                ic.check(broken)
        """
    )
    project.run().assert_outcomes(passed=1)


def test_a_strict_xfail_is_about_the_model(project):
    source = """
    @pytest.mark.xfail(strict=True, reason="known")
    @ic.model(inputs=ic.normal(32))
    def model(rng):
        return {}(rng)
    """
    project.write(source.format("saturated"))
    result = project.run("--initcheck")
    result.assert_outcomes(xfailed=2, passed=5, skipped=1)
    project.write(source.format("net"))
    result = project.run("--initcheck")
    assert result.parseoutcomes()["failed"] == 7  # nothing is wrong any more: the mark is to go


def test_an_xfail_that_is_not_to_run_does_not_run(project):
    project.write(
        """
        @pytest.mark.xfail(run=False)
        @ic.model(inputs=ic.normal(32))
        def model(rng):
            raise SystemError("must not be built")
        """
    )
    project.run("--initcheck").assert_outcomes(xfailed=8)


def test_the_id_of_a_variant_can_be_selected(project):
    project.write(
        """
        @pytest.mark.parametrize("width", [16, 32])
        @ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
        @ic.stays_finite()
        def sized(rng, width):
            return net(rng, width=width)
        """
    )
    project.run("--initcheck", "test_models.py::sized::finite[32]").assert_outcomes(passed=1)
    project.run("--initcheck", "test_models.py::sized").assert_outcomes(passed=2)
    project.run("--initcheck", "--junitxml=out.xml")
    names = re.findall(r'classname="([^"]*)" name="([^"]*)"', (project.path / "out.xml").read_text())
    assert names == [("test_models.sized", "finite[16]"), ("test_models.sized", "finite[32]")]


def test_the_failed_variant_is_run_again_alone(project):
    project.write(
        """
        @pytest.mark.parametrize("gain", [1.4, 90.0])
        @ic.model(inputs=ic.normal(32))
        @ic.bounded_saturation()
        def sized(rng, gain):
            return net(rng, gain=gain, activation="tanh")
        """
    )
    project.pytester.runpytest("--initcheck", "-W", "default").assert_outcomes(passed=3, failed=1)
    again = project.pytester.runpytest("--initcheck", "--lf", "-W", "default")
    again.assert_outcomes(failed=1, deselected=3)


def test_only_of_a_model_names_what_is_checked(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32), only="inputs")
        @ic.bounded_saturation()
        def model(rng):
            return net(rng)
        """
    )
    assert [id.rpartition("::")[2] for id in project.ids("--initcheck")] == [
        "finite",
        "inputs",
        "saturation",
    ]
