"""Library schemes by name: the libraries' own formulas, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck import initializers as init
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.initializers.library_schemes import LIBRARY
from pytest_initcheck.initializers.schemes import TRUNCATED_STD
from pytest_initcheck.initializers.textbook import TEXTBOOK

CONV = init.conv(16, 32, 3, 3, layout="keras")  # [3, 3, 16, 32]: fans 144 and 288
CUT = TRUNCATED_STD**2


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        (init.scheme("keras.random_normal"), 0.05**2),
        (init.scheme("keras.random_uniform"), 0.1**2 / 12),
        (init.scheme("keras.truncated_normal"), 0.05**2 * CUT),
        (init.scheme("keras.variance_scaling"), 1 / 144),
        (init.scheme("keras.variance_scaling", scale=3.0, mode="fan_avg"), 3 / 216),
        (init.scheme("keras.variance_scaling", distribution="uniform", mode="fan_out"), 1 / 288),
        (init.scheme("keras.glorot_normal"), 1 / 216),
        (init.scheme("keras.glorot_uniform"), 1 / 216),
        (init.scheme("keras.he_normal"), 2 / 144),
        (init.scheme("keras.HeUniform"), 2 / 144),
        (init.scheme("keras.LecunNormal"), 1 / 144),
        (init.scheme("keras.lecun_uniform"), 1 / 144),
        (init.scheme("keras.Orthogonal", gain=2.0), 4 / 144),
        (init.scheme("keras.Constant", value=0.3), 0.09),
        (init.scheme("keras.zeros"), 0.0),
        (init.scheme("keras.ones"), 1.0),
        (init.scheme("jax.normal"), 1e-4),
        (init.scheme("jax.uniform", scale=0.3), 0.03),
        (init.scheme("jax.truncated_normal", stddev=0.1), 0.01 * CUT),
        (init.scheme("jax.variance_scaling", mode="fan_geo_avg"), 1 / math.sqrt(144 * 288)),
        (init.scheme("jax.kaiming_uniform"), 2 / 144),
        (init.scheme("jax.xavier_normal"), 1 / 216),
        (init.scheme("jax.delta_orthogonal"), 1 / 288),
        (init.scheme("jax.orthogonal", scale=3.0), 9 / 144),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_variances_by_the_libraries_formulas(scheme, variance):
    assert scheme.layer_variance(CONV) == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("library", ["keras", "jax"])
@pytest.mark.parametrize("family", ["he", "glorot", "lecun"])
def test_normal_schemes_of_keras_and_jax_are_truncated(library, family):
    scheme = init.scheme(f"{library}.{family}_normal")
    w = scheme.sample(np.random.default_rng(0), CONV)
    edge = 2 * math.sqrt(scheme.layer_variance(CONV)) / TRUNCATED_STD
    assert 0.98 * edge < np.abs(w).max() <= edge


def test_the_papers_schemes():
    layer = init.dense(64, 10)
    assert init.scheme("mup_output").layer_variance(layer) == 1 / 64**2
    assert init.scheme("mup_hidden").layer_variance(layer) == 1 / 64
    assert init.scheme("mup_input").layer_variance(layer) == 1
    assert np.abs(init.siren_first().sample(np.random.default_rng(0), layer)).max() <= 1 / 64
    bound = math.sqrt(6 / 64) / 30
    assert np.abs(init.siren_hidden().sample(np.random.default_rng(0), layer)).max() <= bound
    assert init.siren_hidden().layer_variance(layer) == pytest.approx(bound**2 / 3)
    assert init.fixup(10, 3).gain == pytest.approx(math.sqrt(2) * 10 ** (-1 / 4))
    assert init.gpt2(12).layer_variance(layer) == pytest.approx(0.02**2 / 24)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_name_is_looked_up_and_its_scheme_is_called_so(name):
    needed = {"torch.constant_": {"val": 0.5}, "torch.sparse_": {"sparsity": 0.5}}.get(name, {})
    assert init.scheme(name, **needed).name.split("(")[0] == name


@pytest.mark.parametrize("name", TEXTBOOK)
def test_every_textbook_name_is_looked_up(name):
    needed = {"normal": {"std": 0.1}, "uniform": {"bound": 0.1}, "constant": {"value": 1.0}}
    scheme = init.scheme(name, **needed.get(name, {"branches": 4} if name == "fixup" else {}))
    assert scheme == TEXTBOOK[name](**needed.get(name, {"branches": 4} if name == "fixup" else {}))


def test_different_parameters_have_different_names():
    names = {
        init.scheme("torch.kaiming_normal_", **parameters).name
        for parameters in ({}, {"mode": "fan_out"}, {"a": 0.1}, {"nonlinearity": "relu"})
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("torch.kaiming_normal", {}, "unknown scheme .*; did you mean 'torch.kaiming_normal_'"),
        ("he_nromal", {}, "unknown scheme 'he_nromal'; did you mean 'he_normal'"),
        ("torch.kaiming_normal_", {"mdoe": "fan_in"}, "no parameter 'mdoe'; did you mean 'mode'"),
        ("torch.kaiming_normal_", {"mode": "fan_ot"}, "unknown mode 'fan_ot'; did you mean 'fan_out'"),
        ("torch.kaiming_normal_", {"nonlinearity": "gelu"}, "unknown nonlinearity 'gelu'"),
        ("torch.sparse_", {}, "torch.sparse_ needs sparsity"),
        ("torch.sparse_", {"sparsity": 1.5}, "needs a sparsity from 0 to 1"),
        ("torch.trunc_normal_", {"a": 3.0}, "needs std > 0 and low < high"),
        ("torch.uniform_", {"a": 3.0}, "needs a lower bound below the upper"),
        ("keras.variance_scaling", {"mode": "fan_geo_avg"}, "unknown mode 'fan_geo_avg'"),
        ("keras.variance_scaling", {"distribution": "normal"}, "unknown distribution 'normal'"),
        ("jax.variance_scaling", {"scale": -1.0}, "needs a positive scale"),
        ("torch.zeros_", {"value": 1}, "torch.zeros_ has no parameter 'value'; it takes none"),
        ("fixup", {"branches": 0}, "fixup needs branches"),
        ("gpt2", {"layers": 0}, "gpt2 needs layers"),
    ],
)
def test_what_nobody_knows_is_refused_in_one_line(name, parameters, message):
    with pytest.raises(ConfigError, match=message) as error:
        init.scheme(name, **parameters)
    assert "\n" not in str(error.value)


def test_a_scheme_is_no_name():
    with pytest.raises(ConfigError, match="looked up by name"):
        init.scheme(init.he_normal())  # type: ignore[arg-type]
