"""Gradients, logits, inputs and outputs of torch models, and that nothing is left behind."""

from __future__ import annotations

import dataclasses
import gc
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_hooks

from pytest_initcheck.activations import activation
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Normal, Tokens
from pytest_initcheck.probes import numpy as numpy_probe
from pytest_initcheck.probes import torch as probe

torch.manual_seed(0)
X = torch.randn(32, 8)


class Fn(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def mlp(*closing, bias=True):
    return nn.Sequential(nn.Linear(8, 16, bias=bias), nn.Tanh(), nn.Linear(16, 3), *closing)


def trace(model, *args, mode="train", seed=0, **kwargs):
    return probe.trace(model, Call(args or (X,), kwargs), mode=mode, seed=seed)


def glimpse(model, *args):
    return probe.glimpse(model, Call(args or (X,), {}), mode="train", seed=0)


# -- logits and gradients --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ((), "2"),
        ((nn.Sigmoid(),), "2"),
        ((nn.Tanh(),), "2"),
        ((nn.Softmax(-1),), "2"),
        ((nn.LogSoftmax(-1),), "2"),
        ((nn.LogSigmoid(),), "2"),
        ((nn.Sigmoid(), nn.Flatten(0)), "2"),
        ((nn.ReLU(),), "3"),
    ],
    ids=["none", "sigmoid", "tanh", "softmax", "log softmax", "log sigmoid", "reshaped", "relu"],
)
def test_the_logits_are_behind_a_closing_squash_but_not_behind_a_relu(closing, expected):
    found = trace(mlp(*closing))
    assert found.sites[found.logits].name == expected


def explicit(model, logits, biases, seed, unit_axis=-1):
    """D and M of principle 1, by one autograd call each on the definition."""
    rng = np.random.default_rng(seed)
    units_last = logits.movedim(unit_axis, -1).shape
    drawn = torch.from_numpy(rng.standard_normal(units_last, dtype=np.float32))
    c_diff = drawn.movedim(-1, unit_axis)
    c_diff = c_diff - c_diff.mean(0, keepdim=True)
    direction = torch.from_numpy(rng.standard_normal(logits.shape[unit_axis], dtype=np.float32))
    shape = [1] * logits.dim()
    shape[unit_axis] = -1
    c_mean = direction.reshape(shape).expand(logits.shape)
    parameters = dict(model.named_parameters())

    def squared(cotangent, names):
        total = (logits * cotangent / cotangent.norm()).sum()
        grads = torch.autograd.grad(
            total, [parameters[n] for n in names], retain_graph=True, allow_unused=True
        )
        return sum(float((g.double() ** 2).sum()) for g in grads if g is not None)

    positions = logits.numel() / logits.shape[unit_axis]
    weights = [n for n in parameters if n not in biases]
    return squared(c_diff, weights), squared(c_mean, list(parameters)) / positions


@pytest.mark.parametrize("closing", [(), (nn.Sigmoid(),)], ids=["plain", "sigmoid"])
def test_the_two_gradients_against_their_definition(closing):
    model = mlp(*closing)
    found = trace(model, seed=7).gradient
    expected = explicit(model, model[:3](X), {"0.bias", "2.bias"}, 7)
    assert (found.difference, found.common) == pytest.approx(expected, rel=1e-5)
    assert (found.live_matrices, found.matrices) == (2, 2)


def test_the_two_gradients_of_an_image_model():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1))
    x = torch.randn(8, 2, 6, 6)
    found = trace(model, x, seed=7).gradient
    expected = explicit(model, model(x), {"0.bias", "2.bias"}, 7, unit_axis=1)
    assert (found.difference, found.common) == pytest.approx(expected, rel=1e-4)


def test_the_scale_of_a_norm_is_multiplicative_and_its_offset_is_not():
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3))
    found = trace(model, seed=7)
    flags = {p.name: p.multiplicative for p in found.parameters}
    assert flags["1.weight"]
    assert not flags["1.bias"]
    expected = explicit(model, model(X), {"0.bias", "1.bias", "2.bias"}, 7)
    assert (found.gradient.difference, found.gradient.common) == pytest.approx(expected, rel=1e-5)


def test_the_gradients_of_a_shared_weight_are_added_before_they_are_squared():
    model = Fn(lambda self, x: torch.tanh(x @ self.W) @ self.W.t() @ self.W)
    model.W = nn.Parameter(torch.randn(8, 4) / 3)
    found = trace(model, seed=7).gradient
    assert (found.difference, found.common) == pytest.approx(
        explicit(model, model(X), set(), 7), rel=1e-5
    )
    assert not model.W._backward_hooks


