"""The code of a fix, run as a reader runs it: on what the library's user holds, with its names."""

from __future__ import annotations

from typing import NamedTuple

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

WIDTH, DEPTH, AT = 64, 6, 3
X = np.random.default_rng(0).normal(size=(32, WIDTH)).astype(np.float32)
LIBRARIES = ("nnx", "linen", "equinox", "haiku", "plain")


def run(code, model, rng=None):
    """Run the code with the names that a user of this library has, and return the model it leaves."""
    rng = np.random.default_rng(5) if rng is None else rng
    scope = {"np": np, "jnp": jnp, "jax": jax, "eqx": equinox, "rng": rng}
    if not isinstance(model, tuple):
        scope["model"] = model
    elif isinstance(model[0], nn.Module) and "params" in model[1]:
        scope["variables"] = model[1]
    elif isinstance(model[0], equinox.Module):
        scope["model"] = model[0]
    else:
        scope["params"] = model[1]
    held = set(scope)
    exec(code, scope)
    (name,) = held & {"model", "variables", "params"}
    if not isinstance(model, tuple):
        return scope[name]
    return (scope[name], *model[1:]) if name == "model" else (model[0], scope[name], *model[2:])


def initialised(model, seed=0):
    return probe.drawn(model, lambda: Call((X,), {}), seed=seed, keep=False)


def arrays(model):
    return {each.name: np.asarray(each.value) for each in probe.functional(model, "train").parameters}


def described(model):
    trace = probe.trace(model, Call((X,), {}), mode="train", seed=1)
    return {parameter.name: parameter for parameter in trace.parameters}


# -- in a report -----------------------------------------------------------------------------------

ZERO = ([2.0] * AT + [0.0] + [2.0] * (DEPTH - AT - 1), jax.nn.relu)
SATURATED = ([1.0] * AT + [400.0] + [1.0] * (DEPTH - AT - 1), jnp.tanh)
LARGE = ([60.0] * DEPTH, jax.nn.relu)


def drawn(made, library, key):
    given = {"nnx": [nnx.Rngs(key)], "equinox": [key], "plain": [key]}.get(library, [])
    return initialised(made(*given), seed=int(key[1]))


def code_in(report):
    """The code of the best fix, which the terminal shows line by line."""
    fix = report.findings[0].fixes[0]
    assert fix.helped
    shown = {line.strip() for line in str(report).splitlines()}
    assert {line.strip() for line in fix.code.splitlines()} <= shown
    return fix.code


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_printed_fix_mends_another_model(library, network):
    made, inputs = network(library, *ZERO), ic.normal(WIDTH)
    one, other = (drawn(made, library, jax.random.PRNGKey(seed)) for seed in (1, 2))
    code = code_in(ic.check(one, inputs=inputs, only="trainable"))
    assert not ic.check(other, inputs=inputs, only="trainable").ok
    again = ic.check(run(code, other), inputs=inputs, only="trainable")
    assert again.ok, f"{code}\n{again}"


@pytest.mark.parametrize(
    ("library", "case", "invariant"),
    [
        ("nnx", LARGE, "variance"),
        ("linen", LARGE, "variance"),
        ("equinox", LARGE, "variance"),
        ("equinox", SATURATED, "saturation"),
        ("haiku", SATURATED, "saturation"),
        ("plain", LARGE, "variance"),
    ],
)
def test_the_printed_fix_mends_every_model_of_a_factory(library, case, invariant, network):
    made, inputs = network(library, *case), ic.normal(WIDTH)
    code = code_in(ic.check(made, inputs=inputs, only=invariant))

    def mended(key):
        return run(code, drawn(made, library, key), np.random.default_rng(int(key[1])))

    again = ic.check(mended, inputs=inputs, only=invariant)
    assert again.ok, f"{code}\n{again}"


# -- one edit --------------------------------------------------------------------------------------


class Layered(equinox.Module):
    first: equinox.nn.Linear
    blocks: tuple
    scales: list

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.first, *blocks = (equinox.nn.Linear(WIDTH, WIDTH, key=each) for each in keys)
        self.blocks = tuple(blocks)
        self.scales = [jnp.full(WIDTH, 0.5), jnp.full(WIDTH, 0.25)]

    def __call__(self, x):
        x = jnp.tanh(self.first(x))
        for block, scale in zip(self.blocks, self.scales, strict=True):
            x = scale * jnp.tanh(block(x))
        return x


class Named(nnx.Module):
    def __init__(self, rngs):
        self.enter = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.leave = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x):
        return self.leave(nnx.relu(self.enter(x)))


class Weights(NamedTuple):
    w: object
    b: object


def square(seed):
    return jax.random.normal(jax.random.key(seed), (WIDTH, WIDTH)) / WIDTH**0.5


def in_tuples():
    def apply(params, x):
        for w, b in params:
            x = jnp.tanh(x @ w + b)
        return x

    return apply, [(square(seed), jnp.ones(WIDTH)) for seed in range(3)]


def in_named_tuples():
    def apply(params, x):
        return jnp.tanh(x @ params["in"].w + params["in"].b) @ params["out"]

    return apply, {"in": Weights(square(0), jnp.ones(WIDTH)), "out": square(1)}


def numbered():
    def apply(params, x):
        return jnp.tanh(x @ params["W1"] + params["b{1}"]) @ params["W2"]

    return apply, {"W1": square(0), "b{1}": jnp.ones(WIDTH), "W2": square(1)}


def tower():
    def forward(x):
        return hk.Sequential([hk.nets.MLP([WIDTH, WIDTH], name="mlp"), jnp.tanh, hk.Linear(WIDTH)])(x)

    return hk.without_apply_rng(hk.transform(forward))


