"""The nine models of ``benchmarks/frameworks.py`` as functions of their parameters, in plain JAX."""

import jax
import jax.numpy as jnp
from jax import nn, random

WIDTH, CLASSES, RANK = 256, 10, 16
HE = (2 / WIDTH) ** 0.5


def dense(p, x):
    return x @ p["w"] + p["b"]


def drawn(key, std, units=WIDTH, bias=0.0):
    return {"w": std * random.normal(key, (WIDTH, units)), "b": jnp.full(units, bias)}


def head(key):
    return drawn(key, WIDTH**-0.5, CLASSES)


def mlp(key, hidden, activation, std, bias=0.0):
    """Return (apply, params) of hidden layers and a head of N(0, 1 / n)."""
    *keys, last = random.split(key, hidden + 1)
    return network(activation), {"layers": [drawn(k, std, bias=bias) for k in keys], "head": head(last)}


def network(activation):
    @jax.jit
    def apply(params, x):
        for p in params["layers"]:
            x = activation(dense(p, x))
        return dense(params["head"], x)

    return apply


def good(key):
    return mlp(key, 20, nn.relu, HE)


def default_init(key):
    """As ``torch.nn.Linear`` does it: U(-b, b) with b = 1 / sqrt(n), weights and biases."""

    def uniform(key, units):
        w, b = random.split(key)
        bound = WIDTH**-0.5
        return {
            "w": random.uniform(w, (WIDTH, units), minval=-bound, maxval=bound),
            "b": random.uniform(b, (units,), minval=-bound, maxval=bound),
        }

    *keys, last = random.split(key, 21)
    params = {"layers": [uniform(k, WIDTH) for k in keys], "head": uniform(last, CLASSES)}
    return network(nn.relu), params


def saturated_tanh(key):
    return mlp(key, 20, jnp.tanh, 3 / WIDTH**0.5)


def dead_relu(key):
    return mlp(key, 5, nn.relu, HE, bias=-3.0)


def zero_layer(key):
    apply, params = mlp(key, 5, nn.relu, HE)
    params["layers"][2]["w"] = jnp.zeros((WIDTH, WIDTH))
    return apply, params


def saturated_sigmoid(key):
    return mlp(key, 8, nn.sigmoid, 1.0)


def zero_gate(key):
    """x + gate * W2 relu(W1 x), four times, the gates at zero; then a head."""
    *keys, last = random.split(key, 9)
    blocks = [
        {"up": drawn(up, HE), "down": drawn(down, HE), "gate": jnp.zeros(())}
        for up, down in zip(keys[::2], keys[1::2], strict=True)
    ]

    def apply(params, x):
        for p in params["blocks"]:
            x = x + p["gate"] * dense(p["down"], nn.relu(dense(p["up"], x)))
        return dense(params["head"], x)

    return apply, {"blocks": blocks, "head": head(last)}


def zero_factors(key):
    """x + B (A x), a low-rank branch whose factors are both zero; then a network."""
    behind, params = mlp(key, 2, nn.relu, HE)

    def apply(params, x):
        return behind(params["network"], x + x @ params["a"] @ params["b"])

    return apply, {"a": jnp.zeros((WIDTH, RANK)), "b": jnp.zeros((RANK, WIDTH)), "network": params}


def constant(key):
    layers = [{"w": jnp.full((WIDTH, WIDTH), 1 / WIDTH), "b": jnp.zeros(WIDTH)} for _ in range(2)]
    return network(nn.relu), {"layers": layers, "head": head(key)}
