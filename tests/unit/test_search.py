"""Causes one after the other: what is tried, in which order, and what belongs to which cause."""

from __future__ import annotations

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import diagnosis
from pytest_initcheck.diagnosis import MOST_TRIALS, Bench, findings_for
from pytest_initcheck.replicates import evidence_of
from pytest_initcheck.subject import Subject
from pytest_initcheck.trials import bench_for, spelled

WIDTH = 32
INPUTS = ic.normal(WIDTH)


def net(spoil=lambda model: None, act="relu", depth=6, gain=2.0):
    def factory(rng):
        draw = lambda m: rng.normal(0, (gain / WIDTH) ** 0.5, (WIDTH, m))  # noqa: E731
        model = [(draw(WIDTH), np.zeros(WIDTH), act) for _ in range(depth)]
        model.append((rng.normal(0, WIDTH**-0.5, (WIDTH, 5)), np.zeros(5), None))
        spoil(model)
        return model

    return factory


def checked(factory, inputs=INPUTS, **kwargs):
    return ic.check(factory, inputs=inputs, id="net", **kwargs)


def subject(factory, inputs=INPUTS, **kwargs):
    return Subject(factory=factory, id="net", inputs=inputs, **kwargs)


# -- one finding per cause ---------------------------------------------------------------------------


def test_what_passes_with_a_fix_failed_for_its_cause():
    report = checked(net(act="tanh", gain=25.0), inputs=ic.uniform(WIDTH, high=5000))
    [first] = [finding for finding in report.failures if finding.invariant == "inputs"]
    assert first is report.failures[0], "what the model is fed comes first"
    failed = {name for name, result in report.invariants.items() if result.verdict == "fail"}
    told = [name for finding in report.failures for name in (finding.invariant, *finding.also)]
    assert sorted(told) == sorted(failed), "every invariant that fails is told once"


def test_two_causes_are_two_findings_and_the_second_fix_is_measured_with_the_first():
    def spoil(model):
        model[3][1][:] = -1e5

    report = checked(net(spoil, depth=5), inputs=ic.uniform(WIDTH, high=900))
    kinds = [finding.kind for finding in report.failures]
    assert kinds == ["input scale", "bias offset"]
    first, second = report.failures
    assert first.fixes[0].result.startswith("inputs passes, ")
    assert "still fail" in first.fixes[0].result
    assert second.fixes[0].result.endswith("with the fixes before it")
    assert second.fixes[0].helped


def test_what_only_the_mended_model_shows_belongs_to_the_fix():
    """Raw inputs outweigh a bias: scaled, they show it, and both changes together help."""

    def spoil(model):
        model[3][1][:] = -50.0

    report = checked(net(spoil, depth=5), inputs=ic.uniform(WIDTH, high=900))
    [finding] = report.failures
    assert finding.kind == "input scale"
    both, alone = finding.fixes
    assert both.advice.startswith(f"{alone.advice}; then set 3.b to 0")
    assert both.code == f"{alone.code}\nlayers[3][1][...] = 0"
    assert (both.helped, alone.helped) == (True, False)
    assert "then fail" in alone.result


def test_the_first_place_is_named_and_not_what_suffers():
    def spoil(model):
        model[1][1][:] = -30.0

    report = checked(net(spoil))
    [finding] = report.failures
    assert (finding.site, finding.kind) == ("1", "bias offset")
    assert "trainable" in finding.also


def test_both_gains_of_a_range_are_tried():
    report = checked(net(act="sigmoid", gain=256.0, depth=8))
    [finding] = report.failures
    by_advice = {fix.advice: fix for fix in finding.fixes}
    assert len(by_advice) >= 2
    assert finding.fixes[0].helped
    assert any(fix.helped is False and "variance then fails" in fix.result for fix in finding.fixes)


# -- trials ------------------------------------------------------------------------------------------


def test_without_trials_everything_is_told_and_nothing_is_tried():
    report = checked(net(gain=0.05, depth=12), try_fixes=False)
    assert report.verdict == "fail"
    assert all(fix.helped is None for fix in report.fixes)
    assert report.fixes[0].code


def test_the_verdict_does_not_depend_on_trials():
    factory = net(gain=0.05, depth=12)
    one, other = checked(factory), checked(factory, try_fixes=False)
    assert one.invariants == other.invariants
    assert one.seeds == other.seeds


