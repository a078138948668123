"""What is said of a model of JAX that cannot be checked: one line, with what to do about it."""

from __future__ import annotations

import dataclasses

import equinox
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import pytest_initcheck as ic
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import jax as probe

PARAMS = {"w": jax.random.normal(jax.random.key(0), (8, 4))}
X = np.ones((2, 8), np.float32)


def said_of(model, inputs=None, **settings):
    error = ic.check(model, inputs=ic.normal(8) if inputs is None else inputs, **settings).error
    assert error is not None
    return error.splitlines()[0]


CLOSED = (
    "the function closes over its parameters: they have no names and no gradients; "
    "return the pair (apply, params) with apply(params, x)"
)


def closing():
    w = PARAMS["w"]
    return lambda x: x @ w


def reading():
    return lambda x: x @ PARAMS["w"]


class Dense:
    def __init__(self):
        self.w = PARAMS["w"]
        self.notes = {1: "of no order", "a": "with strings"}

    def forward(self, x):
        return x @ self.w


def branching(params, x):
    h = x @ params["w"]
    return h if h.sum() > 0 else -h


@dataclasses.dataclass
class Unregistered:
    logits: object


class Keyed(equinox.Module):
    linear: equinox.nn.Linear

    def __call__(self, x, key):
        return self.linear(x) + jax.random.normal(key, (4,))


class KeywordKeyed(Keyed):
    def __call__(self, x, *, key):
        return super().__call__(x, key)


class Stateful(equinox.Module):
    norm: equinox.nn.BatchNorm

    def __call__(self, x, state):
        return self.norm(x, state)


def drawing_without_a_key():
    transformed = hk.transform(lambda x: hk.dropout(hk.next_rng_key(), 0.5, hk.Linear(4)(x)))
    params = transformed.init(jax.random.PRNGKey(0), X)
    return hk.without_apply_rng(transformed), params


def callback(params, x):
    h = x @ params["w"]
    return jax.pure_callback(np.tanh, jax.ShapeDtypeStruct(h.shape, h.dtype), h)


LINEAR = equinox.nn.Linear(8, 4, key=jax.random.key(0))
BATCH_NORM = equinox.nn.BatchNorm(8, axis_name="batch", mode="batch")
MODELS = {
    "closed over": (
        closing,
        CLOSED,
    ),
    "a function that reads a global": (
        reading,
        CLOSED,
    ),
    "a method of what holds its parameters": (
        lambda: Dense().forward,
        CLOSED,
    ),
    "another parameter": (
        (lambda p, x: x @ p["u"], PARAMS),
        "the model raised KeyError on (64, 8) float32: 'u'; "
        "pass inputs= of the shape and dtype that it takes",
    ),
    "numpy inside": (
        (lambda p, x: np.tanh(x) @ p["w"], PARAMS),
        "; NumPy cannot compute on what JAX traces; use jax.numpy in the model",
    ),
    "a mask": (
        (lambda p, x: x[x > 0] * p["w"][0, 0], PARAMS),
        "Array boolean indices must be concrete; got bool[64,8]; "
        "a shape cannot depend on values; use jnp.where in place of a mask",
    ),
    "haiku without a key": (
        drawing_without_a_key,
        "if you make use of random numbers; the model draws; leave out hk.without_apply_rng",
    ),
    "an argument": (
        Keyed(LINEAR),
        "missing 1 required positional argument: 'key'; "
        "give it a default, or pass inputs= with a value for it",
    ),
    "a keyword": (
        KeywordKeyed(LINEAR),
        "missing 1 required keyword-only argument: 'key'; "
        "give it a default, or pass inputs= with a value for it",
    ),
    "no state": (
        Stateful(BATCH_NORM),
        "return the pair of module and state, equinox.nn.make_with_state(Module)(...)",
    ),
    "no derivative": (
        (callback, PARAMS),
        "; give what runs outside of JAX a derivative with jax.custom_jvp",
    ),
    "text": (
        (lambda p, x: "logits", PARAMS),
        "the model returned a str, which holds no arrays that JAX sees; return arrays, "
        "or register the type with jax.tree_util.register_dataclass",
    ),
    "a container": (
        (lambda p, x: Unregistered(x @ p["w"]), PARAMS),
        "the model returned a Unregistered, which holds no arrays that JAX sees; return arrays, "
        "or register the type with jax.tree_util.register_dataclass",
    ),
    "nothing": (
        (lambda p, x: None, PARAMS),
        "the model returned no floating-point array; return its output",
    ),
    "classes": (
        (lambda p, x: jnp.argmax(x @ p["w"], -1), PARAMS),
        "the model returned no floating-point array; return its output",
    ),
    "a loss": (
        (lambda p, x: jnp.mean(x @ p["w"]), PARAMS),
        "the model returned a single number, a loss perhaps; wrap it so that it returns the output "
        "that the loss is computed from, with a batch axis",
    ),
}


@pytest.mark.parametrize(("model", "message"), MODELS.values(), ids=MODELS)
def test_a_model_that_cannot_be_traced(model, message):
    assert said_of(model).endswith(message)


