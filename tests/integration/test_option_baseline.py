"""``--initcheck-baseline``: drift, known findings, and writing the file."""

from __future__ import annotations

import pytest

MODELS = """
@ic.model(inputs=ic.normal(32))
def good(rng):
    return net(rng, gain={gain})

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)
"""
FILE = ("--initcheck-baseline", "b.toml")
UPDATE = (*FILE, "--initcheck-update-baseline")


@pytest.fixture
def written(project):
    """A project with a baseline of a good and a broken model."""
    project.write(MODELS.format(gain="HE"))
    result = project.run("--initcheck", *UPDATE)
    result.assert_outcomes(passed=12, skipped=2, xfailed=2)
    return project


def content(project):
    return (project.path / "b.toml").read_text(encoding="utf-8")


def test_writing_accepts_what_is_there_and_says_what_is_left_to_do(project):
    project.write(MODELS.format(gain="HE"))
    result = project.run("--initcheck", *UPDATE)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "known:",
            "  dead-relu at test_models.py::broken  0: 100 % of its units are dead, at most",
            "    50 % (accepted by --initcheck-update-baseline; say why)",
            "baseline: b.toml has 2 models (2 new) and 1 known finding; write a reason for 1 of them",
        ]
    )
    assert content(project).count("{ name = ") == 8
    assert 'invariant = "dead-relu", site = "0"' in content(project)


def test_unchanged_models_pass_and_known_findings_do_not_fail(written):
    result = written.run("--initcheck", *FILE)
    assert result.ret == 0
    result.assert_outcomes(passed=14, skipped=2, xfailed=2)
    result.stdout.fnmatch_lines(["2 models: 1 pass, 1 known; *"])


def test_it_is_written_the_same_again(written):
    before = content(written)
    assert written.run("--initcheck", *UPDATE).ret == 0
    assert content(written) == before


def test_a_changed_init_fails_and_is_accepted_by_an_update(written):
    written.write(MODELS.format(gain="0.9 * HE"))
    result = written.run("--initcheck", *FILE)
    result.assert_outcomes(passed=13, failed=1, skipped=2, xfailed=2)
    result.stdout.fnmatch_lines(
        [
            "drift FAIL good  0: *",
            "*weight rms 0.2* to 0.2*",
            "*pytest --initcheck --initcheck-baseline b.toml --initcheck-update-baseline",
            "  repeat  pytest test_models.py::good::drift --initcheck --initcheck-seed 0 --initcheck-baseline b.toml",
            "  more    pytest --initcheck-explain drift",
            "FAILED test_models.py::good::drift - 0: *(drift FAIL good)",
        ]
    )
    assert written.run("--initcheck", *UPDATE).ret == 0
    assert written.run("--initcheck", *FILE).ret == 0


def test_workers_write_and_compare_alike(project):
    project.write(MODELS.format(gain="HE"))
    project.run("--initcheck", *UPDATE, "-n", "2").assert_outcomes(passed=12, skipped=2, xfailed=2)
    by_workers = content(project)
    project.run("--initcheck", *UPDATE)
    assert content(project) == by_workers
    project.write(MODELS.format(gain="0.9 * HE"))
    result = project.run("--initcheck", *FILE, "-n", "2")
    result.assert_outcomes(passed=13, failed=1, skipped=2, xfailed=2)


def test_a_reason_is_kept_and_shown(written):
    mended = content(written).replace("accepted by --initcheck-update-baseline; say why", "goes with v2")
    (written.path / "b.toml").write_text(mended, encoding="utf-8")
    result = written.run("--initcheck", *FILE)
    result.stdout.fnmatch_lines(["*dead-relu at test_models.py::broken  0: *", "*(goes with v2)"])
    written.run("--initcheck", *UPDATE)
    assert content(written) == mended


def test_a_kept_finding_that_is_gone_is_reported(written):
    mended = MODELS.format(gain="HE").replace("dead(rng)", "net(rng)")
    written.write(mended)
    result = written.run("--initcheck", *FILE, "--deselect", "test_models.py::broken::drift")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "notes:",
            "  test_models.py::broken: dead-relu at 0 is kept in b.toml, but gone; remove its",
            "*",
        ]
    )


def test_a_new_finding_fails(written):
    written.write(MODELS.format(gain="HE").replace("net(rng, gain=HE)", "saturated(rng)"))
    result = written.run("--initcheck", *FILE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["saturation FAIL good *"])


def test_a_model_that_is_new_is_no_failure(written):
    written.write(MODELS.format(gain="HE").replace("good", "other"))
    result = written.run("--initcheck", *FILE, "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*drift SKIPPED other  not in b.toml; add it with --initcheck-update-base*"]
    )


def test_models_that_are_gone_are_said_and_their_lines_stay(written):
    before = content(written)
    written.write(MODELS.format(gain="HE").partition("@ic.model(inputs=ic.normal(32))\ndef broken")[0])
    result = written.run("--initcheck", *FILE)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["gone:", "  test_models.py::broken: remove its table from b.toml"])
    assert content(written) == before
    written.run("--initcheck", *UPDATE)
    assert content(written) == before


