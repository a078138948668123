"""``--initcheck-strict``: what is inconclusive fails."""

from __future__ import annotations

BUILT = """
import numpy as np
from nets import net
built = net(np.random.default_rng(0))
"""


def test_inconclusive_warns_on_its_item_and_fails_when_strict(project):
    project.pytester.makepyfile(zoo=BUILT)
    spec = ("--initcheck-model", "zoo:built", "-k", "variance")
    lax = project.run(*spec)
    lax.assert_outcomes(passed=1, deselected=7, warnings=1)
    lax.stdout.fnmatch_lines(
        ["zoo:built::variance", "*InitCheckWarning: variance INCONCLUSIVE zoo:built *", "inconclusive:"]
    )
    error = project.run(*spec, "-W", "error::pytest_initcheck.InitCheckWarning")
    error.assert_outcomes(failed=1, deselected=7)
    error.stdout.no_fnmatch_line("*Traceback*")
    error.stdout.no_fnmatch_line("*collection.py*")
    strict = project.run(*spec, "--initcheck-strict")
    strict.assert_outcomes(failed=1, deselected=7)
    strict.stdout.fnmatch_lines(
        ["initcheck: *strict*", "variance INCONCLUSIVE zoo:built *pass the factory*"]
    )


def test_a_marker_can_make_one_model_strict(project):
    project.write(
        """
        import numpy as np

        @pytest.mark.initcheck(strict=True)
        def test_strict(initcheck):
            initcheck(net(np.random.default_rng(0)), inputs=ic.normal(32))
        """
    )
    project.run().assert_outcomes(failed=1)


def test_too_narrow_to_be_tested_is_never_a_silent_pass(project):
    project.pytester.makeconftest(
        """
        import dataclasses
        import pytest_initcheck.engine as engine
        real = engine.judge

        def judge(subject, watch=None):
            report = real(subject)
            result = dataclasses.replace(report.invariants["finite"], verdict="vacuous", note="too narrow")
            return dataclasses.replace(report, invariants={"finite": result})

        def pytest_configure(config):
            engine.judge = judge
            config.add_cleanup(lambda: setattr(engine, "judge", real))
        """
    )
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.stays_finite()
        def narrow(rng):
            return net(rng)
        """
    )
    result = project.run("--initcheck", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "vacuous, not tested:",
            "  finite VACUOUS test_models.py::narrow  too narrow",
            "SKIPPED *too narrow",
        ]
    )
