"""The three properties once more, on torch networks: few examples, with and without batch norm."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import strategies as ist
from pytest_initcheck.networks import NetworkSpec

FEW = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@FEW
@given(net=ist.networks(max_width=64, max_depth=12))
def test_a_matched_torch_network_passes_every_invariant(net):
    report = ic.check(net.factory(), inputs=ic.normal(net.features))
    assert report.framework == "torch"
    assert report.verdict == "pass", str(report)


@FEW
@given(net=ist.networks(max_width=64, max_depth=12))
def test_activation_variance_is_preserved_under_matched_init(net):
    report = ic.check(net.factory(), inputs=ic.normal(net.features), only="variance", variance=10)
    assert report.verdict == "pass", str(report)


@FEW
@given(net=ist.networks(max_width=64, max_depth=8, batch_norm=True, matching=False, activation="tanh"))
def test_batch_norm_bounds_saturation_whatever_the_scheme(net):
    report = ic.check(net.factory(), inputs=ic.uniform(net.features, high=5), only="saturation")
    assert report.verdict == "pass", str(report)


@FEW
@given(
    net=ist.networks(activation="relu", min_width=64, max_width=96, min_depth=10, max_depth=14),
    scheme=st.sampled_from((init.pytorch_default(), init.xavier_uniform(), init.normal(1.0))),
)
def test_a_wrong_scheme_is_found(net, scheme):
    wrong = NetworkSpec(net.widths, "relu", scheme, framework="torch")
    report = ic.check(
        wrong.factory(), inputs=ic.normal(net.features), only="variance", variance=10, try_fixes=False
    )
    assert report.invariants["variance"].verdict == "fail", str(report)


@FEW
@given(net=ist.networks(activation="tanh", min_width=64, max_width=96, max_depth=6))
def test_raw_pixels_saturate_a_matched_network(net):
    report = ic.check(
        net.factory(), inputs=ic.uniform(net.features, high=255), only="saturation", try_fixes=False
    )
    assert report.invariants["saturation"].verdict == "fail", str(report)
