"""The code of a fix, run as a reader runs it: on what the library's user holds, with its names."""

from __future__ import annotations

import copy
import math
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

CASES = {
    "trainable": ([2.0] * AT + [0.0] + [2.0] * (DEPTH - AT - 1), jax.nn.relu),
    "saturation": ([1.0] * AT + [400.0] + [1.0] * (DEPTH - AT - 1), jnp.tanh),
    "variance": ([60.0] * DEPTH, jax.nn.relu),
}


@pytest.mark.parametrize("invariant", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_printed_fix_mends_a_fresh_model(library, invariant, network):
    made = network(library, *CASES[invariant])
    report = ic.check(made, inputs=ic.normal(WIDTH), only=invariant)
    fix = report.findings[0].fixes[0]
    assert fix.helped
    shown = [line.strip() for line in str(report).splitlines()]
    assert set(map(str.strip, fix.code.splitlines())) <= set(shown)

    def mended(key):
        model = made(*{"nnx": [nnx.Rngs(key)], "equinox": [key], "plain": [key]}.get(library, []))
        seed = int(key[1])
        return run(fix.code, initialised(model, seed), np.random.default_rng(seed))

    again = ic.check(mended, inputs=ic.normal(WIDTH), only=invariant)
    assert again.ok, f"{fix.code}\n{again}"
