"""Seeds are derived, states are kept, factories are told from models, errors are the user's."""

from __future__ import annotations

import functools
import importlib
import itertools
import random
import sys

import numpy as np
import pytest

from pytest_initcheck import probes
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.factory import (
    Seeds,
    build,
    canonical,
    filled_parameter,
    is_factory,
    number,
    preserved_global_states,
)

SEQUENCE = np.random.SeedSequence(5)


def weights(rng):
    return [(rng.normal(size=(4, 4)), None, "relu")]


class Weights:
    def __init__(self, rng):
        self.W = rng.normal(size=(4, 4))


class Calls:
    def __call__(self):
        return 1


class Address:
    pass


def test_every_ingredient_of_a_seed_matters():
    variants = [Seeds(0, "a"), Seeds(1, "a"), Seeds(0, "b"), Seeds(0, "a", "depth=3")]
    drawn = {
        number(part)
        for seeds, replicate in itertools.product(variants, (0, 1))
        for part in seeds.of(replicate)
    }
    assert len(drawn) == 2 * 2 * len(variants)


def test_a_seed_is_a_function_of_its_ingredients():
    assert number(Seeds(7, "a", "d=1").of(3)[0]) == number(Seeds(7, "a", "d=1").of(3)[0])


def test_id_and_example_cannot_run_into_each_other():
    assert number(Seeds(0, "ab", "c").of(0)[0]) != number(Seeds(0, "a", "bc").of(0)[0])


def test_a_seed_fits_torch_and_jax():
    assert 0 <= number(SEQUENCE) < 2**63


def test_canonical_text_has_no_address():
    assert canonical({"x": Address()}) == canonical({"x": Address()})
    assert " at 0x" not in canonical({"x": Address()})


@pytest.mark.parametrize("empty", [None, {}])
def test_no_arguments_have_no_text(empty):
    assert canonical(empty) == ""


def test_a_value_with_a_text_is_shown_by_it():
    import pytest_initcheck as ic

    assert canonical({"inputs": ic.normal(4)}) == "inputs=normal(0,1):4"


def test_random_states_are_put_back_even_after_an_interrupt():
    random.seed(1)
    np.random.seed(1)
    expected = (random.getstate(), np.random.get_state()[1].tolist())
    with pytest.raises(KeyboardInterrupt), preserved_global_states():
        random.random()
        np.random.rand()
        raise KeyboardInterrupt
    assert (random.getstate(), np.random.get_state()[1].tolist()) == expected


@pytest.mark.parametrize(
    "candidate",
    [weights, Weights, functools.partial(weights), lambda: [1], Calls(), Calls().__call__, len],
    ids=["function", "class", "partial", "lambda", "callable", "method", "builtin"],
)
def test_factories(candidate):
    assert is_factory(candidate)


@pytest.mark.parametrize("candidate", [[(np.ones((2, 2)), None, None)], 5, None, "text"], ids=repr)
def test_what_is_no_factory(candidate):
    assert not is_factory(candidate)


@pytest.mark.parametrize("name", ["rng", "generator", "key"])
def test_one_parameter_is_filled(name):
    scope: dict[str, object] = {}
    exec(f"def factory({name}): pass", scope)
    assert filled_parameter(scope["factory"], {}) == name


def test_defaults_drawn_arguments_and_stars_need_nothing():
    assert filled_parameter(lambda depth=3, *args, **kwargs: None, {}) is None
    assert filled_parameter(lambda depth: None, {"depth": 3}) is None
    assert filled_parameter(lambda depth, rng: None, {"depth": 3}) == "rng"
    assert filled_parameter(dict, {}) is None  # a builtin without a signature


@pytest.mark.parametrize(
    "factory",
    [lambda width: None, lambda rng, key: None, lambda rng, depth: None],
    ids=["one", "both", "besides rng"],
)
def test_parameters_that_nothing_fills_are_named(factory):
    with pytest.raises(ConfigError, match="needs arguments") as caught:
        filled_parameter(factory, {})
    assert "functools.partial" in str(caught.value)


def test_rng_is_seeded_and_key_has_the_raw_form_of_jax():
    (first,), (again,) = build(weights, SEQUENCE, {}), build(weights, SEQUENCE, {})
    np.testing.assert_array_equal(first[0], again[0])
    key = build(lambda key: key, SEQUENCE, {})
    assert (key.shape, key.dtype) == ((2,), np.uint32)
    assert (int(key[0]) << 32) + int(key[1]) == number(SEQUENCE)


def test_the_global_generators_are_seeded():
    draw = lambda: (random.random(), np.random.rand())  # noqa: E731
    with preserved_global_states():
        assert build(draw, SEQUENCE, {}) == build(draw, SEQUENCE, {})


def test_drawn_arguments_go_in_as_keywords():
    assert build(lambda depth, rng: (depth, type(rng).__name__), SEQUENCE, {"depth": 3}) == (
        3,
        "Generator",
    )


def broken():
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("bad width\nsecond line") from error


def test_a_factory_that_raises_keeps_its_own_traceback_and_none_of_ours():
    with pytest.raises(ModelError) as caught:
        build(broken, SEQUENCE, {})
    assert str(caught.value) == "the factory broken raised ValueError: bad width"
    text = caught.value.traceback_text
    assert "in broken" in text
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text
    assert "second line" in text
    assert "/pytest_initcheck/" not in text


def test_an_exception_without_a_message_and_a_note():
    def noted():
        error = RuntimeError()
        error.add_note("try width=4")
        raise error

    with pytest.raises(ModelError, match=r"raised RuntimeError: $") as caught:
        build(noted, SEQUENCE, {})
    assert "try width=4" in caught.value.traceback_text


def test_an_interrupt_is_nobodys_error():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(interrupted, SEQUENCE, {})


def test_a_factory_that_exits_is_one_that_raises():
    def leaving():
        raise SystemExit(3)

    with pytest.raises(ModelError, match="the factory leaving raised SystemExit: 3"):
        build(leaving, SEQUENCE, {})


def test_a_framework_that_is_not_installed_says_how(monkeypatch):
    load = importlib.import_module

    def missing(name):
        if name.endswith("probes.torch"):
            raise ModuleNotFoundError(name, name="torch")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(ModelError, match=r"torch is not installed; run: .*pytest-initcheck\[torch\]"):
        build(lambda generator: None, SEQUENCE, {})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "the factory returned None; return the model"),
        (5, "no probe for a model of type int"),
        ({}, "no probe for a model of type dict"),
        ([], r"this list is no list of layers: it is empty; a layer is \(W, b, activation\)"),
        ([np.ones((2, 2)), np.ones((2, 2))], "no list of layers: its first item is of type ndarray"),
    ],
)
def test_what_no_probe_owns(model, message):
    with pytest.raises(ModelError, match=message):
        probes.probe_for(model)
