"""Normalised steps on arrays, for every framework whose gradients come to the host."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_initcheck.probes.steps import equal_rows, stays_equal, stepped_by, training
from pytest_initcheck.trace import STEP

RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 5))


def taken(parameters, gradients, moved=()):
    return training(parameters, frozenset(moved), lambda at: gradients)


def test_no_step_where_everything_has_moved():
    found = training({"w": W}, frozenset({"w"}), lambda at: pytest.fail("a step"))
    assert (found.steps, found.stuck, found.cut_off) == (0, (), ())


def test_what_has_no_gradient_is_stuck_and_what_is_left_out_cut_off():
    found = taken({"a": W, "b": W + 1, "c": W + 2}, {"a": np.ones_like(W), "b": np.zeros_like(W)})
    assert (found.steps, found.stuck, found.cut_off) == (3, ("b",), ("c",))


def test_a_step_has_one_size_however_small_the_gradient():
    for scale in (1e-200, 1.0, 1e200):
        moved = stepped_by(W, scale * RNG.normal(size=W.shape))
        assert np.sqrt(np.mean((moved - W) ** 2)) == pytest.approx(STEP)


def test_a_gradient_that_is_not_finite_is_no_step():
    assert stepped_by(W, np.full_like(W, np.inf)) is None
    found = taken({"a": np.ones((3, 3))}, {"a": np.full((3, 3), np.nan)})
    assert (found.stuck, found.equal) == ((), ())


def test_parameters_are_left_as_they_were():
    before = W.copy()
    taken({"a": W}, {"a": np.ones_like(W)})
    assert (before == W).all()


@pytest.mark.parametrize("matrix", [np.ones((3, 2)), np.ones((3, 2, 2)), np.tile(W[:1], (3, 1))])
def test_equal_rows(matrix):
    assert equal_rows(matrix)


@pytest.mark.parametrize("matrix", [W, np.ones(3), np.ones((1, 3)), np.ones((0, 3))])
def test_rows_that_differ_or_are_none(matrix):
    assert not equal_rows(matrix)


def test_equal_rows_that_move_alike_stay_equal():
    before = np.tile(W[:1], (3, 1))
    step = np.tile(W[1:2], (3, 1))
    assert stays_equal(before, before + step * (1 + 1e-6 * RNG.normal(size=step.shape)))
    assert not stays_equal(before, before + RNG.normal(size=step.shape))


def test_twins_stay_or_part():
    twins = {"a": W, "b": W.copy()}
    assert taken(twins, {"a": W, "b": W}).twins == (("a", "b"),)
    assert taken(twins, {"a": W, "b": -W}).twins == ()
    assert taken({"a": np.eye(5), "b": np.eye(5)}, {"a": np.eye(5), "b": np.eye(5)}).twins == ()
    assert taken({"a": W[0, :3], "b": W[0, :3]}, {}).twins == ()


def test_nothing_is_known_without_gradients():
    assert training({"a": W}, frozenset(), lambda at: None) is None


def test_complex_parameters_step():
    z = W + 1j * W
    moved = stepped_by(z, np.exp(1j * W))
    assert np.sqrt(np.mean(np.abs(moved - z) ** 2)) == pytest.approx(STEP)
