"""Probes of other distributions are found by their entry points; what no probe owns is said in one line."""

from __future__ import annotations

import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import probes
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes import numpy as numpy_probe
from pytest_initcheck.probes import registry
from pytest_initcheck.probes.protocol import FUNCTIONS, incomplete

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

ABACUS = '''
"""A probe of the framework abacus, whose models are numpy layer lists in a wrapper."""
import abacus
from pytest_initcheck.probes import numpy as inner

FRAMEWORK = "abacus"
SEEDS = []

def owns(model):
    return isinstance(model, (abacus.Model, dict))

def seed(seed):
    SEEDS.append(seed)

def trace(model, call, **how):
    from dataclasses import replace
    return replace(inner.trace(model.layers, call, **how), framework="abacus")

def glimpse(model, call, **how):
    return inner.glimpse(model.layers, call, **how)

def fingerprints(model):
    return inner.fingerprints(model.layers)

preserved, generator, drawn = inner.preserved, inner.generator, inner.drawn
workload, infer_inputs, spell, apply = inner.workload, inner.infer_inputs, inner.spell, inner.apply
'''


class Model:
    """A model of the framework abacus."""

    def __init__(self, layers):
        self.layers = layers


@pytest.fixture
def abacus(monkeypatch):
    """The framework itself, imported."""
    module = types.ModuleType("abacus")
    module.Model = Model
    monkeypatch.setitem(sys.modules, "abacus", module)
    return module


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that consists of one module and one entry point, until the test ends."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source=ABACUS, *, name="pytest-abacus", entry="abacus", value=None):
        module = f"{name.replace('-', '_')}_probe"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        points = f"[{registry.GROUP}]\n{entry} = {value or module}\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        forget()

    yield install
    forget()


def forget():
    registry.added.cache_clear()
    registry._imported.cache_clear()


def network(rng):
    return Model(
        [(rng.normal(0, 1 / 4, (16, 16)), None, "tanh"), (rng.normal(0, 1 / 4, (16, 4)), None, None)]
    )


def test_the_packages_own_probes_are_entry_points_too():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    assert project["entry-points"][registry.GROUP] == dict(registry.OWN)
    assert next(iter(registry.OWN)) == "keras"
    assert list(registry.OWN)[-1] == "numpy"


def test_a_probe_of_another_distribution_judges_its_models(install, abacus):
    install()
    assert probes.loaded()[0].FRAMEWORK == "abacus"
    assert probes.named("abacus") is probes.probe_for(network(np.random.default_rng(0)))
    report = ic.check(network, inputs=ic.normal(16))
    assert (report.framework, report.verdict) == ("abacus", "pass")
    assert probes.named("abacus").SEEDS


def test_it_is_not_imported_before_its_framework(install):
    install("raise AssertionError('imported')")
    assert "abacus" not in [probe.FRAMEWORK for probe in probes.loaded()]


def test_metadata_are_read_once(install, abacus, monkeypatch):
    install()
    probes.loaded()
    monkeypatch.setattr(registry, "entry_points", None)
    assert probes.loaded()[0].FRAMEWORK == "abacus"


def test_an_added_probe_is_taken_before_the_packages_own(install, abacus):
    install(ABACUS.replace("(abacus.Model, dict)", "(abacus.Model, list)"))
    layers = [(np.eye(2), None, None)]
    assert numpy_probe.owns(layers)
    assert probes.probe_for(layers).FRAMEWORK == "abacus"


def test_two_added_probes_that_own_a_model_are_an_error(install, abacus, monkeypatch):
    install()
    monkeypatch.setitem(sys.modules, "beads", abacus)
    install(ABACUS.replace('"abacus"', '"beads"'), name="pytest-beads", entry="beads")
    with pytest.raises(
        ModelError, match=r"pytest-.* and pytest-.* both claim a model of type Model; un"
    ):
        probes.probe_for(network(np.random.default_rng(0)))


