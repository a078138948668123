"""Families: Hypothesis draws the arguments and shrinks to the smallest conclusive failure."""

from __future__ import annotations

import json

FAMILY = """
@ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
@ic.family({arguments})
@ic.preserves_variance(10)
def mlp(rng, depth, width):
    return net(rng, gain={gain}, depth=depth, width=width)
"""
SIZES = "depth=st.integers(1, 6), width=st.integers(16, 24)"


def test_a_good_family_passes(project):
    project.write(FAMILY.format(arguments=SIZES, gain="HE"))
    project.run("--initcheck").assert_outcomes(passed=2)


def test_a_bad_family_fails_with_the_smallest_example(project):
    project.write(FAMILY.format(arguments=SIZES, gain="0.3"))
    result = project.run("--initcheck")
    result.assert_outcomes(passed=1, failed=1)
    line = next(line for line in result.outlines if line.startswith("variance FAIL"))
    assert "variance FAIL mlp(depth=" in line
    assert ", width=16)" in line
    assert "Falsifying" not in result.stdout.str()
    assert "hypothesis" not in result.stdout.str().partition("FAILURES")[2]


def test_every_example_counts_in_the_claims(project):
    project.write(FAMILY.format(arguments=SIZES, gain="HE") + "calls = []\n")
    project.run("--initcheck", "--initcheck-json", "one.json")
    project.write(FAMILY.format(arguments=SIZES + ", settings=settings(max_examples=3)", gain="HE"))
    project.run("--initcheck", "--initcheck-json", "two.json")
    many, few = (
        json.loads((project.path / name).read_text())["claims"] for name in ("one.json", "two.json")
    )
    assert many > 2 * few > 0


def test_examples_are_judged_once_and_shared_by_the_invariants(project):
    project.write(
        """
        judged = []

        @ic.model(inputs=ic.normal(16))
        @ic.family(depth=st.integers(1, 4))
        @ic.preserves_variance(10)
        @ic.bounded_dead_relu(0.9)
        def mlp(rng, depth):
            judged.append(depth)
            return net(rng, depth=depth, width=16)

        def test_calls():
            # each of the 4 examples: at most 63 clean inits for the rare events, and one more look
            assert set(judged) == {1, 2, 3, 4}
            assert len(judged) <= 4 * 66
        """
    )
    result = project.run("--initcheck", "-p", "no:randomly")
    # the factory is declared first and so are its items
    result.assert_outcomes(passed=4)


def test_inputs_can_be_a_strategy(project):
    project.write(
        """
        from pytest_initcheck.strategies import input_distributions

        @ic.model(inputs=st.sampled_from([ic.normal(32), ic.uniform(32, high=1000)]))
        @ic.family(depth=st.just(2))
        @ic.normalized_inputs(limit=46, mean=None, std=None)
        def drawn(rng, depth):
            return net(rng, depth=depth)

        @ic.model(inputs=input_distributions(shape=(32,), max_mean=0))
        @ic.stays_finite()
        def without_arguments(rng):
            return net(rng)
        """
    )
    result = project.run("--initcheck")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "inputs FAIL drawn(depth=2...m(0,1000):32)  input: E[[]x^2[]] is *",
            "  example drawn(depth=2, inputs=uniform(0,1000):32)",
        ]
    )


def test_the_same_verdict_twice(project):
    few = SIZES + ", settings=settings(max_examples=5)"
    project.write(FAMILY.format(arguments=few, gain="0.3"))
    outputs = []
    for name in ("a.json", "b.json"):
        project.run("--initcheck", "--initcheck-json", name)
        document = json.loads((project.path / name).read_text())
        for model in document["models"]:
            model["seconds"] = 0
        outputs.append(document)
    assert outputs[0] == outputs[1]


def test_an_example_that_raises_is_an_error_with_the_users_traceback(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        @ic.family(depth=st.integers(1, 50))
        def mlp(rng, depth):
            if depth > 7:
                raise ValueError("too deep")
            return net(rng, depth=depth)
        """
    )
    result = project.run("--initcheck", "-k", "finite or variance")
    result.assert_outcomes(failed=2, deselected=6)
    result.stdout.fnmatch_lines(
        [
            "ERROR mlp(depth=8)  *raised ValueError: too deep",
            '*raise ValueError("too deep")',
            "test_models.py::mlp could not be judged: see test_models.py::mlp::finite",
        ]
    )


def test_what_is_no_strategy_is_one_line(project):
    project.write(FAMILY.format(arguments="depth=3, width=st.just(16)", gain="HE"))
    result = project.run("--initcheck")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*@ic.family: depth is no Hypothesis strategy but 3; write depth=st.just*"]
    )


def test_inputs_from_an_argument_that_is_not_there(project):
    text = FAMILY.format(arguments=SIZES, gain="HE").replace(
        "lambda width: ic.normal(width)", "lambda w: w"
    )
    project.write(text)
    result = project.run("--initcheck", "-k", "variance")
    result.stdout.fnmatch_lines(
        ["*ic.inputs_from: w is no argument of the family; it has depth,", "    width"]
    )


def test_a_strategy_that_raises_is_one_line(project):
    text = FAMILY.format(
        arguments="depth=st.integers(1, 2).map(lambda d: 1 / 0), width=st.just(16)", gain="HE"
    )
    project.write(text)
    result = project.run("--initcheck", "-k", "variance")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["ERROR *drawing raised ZeroDivisionError: division by zero"])


def test_a_family_with_parametrized_arguments(project):
    project.write(
        """
        @pytest.mark.parametrize("width", [16, 32])
        @ic.model(inputs=ic.inputs_from(lambda width, depth: ic.normal(width)))
        @ic.family(depth=st.integers(1, 2))
        @ic.preserves_variance(10)
        def mlp(rng, depth, width):
            return net(rng, gain=0.01, depth=depth, width=width)
        """
    )
    result = project.run("--initcheck", "-k", "variance")
    result.assert_outcomes(failed=2, deselected=2)
    result.stdout.fnmatch_lines(["variance FAIL mlp[[]16[]] mlp(depth=*"])


def test_hypothesis_statistics_tell_what_a_family_drew(project):
    project.write(FAMILY.format(arguments=SIZES, gain="HE"))
    result = project.run("--initcheck", "-k", "variance", "--hypothesis-show-statistics")
    result.stdout.fnmatch_lines(
        ["test_models.py::mlp::variance:", "*- during generate phase*", "*100.00%, verdict: pass"]
    )


def test_hypothesis_statistics_of_a_test_with_the_fixture(project):
    project.write(
        """
        from pytest_initcheck import strategies as ist
        @settings(max_examples=5, deadline=None)
        @given(spec=ist.networks(framework="numpy", kinds=("rnn",), max_width=16, max_depth=2))
        def test_nets(initcheck, spec):
            initcheck(spec.factory(), inputs=spec.inputs)
        """
    )
    result = project.run("--hypothesis-show-statistics")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines_random(
        ["*verdict: pass", "*network: rnn", "*Highest target score*worst log2 gain of a layer*"]
    )
