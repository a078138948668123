"""The JAX probe conforms: plain functions, flax nnx and linen, equinox, haiku."""

from __future__ import annotations

import math

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax, nn

from pytest_initcheck import conformance
from pytest_initcheck.probes import jax as probe

LAYOUT = ("NHWC", "HWIO", "NHWC")


def tree(weights):
    """Return {"layer": {"kernel": ...}}."""
    found: dict = {}
    for name, value in weights.items():
        layer, _, which = name.partition(".")
        found.setdefault(layer, {})[which] = jnp.asarray(value)
    return found


# -- plain functions, the cell under lax.scan ------------------------------------------------------


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def conv(p, x):
    return lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=LAYOUT) + p["bias"]


def pooled(x, operation, start):
    return lax.reduce_window(x, start, operation, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.mean(centred**2, -1, keepdims=True)
    return centred * lax.rsqrt(variance + conformance.EPSILON) * p["scale"] + p["offset"]


def mlp(p, x):
    return dense(p["head"], nn.relu(dense(p["second"], nn.relu(dense(p["first"], x)))))


def tanh(p, x):
    return dense(p["head"], jnp.tanh(dense(p["second"], jnp.tanh(dense(p["first"], x)))))


def convnet(p, x):
    x = pooled(nn.relu(conv(p["first"], x)), lax.max, -jnp.inf)
    x = pooled(nn.relu(conv(p["second"], x)), lax.add, 0.0) / 4
    return dense(p["head"], x.mean((1, 2)))


def residual(p, x):
    x = dense(p["stem"], x)
    up = nn.gelu(dense(p["up"], norm(p["norm"], x)), approximate=True)
    return dense(p["head"], x + dense(p["down"], up))


def mixed(q, k, v):
    shares = nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1]), -1)
    return jnp.einsum("bhqk,bkhd->bqhd", shares, v)


def attention(p, x):
    q, k, v = (
        dense(p[name], x).reshape(*x.shape[:2], conformance.HEADS, -1)
        for name in ("query", "key", "value")
    )
    return dense(p["head"], (x + dense(p["out"], mixed(q, k, v).reshape(x.shape))).mean(1))