def test_no_more_than_so_many_trials():
    made = []

    def retry(edits):
        made.append(edits)
        return evidence

    evidence = evidence_of(subject(net(gain=256.0, act="sigmoid", depth=8)))
    findings = findings_for(evidence, subject(net()).limits, Bench(spelled, retry), built=False)
    assert 0 < len(made) <= MOST_TRIALS
    assert all(fix.helped is False for finding in findings for fix in finding.fixes if fix.code)
    assert all("still fails" in f.result for each in findings for f in each.fixes if f.helped is False)


def test_a_fix_that_cannot_be_made_is_said():
    evidence = evidence_of(subject(net(gain=0.05, depth=12)))
    bench = Bench(spelled, lambda edits: "the model cannot be copied")
    [finding] = findings_for(evidence, subject(net()).limits, bench, built=False)
    assert finding.fixes[0].result == "not tried: the model cannot be copied"
    assert finding.fixes[0].helped is None


def test_what_only_the_author_can_change_is_said(monkeypatch):
    monkeypatch.setattr(diagnosis, "_DATA_DRIVEN", ())
    report = checked(net(depth=60), only="reproducible", reproducible=1.5)
    [finding] = report.failures
    assert finding.kind == "width too small"
    assert [fix.result for fix in finding.fixes] == ["not tried: only you can make this change"]


def test_the_last_resort_is_measured_layer_by_layer():
    report = checked(net(depth=60), only="reproducible", reproducible=1.5)
    [finding] = report.failures
    [orthogonal] = [fix for fix in finding.fixes if fix.edits]
    [edit] = orthogonal.edits
    assert edit.kind == "orthogonal"
    assert edit.names == tuple(f"{k}.W" for k in range(60))
    assert edit.values[0] == pytest.approx(1, rel=0.1), "the first layer reads N(0, 1)"
    assert np.median(edit.values[1:]) == pytest.approx(2**0.5, rel=0.1), "the gain of ReLU"


def test_the_same_edit_is_the_same_verdict():
    """Trials draw from the seeds of the replicates: they are no source of chance of their own."""
    one, other = (checked(net(gain=0.05, depth=12)) for _ in range(2))
    assert one.fixes == other.fixes


def test_a_loader_is_read_once():
    class Loader:
        def __init__(self):
            self.read = 0

        def __iter__(self):
            self.read += 1
            yield np.random.default_rng(self.read).normal(size=(64, WIDTH))

    loader = Loader()
    report = checked(net(gain=0.05, depth=12), inputs=loader)
    assert report.fixes[0].helped
    assert loader.read == 1


# -- built models ------------------------------------------------------------------------------------


def test_a_built_model_is_copied_for_a_trial():
    def spoil(model):
        model[2][0][:] = 0.0

    model = net(spoil)(np.random.default_rng(0))
    before = [array.copy() for array in (model[2][0], model[2][1])]
    report = checked(model)
    assert report.fixes[0].helped
    assert report.failures[0].kind == "constant weights"
    np.testing.assert_array_equal(model[2][0], before[0])


def test_a_built_model_that_cannot_be_copied_is_said():
    class Closed(np.ndarray):
        def __deepcopy__(self, memo):
            raise TypeError("no copies")

    model = net()(np.random.default_rng(0))
    model[2] = (np.zeros((WIDTH, WIDTH)).view(Closed), model[2][1], "relu")
    report = checked(model)
    assert "not tried: the model cannot be copied: TypeError: no copies" in report.fixes[0].result


def test_the_bench_of_a_subject_that_tries_nothing():
    quiet = subject(net(), tries=False)
    bench = bench_for(quiet, evidence_of(quiet))
    assert bench.retry is None
    assert bench.unit_variance is None


# -- curves ------------------------------------------------------------------------------------------


def test_the_curve_after_a_fix_goes_with_the_sites():
    report = checked(net(gain=0.05, depth=12))
    curve = report.fixes[0].curve
    assert len(curve) == len(report.sites)
    linear = [after for row, after in zip(report.sites, curve, strict=True) if row.op == "linear"]
    assert all(0.05 < value < 20 for value in linear)
