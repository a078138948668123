"""One verdict for one network, whichever library of JAX it is written with."""

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
from pytest_initcheck.factory import build
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import jax as probe
from pytest_initcheck.probes.jax_models import functional
from pytest_initcheck.trace import Wanted

WIDTH, DEPTH, AT = 64, 6, 3
X = np.random.default_rng(0).normal(size=(32, WIDTH)).astype(np.float32)
LAYER = {
    "nnx": "layers.3",
    "linen": "Dense_3",
    "equinox": "layers.3",
    "haiku": "linear_3",
    "plain": "3",
}
LIBRARIES = tuple(LAYER)


def gains(gain, at_fault):
    return [at_fault if index == AT else gain for index in range(DEPTH)]


@pytest.fixture
def matched(network):
    """A network with the gain of ReLU, as a factory, of any library."""
    return lambda library: network(library, gains(2.0, 2.0), jax.nn.relu)


def built(factory, seed=0, x=X):
    model = build(factory, np.random.SeedSequence(seed), {})
    return probe.drawn(model, lambda: Call((x,), {}), seed=seed, keep=False)


def flow_of(model, call, mode):
    return probe._flow(functional(model, mode), call, 0)


def output_of(model, x=X):
    """What the model returns without being observed."""
    if isinstance(model, tuple):
        first, params = model
        if isinstance(first, nn.Module):
            return first.apply(params, x)
        return first.apply(params, None, x) if hasattr(first, "apply") else first(params, x)
    return jax.vmap(model)(x) if isinstance(model, equinox.Module) else model(x)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_matched_network_passes(library, matched):
    report = ic.check(matched(library), inputs=ic.normal(WIDTH))
    assert report.ok, str(report)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_layer_that_saturates_is_named(library, network):
    made = network(library, gains(1.0, 400.0), jnp.tanh)
    report = ic.check(made, inputs=ic.normal(WIDTH), only="saturation")
    assert not report.ok
    assert LAYER[library] in (report.findings[0].site or ""), str(report)