def cell(z, c):
    i, f, g, o = jnp.split(z, 4, -1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return c, nn.sigmoid(o) * jnp.tanh(c)


def lstm(p, x):
    def step(state, x):
        h, c = state
        c, h = cell(dense(p["cell"], jnp.concatenate([x, h], 1)), c)
        return (h, c), None

    zero = jnp.zeros((len(x), p["head"]["kernel"].shape[0]))
    (h, _), _ = lax.scan(step, (zero, zero), jnp.moveaxis(x, 1, 0))
    return dense(p["head"], h)


FUNCTIONS = {
    "mlp": mlp, "tanh": tanh, "convnet": convnet, "residual": residual, "attention": attention, "lstm": lstm,
}  # fmt: skip


def plain(network, weights):
    return FUNCTIONS[network.name], tree(weights)


def jitted(network, weights):
    return jax.jit(jax.checkpoint(FUNCTIONS[network.name])), tree(weights)


@pytest.mark.parametrize("claim", conformance.claims(probe, plain), ids=str)
def test_plain_functions_conform(claim):
    claim()


@pytest.mark.parametrize("claim", conformance.claims(probe, jitted, only=("residual", "lstm")), ids=str)
def test_functions_under_jit_and_checkpoint_conform(claim):
    claim()


# -- flax nnx --------------------------------------------------------------------------------------


class Nnx(nnx.Module):
    """A network of nnx layers."""

    def __init__(self, name, weights):
        self.name = name
        rngs = nnx.Rngs(0)
        for layer, p in tree(weights).items():
            if layer == "norm":
                made = nnx.LayerNorm(len(p["scale"]), epsilon=conformance.EPSILON, rngs=rngs)
                made.scale[...], made.bias[...] = p["scale"], p["offset"]
            else:
                *kernel, fan_in, units = p["kernel"].shape
                made = (
                    nnx.Conv(fan_in, units, kernel, rngs=rngs)
                    if kernel
                    else nnx.Linear(fan_in, units, rngs=rngs)
                )
                made.kernel[...], made.bias[...] = p["kernel"], p["bias"]
            setattr(self, layer, made)

    def __call__(self, x):
        return getattr(self, f"_{self.name}")(x)

    def _mlp(self, x):
        return self.head(nnx.relu(self.second(nnx.relu(self.first(x)))))

    def _tanh(self, x):
        return self.head(nnx.tanh(self.second(nnx.tanh(self.first(x)))))

    def _convnet(self, x):
        x = nnx.max_pool(nnx.relu(self.first(x)), (2, 2), (2, 2))
        x = nnx.avg_pool(nnx.relu(self.second(x)), (2, 2), (2, 2))
        return self.head(x.mean((1, 2)))

    def _residual(self, x):
        x = self.stem(x)
        return self.head(x + self.down(nnx.gelu(self.up(self.norm(x)))))

    def _attention(self, x):
        q, k, v = (
            layer(x).reshape(*x.shape[:2], conformance.HEADS, -1)
            for layer in (self.query, self.key, self.value)
        )
        return self.head((x + self.out(mixed(q, k, v).reshape(x.shape))).mean(1))

    def _lstm(self, x):
        h = c = jnp.zeros((len(x), self.head.in_features))
        for step in range(x.shape[1]):
            c, h = cell(self.cell(jnp.concatenate([x[:, step], h], 1)), c)
        return self.head(h)


@pytest.mark.parametrize(
    "claim", conformance.claims(probe, lambda network, weights: Nnx(network.name, weights)), ids=str
)
def test_nnx_modules_conform(claim):
    claim()


# -- flax linen ------------------------------------------------------------------------------------


class Linen(linen.Module):
    """A network of linen layers."""

    network: str
    shapes: dict

    @linen.compact
    def __call__(self, x):
        layers = {}
        for layer in dict.fromkeys(name.partition(".")[0] for name in self.shapes):
            if layer == "norm":
                layers[layer] = linen.LayerNorm(conformance.EPSILON, name=layer)
                continue
            *kernel, _, units = self.shapes[f"{layer}.kernel"]
            layers[layer] = (
                linen.Conv(units, kernel, name=layer) if kernel else linen.Dense(units, name=layer)
            )
        return LINEN[self.network](layers, x)


LINEN = {
    "mlp": lambda of, x: of["head"](nn.relu(of["second"](nn.relu(of["first"](x))))),
    "tanh": lambda of, x: of["head"](jnp.tanh(of["second"](jnp.tanh(of["first"](x))))),
    "residual": lambda of, x: _linen_residual(of, x),
    "convnet": lambda of, x: _linen_convnet(of, x),
    "attention": lambda of, x: _linen_attention(of, x),
    "lstm": lambda of, x: _linen_lstm(of, x),
}


def _linen_residual(of, x):
    x = of["stem"](x)
    return of["head"](x + of["down"](linen.gelu(of["up"](of["norm"](x)))))


def _linen_convnet(of, x):
    x = linen.max_pool(nn.relu(of["first"](x)), (2, 2), (2, 2))
    x = linen.avg_pool(nn.relu(of["second"](x)), (2, 2), (2, 2))
    return of["head"](x.mean((1, 2)))


def _linen_attention(of, x):
    heads = (*x.shape[:2], conformance.HEADS, -1)
    q, k, v = (of[name](x).reshape(heads) for name in ("query", "key", "value"))
    return of["head"]((x + of["out"](mixed(q, k, v).reshape(x.shape))).mean(1))


def _linen_lstm(of, x):
    def step(layer, state, x):
        h, c = state
        c, h = cell(layer(jnp.concatenate([x, h], 1)), c)
        return (h, c), None

    scan = linen.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1)
    zero = jnp.zeros((len(x), of["cell"].features // 4))
    (h, _), _ = scan(of["cell"], (zero, zero), x)
    return of["head"](h)


def of_linen(network, weights):
    params = tree(weights)
    if "norm" in params:
        params["norm"]["bias"] = params["norm"].pop("offset")
    return Linen(network.name, dict(network.shapes)), {"params": params}


@pytest.mark.parametrize("claim", conformance.claims(probe, of_linen), ids=str)
def test_linen_modules_conform(claim):
    claim()


# -- equinox, channels first, over a batch by vmap -------------------------------------------------


class Equinox(eqx.Module):
    """A network of equinox layers, of one sample."""

    layers: dict
    network: str = eqx.field(static=True)

    def __init__(self, name, weights):
        self.network, self.layers = name, {}
        key = jax.random.key(0)
        for layer, p in tree(weights).items():
            if layer == "norm":
                made = eqx.nn.LayerNorm(len(p["scale"]), eps=conformance.EPSILON)
                values = p["scale"], p["offset"]
            elif p["kernel"].ndim == 4:
                *_, fan_in, units = p["kernel"].shape
                made = eqx.nn.Conv2d(fan_in, units, 3, padding=1, key=key)
                values = p["kernel"].transpose(3, 2, 0, 1), p["bias"][:, None, None]
            else:
                made = eqx.nn.Linear(*p["kernel"].shape, key=key)
                values = p["kernel"].T, p["bias"]
            self.layers[layer] = eqx.tree_at(lambda m: (m.weight, m.bias), made, values)

    def __call__(self, x):
        return jax.vmap(EQUINOX[self.network], (None, 0))(self.layers, x)


def _equinox_convnet(of, x):
    x = eqx.nn.MaxPool2d(2, 2)(nn.relu(of["first"](x)))
    x = eqx.nn.AvgPool2d(2, 2)(nn.relu(of["second"](x)))
    return of["head"](x.mean((1, 2)))


def _equinox_residual(of, x):
    x = of["stem"](x)
    return of["head"](x + of["down"](nn.gelu(of["up"](of["norm"](x)))))


def _equinox_attention(of, x):
    """Of one sample: positions are mapped over, as equinox's own attention does it."""
    q, k, v = (
        jax.vmap(of[name])(x).reshape(len(x), conformance.HEADS, -1)
        for name in ("query", "key", "value")
    )
    out = jax.vmap(of["out"])(jax.vmap(_head, 1, 1)(q, k, v).reshape(x.shape))
    return of["head"]((x + out).mean(0))


def _head(q, k, v):
    return nn.softmax(jnp.einsum("qd,kd->qk", q, k) / math.sqrt(q.shape[-1]), -1) @ v


def _equinox_lstm(of, x):
    def step(state, x):
        h, c = state
        c, h = cell(of["cell"](jnp.concatenate([x, h])), c)
        return (h, c), None

    zero = jnp.zeros(of["head"].in_features)
    (h, _), _ = lax.scan(step, (zero, zero), x)
    return of["head"](h)


EQUINOX = {
    "mlp": LINEN["mlp"],
    "tanh": LINEN["tanh"],
    "convnet": _equinox_convnet,
    "residual": _equinox_residual,
    "attention": _equinox_attention,
    "lstm": _equinox_lstm,
}
CLAIMS = conformance.claims(
    probe, lambda network, weights: Equinox(network.name, weights), channels="first"
)


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_equinox_modules_conform(claim):
    claim()


# -- haiku -----------------------------------------------------------------------------------------


def _haiku(network):
    """Return the function of a network, with its layers made where they are asked for."""

    def made(layer):
        if layer == "norm":
            return hk.LayerNorm(-1, True, True, eps=conformance.EPSILON, name=layer)
        *kernel, _, units = network.shapes[f"{layer}.kernel"]
        return hk.Conv2D(units, kernel, name=layer) if kernel else hk.Linear(units, name=layer)

    def forward(x):
        layers = {name.partition(".")[0]: None for name in network.shapes}
        return HAIKU[network.name]({layer: made(layer) for layer in layers}, x)

    return forward


def _haiku_convnet(of, x):
    x = hk.max_pool(nn.relu(of["first"](x)), (2, 2, 1), (2, 2, 1), "VALID")
    x = hk.avg_pool(nn.relu(of["second"](x)), (2, 2, 1), (2, 2, 1), "VALID")
    return of["head"](x.mean((1, 2)))


def _haiku_lstm(of, x):
    def step(state, x):
        h, c = state
        c, h = cell(of["cell"](jnp.concatenate([x, h], 1)), c)
        return (h, c), None

    zero = jnp.zeros((len(x), of["cell"].output_size // 4))
    (h, _), _ = hk.scan(step, (zero, zero), jnp.moveaxis(x, 1, 0))
    return of["head"](h)


HAIKU = {
    "mlp": LINEN["mlp"],
    "tanh": LINEN["tanh"],
    "convnet": _haiku_convnet,
    "residual": _equinox_residual,
    "attention": _linen_attention,
    "lstm": _haiku_lstm,
}


def of_haiku(network, weights):
    names = {"kernel": "w", "bias": "b", "scale": "scale", "offset": "offset"}
    params = {layer: {names[which]: v for which, v in p.items()} for layer, p in tree(weights).items()}
    return hk.without_apply_rng(hk.transform(_haiku(network))).apply, params


@pytest.mark.parametrize("claim", conformance.claims(probe, of_haiku), ids=str)
def test_haiku_functions_conform(claim):
    claim()


def test_the_builders_compute_what_the_networks_are():
    """Otherwise a claim would blame the probe."""
    for network in conformance.NETWORKS:
        x, weights = network.batch(), network.weights()
        apply, params = plain(network, weights)
        double = {name: value.astype(np.float64) for name, value in weights.items()}
        wanted = network.read(double, x.astype(np.float64)).steps[-1].value
        assert np.allclose(apply(params, x), wanted, atol=1e-5)
        assert np.allclose(Nnx(network.name, weights)(x), wanted, atol=1e-5)
        module, variables = of_linen(network, weights)
        assert np.allclose(module.apply(variables, x), wanted, atol=1e-5)
        apply, params = of_haiku(network, weights)
        assert np.allclose(apply(params, x), wanted, atol=1e-5)
        first = np.moveaxis(x, -1, 1) if x.ndim == 4 else x
        assert np.allclose(Equinox(network.name, weights)(first), wanted, atol=1e-5)
