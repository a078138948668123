"""Checks inside ordinary tests: these run with every ``pytest``, no option needed."""

import functools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import pytest_initcheck as ic


def autoencoder(rng, features=48, code=16):
    """Return tanh layers with Xavier weights: variance 2 / (fan_in + fan_out)."""

    def xavier(fan_in, fan_out):
        return rng.normal(0, np.sqrt(2 / (fan_in + fan_out)), (fan_in, fan_out))

    return [(xavier(features, code), None, "tanh"), (xavier(code, features), None, None)]


# The marker sets limits for this test; the nearest wins, so a limit in the call would overrule it.
@pytest.mark.initcheck(saturation=0.05)
def test_autoencoder(initcheck):
    report = initcheck(autoencoder, inputs=ic.uniform(48, low=-1, high=1))
    assert report.framework == "numpy"


# Sparse data are worth a test of their own; one invariant at a time is a method of the fixture.
def test_autoencoder_on_one_hot_rows(initcheck):
    initcheck.saturation(autoencoder, inputs=ic.one_hot(classes=48), limit=0.01)


# The fixture has session scope, so Hypothesis accepts it. Seeds derive from the root seed and from what
# is checked, hence an example has the same verdict each time that Hypothesis returns to it.
@settings(deadline=None, max_examples=10)
@given(code=st.integers(8, 48))
def test_every_code_size(initcheck, code):
    initcheck(functools.partial(autoencoder, code=code), inputs=ic.normal(48))


# Without the fixture a library call does it: in a script or a notebook, or where a failure is expected.
def test_data_in_0_to_5_saturate_the_code():
    report = ic.check(autoencoder, inputs=ic.uniform(48, low=0, high=5))
    assert report.verdict == "fail"
    assert [finding.invariant for finding in report.findings] == ["saturation"]
    with pytest.raises(ic.SaturationViolation, match="its input is large"):
        report.raise_if_failed()
