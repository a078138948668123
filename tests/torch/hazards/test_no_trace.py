"""A check leaves no trace: not on the model, not on the process, not when the model raises."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_hooks

import pytest_initcheck as ic
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe
from pytest_initcheck.probes.torch_settings import SETTINGS

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
GLOBAL_HOOKS = [n for n in vars(torch_hooks) if n.startswith("_global_") and n.endswith("hooks")]


class Writes(nn.Module):
    """A model whose forward pass does one more thing to itself than compute."""

    def __init__(self, act=None):
        super().__init__()
        self.norm, self.fc, self.drop = nn.BatchNorm1d(8), nn.Linear(8, 4), nn.Dropout(0.5)
        self.out = nn.Linear(4, 4)
        self.register_buffer("steps", torch.zeros(3))
        self.register_buffer("scratch", None, persistent=False)
        self.cache, self.seen, self.last = {}, [], None
        self.fc.bias.requires_grad_(False)
        self.fc.weight.grad = torch.ones(4, 8)
        self.norm.eval()
        self.handle = self.fc.register_forward_hook(lambda module, args, output: None)
        self.fc.weight.register_hook(lambda gradient: gradient)
        self.act = act

    def forward(self, x):
        y = self.out(self.drop(torch.relu(self.fc(self.norm(x)))))
        if self.act is not None:
            self.act(self, y)
        return y


def raising(error):
    def act(model, y):
        writes_everything(model, y)
        raise error

    return act


def writes_everything(model, y):
    for act in ACTS.values():
        act(model, y)


def no_grad(function):
    def act(model, y):
        with torch.no_grad():
            function(model)

    return act


def freeze(model, y):
    model.out.weight.requires_grad_(False)


def own_backward(model, y):
    y.sum().backward(retain_graph=True)


ACTS = {
    "gradients of its own": own_backward,
    "a parameter in place": no_grad(lambda m: m.fc.bias.add_(2)),
    "a weight's numbers elsewhere": no_grad(lambda m: setattr(m.out.weight, "data", torch.ones(4, 4))),
    "another parameter": lambda m, y: setattr(m.out, "bias", nn.Parameter(torch.ones(4))),
    "one more parameter": lambda m, y: setattr(m, "more", nn.Parameter(torch.ones(4))),
    "a buffer in place": lambda m, y: m.steps.add_(1),
    "another buffer": lambda m, y: setattr(m, "steps", torch.ones(3)),
    "a buffer that was none": lambda m, y: setattr(m, "scratch", y.detach()),
    "an attribute": lambda m, y: setattr(m, "last", y),
    "one more attribute": lambda m, y: setattr(m, "new", y),
    "an attribute that is gone": lambda m, y: m.__dict__.pop("seen", None),
    "a cache": lambda m, y: m.cache.update(y=y),
    "a list": lambda m, y: m.__dict__.get("seen", []).append(y),
    "the mode": lambda m, y: m.train(not m.training),
    "a gradient that is there": lambda m, y: setattr(m.fc.weight, "grad", torch.zeros(4, 8)),
    "what is trainable": freeze,
    "a hook": lambda m, y: m.fc.register_forward_hook(lambda *a: None),
    "a backward hook": lambda m, y: m.fc.register_full_backward_hook(lambda *a: None),
    "a hook that is gone": lambda m, y: m.handle.remove(),
    "a submodule": lambda m, y: m.add_module("late", nn.Linear(2, 2)),
    "the forward method": lambda m, y: setattr(m, "forward", lambda x: x),
}


def snapshot(model):
    """Everything on a model: values, and which objects hold them."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        "values": {name: t.detach().clone() for name, t in tensors.items()},
        "tensors": {name: id(t) for name, t in tensors.items()},
        "places": {name: t.data_ptr() for name, t in tensors.items()},
        "gradients": {
            name: (id(p.grad), None if p.grad is None else p.grad.clone())
            for name, p in model.named_parameters()
        },
        "trainable": {name: p.requires_grad for name, p in model.named_parameters()},
        "tensor hooks": {name: dict(p._backward_hooks or {}) for name, p in model.named_parameters()},
        "modes": {name: part.training for name, part in model.named_modules()},
        "attributes": {
            f"{name}.{key}": id(value)
            for name, part in model.named_modules()
            for key, value in part.__dict__.items()
            if key != "training"
        },
        "containers": {
            f"{name}.{key}": [
                id(item) for item in (value.values() if hasattr(value, "values") else value)
            ]
            for name, part in model.named_modules()
            for key, value in part.__dict__.items()
            if isinstance(value, (dict, list, set))
        },
        "global hooks": {name: dict(getattr(torch_hooks, name)) for name in GLOBAL_HOOKS},
    }


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def differences(one, other):
    return [part for part in one if not same(one[part], other[part])]


def run(kind, model):
    if kind == "trace":
        return probe.trace(model, Call((X,), {}), mode="train", seed=0)
    if kind == "glimpse":
        return probe.glimpse(model, Call((X,), {}), mode="train", seed=0)
    return ic.check(model, inputs=X, id="built")


@pytest.mark.parametrize("act", ACTS)
def test_the_comparison_sees_it(act):
    model = Writes(ACTS[act])
    model.norm.eval()
    before = snapshot(model)
    model.norm(X)
    assert differences(before, snapshot(model)) == []
    model(X)
    assert differences(before, snapshot(model))


@pytest.mark.parametrize("kind", ["trace", "glimpse", "check"])
@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_left_on_the_model(act, kind):
    model = Writes(ACTS[act])
    before = snapshot(model)
    run(kind, model)
    assert differences(before, snapshot(model)) == []


