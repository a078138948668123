"""``-p no:initcheck``: decorators and library calls work, nothing is collected."""

from __future__ import annotations


def test_decorators_and_check_work_without_the_plugin(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.preserves_variance(10)
        @ic.allow("dead-relu", reason="not asked for")
        def classifier(rng):
            return net(rng)

        def test_library():
            report = ic.check(classifier)
            assert report.ok and list(report.invariants) == ["finite", "variance"]
            import sys
            assert "pytest_initcheck.plugin" not in sys.modules
        """
    )
    result = project.run_apart("-p", "no:initcheck", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*claims*")
