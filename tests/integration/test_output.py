"""What is printed: header, failures, summary; and nothing at all when nothing is asked."""

from __future__ import annotations

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_dead_relu(0.9)
def broken(rng):
    return dead(rng)
"""
RAISING = """
class Loader:
    def build(self):
        raise KeyError("weights")

@ic.model(inputs=ic.normal(32))
def raising(rng):
    return Loader().build()
"""


def test_the_header_is_one_line(project):
    project.write(SOURCE)
    lines = [line for line in project.run("--initcheck").outlines if line.startswith("initcheck:")]
    assert len(lines) == 1
    assert "numpy " in lines[0]
    assert lines[0].endswith("seed 0")


def test_nothing_is_printed_when_inactive(project):
    project.write("def test_other(): pass\n")
    text = project.run("-p", "no:hypothesispytest").stdout.str()
    assert text.count("initcheck") == text.count("plugins:")


def test_a_failure_is_the_report_without_a_traceback(project):
    project.write(SOURCE)
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(
        [
            "*____ broken::dead-relu ____*",
            "dead-relu FAIL broken  *",
            "  cause *",
            "  fix *",
            "  proof *",
        ]
    )
    result.stdout.no_fnmatch_line("*collection.py*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_short_summary_says_first_what_is_wrong(project, monkeypatch):
    monkeypatch.setenv("CI", "1")  # pytest then does not cut it
    project.write(SOURCE)
    result = project.run("--initcheck")
    result.stdout.fnmatch_lines(
        ["FAILED test_models.py::broken::dead-relu - 0: the network is dead (dead-relu FAIL broken)"]
    )


def test_an_error_of_the_model_is_shown_once_with_the_users_traceback(project):
    project.write(RAISING)
    result = project.run("--initcheck")
    result.assert_outcomes(failed=8)
    result.stdout.fnmatch_lines(
        [
            "ERROR raising  *raised KeyError*",
            "*test_models.py*in raising",
            '*raise KeyError("weights")',
            "test_models.py::raising could not be judged: see test_models.py::raising::finite",
        ]
    )
    text = result.stdout.str()
    assert text.count('raise KeyError("weights")') == 1
    assert "factory.py" not in text
    assert "1 model: 1 error" in text


def test_the_first_item_that_runs_shows_the_error(project):
    project.write(RAISING)
    result = project.run("--initcheck", "-k", "saturation")
    result.stdout.fnmatch_lines(['*raise KeyError("weights")'])


def test_a_factory_that_takes_arguments_is_told_the_remedy(project):
    project.write("@ic.model(inputs=ic.normal(32))\ndef sized(rng, width):\n    return net(rng)\n")
    result = project.run("--initcheck", "-k", "finite")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(["ERROR sized  *width*"])


def test_a_model_that_is_interrupted_is_not_an_error(project):
    project.write("@ic.model(inputs=ic.normal(32))\ndef slow(rng):\n    raise KeyboardInterrupt\n")
    result = project.run_apart("--initcheck")
    assert result.ret == 2
    result.stdout.no_fnmatch_line("ERROR *")


def test_control_characters_in_names_are_escaped(project):
    project.write(
        r"""
        import numpy as np
        from pytest_initcheck.numpy import tap

        @ic.model(inputs=ic.normal(32))
        @ic.bounded_dead_relu(0.9)
        def taps(rng):
            w = rng.normal(0, 0.25, (32, 32))
            def forward(x):
                z = tap("fc\x1b[31m", x @ w - 50, activation="relu", weight=w, bias=np.full(32, -50.0))
                return np.maximum(z, 0)
            return forward
        """
    )
    result = project.run("--initcheck", "-k", "dead-relu")
    assert "\x1b[31m" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*fc?x1b[[]31m*"])


def test_the_claims_and_their_bound_close_the_summary(project):
    project.write(SOURCE)
    result = project.run("--initcheck")
    result.stdout.re_match_lines(
        [
            r"1 model: 1 fail; \d+ claims evaluated",
            r"the chance that a correct model fails any of them is below \d.*e-1\d",
        ]
    )
