"""Drift: a changed init fails at its layer, an unchanged one does not; what cannot be compared is said."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.engine import judge
from pytest_initcheck.errors import VIOLATIONS, DriftViolation
from pytest_initcheck.profiles import Range
from pytest_initcheck.subject import Subject

WIDTH = 48


def net(scales=(1.0, 1.0, 1.0, 1.0), bias=0.05, activation="relu"):
    """He layers, their weights times these scales, with biases of the uniform distribution."""

    def factory(rng):
        layers = []
        for index, scale in enumerate(scales):
            last = index == len(scales) - 1
            w = rng.normal(0, scale * math.sqrt((1 if last else 2) / WIDTH), (WIDTH, WIDTH))
            layers.append((w, rng.uniform(-bias, bias, WIDTH), None if last else activation))
        return layers

    return factory


def subject(factory, **more):
    return Subject(factory, "net", inputs=ic.normal(WIDTH), **more)


@pytest.fixture(scope="module")
def expected():
    return judge(subject(net(), profiling=True)).profile


def compare(factory, expected, **more):
    return judge(subject(factory, expected=expected, baseline="b.toml", **more))


def test_a_changed_default_init_in_one_layer_fails_there(expected):
    changed = net(scales=(1.0, 1.0, math.sqrt(1 / 6), 1.0))  # torch's default where He was
    report = compare(changed, expected)
    assert report.invariants["drift"].verdict == "fail"
    [finding] = [each for each in report.findings if each.invariant == "drift"]
    assert (finding.site, finding.direction, finding.kind) == ("2", "down", "own code")
    assert finding.message.startswith("gain 0.9") or finding.message.startswith("gain 1.0")
    assert "weight rms 0.204 to 0.08" in finding.detail
    assert "--initcheck-update-baseline" in finding.fixes[0].code
    assert "13 of 13 replicates" in finding.proof
    with pytest.raises(DriftViolation, match=r"drift FAIL net  2: gain"):
        report.raise_if_failed()
    assert VIOLATIONS["drift"] is DriftViolation


def test_every_limit_holds_all_the_same(expected):
    report = compare(net(scales=(1.0, 1.0, 0.8, 1.0)), expected)
    failing = [name for name, result in report.invariants.items() if result.verdict == "fail"]
    assert failing == ["drift"]


def test_a_hundred_unchanged_runs_with_other_root_seeds_do_not_fail(expected):
    verdicts = {
        compare(net(), expected, root_seed=seed, only=("finite",)).invariants["drift"].verdict
        for seed in range(1, 101)
    }
    assert verdicts == {"pass"}


def test_a_bias_that_was_zero_is_a_change():
    before = judge(subject(net(bias=0.0), profiling=True)).profile
    assert before.layers[0].bias == Range(0.0, 0.0)
    assert compare(net(bias=0.0), before, root_seed=1).invariants["drift"].verdict == "pass"
    report = compare(net(bias=0.05), before)
    assert report.findings[0].message.startswith("bias rms 0 to 0.02")


def test_weights_that_become_zero_are_a_change(expected):
    report = compare(net(scales=(1.0, 1.0, 1.0, 0.0)), expected, only=("finite",))
    finding = report.findings[0]
    assert (finding.invariant, finding.site) == ("drift", "3")
    assert "weight rms 0.145 to 0" in finding.detail


def test_other_versions_are_the_cause_that_is_told(expected):
    older = dataclasses.replace(expected, versions={"numpy": "1.0"})
    finding = compare(net(scales=(0.5, 1.0, 1.0, 1.0)), older, only=("finite",)).findings[0]
    assert finding.kind == "other versions"
    assert finding.cause == f"since the baseline was written: numpy 1.0 to {np.__version__}"
    assert finding.message.endswith(f"; numpy 1.0 to {np.__version__}")


def test_long_versions_stay_out_of_the_first_line(expected):
    older = dataclasses.replace(expected, versions={"numpy": "1.0.0.dev20240101+something.long"})
    finding = compare(net(scales=(0.5, 1.0, 1.0, 1.0)), older, only=("finite",)).findings[0]
    assert "numpy" not in finding.message
    assert "dev20240101" in finding.cause


def test_a_model_with_new_layers_is_another_one_and_noted(expected):
    """The old head has the name of a hidden layer now, so that nothing can be compared."""
    report = compare(net(scales=(1.0,) * 6), expected)
    assert report.invariants["drift"].verdict == "skipped"
    [note] = [note for note in report.notes if "layers" in note]
    assert note.startswith("the layers are not those of b.toml (4, 5 new), so nothing is compared")


def test_layers_that_are_gone_are_noted(expected):
    report = compare(net(scales=(1.0, 1.0)), expected)
    assert "(2, 3 gone or changed)" in " ".join(report.notes)


def test_a_layer_of_another_shape_is_noted(expected):
    def wider(rng):
        return [*net()(rng)[:-1], (rng.normal(0, 0.1, (WIDTH, 3)), None, None)]

    report = compare(wider, expected)
    assert report.invariants["drift"].verdict == "skipped"
    assert "(3 gone or changed)" in " ".join(report.notes)


def test_other_inputs_are_noted_and_gains_are_not_compared(expected):
    report = judge(
        Subject(net(), "net", inputs=ic.normal(WIDTH, std=3), expected=expected, baseline="b.toml")
    )
    assert report.invariants["drift"].verdict == "pass"
    assert report.invariants["drift"].claims == 8
    assert f"the inputs are normal(0,3):{WIDTH}, and normal(0,1):{WIDTH} in b.toml" in report.notes[-1]


def test_a_built_model_is_not_compared(expected):
    report = compare(net()(np.random.default_rng(0)), expected)
    assert report.invariants["drift"].verdict == "skipped"
    assert "no layer can be compared" in report.invariants["drift"].note


def test_fixes_are_tried_without_the_baseline(expected):
    report = compare(net(scales=(0.02,) * 4), expected)
    assert {finding.invariant for finding in report.failures} == {"variance", "drift"}
    assert report.failures[0].fixes[0].helped
