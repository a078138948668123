"""The ``initcheck`` fixture and marker in ordinary tests."""

from __future__ import annotations

import json

import pytest


def test_it_runs_without_the_option_and_returns_the_report(project):
    project.write(
        """
        def test_good(initcheck):
            report = initcheck(net, inputs=ic.normal(32))
            assert report.ok and report.claims > 0
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["* claims evaluated", "the chance that a correct model *"])
    result.stdout.no_fnmatch_line("1 model*")
    result.stdout.no_fnmatch_line("initcheck: *")


def test_a_violation_fails_the_test_without_frames_of_ours(project):
    project.write("def test_bad(initcheck):\n    initcheck(saturated, inputs=ic.normal(32))\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *VarianceViolation: variance FAIL test_bad*",
            "E *  fix  *",
            "E *  repeat  pytest test_models.py::test_bad --initcheck-seed 0",
        ]
    )
    result.stdout.no_fnmatch_line("*fixture.py*")
    result.stdout.no_fnmatch_line("*result.py*")


@pytest.mark.parametrize(
    ("call", "violation"),
    [
        ("initcheck.saturation(saturated, inputs=ic.normal(32))", "SaturationViolation"),
        ("initcheck.saturation(saturated, limit=0.999, inputs=ic.normal(32))", None),
        ("initcheck.dead_relu(dead, inputs=ic.normal(32))", "DeadReluViolation"),
        ("initcheck.variance(saturated, inputs=ic.normal(32))", "VarianceViolation"),
        ("initcheck.variance(net, inputs=ic.normal(32))", None),
        ("initcheck.inputs(net, inputs=ic.normal(32))", None),
        ("initcheck.inputs(net, inputs=ic.normal(32, mean=3))", "InputsViolation"),
        ("initcheck.finite(net, inputs=ic.normal(32))", None),
    ],
)
def test_one_method_per_invariant(project, call, violation):
    project.write(f"def test_it(initcheck):\n    {call}\n")
    result = project.run()
    if violation is None:
        result.assert_outcomes(passed=1)
    else:
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([f"E *{violation}: *"])


def test_a_method_names_its_unknown_arguments(project):
    project.write(
        """
        def test_argument(initcheck):
            with pytest.raises(ic.ConfigError, match="initcheck.inputs: unknown argument 'men'.*'mean'"):
                initcheck.inputs(net, men=0)
            with pytest.raises(ic.ConfigError, match="it has no limit"):
                initcheck.finite(net, limit=0)

        def test_method(initcheck):
            with pytest.raises(AttributeError, match="did you mean 'saturation'"):
                initcheck.saturated

        def test_limit(initcheck):
            with pytest.raises(ic.ConfigError, match="'saturatoin'; did you mean 'saturation'"):
                initcheck(net, inputs=ic.normal(32), saturatoin=0.1)
        """
    )
    project.run().assert_outcomes(passed=3)


def test_inside_given_it_shrinks_and_is_not_flaky(project):
    project.write(
        """
        @settings(deadline=None, max_examples=10, database=None)
        @given(depth=st.integers(1, 9), width=st.sampled_from([16, 24, 32]))
        def test_bad(initcheck, depth, width):
            network = lambda rng: net(rng, gain=0.2, depth=depth, width=width)
            initcheck.variance(network, inputs=ic.normal(width))

        @settings(deadline=None, max_examples=5, database=None)
        @given(depth=st.integers(1, 3))
        def test_good(initcheck, depth):
            initcheck(lambda rng: net(rng, depth=depth), inputs=ic.normal(32))
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "Flaky" not in text
    assert "FailedHealthCheck" not in text
    result.stdout.re_match_lines([r".*depth=1,"])


def test_every_call_counts_in_the_claims(project):
    project.write(
        """
        def test_once(initcheck):
            initcheck(net, inputs=ic.normal(32))
        def test_twice(initcheck):
            initcheck(net, inputs=ic.normal(32))
            initcheck(net, inputs=ic.normal(32))
        """
    )
    project.run("--initcheck-json", "all.json")
    project.run("--initcheck-json", "one.json", "-k", "once")
    whole, one = (json.loads((project.path / f"{name}.json").read_text()) for name in ("all", "one"))
    assert whole["claims"] == 3 * one["claims"]


def test_precedence_call_marker_ini_default(project):
    project.ini("initcheck_saturation = 0.4\ninitcheck_variance = 40\ninitcheck_input_columns = 50")
    project.write(
        """
        pytestmark = pytest.mark.initcheck(variance=30, saturation=0.35)

        @pytest.mark.initcheck(saturation=0.3)
        def test_sources(initcheck):
            report = initcheck(net, inputs=ic.normal(32))
            found = {name: (each.limit, each.limit_source) for name, each in report.invariants.items()}
            assert found["saturation"] == ((0, 0.3), "marker")
            assert found["variance"] == ((1 / 30, 30), "marker")
            assert found["inputs"] == ((0, 46), "default")
            report = initcheck(net, inputs=ic.normal(32), saturation=0.2)
            assert report.invariants["saturation"].limit == (0, 0.2)
            assert report.invariants["saturation"].limit_source == "call"

        def test_decorated(initcheck):
            decorated = ic.bounded_saturation(0.1)(net)
            assert initcheck(decorated, inputs=ic.normal(32)).invariants["saturation"].limit_source == (
                "@bounded_saturation"
            )
            report = initcheck.variance(net, inputs=ic.normal(32))
            assert report.invariants["variance"].limit == (1 / 30, 30)
        """
    )
    project.run().assert_outcomes(passed=2)
    project.write(
        """
        def test_ini(initcheck):
            report = initcheck(net, inputs=ic.normal(32))
            assert report.invariants["saturation"].limit_source == "ini initcheck_saturation"
        """
    )
    project.run().assert_outcomes(passed=1)


def test_marker_options(project):
    project.write(
        """
        @pytest.mark.initcheck(only=["saturation"], batch=16)
        def test_only(initcheck):
            report = initcheck(net, inputs=ic.normal(32))
            assert list(report.invariants) == ["finite", "saturation"]
        """
    )
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("saturatoin=0.1", "*unknown argument 'saturatoin'; did you mean 'saturation'?"),
        ("saturation=2", "*saturation must be above 0 and below 1, got 2 (marker)"),
        ("saturation='x'", "*saturation wants a number, got 'x' (marker)"),
        ("0.1", "*takes keywords only, got 0.1; *"),
        ("only=['variants']", "*unknown invariant 'variants'; did you mean 'variance'?"),
        ("only=3", "*only= takes names of invariants, got 3"),
    ],
)
def test_a_marker_that_cannot_be_is_one_line(project, marker, message):
    project.write(f"@pytest.mark.initcheck({marker})\ndef test_it(initcheck):\n    assert False\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"test_models.py::test_it: @pytest.mark.initcheck: {message}"])


def test_a_marker_on_a_test_without_the_fixture_fails_at_setup(project):
    project.write("@pytest.mark.initcheck(saturation=0.1)\ndef test_it(): pass\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_models.py::test_it: * which this test does not use; add *"])