def test_frozen_parameters_have_no_gradient():
    model = mlp()
    model[0].requires_grad_(False)
    assert trace(model).gradient.matrices == 1


def test_a_dead_network_has_no_live_matrix():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(model[0].bias, -1000.0)
    gradient = trace(model).gradient
    assert (gradient.difference, gradient.live_matrices, gradient.matrices) == (0.0, 0, 2)


def test_gradients_that_are_not_finite_are_named():
    forward = lambda self, x: self.out(torch.sqrt(self.fc(x) * 0))  # noqa: E731
    model = Fn(forward, fc=nn.Linear(8, 4), out=nn.Linear(4, 2))
    assert "fc.weight" in trace(model).gradient.non_finite


@pytest.mark.parametrize(
    ("model", "args", "reason"),
    [
        (mlp(), (X[:7],), "fewer than 8 samples"),
        (Fn(lambda self, x: self.m(x).mean(0), m=mlp()), (X,), "no batch axis"),
        (
            Fn(lambda self, x: self.m(x).detach(), m=mlp()),
            (X,),
            "does not depend on a trainable parameter",
        ),
    ],
    ids=["small batch", "no batch axis", "detached"],
)
def test_gradients_that_cannot_be_seen_are_said_to_be_unobserved(model, args, reason):
    found = trace(model, *args)
    assert found.gradient is None
    assert any(place == "gradient" and reason in why for place, why in found.unobserved)


# -- the same network in numpy ---------------------------------------------------------------------


class NamedActivation(nn.Module):
    def __init__(self, name):
        super().__init__()
        functions = {"relu": torch.relu, "tanh": torch.tanh, "gelu": nn.functional.gelu}
        functions |= {"selu": torch.selu, "sigmoid": torch.sigmoid, "softsign": nn.functional.softsign}
        self.function = functions[name]

    def forward(self, x):
        return self.function(x)


def twins(name, closing=None, bias=True, depth=3):
    """One network as a layer list and as a torch module in double precision."""
    rng = np.random.default_rng(3)
    shapes = [(8, 16), *[(16, 16)] * (depth - 1), (16, 3)]
    stack, parts = [], []
    for index, (n, m) in enumerate(shapes):
        act = name if index < depth else closing
        w, b = rng.normal(0, n**-0.5, (n, m)), rng.normal(0, 0.3, m) if bias else None
        stack.append((w, b, act))
        layer = nn.Linear(n, m, bias=bias).double()
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.T))
            if bias:
                layer.bias.copy_(torch.from_numpy(b))
        parts += [layer, NamedActivation(act)] if act else [layer]
    return stack, nn.Sequential(*parts)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    ("name", "closing"),
    [("relu", None), ("tanh", None), ("gelu", None), ("selu", "sigmoid"), ("sigmoid", "relu")],
)
def test_a_layer_list_and_its_torch_twin_have_the_same_trace(name, closing, bias):
    stack, model = twins(name, closing, bias)
    x = X.double()
    by_list = numpy_probe.trace(stack, Call((x.numpy(),), {}), mode="train", seed=5)
    by_torch = trace(model, x, seed=5)
    assert len(by_list.sites) == len(by_torch.sites)
    for one, other in zip(by_list.sites, by_torch.sites, strict=True):
        assert (one.kind, one.activation, one.reads, one.units) == (
            other.kind,
            other.activation,
            other.reads,
            other.units,
        )
        assert dataclasses.astuple(one.value) == pytest.approx(
            dataclasses.astuple(other.value), rel=1e-5, abs=1e-9
        )
        assert (one.saturated, one.dead) == (
            pytest.approx(other.saturated, abs=1e-6),
            pytest.approx(other.dead, abs=1e-6),
        )
        if one.weight is not None:
            assert one.weight.sigma_w2 == pytest.approx(other.weight.sigma_w2, rel=1e-5)
            assert (one.bias is None) == (other.bias is None)
    assert (by_list.output, by_list.logits, by_list.batch) == (
        by_torch.output,
        by_torch.logits,
        by_torch.batch,
    )
    a, b = by_list.gradient, by_torch.gradient
    assert (a.difference, a.common, a.first_over_last) == pytest.approx(
        (b.difference, b.common, b.first_over_last), rel=1e-5
    )
    assert (a.live_matrices, a.matrices, a.non_finite) == (b.live_matrices, b.matrices, b.non_finite)