BROKEN = {
    "does not import": (
        "import no_such_module",
        "the probe 'abacus' of pytest-abacus cannot be used: pytest_abacus_probe raises "
        "ModuleNotFoundError on import: No module named 'no_such_module'; update pytest-abacus or uninstall it",
    ),
    "lacks functions": (
        ABACUS.replace("def glimpse", "def _glimpse").replace(
            "spell, apply = inner.workload", "s, a = 1"
        ),
        "has no workload, spell, apply, glimpse",
    ),
    "has no name": (ABACUS.replace("FRAMEWORK =", "NAME ="), "has no FRAMEWORK, the name of"),
    "has another name": (
        ABACUS.replace('FRAMEWORK = "abacus"', 'FRAMEWORK = "Abacus"'),
        "has FRAMEWORK = 'Abacus'; the two are the same word",
    ),
}


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN)
def test_a_probe_that_cannot_be_used_is_one_line_that_names_its_distribution(
    install, abacus, source, message
):
    install(source)
    with pytest.raises(ModelError) as error:
        probes.loaded()
    assert message in str(error.value)
    assert str(error.value).startswith("the probe 'abacus' of pytest-abacus cannot be used: ")
    assert "\n" not in str(error.value)


def test_such_a_probe_is_what_a_report_says(install, abacus):
    install("import no_such_module")
    report = ic.check(network, inputs=ic.normal(16))
    assert report.verdict == "error"
    assert "of pytest-abacus cannot be used" in report.error


def test_a_class_is_no_probe(install, abacus):
    install(ABACUS + "\nclass Probe: pass\n", value="pytest_abacus_probe:Probe")
    with pytest.raises(
        ModelError, match="pytest_abacus_probe:Probe is the class Probe, not an instance"
    ):
        probes.loaded()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "torch",
            "pytest-abacus registers a probe under the name 'torch', which is pytest-initcheck's own",
        ),
        ("beads", "both register a probe for 'beads'; uninstall one of them"),
    ],
)
def test_a_name_is_taken_once(install, entry, message):
    install(name="pytest-beads", entry="beads")
    install(entry=entry)
    with pytest.raises(ModelError, match=message):
        probes.loaded()


def test_a_probe_of_an_unknown_name():
    with pytest.raises(ModelError, match="no probe is called 'troch'; did you mean 'torch'"):
        probes.named("troch")


def test_what_the_protocol_asks_for():
    assert "trace" in FUNCTIONS
    assert "FRAMEWORK" not in FUNCTIONS
    assert incomplete(numpy_probe) is None


def of(module, name="Thing", *bases, **members):
    """An object of a library that is not installed."""
    return type(name, bases, {"__module__": module, **members})()


class Network:
    def predict(self, x):
        return x


UNKNOWN = {
    "number": (5, "no probe for a model of type int; return a torch.nn.Module, a JAX model"),
    "the remedy for another framework": (5, "entry points of pytest_initcheck.probes"),
    "class": (Network, r"the factory returned the class Network; return an instance, Network\(...\)"),
    "an object with a method": (
        Network(),
        r"is .predict its forward function\? Then return that",
    ),
    "tensorflow": (
        of("tensorflow.python.module", "Module"),
        "checked through Keras 3; return a keras.Model",
    ),
    "keras 2": (of("tf_keras.src.models", "Sequential"), "this is Keras 2; return a model of Keras 3"),
    "a subclass": (
        of("mine", "Net", type(of("tensorflow.python.module"))),
        "a mine.Net is no model that can",
    ),
    "sklearn": (of("sklearn.neural_network", "MLPClassifier"), r"draws its weights in fit\(\)"),
    "state dict": (
        {"0.weight": of("torch", "Tensor")},
        "this dict holds weights and no forward pass; return",
    ),
    "nested parameters": ({"a": {"w": np.eye(2)}}, "holds weights and no forward pass"),
    "turned around": (({"w": np.eye(2)}, lambda p, x: x), r"function last; return \(apply, params\)"),
    "no parameters": ((lambda p, x: x, 3), r"not quite \(apply, params\): params is of type int"),
    "with a state": (
        (lambda p, x: x, {}, {}),
        r"this tuple has 3 items; return \(apply, params\), with",
    ),
    "a dict of something else": ({"lr": 0.1}, "no probe for a model of type dict"),
}


@pytest.mark.parametrize(("model", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_model_that_no_probe_owns(model, message):
    with pytest.raises(ModelError, match=message) as error:
        probes.probe_for(model)
    assert "\n" not in str(error.value)