@pytest.mark.parametrize(
    "apply", [branching, lambda p, x: float(x.sum()) * x @ p["w"]], ids=["if", "float"]
)
def test_the_line_that_asks_for_a_value_is_named(apply):
    line = apply.__code__.co_firstlineno + (2 if apply is branching else 0)
    assert said_of((apply, PARAMS)) == (
        f"the model asks for the value of an array at test_messages.py:{line}, which JAX does not know "
        "while it traces; choose with jnp.where or jax.lax.cond, or take the number from outside"
    )


def test_a_name_that_is_not_defined_is_no_matter_of_the_inputs():
    def slip(params, x):
        return actvation(x @ params["w"])  # noqa: F821

    assert said_of((slip, PARAMS)) == (
        "the model raised NameError on (64, 8) float32: name 'actvation' is not defined; "
        f"mend that at test_messages.py:{slip.__code__.co_firstlineno + 1}"
    )


class Convolved(nn.Module):
    @nn.compact
    def __call__(self, x):
        assert x.shape[-1] == 3
        return nn.Conv(4, (3, 3))(x)


FITS = "; pass inputs= of the shape and dtype that it takes"
CHANNELS = "; images are channel-last in most of JAX: ic.normal(32, 32, 3)"


@pytest.mark.parametrize(
    ("make", "shape", "remedy"),
    [
        (lambda: (lambda p, x: x @ p["w"], PARAMS), (9,), FITS),
        (lambda: LINEAR, (9,), FITS),
        (lambda: nnx.Linear(8, 4, rngs=nnx.Rngs(0)), (9,), FITS),
        (lambda: nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)), (3, 16, 16), FITS + CHANNELS),
        (lambda: hk.transform(lambda x: hk.Conv2D(4, 3)(x)), (9,), FITS),
    ],
    ids=["plain", "equinox", "nnx", "channels", "haiku draws"],
)
def test_inputs_of_a_wrong_shape(make, shape, remedy):
    line = said_of(make(), ic.normal(*shape))
    assert line.startswith("the model raised ")
    assert f"on (64, {', '.join(map(str, shape))}) float32: " in line
    assert line.endswith(remedy)
    assert ".;" not in line


@pytest.mark.parametrize(
    "model",
    [
        nn.Dense(4),
        hk.transform(lambda x: hk.Linear(4)(x)),
        (lambda p, x: x @ p["w"], PARAMS),
        nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)),
    ],
    ids=["linen", "haiku", "plain", "convolution"],
)
def test_inputs_that_nothing_tells(model):
    error = ic.check(model).error
    assert error == (
        "the inputs cannot be inferred from the first layer; pass inputs=ic.normal(...), "
        "give the model an example_inputs() method, or use --initcheck-inputs normal:784"
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Dense(4),
            "the flax.linen module has no parameters yet; return (module, module.init(key, x))",
        ),
        (
            hk.transform(lambda x: hk.Linear(4)(x)),
            "the haiku function has no parameters yet; return (transformed, transformed.init(key, x))",
        ),
    ],
    ids=["linen", "haiku"],
)
def test_a_model_without_parameters(model, message):
    with pytest.raises(ModelError) as caught:
        probe.trace(model, Call((X,), {}), mode="train", seed=1)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("loss", "shown"), [(lambda y: y, "shape (64, 4)"), (lambda y: "low", "str")], ids=["array", "text"]
)
def test_a_loss_that_is_no_number(loss, shown):
    line = said_of((lambda p, x: jnp.tanh(x @ p["w"]), PARAMS), loss=loss)
    assert line == f"loss= must return an array with one number, got {shown}"


def test_an_edit_of_a_parameter_that_is_not_there():
    with pytest.raises(ModelError, match="the model has no parameter 'u'"):
        probe.apply((lambda p, x: x @ p["w"], PARAMS), [Edit("fill", ("u",), (0.0,))])


@pytest.mark.parametrize(
    ("apply", "note"),
    [
        (
            lambda p, x: (
                jax.lax.scan(lambda h, _: (jnp.sin(h), None), x, None, length=30_000)[0] @ p["w"]
            ),
            "scan runs 30000 times: too long to be unrolled",
        ),
        (
            lambda p, x: jnp.linalg.solve(p["w"].T @ p["w"], (x @ p["w"]).T).T,
            "custom_linear_solve is one operation: not seen inside",
        ),
    ],
    ids=["scan", "solve"],
)
def test_what_is_not_seen_inside_is_noted(apply, note):
    trace = probe.trace((apply, PARAMS), Call((X,), {}), mode="train", seed=1)
    assert note in [reason for _, reason in trace.unobserved], trace.unobserved


def test_a_tensor_behind_a_stopped_gradient_is_told_in_the_words_of_jax():
    def factory(key):
        first, second = jax.random.normal(key, (2, 32, 32)) * (2 / 32) ** 0.5
        return (
            lambda p, x: jax.lax.stop_gradient(jax.nn.relu(x @ p["first"])) @ p["second"],
            {"first": first, "second": second},
        )

    report = ic.check(factory, inputs=ic.normal(32), only=["trainable"])
    (finding,) = report.failures
    assert finding.site == "first"
    assert "behind a stop_gradient, a rounding or an argmax" in finding.cause
    assert "detach" not in str(report)
    assert "remove that, keep it out of the parameters" in " ".join(str(report).split())
