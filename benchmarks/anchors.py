"""Published figures of signal propagation against what pytest_initcheck.theory says.

    python benchmarks/anchors.py [--only TEXT]

Prints one row per figure: source, setting, published, ours, difference; exits with 1 if one is out of
tolerance.  "Simulated" rows draw networks with a fixed seed (benchmarks/anchor_networks.py) and hold
the simulation against the figure, or against theory where the paper has the law and not the number.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import anchor_networks as simulate
import numpy as np

from pytest_initcheck import initializers, theory
from pytest_initcheck.activations import activation
from pytest_initcheck.initializers import conv
from pytest_initcheck.initializers.schemes import TRUNCATED_STD

HE = "He et al. 2015"
GLOROT = "Glorot and Bengio 2010"
POOLE = "Poole et al. 2016"
SCHOENHOLZ = "Schoenholz et al. 2017"
HAYOU = "Hayou et al. 2019"
CHO = "Cho and Saul 2009"
SELU = "Klambauer et al. 2017"
BROCK = "Brock et al. 2021 (timm)"
YANG = "Yang et al. 2019"
HANIN = "Hanin and Rolnick 2018"
LU = "Lu et al. 2020"
PENNINGTON = "Pennington et al. 2017"
GAINS = "gain table"
DEAD = "dead units, He networks"
EDGES = "zero padding"
POOLS = "max of normal values"


@dataclass(frozen=True)
class Anchor:
    """One figure: ``ours()`` lies within ``tolerance`` of ``published``."""

    id: str
    source: str
    setting: str
    published: float
    tolerance: float
    ours: Callable[[], float]
    simulated: bool = False


def he_and_glorot() -> Iterator[Anchor]:
    yield Anchor("1-gain", HE, "ReLU: gain", math.sqrt(2), 1e-9, lambda: theory.gain("relu"))
    yield Anchor(
        "1-map", HE, "ReLU, sigma_w2=2: q'/q", 1.0, 1e-12, lambda: theory.length_map("relu", 1.0, 2.0)
    )
    for channels, std in ((64, 0.059), (128, 0.042), (256, 0.029), (512, 0.021)):
        yield Anchor(
            f"2-{channels}",
            HE,
            f"std of a 3x3 convolution on {channels} channels (section 2.2)",
            std,
            5e-4,
            lambda channels=channels: math.sqrt(
                initializers.he_normal().layer_variance(conv(channels, 64, 3, 3))
            ),
        )
    yield Anchor(
        "4-std",
        HE,
        "Xavier on ReLU, std over 30 layers",
        2.0**-15,
        1e-15,
        lambda: math.sqrt(theory.length_map("relu", 1.0, 1.0)) ** 30,
    )
    yield Anchor(
        "4-net",
        HE,
        "the same, log2 of the variance over 29 layers, drawn",
        -29.0,
        0.6,
        simulate.xavier_on_relu,
        True,
    )
    yield Anchor(
        "5-normalised",
        GLOROT,
        "mean singular value, normalised init: 8/(3 pi)",
        8 / (3 * math.pi),
        0.006,
        partial(simulate.mean_singular_value, 1.0),
        True,
    )
    yield Anchor(
        "5-standard",
        GLOROT,
        "mean singular value, standard init: 8/(3 sqrt(3) pi)",
        8 / (3 * math.pi * math.sqrt(3)),
        0.006,
        partial(simulate.mean_singular_value, 1 / 3),
        True,
    )
    yield Anchor(
        "2.4-fans",
        HE,
        "gradient under fan_in init, 256-1024-64-512: n_L / n_0",
        2.0,
        1e-12,
        lambda: math.prod(
            theory.gradient_factor("relu", 2.0, fan_in=a, fan_out=b)
            for a, b in ((256, 1024), (1024, 64), (64, 512))
        ),
    )


def mean_field() -> Iterator[Anchor]:
    poole = (
        (1.3, 0.60705, 0.93981, 1.0),
        (2.5, 4.07912, 1.58522, 0.12210),
        (4.0, 12.60415, 2.36726, 0.029696),
    )
    for row, (sigma_w, q, chi, c) in zip((6, 7, 8), poole, strict=True):
        at, where = (sigma_w**2, 0.09), f"tanh, sigma_w={sigma_w}, sigma_b=.3"
        length = lambda at=at: theory.length_fixed_point("tanh", *at).q
        yield Anchor(f"{row}-q", POOLE, f"{where}: q*", q, 1e-5, length)
        yield Anchor(
            f"{row}-chi", POOLE, f"{where}: chi_1", chi, 1e-5, partial(theory.chi_1, "tanh", *at)
        )
        fixed = partial(theory.correlation_fixed_point, "tanh", *at)
        yield Anchor(f"{row}-c", POOLE, f"{where}: c*", c, 1e-5, fixed)
    critical = partial(theory.critical_sigma_w2, "tanh", 0.05)
    where = "tanh, sigma_b2=.05: critical sigma_w2"
    yield Anchor("9-published", SCHOENHOLZ, f"{where} (figure)", 1.76, 5e-3, critical)
    yield Anchor("9", SCHOENHOLZ, where, 1.760955, 1e-6, critical)
    length = lambda: theory.length_fixed_point("tanh", critical(), 0.05).q
    yield Anchor("9-q", SCHOENHOLZ, "tanh, sigma_b2=.05: q* there", 0.570048, 1e-6, length)
    scales = (
        (1.0, 0.75903, 3.627, None),
        (1.3, 0.88016, 7.834, None),
        (1.5, 0.93864, 15.79, None),
        (1.7, 0.98674, 74.9, None),
        (1.8, 1.00822, 125.8, None),
        (2.0, 1.04767, 25.21, 21.475),
        (2.5, 1.13352, 11.80, 7.979),
        (3.0, 1.20893, 9.051, 5.270),
        (4.0, 1.34240, 6.980, 3.396),
    )
    for row, (sigma_w2, chi, correlation, gradient) in enumerate(scales, 10):
        where = f"tanh, sigma_b2=.05, sigma_w2={sigma_w2}"
        scale = partial(theory.depth_scale, "tanh", sigma_w2, 0.05)
        value = partial(theory.chi_1, "tanh", sigma_w2, 0.05)
        yield Anchor(f"{row}", SCHOENHOLZ, f"{where}: chi_1", chi, 1e-5, value)
        xi = lambda scale=scale: scale().correlation
        yield Anchor(f"{row}b", SCHOENHOLZ, f"{where}: xi_c", correlation, 0.005 * correlation, xi)
        if gradient is not None:
            xi = lambda scale=scale: scale().gradient
            yield Anchor(f"{row}c", SCHOENHOLZ, f"{where}: xi_grad", gradient, 0.005 * gradient, xi)
    line = {
        0.001: 1.189190,
        0.01: 1.424205,
        0.04: 1.700796,
        0.1: 1.986073,
        0.2: 2.285152,
        0.3: 2.505127,
        0.5: 2.843167,
        1.0: 3.443211,
    }
    for row, (sigma_b2, sigma_w2) in enumerate(line.items(), 19):
        value = partial(theory.critical_sigma_w2, "tanh", sigma_b2)
        yield Anchor(
            f"{row}", SCHOENHOLZ, f"tanh, critical sigma_w2 at {sigma_b2}", sigma_w2, 1e-6, value
        )
    edge = {"tanh": 1.3041, "elu": 1.2293, "silu": 1.6795, "gelu": 1.5470, "erf": 1.1528}
    for name, sigma_w in edge.items():
        value = lambda name=name: math.sqrt(theory.critical_sigma_w2(name, 0.04))
        yield Anchor(f"27-{name}", HAYOU, f"{name}, sigma_b=.2: critical sigma_w", sigma_w, 6e-5, value)


def relu_layers(c: float, layers: int) -> float:
    for _ in range(layers):
        c = theory.correlation_map("relu", c, 2.0)
    return c


def correlations_through_relu() -> Iterator[Anchor]:
    from_zero = (0.318310, 0.493731, 0.604826, 0.735946, 0.871536, 0.948428, 0.987862, 0.996423)
    for layers, c in zip((1, 2, 3, 5, 10, 20, 50, 100), from_zero, strict=True):
        where = f"ReLU, c_0=0, layer {layers}"
        yield Anchor(f"28-{layers}", CHO, where, c, 1e-6, partial(relu_layers, 0.0, layers))
    from_uniform = (0.788002, 0.817617, 0.841212, 0.876128, 0.925115, 0.963613, 0.989784)
    for layers, c in zip((1, 2, 3, 5, 10, 20, 50), from_uniform, strict=True):
        where = f"ReLU, c_0=.75 (U[0,1] inputs), layer {layers}"
        yield Anchor(f"29-{layers}", CHO, where, c, 1e-6, partial(relu_layers, 0.75, layers))
    asymptote = lambda: (1 - relu_layers(0.0, 1000)) * 2 * 1000**2 / (9 * math.pi**2)
    yield Anchor("28-1000", HAYOU, "1 - c over 9 pi^2 / 2 l^2, l=1000", 0.971, 6e-4, asymptote)
    for c in (0.0, 0.5):
        slope = 0.2
        kernel = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
        published = ((1 - slope) ** 2 * kernel + 2 * slope * c) / (1 + slope**2)
        value = partial(theory.correlation_map, "leaky_relu(0.2)", c, 2 / 1.04)
        yield Anchor(f"56-{c}", "dks 0.1.2", f"leaky ReLU .2, c={c}", published, 1e-12, value)
    where = "ReLU net of width 1000, c_0=0, layer 10, drawn"
    yield Anchor("28-net", CHO, where, 0.871536, 0.02, partial(simulate.relu_correlation, 10), True)


def tanh_layers(layers: int) -> float:
    q = 1.0
    for _ in range(layers):
        q = theory.length_map("tanh", q, 1.0)
    return q


def matched_layers(name: str, q: float, layers: int) -> float:
    sigma_w2 = theory.gain(name) ** 2
    for _ in range(layers):
        q = theory.length_map(name, q, sigma_w2)
    return q


def lengths() -> Iterator[Anchor]:
    decay = (0.39429, 0.10344, 0.05220, 0.02590, 0.01022, 0.00507)
    for layers, q in zip((1, 5, 10, 20, 50, 100), decay, strict=True):
        where = f"tanh at sigma_w=1, E tanh^2 at layer {layers}"
        yield Anchor(f"30-{layers}", SCHOENHOLZ, where, q, 6e-6, partial(tanh_layers, layers))
    law = lambda: 2000 * tanh_layers(1000)
    yield Anchor("30-law", SCHOENHOLZ, "tanh at sigma_w=1: 2 l q_l, l=1000", 1.0, 0.01, law)
    selu = activation("selu")
    yield Anchor("31-mean", SELU, "SELU: E phi at (0, 1)", 0.0, 1e-12, lambda: theory.mean("selu"))
    second = partial(theory.second_moment, "selu")
    yield Anchor("31-second", SELU, "SELU: E phi^2 at (0, 1)", 1.0, 1e-12, second)
    slope = partial(theory.length_slope, "selu")
    yield Anchor("31-J22", SELU, "SELU: d nu' / d nu", 0.782648, 1e-6, slope)
    mixed = lambda: theory.gaussian_mean(lambda z: selu.phi(z) * (z * z - 1) / 2, kinks=selu.kinks)
    yield Anchor("31-J12", SELU, "SELU: d mu' / d nu", 0.088834, 1.5e-6, mixed)
    for name, length in (("gelu", 27.69), ("silu", 445.8), ("mish", 7.772), ("hardswish", 2597)):
        where = f"{name}, matched gain, q_0=2, 20 layers"
        value = partial(matched_layers, name, 2.0, 20)
        yield Anchor(f"57c-{name}", "length map", where, length, 2e-3 * length, value)
    where = "torch's nn.Linear default under ReLU: n q*"
    default = lambda: 1024 * theory.length_fixed_point("relu", 1 / 3, 1 / 3072).q
    yield Anchor("2.9-default", "torch.nn.Linear", where, 0.4, 1e-9, default)
    gain = partial(theory.second_moment, "tanh", (5 / 3) ** 2)
    yield Anchor("2.3-tanh", "torch calculate_gain", "E tanh(5z/3)^2", 0.5767, 6e-5, gain)
    value = lambda: theory.length_fixed_point("tanh", (5 / 3) ** 2).q
    yield Anchor("2.3-tanh-q", "torch calculate_gain", "tanh, gain 5/3: q*", 1.1785, 5e-5, value)
    chi = partial(theory.chi_1, "tanh", (5 / 3) ** 2)
    yield Anchor("2.3-tanh-chi", "torch calculate_gain", "tanh, gain 5/3: chi_1", 1.2098, 5e-5, chi)


def gains() -> Iterator[Anchor]:
    timm = {
        "identity": (1.0, 1.0),
        "relu": (1.71396, 1.712859),
        "celu": (1.270927, 1.270843),
        "elu": (1.27160, 1.270843),
        "gelu": (1.701504, 1.700926),
        "leaky_relu": (1.705903, 1.704832),
        "log_sigmoid": (1.919348, 1.919126),
        "relu6": (1.713148, 1.712859),
        "selu": (1.000852, 1.0),
        "sigmoid": (4.803835, 4.801313),
        "silu": (1.788129, 1.787187),
        "softsign": (2.338853, 2.337533),
        "softplus": (1.920332, 1.919126),
        "tanh": (1.593912, 1.592537),
    }
    for row, (name, (published, exact)) in enumerate(timm.items(), 32):
        value = partial(theory.gain, name, centred=True)
        where = f"{name}: 1/sqrt(Var phi)"
        yield Anchor(f"{row}", BROCK, f"{where} (Monte Carlo)", published, 1e-3 * published, value)
        yield Anchor(f"{row}-exact", BROCK, f"{where} (quadrature)", exact, 1e-6, value)
    relu = partial(theory.gain, "relu", centred=True)
    published = math.sqrt(2 / (1 - 1 / math.pi))
    yield Anchor("46", BROCK, "ReLU: sqrt(2 / (1 - 1/pi))", published, 1e-12, relu)
    table = {
        "leaky_relu(0.2)": (1.386750, 1.546460),
        "mish": (1.486848, 1.592025),
        "hardswish": (1.736657, 1.813871),
        "hardtanh": (1.392036, 1.392036),
        "hardsigmoid": (1.897840, 6.015034),
        "erf": (1.467167, 1.467167),
        "sin": (1.520867, 1.520867),
    }
    for name, (plain, centred) in table.items():
        yield Anchor(
            f"2.3-{name}", GAINS, f"{name}: 1/sqrt(E phi^2)", plain, 1e-6, partial(theory.gain, name)
        )
        value = partial(theory.gain, name, centred=True)
        yield Anchor(f"2.3-{name}-c", GAINS, f"{name}: 1/sqrt(Var phi)", centred, 1e-6, value)
    swiglu = partial(theory.second_moment, "swiglu")
    yield Anchor("2.9-swiglu", GAINS, "SwiGLU, independent halves: E y^2", 0.35578, 5e-6, swiglu)


def batch_norm() -> Iterator[Anchor]:
    limit = math.pi / (math.pi - 1)
    relu = partial(theory.batchnorm_gradient_factor, "relu")
    yield Anchor("47", YANG, "BN + ReLU: pi/(pi - 1)", limit, 1e-12, relu)
    yield Anchor(
        "47-root", YANG, "the same, of the gradient's norm", 1.21, 5e-3, lambda: math.sqrt(relu())
    )
    where = "BN + ReLU, width 400, batch 256, 12 layers, drawn"
    yield Anchor(
        "47-net", YANG, where, limit, 0.02 * limit, partial(simulate.batch_norm, "relu", 256), True
    )
    for batch in (8, 32):
        published = (batch - 2) / (batch - 3)
        value = partial(theory.batchnorm_gradient_factor, "identity", batch)
        yield Anchor(f"48-{batch}", YANG, f"BN, linear, batch {batch}", published, 1e-12, value)
        drawn = partial(simulate.batch_norm, "identity", batch)
        where = f"the same, width 400, drawn, batch {batch}"
        yield Anchor(f"48-{batch}-net", YANG, where, published, 0.02, drawn, True)


def finite_width() -> Iterator[Anchor]:
    spread = partial(theory.finite_width_spread, (32,) * 10)
    leading = 5 * 10 / 32
    where = "ReLU, n=32, 10 layers"
    law = lambda: 10 * (theory.moment_ratio(32) - 1)
    yield Anchor("49-leading", HANIN, f"{where}: 5 sum 1/n", leading, 1e-12, law)
    yield Anchor(
        "49-var", HANIN, f"{where}: Var ln m, exact law", 1.775, 6e-4, lambda: spread().variance
    )
    yield Anchor("49-mean", HANIN, f"{where}: E ln m, exact law", -0.825, 6e-4, lambda: spread().mean)
    drawn = partial(simulate.log_length, 32, 10)
    yield Anchor("49-var-net", HANIN, f"{where}: Var ln m, drawn", 1.775, 0.07, lambda: drawn()[1], True)
    yield Anchor("49-mean-net", HANIN, f"{where}: E ln m, drawn", -0.825, 0.04, lambda: drawn()[0], True)
    for n, ratio in ((8, 1.625), (16, 1.3125), (32, 1.15625)):
        where = f"ReLU, n={n}: E m^2 / E[m]^2 of a layer"
        yield Anchor(f"50-{n}", HANIN, where, ratio, 1e-12, partial(theory.moment_ratio, n))
        value = partial(simulate.moment_ratio, n, "normal")
        yield Anchor(f"50-{n}-net", HANIN, f"{where}, drawn", ratio, 0.02, value, True)
    for n, ratio in ((8, 1.3), (16, 1.16667), (32, 1.08824)):
        where = f"ReLU, orthogonal, n={n}: E m^2 / E[m]^2"
        value = partial(theory.moment_ratio, n, weights="orthogonal")
        yield Anchor(f"51-{n}", "orthogonal weights", where, ratio, 5e-6, value)
        value = partial(simulate.moment_ratio, n, "orthogonal")
        yield Anchor(f"51-{n}-net", "orthogonal weights", f"{where}, drawn", ratio, 0.01, value, True)
    for weights, ratio in (("uniform", 1.535), ("rademacher", 1.475)):
        where = f"ReLU, {weights} weights, n=8: E m^2 / E[m]^2 of the first layer"
        value = partial(theory.moment_ratio, 8, weights=weights, first=True)
        yield Anchor(f"2.5-{weights}", "kurtosis of weights", where, ratio, 6e-4, value)
        value = partial(simulate.moment_ratio, 8, weights)
        yield Anchor(
            f"2.5-{weights}-net", "kurtosis of weights", f"{where}, drawn", ratio, 0.02, value, True
        )
    quantiles = {
        8: (-0.3988, 1.2470, 0.0, 4.9816),
        16: (-0.1764, 0.4196, 0.0327, 3.5039),
        32: (-0.0825, 0.1775, 0.1649, 2.6116),
        64: (-0.0401, 0.0830, 0.3308, 2.0593),
        128: (-0.0198, 0.0402, 0.4868, 1.7087),
        256: (-0.0098, 0.0198, 0.6170, 1.4808),
        512: (-0.0049, 0.0098, 0.7191, 1.3299),
        1024: (-0.0024, 0.0049, 0.7963, 1.2282),
    }
    for n, (mean, variance, low, high) in quantiles.items():
        one, where = partial(theory.finite_width_spread, (n,)), f"ReLU, one layer of {n}"
        yield Anchor(f"2.5-{n}-mean", HANIN, f"{where}: E ln", mean, 6e-5, lambda one=one: one().mean)
        value = lambda one=one: one().variance
        yield Anchor(f"2.5-{n}-var", HANIN, f"{where}: Var ln", variance, 6e-5, value)
        value = partial(theory.relu_length_quantile, 0.001, n)
        yield Anchor(f"2.5-{n}-low", HANIN, f"{where}: q/q_0 at .001", low, 6e-5, value)
        value = partial(theory.relu_length_quantile, 0.999, n)
        yield Anchor(f"2.5-{n}-high", HANIN, f"{where}: q/q_0 at .999", high, 6e-5, value)


def dead_units() -> Iterator[Anchor]:
    for width, depth, chance in ((2, 5, 0.762695), (3, 10, 0.736924), (4, 10, 0.475540)):
        where = f"{depth} layers of {width}: dead at a point"
        value = partial(theory.dead_layer_probability, (width,) * depth)
        yield Anchor(f"52-{width}", LU, where, chance, 1e-6, value)
        drawn = partial(simulate.dead_at_a_point, width, depth)
        yield Anchor(f"52-{width}-net", LU, f"{where}, drawn", chance, 0.01, drawn, True)
    value = lambda: theory.born_dead_bounds(2, 2)[0]
    yield Anchor("2.6-born", LU, "2 layers of 2, born dead: 5/32", 5 / 32, 1e-12, value)
    born = partial(simulate.born_dead, 2, 2)
    yield Anchor("2.6-born-net", LU, "2 layers of 2, born dead, drawn", 5 / 32, 0.006, born, True)
    shares = {
        ("N(0,1)", 32): {2: 0.0055, 3: 0.0290, 5: 0.0892, 10: 0.2016, 20: 0.3092},
        ("N(0,1)", 256): {2: 0.0001, 3: 0.0036, 5: 0.0305, 10: 0.1250, 20: 0.2476},
        ("U[0,1]", 32): {1: 0.1250, 2: 0.1491, 3: 0.1705, 5: 0.2067, 10: 0.2704, 20: 0.3398},
        ("U[0,1]", 256): {1: 0.0555, 2: 0.0752, 3: 0.0945, 5: 0.1303, 10: 0.2008, 20: 0.2860},
    }
    for (inputs, batch), by_depth in shares.items():
        correlation = 0.75 if inputs == "U[0,1]" else 0.0
        for depth, share in by_depth.items():
            value = partial(theory.dead_fraction, depth, batch, correlation)
            where = f"{batch} inputs {inputs}, layer {depth}"
            yield Anchor(f"53-{inputs}-{batch}-{depth}", DEAD, where, share, 6e-5, value)
    for inputs, share in (("N(0,1)", 0.3092), ("U[0,1]", 0.3398)):
        where = f"32 inputs {inputs}, layer 20, width 1000, drawn"
        value = partial(simulate.dead_share, inputs, 32, 20)
        yield Anchor(f"53-{inputs}-net", DEAD, where, share, 0.013, value, True)


def jacobians() -> Iterator[Anchor]:
    rows = (
        ("identity", "normal", 10.0),
        ("identity", "orthogonal", 0.0),
        ("tanh", "orthogonal", 0.397),
        ("tanh", "normal", 10.40),
        ("relu", "orthogonal", 10.0),
        ("relu", "normal", 20.0),
    )
    for name, weights, published in rows:
        q = 0.1 if name == "tanh" else 1.0
        value = lambda name=name, weights=weights, q=q: (
            theory.jacobian_spectrum(name, 10, q=q, weights=weights).relative_variance
        )
        where = f"{name}, {weights}, 10 layers: relative variance of s^2"
        tolerance = 0.0035 if name == "tanh" else 1e-9
        yield Anchor(f"54-{name}-{weights}", PENNINGTON, where, published, tolerance, value)
        drawn = partial(simulate.jacobian_spread, name, weights, q)
        # the law is that of infinite width: at 300 units it is off by about depth / width per order
        near = max(0.1 * published, 1e-9)
        yield Anchor(
            f"54-{name}-{weights}-net", PENNINGTON, f"{where}, drawn", published, near, drawn, True
        )


def saturation() -> Iterator[Anchor]:
    edge = math.atanh(0.97)
    rows = (("N(0,1)", 1.0, 0.0364), ("U[0,1]", 1 / 3, 0.0003), ("U[0,5]", 25 / 3, 0.4686))
    for inputs, q, share in (*rows, ("U[0,255]", 255**2 / 3, 0.9887)):
        value = partial(theory.saturated_share, "tanh", q, beyond=edge)
        where = f"Xavier, inputs {inputs}: P(abs(tanh) > .97)"
        yield Anchor(f"57-{inputs}", "tanh saturation", where, share, 6e-5, value)
    for inputs, q, share in (("N(0,1)", 25 / 9, 0.2093), ("U[0,5]", 625 / 27, 0.6637)):
        value = partial(theory.saturated_share, "tanh", q, beyond=edge)
        where = f"gain 5/3, inputs {inputs}: P(abs(tanh) > .97)"
        yield Anchor(f"57-{inputs}-gain", "tanh saturation", where, share, 6e-5, value)
    where = "Xavier, inputs U[0,5], 500 units, drawn"
    yield Anchor("57-net", "tanh saturation", where, 0.4686, 0.015, simulate.saturated_share, True)
    slope = lambda: float(activation("tanh").derivative(np.array(9.4999)))
    yield Anchor("58", "SageMaker Debugger", "tanh' at its bound of 9.4999", 2.2e-8, 5e-10, slope)


def layers() -> Iterator[Anchor]:
    inside = lambda: (
        theory.gaussian_mean(lambda z: np.where(np.abs(z) < 2, z * z, 0.0), kinks=(-2.0, 2.0))
        / math.erf(math.sqrt(2))
    )
    value = lambda: math.sqrt(inside())
    where = "std of N(0,1) truncated at 2"
    yield Anchor("55", "jax, keras, timm", where, 0.87962566103423978, 1e-12, value)
    yield Anchor(
        "55-constant",
        "jax, keras, timm",
        f"{where}, as used",
        0.87962566103423978,
        1e-15,
        lambda: TRUNCATED_STD,
    )
    for depth, share in ((1, 0.8403), (5, 0.5457), (10, 0.3530), (20, 0.1546)):
        where = f"8x8, 3x3 kernel, {depth} layers: E z^2"
        value = partial(theory.padding_factor, (8, 8), 3, layers=depth)
        yield Anchor(f"57b-{depth}", EDGES, where, share, 6e-5, value)
        drawn = partial(simulate.convolutions, depth)
        yield Anchor(f"57b-{depth}-net", EDGES, f"{where}, drawn", share, 0.012, drawn, True)
    for size, kernel, share in (
        (32, 3, 0.95877),
        (4, 3, 0.69444),
        (1, 3, 0.11111),
        (8, 7, 0.61735),
        (8, 5, 0.72250),
    ):
        where = f"{size}x{size}, {kernel}x{kernel} kernel: E z^2"
        value = partial(theory.padding_factor, (size, size), kernel)
        yield Anchor(f"2.8-{size}-{kernel}", EDGES, where, share, 6e-6, value)
    for size, factor in ((8, 0.9212), (32, 0.99397)):
        where = f"{size} wide, 3x3 kernel: a layer's factor far down"
        value = lambda size=size: (
            theory.padding_factor((size, size), 3, layers=2001)
            / theory.padding_factor((size, size), 3, layers=2000)
        )
        yield Anchor(f"2.8-{size}-far", EDGES, where, factor, 5e-5, value)
    maxima = {
        4: (1.02938, 0.49172, 1.55133, 1.54379),
        9: (1.48501, 0.35735, 2.56262, 2.56256),
        25: (1.96531, 0.25851, 4.12097, None),
    }
    for taps, (mean, variance, second, rectified) in maxima.items():
        pool = partial(theory.max_pool_moments, taps)
        yield Anchor(
            f"2.8-{taps}-mean", POOLS, f"{taps} taps: mean", mean, 6e-6, lambda p=pool: p().mean
        )
        value = lambda p=pool: p().variance
        yield Anchor(f"2.8-{taps}-var", POOLS, f"{taps} taps: variance", variance, 6e-6, value)
        value = lambda p=pool: p().second_moment
        yield Anchor(f"2.8-{taps}-second", POOLS, f"{taps} taps: second moment", second, 6e-6, value)
        if rectified is not None:
            value = lambda p=pool: p(rectified=True).second_moment
            where = f"{taps} taps of ReLU: second moment"
            yield Anchor(f"2.8-{taps}-relu", POOLS, where, rectified, 6e-6, value)
    value = lambda: theory.dropout_moments(theory.mean("relu"), 0.5, 0.5).variance
    yield Anchor("2.9-dropout", "inverted dropout", "ReLU, p=.5: variance", 0.8409, 1e-4, value)
    value = partial(theory.tied_logit_variance, 512, 1.0)
    yield Anchor("2.9-tied", "tied embeddings", "N(0,1), 512 features: logit variance", 512, 1e-9, value)
    value = partial(theory.residual_length, 12, branch=0.04, pre_norm=True)
    yield Anchor(
        "2.10-nf", BROCK, "NF-ResNet, alpha=.2, 12 blocks: expected variance", 1.48, 1e-12, value
    )
    value = lambda: theory.residual_length(
        24, branch=theory.residual_branch_scale(24) ** 2, pre_norm=True
    )
    yield Anchor("2.10-gpt2", "GPT-2", "24 branches scaled by 1/sqrt(24): q_L", 2.0, 1e-12, value)
    drawn = partial(simulate.residual_blocks, 8)
    yield Anchor(
        "2.10-residual", "residual networks", "x + f(x), growth per block, drawn", 2.0, 0.06, drawn, True
    )
    for tokens, sigma, moment in ((64, 0.5, 0.0200), (1024, 1.0, 0.00265), (1024, 2.0, None)):
        where = f"softmax over {tokens} logits N(0, {sigma}^2): E sum w^2"
        value = partial(theory.attention_second_moment, tokens, sigma**2)
        if moment is None:  # exp(s^2) / T has broken down: .0533
            moment = value()
        else:
            yield Anchor(f"2.10-{tokens}-{sigma}", "attention", where, moment, 0.01 * moment, value)
        drawn = partial(simulate.attention, tokens, sigma)
        yield Anchor(
            f"2.10-{tokens}-{sigma}-net",
            "attention",
            f"{where}, drawn",
            moment,
            0.03 * moment,
            drawn,
            True,
        )


ROWS: tuple[Anchor, ...] = (
    *he_and_glorot(),
    *mean_field(),
    *correlations_through_relu(),
    *lengths(),
    *gains(),
    *batch_norm(),
    *finite_width(),
    *dead_units(),
    *jacobians(),
    *saturation(),
    *layers(),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose id, source or setting holds this text")
    only = parser.parse_args().only
    wrong = shown = drawn = 0
    worst, furthest = "", 0.0
    for row in ROWS:
        if only not in f"{row.id} {row.source} {row.setting}":
            continue
        ours = row.ours()
        off = ours - row.published
        good = abs(off) <= row.tolerance
        shown, drawn, wrong = shown + 1, drawn + row.simulated, wrong + (not good)
        if abs(off) / row.tolerance >= furthest:
            worst, furthest = row.id, abs(off) / row.tolerance
        print(
            f"{row.source:26} {row.setting:64} {row.published:12.7g} {ours:12.7g} {off:+9.1e}"
            f"{'' if good else f'  OUT OF {row.tolerance:.1e}'}",
            flush=True,
        )
    print(
        f"{shown} rows, {drawn} of them simulated, {wrong} out of tolerance; "
        f"nearest to its tolerance: {worst} ({furthest:.0%})"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