class Dense(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(WIDTH)(nn.tanh(nn.LayerNorm()(nn.Dense(WIDTH)(x))))


def dense():
    return initialised(Dense())


MODELS = {
    "equinox": lambda: Layered(jax.random.key(0)),
    "nnx": lambda: Named(nnx.Rngs(0)),
    "tuples": in_tuples,
    "named tuples": in_named_tuples,
    "numbered": numbered,
    "haiku": lambda: initialised(tower()),
    "linen": dense,
    "linen, the params alone": lambda: (dense()[0], dense()[1]["params"]),
}


def edits_of(names, matrices):
    """Every kind of edit, of one array and of several, by values that agree and that do not."""
    yield Edit("fill", names, (0.5,) * len(names))
    yield Edit("fill", names, tuple(0.25 * (index + 1) for index in range(len(names))))
    yield Edit("scale", names[:1], (0.125,))
    yield Edit("scale", names, (2.0,) * len(names))
    yield Edit("draw", matrices, tuple(0.25 * (index + 1) for index in range(len(matrices))))
    yield Edit("draw", matrices[:1], (2.0,))
    yield Edit("orthogonal", matrices, (2.0,) * len(matrices))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_code_does_what_the_edit_does(make):
    known = described(make())
    names = tuple(known)
    for edit in edits_of(names, tuple(name for name in names if len(known[name].shape) > 1)):
        code = probe.spell([edit], known)
        before, model, other = arrays(make()), run(code, make()), make()
        probe.apply(other, [edit])
        applied = arrays(other)
        for name, array in arrays(model).items():
            value = dict(zip(edit.names, edit.values, strict=True)).get(name)
            if value is None:
                np.testing.assert_array_equal(array, before[name], err_msg=code)
            elif edit.kind in ("fill", "scale"):
                expected = value if edit.kind == "fill" else value * before[name]
                np.testing.assert_allclose(array, np.broadcast_to(expected, array.shape), err_msg=code)
                np.testing.assert_allclose(array, applied[name], err_msg=code)
            elif edit.kind == "draw":
                assert array.std() == pytest.approx(value, rel=0.1), code
                assert applied[name].std() == pytest.approx(value, rel=0.1)
            else:
                for found in (array, applied[name]):
                    np.testing.assert_allclose(found @ found.T, 4 * np.eye(WIDTH), atol=1e-4)


def spelled(make, kind, names, value=0.5):
    return probe.spell([Edit(kind, names, (value,) * len(names))], described(make()))


@pytest.mark.parametrize(
    ("make", "names", "code"),
    [
        (
            MODELS["equinox"],
            ("first.weight",),
            "model = eqx.tree_at(lambda m: m.first.weight, model, replace_fn=lambda w: 0.5 * w)",
        ),
        (
            MODELS["equinox"],
            ("blocks.0.weight", "blocks.1.weight"),
            "for i in range(0, 2):\n"
            "    model = eqx.tree_at(lambda m: m.blocks[i].weight, model, replace_fn=lambda w: 0.5 * w)",
        ),
        (
            MODELS["nnx"],
            ("enter.kernel", "leave.kernel"),
            "for p in (model.enter.kernel, model.leave.kernel):\n    p[...] = 0.5 * p[...]",
        ),
        (
            MODELS["linen"],
            ("Dense_0.kernel", "Dense_1.kernel"),
            "for p in (variables['params']['Dense_0'], variables['params']['Dense_1']):\n"
            "    p['kernel'] = 0.5 * p['kernel']",
        ),
        (
            MODELS["linen, the params alone"],
            ("Dense_0.kernel",),
            "params['Dense_0']['kernel'] = 0.5 * params['Dense_0']['kernel']",
        ),
        (
            MODELS["haiku"],
            ("mlp/~/linear_0.w",),
            "params['mlp/~/linear_0']['w'] = 0.5 * params['mlp/~/linear_0']['w']",
        ),
        (
            numbered,
            ("W1", "W2"),
            "for p in ('W1', 'W2'):\n    params[p] = 0.5 * params[p]",
        ),
        (
            in_tuples,
            ("0.0", "1.0"),
            "leaves, structure = jax.tree.flatten(params)\n"
            "for p in (0, 2):\n"
            "    leaves[p] = 0.5 * leaves[p]\n"
            "params = jax.tree.unflatten(structure, leaves)",
        ),
    ],
)
def test_the_code_is_what_a_user_would_write(make, names, code):
    assert spelled(make, "scale", names) == code


def test_edits_of_one_array_follow_each_other():
    edits = [Edit("fill", ("enter.kernel",), (0.5,)), Edit("scale", ("enter.kernel",), (4.0,))]
    model = Named(nnx.Rngs(0))
    probe.apply(model, edits)
    assert (arrays(model)["enter.kernel"] == 2).all()


def test_half_precision_stays_so():
    def make():
        return (lambda p, x: x @ p["w"]), {"w": square(0).astype(jnp.bfloat16)}

    known = described(make())
    for kind in ("draw", "orthogonal", "fill", "scale"):
        edit = Edit(kind, ("w",), (0.5,))
        other = make()
        probe.apply(other, [edit])
        for _, params in (run(probe.spell([edit], known), make()), other):
            assert params["w"].dtype == jnp.bfloat16


def test_arrays_that_only_tuples_hold_are_said_and_left():
    """Nothing but the pair of the user's own holds them, and a pair cannot be changed."""
    model = (lambda p, x: x @ p[0], (square(0),))
    with pytest.raises(ModelError, match="0 is held by a tuple, which cannot be changed in place"):
        probe.apply(model, [Edit("fill", ("0",), (0.0,))])
    assert (run(spelled(lambda: model, "scale", ("0",)), model)[1][0] == 0.5 * square(0)).all()
