"""The nine models of ``benchmarks/frameworks.py`` in Haiku."""

import haiku as hk
import jax
import jax.numpy as jnp

WIDTH, CLASSES, RANK = 256, 10, 16
HE = hk.initializers.RandomNormal((2 / WIDTH) ** 0.5)
LECUN = hk.initializers.RandomNormal(WIDTH**-0.5)
ZEROS = hk.initializers.Constant(0.0)
UNIFORM = hk.initializers.RandomUniform(-(WIDTH**-0.5), WIDTH**-0.5)
"""As ``torch.nn.Linear`` draws weights and biases."""


def initialised(forward, key):
    """Return (apply, params)."""
    transformed = hk.without_apply_rng(hk.transform(forward))
    return transformed.apply, transformed.init(key, jnp.ones((1, WIDTH)))


def mlp(key, hidden, activation, w=HE, b=ZEROS, head=LECUN, first=None):
    """Return (apply, params) of hidden layers that ``w`` and ``b`` draw, and a head."""

    def forward(x):
        x = x if first is None else first(x)
        for _ in range(hidden):
            x = activation(hk.Linear(WIDTH, w_init=w, b_init=b)(x))
        return hk.Linear(CLASSES, w_init=head)(x)

    return initialised(forward, key)


def good(key):
    return mlp(key, 20, jax.nn.relu)


def default_init(key):
    return mlp(key, 20, jax.nn.relu, UNIFORM, UNIFORM, UNIFORM)


def saturated_tanh(key):
    return mlp(key, 20, jnp.tanh, hk.initializers.RandomNormal(3 / WIDTH**0.5))


def dead_relu(key):
    return mlp(key, 5, jax.nn.relu, b=hk.initializers.Constant(-3.0))


def zero_layer(key):
    apply, params = mlp(key, 5, jax.nn.relu)
    params["linear_2"]["w"] = jnp.zeros((WIDTH, WIDTH))
    return apply, params


def saturated_sigmoid(key):
    return mlp(key, 8, jax.nn.sigmoid, hk.initializers.RandomNormal(1.0))


def zero_gate(key):
    """x + gate * W2 relu(W1 x), four times, the gates at zero; then a head."""

    def forward(x):
        for index in range(4):
            gate = hk.get_parameter(f"gate{index}", (), init=jnp.zeros)
            branch = hk.Sequential(
                [hk.Linear(WIDTH, w_init=HE), jax.nn.relu, hk.Linear(WIDTH, w_init=HE)]
            )
            x = x + gate * branch(x)
        return hk.Linear(CLASSES, w_init=LECUN)(x)

    return initialised(forward, key)


def zero_factors(key):
    """x + B (A x), a low-rank branch whose factors are both zero; then a network."""

    def low_rank(x):
        low = hk.Linear(RANK, with_bias=False, w_init=ZEROS, name="a")(x)
        return x + hk.Linear(WIDTH, with_bias=False, w_init=ZEROS, name="b")(low)

    return mlp(key, 2, jax.nn.relu, first=low_rank)


def constant(key):
    return mlp(key, 2, jax.nn.relu, hk.initializers.Constant(1 / WIDTH))