@pytest.mark.parametrize("library", ["linen", "plain"])
def test_a_layer_of_zeros_fails(library, network):
    made = network(library, gains(2.0, 0.0), jax.nn.relu)
    report = ic.check(made, inputs=ic.normal(WIDTH))
    assert not report.ok
    assert LAYER[library] in str(report)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_output_is_that_of_the_model_itself(library, matched):
    model = built(matched(library))
    flow, batch = flow_of(model, Call((X,), {}), "train")
    assert batch == len(X)
    np.testing.assert_allclose(flow.outputs()[0], output_of(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_builds_of_one_seed_are_identical_and_of_two_are_not(library, matched):
    first, again, other = (probe.fingerprints(built(matched(library), seed)) for seed in (3, 3, 4))
    assert first == again
    weights = [(a, b) for a, b in zip(first, other, strict=True) if not a.constant]
    assert len(weights) == DEPTH
    assert all(a.digest != b.digest for a, b in weights)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_model_that_was_built_is_as_it_was(library, matched):
    model = built(matched(library))
    before = probe.fingerprints(model)
    probe.trace(model, Call((X,), {}), mode="train", seed=1, wanted=Wanted(noise=True, steps=True))
    assert probe.fingerprints(model) == before


def test_what_a_model_draws_of_numpy_is_of_the_seed_of_the_trace():
    def apply(params, x):
        return (x + np.random.standard_normal(x.shape).astype(np.float32)) @ params["w"]

    model = apply, {"w": jnp.ones((WIDTH, 4)) / 8}
    state = np.random.get_state()[1].tolist()
    first, again, other = (
        probe.trace(model, Call((X,), {}), mode="train", seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert np.random.get_state()[1].tolist() == state


NAMES = {
    "nnx": ("layers.3.kernel", "model.layers[3].kernel[...]"),
    "linen": ("Dense_3.kernel", "variables['params']['Dense_3']['kernel']"),
    "equinox": ("layers.3.weight", "model.layers[3].weight"),
    "haiku": ("linear_3.w", "params['linear_3']['w']"),
    "plain": ("3.kernel", "params[3]['kernel']"),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_parameters_bear_the_names_of_the_library(library, matched):
    trace = probe.trace(built(matched(library)), Call((X,), {}), mode="train", seed=1)
    paths = {parameter.name: parameter.path for parameter in trace.parameters}
    name, path = NAMES[library]
    assert paths[name] == path
    assert len(paths) == 2 * DEPTH


def test_all_libraries_show_the_same_sites(matched):
    kinds = {
        library: [
            (site.kind, site.op, site.activation, site.units)
            for site in probe.trace(built(matched(library)), Call((X,), {}), mode="train", seed=1).sites
        ]
        for library in LIBRARIES
    }
    assert all(found == kinds["plain"] for found in kinds.values()), kinds


WRAPPED = {
    "jit": lambda apply: jax.jit(apply),
    "vmap": lambda apply: lambda p, x: jax.vmap(lambda row: apply(p, row))(x),
    "remat": lambda apply: jax.checkpoint(apply),
    "jit of vmap of remat": lambda apply: jax.jit(jax.vmap(jax.checkpoint(apply), in_axes=(None, 0))),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_users_own_transformations_change_nothing(wrap, matched):
    apply, params = built(matched("plain"))
    one = probe.trace((apply, params), Call((X,), {}), mode="train", seed=1)
    two = probe.trace((wrap(apply), params), Call((X,), {}), mode="train", seed=1)
    assert [(s.name, s.kind, s.op) for s in one.sites] == [(s.name, s.kind, s.op) for s in two.sites]
    for a, b in zip(one.sites, two.sites, strict=True):
        assert a.value.second_moment == pytest.approx(b.value.second_moment, rel=1e-4)
    assert one.gradient is not None
    assert two.gradient is not None
    assert one.gradient.difference == pytest.approx(two.gradient.difference, rel=1e-3)


def test_layers_in_a_scan_are_seen_one_by_one():
    def apply(params, x):
        def layer(h, each):
            return jax.nn.relu(h @ each["kernel"] + each["bias"]), None

        return jax.lax.scan(layer, x, params["stack"])[0] @ params["head"]

    def made(key):
        first, second = jax.random.split(key)
        kernel = jax.random.normal(first, (5, WIDTH, WIDTH)) * (2 / WIDTH) ** 0.5
        stack = {"kernel": kernel, "bias": jnp.zeros((5, WIDTH))}
        return apply, {"stack": stack, "head": jax.random.normal(second, (WIDTH, 4)) / WIDTH**0.5}

    trace = probe.trace(built(made), Call((X,), {}), mode="train", seed=1)
    assert sum(site.kind == "linear" for site in trace.sites) == 6
    assert sum(site.activation == "relu" for site in trace.sites) == 5
    report = ic.check(made, inputs=ic.normal(WIDTH))
    assert report.ok, str(report)


# -- states and modes ------------------------------------------------------------------------------


class Normed(nnx.Module):
    def __init__(self, rngs, rate=0.5):
        self.first = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.BatchNorm(WIDTH, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs)
        self.last = nnx.Linear(WIDTH, 4, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


def test_nnx_statistics_keys_and_modes_are_left_alone():
    model = Normed(nnx.Rngs(0))
    model.eval()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.split(model, nnx.BatchStat, ...)[1]))
    probe.trace(model, Call((5 * X + 3,), {}), mode="train", seed=1, wanted=Wanted(steps=True))
    after = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.split(model, nnx.BatchStat, ...)[1]))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert model.drop.deterministic
    assert model.norm.use_running_average
    assert int(model.drop.rngs.count[...]) == 0


def test_nnx_normalises_by_the_batch_in_train_mode_and_drops_nothing():
    model = Normed(nnx.Rngs(0))
    same = Normed(nnx.Rngs(0), rate=0.0)
    trained, undropped = (
        flow_of(m, Call((5 * X + 3,), {}), "train")[0].outputs()[0] for m in (model, same)
    )
    np.testing.assert_allclose(trained, undropped, rtol=1e-5)
    evaluated = flow_of(model, Call((5 * X + 3,), {}), "eval")[0].outputs()[0]
    assert not np.allclose(trained, evaluated, rtol=0.1)


class LinenNormed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(WIDTH)(x))
        return nn.Dense(4)(nn.Dropout(0.5, deterministic=not train)(nn.relu(x)))


class LinenDeterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic: bool):
        return nn.Dense(4)(nn.Dropout(0.5)(nn.relu(nn.Dense(WIDTH)(x)), deterministic=deterministic))


@pytest.mark.parametrize("module", [LinenNormed, LinenDeterministic])
def test_linen_is_told_the_mode_by_the_flag_it_has(module):
    model = built(lambda: module())
    trace = probe.trace(model, Call((X,), {}), mode="train", seed=1)
    assert [site.kind for site in trace.sites if site.weight] == ["linear", "linear"]
    told = {"train": True} if module is LinenNormed else {"deterministic": False}
    again = probe.trace(model, Call((X,), told), mode="train", seed=1)
    assert [s.value for s in again.sites] == [s.value for s in trace.sites]


def test_linen_statistics_are_left_alone():
    module, variables = built(lambda: LinenNormed())
    before = jax.tree.map(np.array, variables)
    probe.trace((module, variables), Call((5 * X,), {}), mode="train", seed=1)
    jax.tree.map(np.testing.assert_array_equal, before, variables)


def test_linen_comes_in_every_form(matched):
    module, variables = built(matched("linen"))
    forms = [
        (module, variables),
        (module, variables["params"]),
        (module.apply, variables),
        module.bind(variables),
    ]
    found = [probe.trace(form, Call((X,), {}), mode="train", seed=1) for form in forms]
    told = [
        [dataclasses.replace(site, weight=None, bias=None) for site in trace.sites] for trace in found
    ]
    assert all(sites == told[0] for sites in told)
    spelled = [trace.parameters[0].path for trace in found]
    assert spelled[1] == "params['Dense_0']['bias']"
    assert {spelled[at] for at in (0, 2, 3)} == {"variables['params']['Dense_0']['bias']"}


class WithState(equinox.Module):
    first: equinox.nn.Linear
    norm: equinox.nn.BatchNorm
    drop: equinox.nn.Dropout
    last: equinox.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.first = equinox.nn.Linear(WIDTH, WIDTH, key=one)
        self.norm = equinox.nn.BatchNorm(WIDTH, axis_name="batch", mode="batch")
        self.drop = equinox.nn.Dropout(0.5)
        self.last = equinox.nn.Linear(WIDTH, 4, key=two)

    def __call__(self, x, state, key=None):
        x, state = self.norm(self.first(x), state)
        return self.last(self.drop(jax.nn.relu(x), key=key)), state


def test_equinox_with_a_state_normalises_by_the_batch():
    def made(key):
        return equinox.nn.make_with_state(WithState)(key)

    trace = probe.trace(built(made), Call((5 * X + 3,), {}), mode="train", seed=1)
    (norm,) = [site for site in trace.sites if site.kind == "norm"]
    assert norm.op == "batch_norm"
    assert norm.value.second_moment == pytest.approx(1, rel=0.01)


def test_equinox_on_a_whole_batch():
    class Batched(equinox.Module):
        weight: jax.Array

        def __call__(self, x):
            batch, width = x.shape
            return jax.nn.relu(x @ self.weight).reshape(batch, width)

    model = Batched(jax.random.normal(jax.random.key(0), (WIDTH, WIDTH)))
    flow, _ = flow_of(model, Call((X,), {}), "train")
    np.testing.assert_allclose(flow.outputs()[0], model(X), rtol=1e-5, atol=1e-5)


def test_haiku_with_a_state():
    def forward(x):
        x = hk.BatchNorm(True, True, 0.9)(hk.Linear(WIDTH)(x), is_training=True)
        return hk.Linear(4)(jax.nn.relu(x))

    model = built(lambda: hk.transform_with_state(forward))
    before = jax.tree.map(np.array, model[2])
    trace = probe.trace(model, Call((5 * X,), {}), mode="train", seed=1)
    assert [site.op for site in trace.sites if site.kind == "norm"] == ["batch_norm"]
    jax.tree.map(np.testing.assert_array_equal, before, model[2])


def test_haiku_without_a_key():
    transformed = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([8, 4])(x)))
    model = (transformed, transformed.init(jax.random.PRNGKey(0), X))
    flow, _ = flow_of(model, Call((X,), {}), "train")
    np.testing.assert_allclose(flow.outputs()[0], transformed.apply(model[1], X), rtol=1e-5, atol=1e-6)