def test_softsign_is_the_same_function_in_both():
    stack, model = twins("softsign")
    by_list = numpy_probe.trace(stack, Call((X.double().numpy(),), {}), mode="train", seed=5)
    found = [s for s in trace(model, X.double()).sites if s.activation == "softsign"]
    expected = [s for s in by_list.sites if s.activation == "softsign"]
    assert [s.value.second_moment for s in found] == pytest.approx(
        [s.value.second_moment for s in expected]
    )
    assert [s.saturated for s in found] == pytest.approx([s.saturated for s in expected])
    assert activation("softsign").saturated_beyond == pytest.approx(math.sqrt(20) - 1)


# -- inputs and outputs ----------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    hidden: object
    logits: torch.Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: (y, y * 2),
        lambda y: [None, y],
        lambda y: {"loss": y.mean(), "logits": y},
        lambda y: {"aux": y * 3, "logits": y},
        lambda y: Output(None, y),
        lambda y: (torch.ones(32, dtype=torch.long), (y,)),
    ],
    ids=["tuple", "list", "loss and logits", "named logits", "dataclass", "nested"],
)
def test_outputs_in_containers(wrap):
    found = trace(Fn(lambda self, x: wrap(self.m(x)), m=mlp()))
    assert found.sites[found.output].name == "m.2"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda y: y.pow(2).mean(), "returned a single number, a loss perhaps"),
        (lambda y: None, "returned NoneType without a floating-point tensor"),
        (lambda y: y.argmax(-1), "returned Tensor without a floating-point tensor"),
        (lambda y: {}, "returned dict without"),
    ],
    ids=["loss", "none", "ids", "empty"],
)
def test_outputs_that_cannot_be_judged(result, message):
    with pytest.raises(ModelError, match=message):
        trace(Fn(lambda self, x: result(self.m(x)), m=mlp()))


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (nn.Linear(9, 2), X, r"raised RuntimeError on input \(32, 8\) float32: mat1 and mat2"),
        (nn.Embedding(9, 2), X, "raised RuntimeError on input .* float32: Expected tensor for argument"),
        (nn.Linear(8, 2), torch.ones(4, 8, dtype=torch.long), r"on input \(4, 8\) int64"),
    ],
    ids=["shape", "float ids", "integer features"],
)
def test_inputs_that_do_not_fit_are_one_clear_line(model, x, message):
    with pytest.raises(ModelError, match=message) as caught:
        trace(model, x)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("pass inputs= of the shape and dtype that it takes")
    assert "/pytest_initcheck/probes" not in caught.value.traceback_text


def test_a_name_that_is_not_defined_is_no_matter_of_the_inputs():
    class Slip(nn.Linear):
        def forward(self, x):
            return actvation(super().forward(x))  # noqa: F821

    with pytest.raises(ModelError, match=r"NameError .*'actvation'") as caught:
        trace(Slip(4, 2), torch.ones(4, 4))
    assert re.search(r"; mend that at test_probe_torch\.py:\d+$", str(caught.value))


def test_the_users_frames_are_kept():
    def forward(self, x):
        raise ValueError("half way")

    with pytest.raises(ModelError, match=r"raised ValueError .*: half way") as caught:
        trace(Fn(forward))
    assert "in forward" in caught.value.traceback_text


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Linear(5, 2)), Normal((5,))),
        (nn.Sequential(nn.Embedding(30, 4), nn.Linear(4, 2)), Tokens((16,), 30)),
    ],
    ids=["linear", "embedding"],
)
def test_inferred_inputs(model, expected):
    assert probe.infer_inputs(model) == expected


def test_example_inputs_decide():
    model = nn.Linear(5, 2)
    model.example_inputs = lambda: (torch.ones(3, 5), torch.zeros(1))
    assert [tuple(a.shape) for a in probe.infer_inputs(model).args] == [(3, 5), (1,)]


@pytest.mark.parametrize(
    "model", [nn.Conv2d(3, 4, 3), nn.LSTM(3, 4), nn.ReLU()], ids=["conv", "rnn", "none"]
)
def test_inputs_that_cannot_be_inferred(model):
    with pytest.raises(ModelError, match=r"cannot be inferred .* pass inputs=ic.normal"):
        probe.infer_inputs(
            nn.Sequential(model, nn.Linear(4, 2)) if not isinstance(model, nn.ReLU) else model
        )


