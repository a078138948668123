"""``--initcheck-only``: the models, and nothing else."""

from __future__ import annotations

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.stays_finite()
def classifier(rng):
    return net(rng)

def test_other(): raise AssertionError

@pytest.mark.initcheck(saturation=0.1)
def test_with_the_fixture(initcheck): raise AssertionError
"""


def test_other_tests_are_deselected(project):
    project.write(SOURCE)
    project.run("--initcheck-only").assert_outcomes(passed=1, deselected=2)


def test_it_combines_with_k(project):
    project.write(SOURCE)
    project.run("--initcheck-only", "-k", "nothing").assert_outcomes(deselected=3)