KEEP = 0.75
DROPOUTS = {
    "where": lambda k, x: jnp.where(jax.random.bernoulli(k, KEEP, x.shape), x / KEEP, 0),
    "a mask of numbers": lambda k, x: x * (jax.random.uniform(k, x.shape) < KEEP) / KEEP,
    "a scaled mask": lambda k, x: x * (jax.random.bernoulli(k, KEEP, x.shape).astype(x.dtype) / KEEP),
    "dropped": lambda k, x: jnp.where(jax.random.uniform(k, x.shape) < 1 - KEEP, 0, x / KEEP),
    "not kept": lambda k, x: jnp.where(~jax.random.bernoulli(k, 1 - KEEP, x.shape), x / KEEP, 0),
    "whole samples": lambda k, x: x * jnp.floor(KEEP + jax.random.uniform(k, (len(x), 1))) / KEEP,
    "a mask for all units": lambda k, x: jnp.where(
        jax.random.bernoulli(k, KEEP, (len(x), 1)), x / KEEP, 0
    ),
    "haiku": lambda k, x: hk.dropout(k, 1 - KEEP, x),
    "equinox": lambda k, x: equinox.nn.Dropout(1 - KEEP)(x, key=k),
    "under vmap": lambda k, x: jax.vmap(
        lambda key, row: jnp.where(jax.random.bernoulli(key, KEEP, row.shape), row / KEEP, 0)
    )(jax.random.split(k, len(x)), x),
}