@pytest.mark.parametrize("kind", ["trace", "glimpse", "check"])
@pytest.mark.parametrize(
    "error", [ValueError("half way"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
def test_nothing_is_left_by_a_model_that_raises(error, kind):
    model = Writes(raising(error))
    before = snapshot(model)
    if kind == "check" and isinstance(error, ValueError):
        assert "half way" in run(kind, model).error
    else:
        with pytest.raises((ModelError, KeyboardInterrupt)):
            run(kind, model)
    assert differences(before, snapshot(model)) == []


def test_values_are_kept_where_a_parameter_is_not_contiguous():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    model[0].weight = nn.Parameter(torch.randn(8, 8).t())
    before = snapshot(model)
    run("trace", model)
    assert differences(before, snapshot(model)) == []
    assert not model[0].weight.is_contiguous()


# -- the process -----------------------------------------------------------------------------------


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


CHANGES = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "grad mode": lambda: torch.set_grad_enabled(False),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "autocast on the CPU": lambda: torch.set_autocast_enabled("cpu", True),
    "autocast on a GPU": lambda: torch.set_autocast_dtype("cuda", torch.bfloat16),
    "autocast cache": lambda: torch.set_autocast_cache_enabled(False),
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "mkldnn": lambda: torch._C._set_mkldnn_enabled(False),
    "cudnn": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "cudnn benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
}


@pytest.fixture
def settings():
    """The settings as they are, put back by the test itself and by nothing that it tests."""
    before = {name: get() for name, (get, _) in SETTINGS.items()}
    yield before
    for name, (_, put) in SETTINGS.items():
        if name != "default device":
            put(before[name])
    torch.set_default_device(None)


def changed(before):
    return [name for name, (get, _) in SETTINGS.items() if get() != before[name]]


def test_every_setting_has_a_change():
    assert CHANGES.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_the_comparison_sees_a_setting(name, settings):
    CHANGES[name]()
    assert changed(settings) == [name]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()], ids=["returns", "interrupt"])
@pytest.mark.parametrize("where", ["forward", "factory"])
@pytest.mark.parametrize("name", CHANGES)
def test_settings_are_as_they_were(name, where, error, settings, fn):
    def change(*_):
        CHANGES[name]()
        if error is not None:
            raise error

    def factory():
        model = mlp()
        if where == "factory":
            change()
            return model
        model[1].register_forward_hook(lambda *_: change())
        return model

    if error is None:
        ic.check(factory, inputs=ic.normal(8), only="finite")
    else:
        with pytest.raises(KeyboardInterrupt):
            ic.check(factory, inputs=ic.normal(8), only="finite")
    assert changed(settings) == []


@pytest.mark.parametrize("name", ["trace", "glimpse"])
def test_settings_that_forward_changes_are_put_back_by_each_pass(name, settings):
    model = mlp()
    model[1].register_forward_hook(lambda *_: torch.use_deterministic_algorithms(True))
    run(name, model)
    assert changed(settings) == []


@pytest.mark.parametrize("name", ["deterministic algorithms", "anomaly detection", "matmul precision"])
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_the_users_settings_hold_and_stay(name, settings):
    CHANGES[name]()
    assert ic.check(mlp, inputs=ic.normal(8)).verdict == "pass"
    assert changed(settings) == [name]


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad], ids=["inference", "no grad"])
@pytest.mark.parametrize("built", [False, True], ids=["factory", "built"])
def test_a_check_inside_of_a_mode_without_gradients(mode, built):
    subject = mlp() if built else mlp
    with mode():
        inside = ic.check(subject, inputs=torch.randn(64, 8), id="one")
        assert torch.is_inference_mode_enabled() is (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert inside.verdict == ("inconclusive" if built else "pass"), str(inside)
    assert inside.unobserved == ()
    assert torch.is_grad_enabled()


def test_a_model_that_was_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = mlp()
        report = ic.check(model, inputs=ic.normal(8), id="one")
    assert report.error.startswith("the parameter 0.weight was made under torch.inference_mode()")


def test_a_check_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        report = ic.check(mlp, inputs=ic.normal(8))
        assert torch.is_autocast_enabled("cpu")
    assert report.verdict == "pass", str(report)
    assert not torch.is_autocast_enabled("cpu")


def random_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize(
    "error", [None, ValueError("x"), KeyboardInterrupt()], ids=["returns", "error", "interrupt"]
)
@pytest.mark.parametrize("where", ["forward", "factory"])
def test_random_states_are_as_they_were(where, error):
    def draw(*_):
        random.random(), np.random.rand(), torch.rand(3)
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        if error is not None:
            raise error

    def factory():
        model = mlp()
        if where == "factory":
            draw()
        else:
            model[1].register_forward_hook(draw)
        return model

    before = random_states()
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            ic.check(factory, inputs=ic.normal(8), only="finite")
    else:
        ic.check(factory, inputs=ic.normal(8), only="finite")
    assert random_states() == before
    torch.rand(1)
    assert random_states() != before


def test_warning_filters_and_numpys_errors_are_as_they_were():
    before = (list(warnings.filters), np.geterr())

    def factory():
        warnings.simplefilter("ignore")
        np.seterr(all="raise")
        return mlp()

    ic.check(factory, inputs=ic.normal(8), only="finite")
    assert (list(warnings.filters), np.geterr()) == before


def test_a_users_warning_still_reaches_the_user():
    def factory():
        warnings.warn("from the factory", stacklevel=1)
        return mlp()

    with pytest.warns(UserWarning, match="from the factory"):
        ic.check(factory, inputs=ic.normal(8), only="finite")
