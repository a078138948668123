"""matched-init and reproducible, which run when they are asked for; preserves_gradient on layer lists."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import theory
from pytest_initcheck.probes.blocks import copies

WIDTH = 64


def network(rng, gains, phi="relu", width=WIDTH, head=1.0):
    hidden = [(rng.normal(0, g / math.sqrt(width), (width, width)), None, phi) for g in gains]
    return [*hidden, (rng.normal(0, head / math.sqrt(width), (width, 8)), None, None)]


def factory(*gains, **kwargs):
    return lambda rng: network(rng, gains, **kwargs)


def check(make, only, inputs=None, **kwargs):
    return ic.check(make, inputs=inputs or ic.normal(WIDTH), only=only, **kwargs)


HE = math.sqrt(2)


@pytest.mark.parametrize(
    ("gain", "phi"),
    [
        (HE, "relu"),
        (1.0, "tanh"),
        (5 / 3, "tanh"),
        (1.3, "tanh"),
        (1.0, "selu"),
        (theory.gain("gelu"), "gelu"),
    ],
)
def test_matched_weights_pass(gain, phi):
    assert check(factory(gain, gain, gain, phi=phi), "matched-init").verdict == "pass"


@pytest.mark.parametrize(("gain", "ratio"), [(1.0, 0.5), (2.0, 2.0)])
def test_an_unmatched_weight_fails_and_is_named(gain, ratio):
    report = check(factory(HE, gain, HE), "matched_init")
    [finding] = report.failures
    assert (finding.invariant, finding.site) == ("matched-init", "1")
    assert finding.value == pytest.approx(ratio, rel=0.05)
    assert f"weight variance {finding.value:.3g}x the needed one" in finding.message
    assert "relu needs 0.177" in finding.cause
    assert "rng.normal" in finding.fix
    with pytest.raises(ic.MatchedInitViolation):
        report.raise_if_failed()


def test_the_head_is_free():
    assert check(factory(HE, HE, head=0.01), "matched-init").verdict == "pass"


def test_fan_out_and_the_compromise_will_do():
    def narrowing(rng, fan):
        widths = [(64, 128), (128, 32), (32, 96), (96, 8)]
        return [(rng.normal(0, math.sqrt(2 / fan(*w)), w), None, "relu") for w in widths]

    for fan in (lambda i, o: i, lambda i, o: o, lambda i, o: (i + o) / 2):
        assert check(lambda rng, fan=fan: narrowing(rng, fan), "matched-init").verdict == "pass"
    report = check(lambda rng: narrowing(rng, lambda i, o: 3 * i), "matched-init")
    assert report.verdict == "fail"


def test_its_limit_widens_it():
    off = factory(HE * 1.1, HE * 1.1)
    assert check(off, "matched-init").verdict == "fail"
    assert check(off, "matched-init", matched_init=0.3).verdict == "pass"


def test_a_limit_asks_for_it_without_only():
    report = ic.check(factory(HE, 1.0), inputs=ic.normal(WIDTH), matched_init=0.05)
    assert report.invariants["matched-init"].verdict == "fail"
    assert "reproducible" not in report.invariants


def test_a_wide_network_is_reproducible_and_a_narrow_deep_one_is_not():
    assert check(factory(*[HE] * 6), "reproducible").verdict == "pass"
    narrow = factory(*[HE] * 30, width=10)
    report = check(narrow, "reproducible", inputs=ic.normal(10))
    [finding] = report.failures
    assert finding.invariant == "reproducible"
    assert finding.value > 2
    assert finding.limit == (0.0, 2.0)
    assert "over seeds" in finding.message
    assert "a matched init of these widths shows" in finding.detail
    assert "widen the layers" in finding.fix
    with pytest.raises(ic.ReproducibleViolation):
        report.raise_if_failed()


def test_its_limit_is_taken_at_its_word():
    make = factory(*[HE] * 6)
    assert check(make, "reproducible", reproducible=1.05).verdict == "fail"
    assert check(make, "reproducible", reproducible=4).verdict == "pass"


def test_a_zero_head_leaves_the_spread_of_what_it_reads():
    make = factory(*[HE] * 30, width=10, head=0.0)
    assert check(make, "reproducible", inputs=ic.normal(10)).verdict == "fail"


@pytest.mark.parametrize("name", ["matched_init", "reproducible", "preserves_gradient"])
def test_their_decorators_ask_for_them(name):
    asked = getattr(ic, name)()(ic.model(inputs=ic.normal(WIDTH))(factory(HE, HE)))
    assert ic.check(asked).verdict == "pass"
    assert asked.declaration.invariants == (
        "finite",
        {"preserves_gradient": "gradient"}.get(name, name.replace("_", "-")),
    )


@pytest.mark.parametrize(("gain", "direction"), [(HE, None), (1.0, "vanishing"), (2.0, "exploding")])
def test_the_backward_map_of_a_layer_list(gain, direction):
    report = check(factory(*[gain] * 14), "gradient", gradient=10)
    assert [finding.direction for finding in report.failures] == (
        [] if direction is None else [direction]
    )


# -- numpy: steps and copies -----------------------------------------------------------------------


def test_two_zero_layers_are_stuck_and_one_is_not():
    report = check(
        lambda rng: [(np.zeros((8, 8)), None, "relu"), (np.zeros((8, 4)), None, None)],
        "trainable",
        inputs=ic.normal(8),
    )
    assert report.verdict == "fail"
    assert "both factors of a product start at zero" in report.failures[0].cause
    assert check(factory(HE, HE, head=0.0), ["trainable", "symmetry"]).verdict == "pass"


def test_equal_columns_that_stay_equal():
    def equal(rng):
        return [(np.full((8, 8), 0.3), np.zeros(8), "tanh"), (np.full((8, 4), 0.3), None, None)]

    report = check(equal, "symmetry", inputs=ic.normal(8))
    assert report.verdict == "fail"
    assert "still are after 3 steps" in report.failures[0].detail


def test_a_tapped_function_is_asked_by_steps_if_its_weights_are_tapped():
    def tapped(rng, shown=True):
        w = rng.normal(0, 0.2, (32, 32))
        return lambda x: ic.numpy.tap("z", x @ w, activation="relu", weight=w if shown else None)

    assert ic.check(tapped, inputs=ic.normal(32)).invariants["trainable"].verdict == "pass"
    report = ic.check(lambda rng: tapped(rng, shown=False), inputs=ic.normal(32))
    assert report.invariants["trainable"].verdict == "skipped"
    assert "not seen" in report.invariants["trainable"].note


def test_copies_of_blocks():
    rng = np.random.default_rng(0)
    block = rng.normal(size=(6, 5))
    assert copies(np.concatenate([block] * 3)) == 3
    assert copies(np.concatenate([block] * 3, axis=1)) == 3
    assert copies(np.concatenate([block, block, block[::-1]])) == 1
    assert copies(np.zeros((8, 8))) == copies(np.eye(8)) == copies(rng.normal(size=7)) == 1
    assert copies(np.repeat(block, 3, axis=0)) == 1
    assert copies(rng.integers(0, 2, (4, 2)).astype(float)) == 1