@pytest.mark.parametrize("drop", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_drawn_mask_is_its_mean(drop, make):
    weight = {"w": jax.random.normal(jax.random.key(2), (WIDTH, WIDTH))}
    flow, _ = flow_of((lambda p, x: drop(make(5), x @ p["w"]), weight), Call((X,), {}), "train")
    np.testing.assert_allclose(flow.outputs()[0], X @ weight["w"], rtol=1e-3, atol=1e-4)


def test_noise_that_is_added_is_no_mask():
    weight = {"w": jax.random.normal(jax.random.key(2), (WIDTH, WIDTH))}

    def apply(p, x):
        return x @ p["w"] + jax.random.normal(jax.random.key(0), x.shape)

    flow, _ = flow_of((apply, weight), Call((X,), {}), "train")
    np.testing.assert_allclose(flow.outputs()[0], apply(weight, X), rtol=1e-4, atol=1e-4)


# -- numbers ---------------------------------------------------------------------------------------


def test_arrays_of_numpy_are_taken():
    rng = np.random.default_rng(1)
    params = {"w": rng.normal(size=(WIDTH, 4)), "b": np.zeros(4, np.float32)}
    trace = probe.trace(
        (lambda p, x: x @ p["w"] + p["b"], params),
        Call((X.astype(np.float64),), {}),
        mode="train",
        seed=1,
    )
    assert {p.name for p in trace.parameters} == {"w", "b"}


def test_half_precision_is_measured(matched):
    apply, params = built(matched("plain"))
    half = jax.tree.map(lambda v: v.astype(jnp.bfloat16), params)
    x = jnp.asarray(X, jnp.bfloat16)
    trace = probe.trace(
        (apply, half), Call((x,), {}), mode="train", seed=1, wanted=Wanted(noise=True, steps=True)
    )
    whole = probe.trace((apply, params), Call((X,), {}), mode="train", seed=1)
    assert trace.gradient is not None
    assert trace.sites[-1].value.second_moment == pytest.approx(
        whole.sites[-1].value.second_moment, rel=0.05
    )


def test_ids_as_numpy_has_them_are_an_embedding():
    ids = np.random.default_rng(0).integers(0, 20, (32, 5))
    params = {
        "table": jax.random.normal(jax.random.key(0), (20, WIDTH)),
        "w": jax.random.normal(jax.random.key(1), (WIDTH, 4)),
    }
    apply = lambda p, x: p["table"][x] @ p["w"]  # noqa: E731
    trace = probe.trace((apply, params), Call((ids,), {}), mode="train", seed=1)
    assert [site.kind for site in trace.sites if site.weight] == ["embedding", "linear"]
    assert trace.inputs[0].exempt


@pytest.mark.parametrize("form", ["dict", "dataclass of flax", "tuple"])
def test_outputs_come_in_containers(form):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Out:
        logits: object
        value: object

    def apply(p, x):
        logits, value = x @ p["w"], (x @ p["w"]).mean(-1)
        return {"dict": {"logits": logits, "value": value}, "tuple": (logits, value)}.get(
            form, Out(logits, value)
        )

    params = {"w": jax.random.normal(jax.random.key(0), (WIDTH, 4))}
    trace = probe.trace((apply, params), Call((X,), {}), mode="train", seed=1)
    assert trace.sites[trace.output].kind == "linear"


def test_the_users_loss_is_followed(matched):
    losses = []

    def loss(output, x):
        losses.append(output.shape)
        return jnp.mean((output - x) ** 2)

    wanted = Wanted(steps=True, loss=loss)
    trace = probe.trace(built(matched("nnx")), Call((X,), {}), mode="train", seed=1, wanted=wanted)
    assert losses
    assert trace.training is not None
    assert trace.training.stuck == ()