def test_what_holds_no_numbers_or_hides_them_is_said_clearly():
    with pytest.raises(ModelError, match="meta device"):
        probe.fingerprints(nn.Linear(2, 2, device="meta"))
    with pytest.raises(ModelError, match="lazy"):
        probe.fingerprints(nn.LazyLinear(2))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_says_so():
    with pytest.raises(ModelError, match=r"before torch\.jit\.script"):
        trace(torch.jit.script(nn.Linear(8, 2)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_observed_eagerly():
    model = mlp()
    compiled = torch.compile(model)
    assert [s.name for s in trace(compiled).sites] == [s.name for s in trace(model).sites]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_with_a_compiled_part():
    model = nn.Sequential(torch.compile(nn.Linear(8, 4)), nn.ReLU())
    assert [s.kind for s in trace(model).sites] == ["input", "linear", "activation"]


def test_the_batch_is_that_of_the_features_and_not_of_a_graphs_edges():
    edges = torch.randint(0, 32, (2, 90))
    model = Fn(lambda self, e, x: self.fc(x).index_add(0, e[1], self.fc(x)[e[0]]), fc=nn.Linear(8, 4))
    found = trace(model, edges, X)
    assert found.batch == 32
    assert found.gradient is not None


@pytest.mark.parametrize("low", [-math.inf, -1e9, -65504.0])
def test_an_additive_mask_has_no_scale(low):
    mask = torch.triu(torch.full((8, 8), low), 1)
    model = Fn(
        lambda self, x, mask: self.fc(torch.softmax(x @ x.mT + mask[:1, :1], -1) @ x), fc=nn.Linear(8, 2)
    )
    found = trace(model, torch.randn(16, 4, 8), mask)
    assert found.inputs[1].exempt
    assert found.inputs[1].value.non_finite == 0
    assert not found.inputs[0].exempt


@pytest.mark.parametrize("value", [255.0, 3.0, -3.0])
def test_two_levels_are_no_mask(value):
    x = (torch.rand(32, 8, generator=torch.Generator().manual_seed(0)) > 0.5) * value
    assert not trace(mlp(), x).inputs[0].exempt


def test_a_pixel_that_is_rarely_on_is_not_a_small_column():
    x = torch.rand(64, 8, generator=torch.Generator().manual_seed(0))
    x[:, 3] = 0
    x[20:30, 3] = 1 / 255
    found = trace(mlp(), x).inputs[0]
    assert found.largest_column / found.smallest_column < 256


def test_a_few_samples_tell_no_scale_of_a_column():
    x = torch.tensor([[1.0, 1e-5], [-1.0, 1e-5]])
    assert math.isnan(trace(nn.Linear(2, 2), x).inputs[0].largest_column)
    ratio = trace(nn.Linear(2, 2), x.repeat(4, 1)).inputs[0]
    assert ratio.largest_column / ratio.smallest_column == pytest.approx(1e5)


def test_models_that_differentiate_in_their_forward_pass():
    def forward(self, x):
        x = x.requires_grad_()
        return torch.autograd.grad(self.m(x).sum(), x, create_graph=True)[0]

    model = Fn(forward, m=mlp())
    assert trace(model).gradient.difference > 0
    assert glimpse(model).quiet


# -- rare events -----------------------------------------------------------------------------------


def relu_net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.mark.parametrize(
    ("spoil", "quiet"),
    [
        (lambda m: None, True),
        (lambda m: nn.init.constant_(m[0].bias, -1000.0), False),
        (lambda m: m[2].weight.data.__setitem__((0, 0), math.nan), False),
        (lambda m: m[2].bias.data.__setitem__(0, math.inf), False),
        (lambda m: nn.init.zeros_(m[2].weight), False),
    ],
    ids=["clean", "dead", "nan", "infinite", "constant output"],
)
def test_a_glimpse_sees_rare_events(spoil, quiet):
    model = relu_net()
    spoil(model)
    assert glimpse(model).quiet is quiet


def test_fingerprints_tell_draws_and_constants_apart():
    model = relu_net()
    before = probe.fingerprints(model)
    assert before == probe.fingerprints(model)
    assert not any(p.constant for p in before)
    with torch.no_grad():
        model[0].weight[3, 3] += 1
    changed = {
        p.name for p, q in zip(before, probe.fingerprints(model), strict=True) if p.digest != q.digest
    }
    assert changed == {"0.weight"}
    nn.init.zeros_(model[0].bias)
    assert [p.name for p in probe.fingerprints(model) if p.constant] == ["0.bias"]


# -- no trace left ---------------------------------------------------------------------------------

GLOBAL_HOOKS = [
    name for name in vars(torch_hooks) if name.startswith("_global_") and name.endswith("hooks")
]


HOOKED = []


class Touchy(nn.Module):
    """A model that writes to everything a forward pass may write to, and may raise half-way."""

    def __init__(self, error=None):
        super().__init__()
        self.norm, self.fc, self.drop = nn.BatchNorm1d(8), nn.Linear(8, 4), nn.Dropout(0.5)
        self.register_buffer("replaced", torch.zeros(3))
        self.register_buffer("scratch", None, persistent=False)
        self.error = error
        self.fc.bias.requires_grad_(False)
        self.fc.weight.grad = torch.ones(4, 8)
        self.norm.eval()
        self.hooked = 0
        self.fc.register_forward_hook(self._count)

    def _count(self, module, args, output):
        self.hooked += 1
        HOOKED.append(module)

    def forward(self, x):
        x.mul_(2)
        self.replaced = self.replaced + 1
        self.scratch = x
        with torch.no_grad():
            self.fc.weight.mul_(0.5)
        random.random(), np.random.rand(), torch.rand(3)
        y = self.drop(torch.relu(self.fc(self.norm(x))))
        if self.error is not None:
            raise self.error
        return y


def snapshot(model, x):
    hooks = {name: dict(getattr(torch_hooks, name)) for name in GLOBAL_HOOKS}
    return (
        {n: (p.detach().clone(), p.requires_grad) for n, p in model.named_parameters()},
        {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
        {n: None if b is None else b.clone() for m in [model] for n, b in m._buffers.items()},
        {n: b.clone() for n, b in model.norm.named_buffers()},
        {n: m.training for n, m in model.named_modules()},
        {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()},
        hooks,
        x.clone(),
        torch.get_rng_state(),
        torch.is_grad_enabled(),
    )


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_the_comparison_can_fail():
    model, x = Touchy(), X.clone()
    before = snapshot(model, x)
    assert same(before, snapshot(model, x))
    model(x)
    after = snapshot(model, x)
    changed = [not same(one, other) for one, other in zip(before, after, strict=True)]
    assert changed == [True, False, True, False, False, False, False, True, True, False]


@pytest.mark.parametrize("run", [trace, glimpse], ids=["trace", "glimpse"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_nothing_is_left_behind(run, mode):
    model, x = Touchy(), X.clone()
    before = snapshot(model, x)
    trace(model, x, mode=mode) if run is trace else run(model, x)
    assert same(before, snapshot(model, x))
    assert HOOKED[-1] is model.fc
    assert model.hooked == 0


@pytest.mark.parametrize(
    "error", [ValueError("half way"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
@pytest.mark.parametrize("run", [trace, glimpse], ids=["trace", "glimpse"])
def test_nothing_is_left_behind_by_a_model_that_raises(run, error):
    model, x = Touchy(error), X.clone()
    before = snapshot(model, x)
    with pytest.raises((ModelError, KeyboardInterrupt)):
        run(model, x)
    assert same(before, snapshot(model, x))


def _other_data(parameter):
    parameter.data = parameter.data + 1


def _written_in_a_list(parameter):
    torch._foreach_mul_([parameter.detach()], 2.0)


@pytest.mark.parametrize("run", [trace, glimpse], ids=["trace", "glimpse"])
@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.data.clamp_(-0.01, 0.01),
        lambda p: p.detach().t()[0].zero_(),
        lambda p: torch.add(p.detach(), 1.0, out=p.data),
        lambda p: nn.init.ones_(p),
        lambda p: p.data.bernoulli_(0.5),
        _other_data,
        _written_in_a_list,
    ],
    ids=["data", "view", "out", "init", "draw", "other data", "list"],
)
def test_a_parameter_that_a_pass_writes_to_is_put_back(run, write):
    def forward(self, x):
        write(self.fc.weight)
        return self.fc(x)

    model = Fn(forward, fc=nn.Linear(8, 4))
    before, memory = model.fc.weight.detach().clone(), model.fc.weight.data_ptr()
    run(model, X)
    assert torch.equal(model.fc.weight, before)
    assert model.fc.weight.data_ptr() == memory


def test_a_users_global_hook_keeps_working_and_stays():
    seen = []
    handle = torch_hooks.register_module_forward_hook(lambda m, a, o: seen.append(m))
    try:
        trace(relu_net())
        assert len(seen) == 4
    finally:
        handle.remove()


def test_a_trace_keeps_no_tensor_alive():
    model = relu_net()
    trace(model)
    gc.collect()
    tensors = sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())
    kept = [trace(model) for _ in range(5)]
    gc.collect()
    assert sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects()) == tensors
    assert len(kept) == 5


def test_batch_norm_under_train_and_eval():
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2))
    x = X + 100
    assert trace(model, x, mode="train").sites[1].value.second_moment == pytest.approx(1, rel=0.05)
    assert trace(model, x, mode="eval").sites[1].value.second_moment > 1000