@pytest.mark.parametrize("narrow", [("-k", "good"), ("test_models.py::good",), ("-m", "initcheck")])
def test_a_run_of_some_models_says_nothing_of_the_others(written, narrow):
    written.run("--initcheck", *FILE, *narrow).stdout.no_fnmatch_line("gone:")


def test_an_update_of_some_models_keeps_the_others(written):
    before = content(written)
    written.write(MODELS.format(gain="0.9 * HE"))
    written.run("--initcheck", *UPDATE, "test_models.py::good")
    after = content(written)
    assert after != before
    assert (
        after.partition('[models."test_models.py::good"]')[0]
        == before.partition('[models."test_models.py::good"]')[0]
    )


def test_an_update_of_some_invariants_keeps_the_findings_of_the_others(written):
    before = content(written)
    written.run("--initcheck", *UPDATE, "-k", "finite")
    assert content(written) == before


def test_a_run_that_stops_early_writes_nothing(written):
    before = content(written)
    written.write(MODELS.format(gain="0.9 * HE"))
    written.write("def test_stops():\n    assert 0\n", "test_after")
    result = written.run("--initcheck", *UPDATE, "-x", "test_after.py", "test_models.py")
    result.stdout.fnmatch_lines(["the baseline b.toml was not written: the run is incomplete"])
    assert content(written) == before


@pytest.mark.parametrize("broken", ["<<<<<<< HEAD\n", "schema = 99\n", "[models\n", "\x00"])
@pytest.mark.parametrize("options", [FILE, UPDATE])
def test_a_file_that_is_no_baseline_is_one_line_and_is_not_overwritten(project, broken, options):
    project.write(MODELS.format(gain="HE"))
    (project.path / "b.toml").write_text(broken, encoding="utf-8")
    result = project.run("--initcheck", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.errlines if line]
    assert line.startswith("ERROR: initcheck: the baseline b.toml ")
    assert content(project) == broken


def test_a_baseline_that_does_not_exist_is_not_made_by_comparing(project):
    result = project.run("--initcheck", *FILE)
    result.stderr.fnmatch_lines(
        [
            "ERROR: initcheck: the baseline b.toml does not exist; write it with --initcheck-update-baseline"
        ]
    )
    assert not (project.path / "b.toml").exists()


def test_updating_and_comparing_at_once_is_refused(project):
    result = project.run("--initcheck", *UPDATE, "--initcheck-baseline", "other.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: initcheck: --initcheck-baseline was given twice: a run compares with one baseline, "
            "or writes it"
        ]
    )
    result = project.run("--initcheck", "--initcheck-update-baseline")
    result.stderr.fnmatch_lines(
        ["ERROR: initcheck: --initcheck-update-baseline needs --initcheck-baseline FILE"]
    )


def test_a_place_that_cannot_be_written_is_refused_before_the_run(project):
    (project.path / "file").write_text("")
    result = project.run(
        "--initcheck", "--initcheck-baseline", "file/b.toml", "--initcheck-update-baseline"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.errlines if line]
    assert line.startswith("ERROR: initcheck: cannot ")


def test_the_ini_file_names_it_from_the_root(project):
    project.ini("initcheck_baseline = checks/b.toml")
    project.write(MODELS.format(gain="HE"))
    assert project.run("--initcheck", "--initcheck-update-baseline").ret == 0
    assert (project.path / "checks" / "b.toml").exists()
    assert project.run("--initcheck").ret == 0
    project.write(MODELS.format(gain="0.9 * HE"))
    assert project.run("--initcheck").ret == 1


def test_the_fixture_compares_and_keeps_too(project):
    source = """
    def test_good(initcheck):
        initcheck(lambda rng: net(rng, gain={gain}), inputs=ic.normal(32))

    def test_broken(initcheck):
        initcheck(dead, inputs=ic.normal(32))
    """
    project.write(source.format(gain="HE"))
    project.run(*UPDATE).assert_outcomes(passed=2)
    project.run(*FILE).assert_outcomes(passed=2)
    project.write(source.format(gain="0.9 * HE"))
    result = project.run(*FILE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*DriftViolation: drift FAIL *"])


def test_a_family_has_no_profile_and_keeps_its_findings(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.family(depth=st.integers(1, 3))
        def family(rng, depth):
            return net(rng, depth=depth, bias=-20.0)
        """
    )
    project.run("--initcheck", *UPDATE).assert_outcomes(passed=5, skipped=1, xfailed=2)
    assert "layers" not in content(project).partition("[models")[2]
    project.run("--initcheck", *FILE).assert_outcomes(passed=5, skipped=1, xfailed=2)


def test_an_error_is_never_kept(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        def raising(rng):
            raise ValueError("no weights")
        """
    )
    result = project.run("--initcheck", *UPDATE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["baseline: b.toml has 0 models and no known finding"])


def test_hostile_names_stay_names(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32), id='x"]\\n[models."y')
        def good(rng):
            return net(rng)
        """
    )
    assert project.run("--initcheck", *UPDATE).ret == 0
    assert project.run("--initcheck", *FILE).ret == 0
    assert content(project).count("\n[models") == 1


def test_without_the_option_nothing_of_it_is_there(project):
    project.write(MODELS.format(gain="HE"))
    result = project.run("--initcheck", "-v")
    result.stdout.no_fnmatch_line("*drift*")
    assert not (project.path / "b.toml").exists()
