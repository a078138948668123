"""Any callable over arrays as an activation: kinks, derivative, family, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck.activations import NAMES, Activation, activation, from_callable
from pytest_initcheck.errors import ConfigError

JUMPING = [name for name in NAMES if activation(name).kinks and name not in ("elu", "softsign")]
"""elu and softsign jump in the second derivative only, which no quadrature needs to be told."""
POINTS = np.concatenate([np.linspace(-19.91, 19.87, 4001), [-37.3, -21.1, 22.7, 41.9]])


def anonymous(name: str) -> Activation:
    act = activation(name)
    return from_callable(lambda z: act.phi(z))


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_of_a_callable_is_found_to_many_digits(name):
    got = anonymous(name).derivative(POINTS)
    np.testing.assert_allclose(got, activation(name).derivative(POINTS), rtol=0, atol=2e-9)
    inside = np.abs(POINTS) < 20
    wanted = activation(name).derivative(POINTS[inside])
    np.testing.assert_allclose(got[inside], wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_the_kinks_of_a_callable_are_found(name):
    found = anonymous(name).kinks
    assert found == pytest.approx(activation(name).kinks if name in JUMPING else (), abs=1e-10)


@settings(deadline=None)
@given(st.floats(-15, 15), st.floats(0.01, 5))
def test_a_kink_anywhere_is_found(point, slope):
    found = from_callable(lambda z: slope * np.maximum(z - point, 0.0)).kinks
    assert found == pytest.approx((point,), abs=1e-9)


def test_several_kinks_and_jumps_are_found():
    tent = from_callable(lambda z: np.maximum(0, 1 - np.abs(z - math.pi)))
    assert tent.kinks == pytest.approx((math.pi - 1, math.pi, math.pi + 1), abs=1e-10)
    assert from_callable(np.floor).kinks == pytest.approx(tuple(range(-20, 21)), abs=1e-9)
    near = from_callable(lambda z: np.clip(z, 0.1, 0.12))
    assert near.kinks == pytest.approx((0.1, 0.12), abs=1e-10)


@pytest.mark.parametrize(
    "smooth",
    [
        lambda z: np.tanh(100 * z),
        lambda z: np.exp(-50 * z * z),
        lambda z: np.sin(20 * z),
        lambda z: np.cbrt(z**2 + 0.01),
    ],
    ids=("tanh", "bell", "sine", "cusp"),
)
def test_a_steep_function_has_no_kink(smooth):
    assert from_callable(smooth).kinks == ()


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("identity", "linear"),
        ("relu", "rectifier"),
        ("relu6", "rectifier"),
        ("leaky_relu", "rectifier"),
        ("gelu", "smooth_rectifier"),
        ("hardswish", "smooth_rectifier"),
        ("softplus", "smooth_rectifier"),
        ("tanh", "bounded"),
        ("hardtanh", "bounded"),
        ("softsign", "bounded"),
        ("sin", "periodic"),
        ("tanhshrink", "shrink"),
        ("softshrink", "shrink"),
        ("hardshrink", "shrink"),
    ],
)
def test_the_family_of_a_callable(name, family):
    got, wanted = anonymous(name), activation(name)
    assert got.family == family
    assert got.inactive_below == pytest.approx(wanted.inactive_below, abs=1e-9)
    assert got.saturated_beyond == pytest.approx(wanted.saturated_beyond, abs=1e-9)


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_constant_is_an_activation_that_passes_no_gradient(constant):
    act = from_callable(lambda z: np.full_like(z, constant))
    assert (act.derivative(POINTS) == 0).all()
    assert act.kinks == ()


def test_a_function_that_computes_a_row_of_the_table_is_that_row():
    def relu(x):
        return x * (x > 0)

    assert activation(np.tanh) is activation("tanh")
    assert activation(np.sin) is activation("sin")
    assert activation(relu) is activation("relu")


def test_a_name_alone_makes_no_row():
    def relu(x):
        return np.maximum(x, 0.1 * x)

    act = activation(relu)
    assert act.name == "relu"
    assert act is not activation("relu")
    assert act.derivative(np.array([-1.0, 1.0])) == pytest.approx([0.1, 1.0])


def test_what_is_declared_is_not_searched_for():
    def phi(z):
        return np.abs(z)

    act = from_callable(phi, name="distance", kinks=(0,), derivative=np.sign)
    assert (act.name, act.kinks) == ("distance", (0.0,))
    assert act.derivative is np.sign
    assert from_callable(phi, kinks=()).kinks == ()


def test_a_callable_without_a_name_takes_that_of_its_class():
    class Swoosh:
        def __call__(self, z):
            return np.arctan(z)

    assert activation(Swoosh()).name == "Swoosh"
    assert activation(Swoosh()).derivative(np.array(2.0)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (
            math.tanh,
            "activation tanh raises TypeError on an array: only .*; give a function that works "
            "elementwise over arrays, for example by numpy.vectorize",
        ),
        (lambda z: z if z > 0 else 0, "raises ValueError on an array: The truth value"),
        (lambda z: z.sum(), r"turns shape \(1999,\) into \(\)"),
        (lambda z: z[..., :2], r"turns shape \(1999,\) into \(2,\); give a function"),
        (lambda z: np.log(z), "returns nan at -19.99; give a function that is finite"),
        (lambda z: np.exp(z * 100), "returns inf at"),
        (lambda z: np.exp(z) / np.exp(z).sum(), "gives one element two values: it draws random"),
        (lambda z: z - z.ravel()[0], "gives one element two values"),
        (lambda z: z * np.random.default_rng().random(z.shape), "draws random numbers or mixes"),
        (lambda z: "text", "raises ValueError on an array: could not convert"),
        (lambda: 1, "raises TypeError on an array"),
    ],
    ids=range(11),
)
def test_what_is_not_elementwise_is_refused_in_one_line(phi, message):
    with pytest.raises(ConfigError, match=message) as caught:
        activation(phi)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_function_in_single_precision_is_known_by_its_name_or_refused():
    def tanh(z):
        return np.tanh(z.astype(np.float32))

    assert activation(tanh) is activation("tanh")
    with pytest.raises(
        ConfigError, match=r"activation tanh returns less than float64, .*jax_enable_x64"
    ):
        from_callable(tanh)
    assert activation(np.sign).kinks == (0.0,)


def test_a_class_is_not_yet_an_activation():
    class Swoosh:
        pass

    with pytest.raises(ConfigError, match=r"Swoosh is a class, .*; write Swoosh\(\)"):
        activation(Swoosh)


def test_what_is_neither_name_nor_callable_is_refused():
    with pytest.raises(ConfigError, match="an activation is a name or a callable, got 3; for example"):
        activation(3)  # type: ignore[arg-type]