def test_a_marker_on_a_module_may_concern_some_of_its_tests(project):
    project.write(
        """
        pytestmark = pytest.mark.initcheck(saturation=0.1)
        def test_other(): pass
        @pytest.fixture
        def checked(initcheck): return initcheck(net, inputs=ic.normal(32))
        @pytest.mark.initcheck(saturation=0.1)
        def test_through_a_fixture(checked): assert checked.invariants["saturation"].limit == (0, 0.1)
        """
    )
    project.run().assert_outcomes(passed=2)


def test_what_cannot_be_decided_warns_and_fails_under_strict(project):
    project.write(
        """
        import numpy as np
        def test_built(initcheck):
            report = initcheck(net(np.random.default_rng(0)), inputs=ic.normal(32))
            assert report.verdict == "inconclusive"
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*InitCheckWarning: *pass the factory"])
    project.run("--initcheck-strict").assert_outcomes(failed=1)


def test_a_factory_that_raises_shows_its_own_traceback(project):
    project.write(
        """
        def broken():
            raise KeyError("no weights")

        def test_it(initcheck):
            initcheck(broken)
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *ERROR test_it::broken *KeyError*", '*raise KeyError("no weights")'])
    result.stdout.no_fnmatch_line("*engine.py*")


def test_a_loader_is_read_once(project):
    project.write(
        """
        import numpy as np
        def batches():
            yield np.random.default_rng(0).standard_normal((16, 32)).astype("float32"), np.zeros(16)
            raise AssertionError("read again")

        def test_it(initcheck):
            assert initcheck(net, inputs=batches()).ok
        """
    )
    project.run().assert_outcomes(passed=1)
