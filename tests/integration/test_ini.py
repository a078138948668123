"""The ini keys: every limit, the batch, the files, the allowed deviations."""

from __future__ import annotations

import pytest

from pytest_initcheck.config import LIMITS

SATURATED = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation(){more}
def classifier(rng):
    return net(rng, gain=4, activation="tanh")
"""
PLAIN = """
@pytest.mark.initcheck(only="saturation")
@ic.model(inputs=ic.normal(32))
def classifier(rng):
    return net(rng, gain=4, activation="tanh")
"""


def test_every_limit_is_in_the_help(project):
    result = project.run("--help")
    for row in LIMITS:
        assert f"{row.ini} (float):" in result.stdout.str()
    result.stdout.fnmatch_lines(["*--initcheck-model=SPEC*", "*initcheck_files (args):*"])


def test_a_limit_moves_the_verdict_and_is_named_in_header_and_proof(project):
    project.write(PLAIN)
    project.run("--initcheck").assert_outcomes(passed=1, failed=1)
    project.ini("initcheck_saturation = 0.99")
    result = project.run("--initcheck")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["initcheck: *, saturation 0.99"])
    project.ini("initcheck_saturation = 0.1")
    text = " ".join(project.run("--initcheck").stdout.str().split())
    assert "outside the widened limit (ini initcheck_saturation)" in text


def test_the_decorator_is_nearer_than_the_ini_file(project):
    project.ini("initcheck_saturation = 0.99")
    project.write(SATURATED.format(more="").replace("saturation()", "saturation(0.2)"))
    project.run("--initcheck").assert_outcomes(passed=1, failed=1)


def test_native_toml(project):
    project.pytester.makepyprojecttoml("[tool.pytest]\ninitcheck_saturation = 0.99\n")
    project.write(PLAIN)
    project.run("--initcheck").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "initcheck_saturatoin = 0.2",
            "unknown ini key 'initcheck_saturatoin'; did you mean 'initcheck_saturation'?",
        ),
        (
            "initcheck_saturation = 2",
            "saturation must be above 0 and below 1, got 2 (ini initcheck_saturation)",
        ),
        ("initcheck_batch = 1", "initcheck_batch must be at least 2, got 1"),
        (
            "initcheck_allow = dead-relu",
            "initcheck_allow wants 'INVARIANT | SITES | REASON' per line, got 'dead-relu'",
        ),
        ("initcheck_allow = dead | a | b", "unknown invariant 'dead'; *"),
    ],
)
def test_what_cannot_be_is_a_usage_error(project, line, message):
    project.ini(line)
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: initcheck: {message}"])


def test_a_number_that_is_none_is_a_usage_error(project):
    project.ini("initcheck_saturation = much")
    assert project.run().ret == pytest.ExitCode.USAGE_ERROR


def test_unknown_keys_in_toml_and_on_the_command_line(project):
    project.pytester.makepyprojecttoml(
        '[project.entry-points.pytest11]\ninitcheck = "x"\n'
        "[tool.other]\ninitcheck_x = 1\n[tool.pytest.ini_options]\ninitcheck_varianc = 2\n"
    )
    result = project.run()
    result.stderr.fnmatch_lines(
        ["ERROR: *unknown ini key 'initcheck_varianc'; did you mean *variance'?"]
    )
    project.pytester.makepyprojecttoml("[tool.pytest.ini_options]\n")
    project.run("-o", "initcheck_bath=32").stderr.fnmatch_lines(["*did you mean 'initcheck_batch'?"])


def test_the_batch(project):
    project.ini("initcheck_batch = 32")
    project.write(
        """
        seen = []
        def inputs(rng):
            return rng.standard_normal((8, 32)).astype("float32")

        @ic.model(inputs=ic.normal(32))
        @ic.stays_finite()
        def classifier(rng):
            return net(rng)

        def test_batch(initcheck, pytestconfig):
            from pytest_initcheck.plugin import OPTIONS
            assert pytestconfig.stash[OPTIONS].batch == 32
        """
    )
    project.run("--initcheck").assert_outcomes(passed=2)


def test_allow_silences_and_an_idle_line_is_reported_once(project):
    project.write(SATURATED.format(more="") + SATURATED.format(more="").replace("classifier", "other"))
    project.run("--initcheck").assert_outcomes(passed=2, failed=2)
    project.ini(
        """
        initcheck_allow =
            saturation | * | saturated on purpose
            saturation | nowhere.* | left over
        """
    )
    result = project.run("--initcheck")
    result.assert_outcomes(passed=2, skipped=2)
    idle = [line for line in result.outlines if "matched nothing" in line]
    assert idle == ["initcheck_allow: 'saturation | nowhere.* | left over' matched nothing in this"]
    result.stdout.no_fnmatch_line("*matches nothing*")


def test_an_allow_of_a_decorator_that_matches_nothing_is_reported(project):
    more = "\n@ic.allow('saturation', at='nowhere.*', reason='left over')"
    project.write(SATURATED.format(more=more))
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(["notes:", "*classifier: allow('saturation', at='nowhere.[*]') matches"])
