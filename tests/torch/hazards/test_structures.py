"""Calls, inputs, outputs and wrappers: what is called how often, with what, and what comes out."""

from __future__ import annotations

import collections
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.errors import ModelError

torch.manual_seed(0)
X = torch.randn(32, 16)
MLP = lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))  # noqa: E731


def names(trace, kind=None):
    return [s.name for s in trace.sites if kind in (None, s.kind)]


def rows(trace):
    return [(s.name, s.kind, s.activation, s.reads) for s in trace.sites]


# -- calls -----------------------------------------------------------------------------------------


def test_one_module_called_three_times(fn, traced):
    model = fn(
        lambda self, x: self.out(self.act(self.fc(self.act(self.fc(self.act(self.fc(x))))))),
        fc=nn.Linear(16, 16),
        act=nn.ReLU(inplace=True),
        out=nn.Linear(16, 2),
    )
    assert names(traced(model, X)) == ["input", "fc", "act", "fc#2", "act#2", "fc#3", "act#3", "out"]


def test_one_module_under_two_names_has_the_first(fn, traced):
    layer = nn.Linear(16, 16)
    model = fn(lambda self, x: self.b(F.relu(self.a(x))), a=layer, b=layer)
    found = traced(model, X)
    assert names(found) == ["input", "a", "relu", "a#2"]
    assert {p.name: p.aliases for p in found.parameters} == {
        "a.weight": ("b.weight",),
        "a.bias": ("b.bias",),
    }


def test_tied_weights_are_named_once_with_all_their_names(fn, traced):
    model = fn(
        lambda self, ids: self.head(self.emb(ids).relu()),
        emb=nn.Embedding(20, 16),
        head=nn.Linear(16, 20, bias=False),
    )
    model.head.weight = model.emb.weight
    found = traced(model, torch.randint(0, 20, (32, 5)))
    assert [(p.name, p.aliases) for p in found.parameters] == [("emb.weight", ("head.weight",))]
    assert found.sites[3].weight.aliases == ("head.weight",)


def test_a_finding_names_what_its_weight_is_tied_to(fn):
    def tied():
        model = fn(
            lambda self, x: self.b(F.relu(self.a(F.relu(self.first(x))))),
            first=nn.Linear(16, 16),
            a=nn.Linear(16, 16),
            b=nn.Linear(16, 16),
        )
        model.b.weight = model.a.weight
        nn.init.normal_(model.a.weight, 0, 30.0)
        return model

    report = ic.check(tied, inputs=ic.normal(16), only="variance")
    (finding,) = report.findings
    assert "tied to b.weight" in finding.place


def test_what_is_never_called_is_listed_with_the_reason(fn, traced):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = MLP()
            self.spare = MLP()
            self.act = nn.Tanh()
            self.drop, self.same, self.loss = nn.Dropout(), nn.Identity(), nn.MSELoss()
            self.empty = nn.ModuleList()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.scale = nn.Parameter(torch.ones(4))
            self.kept = nn.Parameter(torch.ones(4))

        def forward(self, x):
            y = self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0]
            return self.used(y) * self.scale

    assert traced(Model(), X).unobserved == (
        ("kept", "no operation reads it on these inputs"),
        ("spare", "never called on these inputs: its 4 parameters are not judged"),
        ("act", "never called on these inputs"),
    )


def test_a_branch_that_these_inputs_do_not_take_is_listed(fn, traced):
    def forward(self, x):
        return self.small(x) if float(x.detach().abs().max()) < 100 else self.large(x)

    model = fn(forward, small=MLP(), large=MLP())
    found = traced(model, X)
    assert [place for place, _ in found.unobserved] == ["large"]
    assert names(found, "linear") == ["small.0", "small.2"]
    assert [place for place, _ in traced(model, 1000 * X).unobserved] == ["small"]


def test_the_report_shows_what_was_not_observed(fn):
    report = ic.check(
        lambda: fn(lambda self, x: self.used(x), used=MLP(), spare=nn.Linear(3, 3)), inputs=ic.normal(16)
    )
    assert report.verdict == "pass"
    assert report.unobserved == ("spare: never called on these inputs: its 2 parameters are not judged",)


def test_a_forward_that_is_called_directly(fn, traced):
    model = fn(lambda self, x: self.m.forward(x), m=MLP())
    found = traced(model, X)
    assert [s.kind for s in found.sites] == ["input", "linear", "activation", "linear"]
    assert found.unobserved == ()


# -- outputs ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple
    note: str = "x"


class ModelOutput(collections.OrderedDict):
    """As transformers has it: an ordered dict with attributes."""

    def __getattr__(self, name):
        return self[name]


Pair = collections.namedtuple("Pair", "first second")
OUTPUTS = {
    "tuple": lambda y: (y, y.sum(1, keepdim=True)),
    "list": lambda y: [y],
    "dict": lambda y: {"loss": y.mean(), "logits": y},
    "dataclass": lambda y: Output(y, (y,)),
    "model output": lambda y: ModelOutput(loss=y.mean(), logits=y),
    "named tuple": lambda y: Pair(y, y * 2),
    "nested": lambda y: [None, {"ids": y.argmax(1), "rest": ({"deep": [y]},)}],
    "torch's own": lambda y: torch.max(y[..., None], -1),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs(kind, fn, traced):
    found = traced(fn(lambda self, x: OUTPUTS[kind](self.m(x)), m=MLP()), X)
    assert found.output >= 0
    assert found.gradient.live_matrices == 2


def test_a_loss_alone_is_refused(fn, traced):
    with pytest.raises(ModelError, match="returned a single number, a loss perhaps"):
        traced(fn(lambda self, x: F.cross_entropy(self.m(x), torch.zeros(32).long()), m=MLP()), X)


# -- inputs ----------------------------------------------------------------------------------------


def test_inputs_of_every_kind(fn, traced):
    def forward(self, x, ids, *, mask, scale=None, flag=True, limit=3, extra=None):
        assert scale is None
        assert flag is False
        assert limit == 2
        y = self.fc(x) + self.emb(ids) + self.more(extra["values"][0])
        return self.out(torch.relu(y).masked_fill(mask, 0.0))

    model = fn(
        forward, fc=nn.Linear(16, 8), emb=nn.Embedding(9, 8), more=nn.Linear(3, 8), out=nn.Linear(8, 2)
    )
    found = traced(
        model,
        X,
        torch.randint(0, 9, (32,)),
        mask=torch.rand(32, 8) > 0.5,
        scale=None,
        flag=False,
        limit=2,
        extra={"values": [torch.randn(32, 3)], "name": "n"},
    )
    assert [(c.name, c.exempt) for c in found.inputs] == [
        ("input0", False),
        ("input1", True),
        ("mask", True),
        ("extra.values.0", False),
    ]
    assert found.gradient.live_matrices == 4


def test_an_input_that_forward_writes_to_is_described_as_it_was_given(traced):
    given = X * 3
    found = traced(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(16, 2)), given)
    assert found.inputs[0].value.second_moment == pytest.approx(float((given**2).mean()), rel=1e-5)


@pytest.mark.parametrize("need_weights", [True, False])
def test_time_first_samples_are_on_the_second_axis(need_weights, fn, traced):
    steps = torch.randn(5, 32, 16)
    model = fn(
        lambda self, x: self.out(self.a(x, x, x, need_weights=need_weights)[0].relu()),
        a=nn.MultiheadAttention(16, 2),
        out=nn.Linear(16, 2),
    )
    found = traced(model, steps)
    assert found.batch == 32
    assert found.inputs[0].value.batch_variance == pytest.approx(
        float(steps.var(1, correction=0).mean()), rel=1e-5
    )
    assert found.gradient.live_matrices == found.gradient.matrices == 3
    assert found.returned


def test_a_model_that_brings_time_to_the_front_itself(fn, traced):
    model = fn(
        lambda self, x: self.out(self.rnn(x.transpose(0, 1))[0][-1]),
        rnn=nn.GRU(16, 8),
        out=nn.Linear(8, 2),
    )
    assert traced(model, torch.randn(32, 5, 16)).batch == 32


def test_inputs_follow_the_models_device():
    from pytest_initcheck.inputs import Call
    from pytest_initcheck.probes.torch_inputs import prepared

    call = prepared(
        nn.Linear(2, 2, device="meta", dtype=torch.float16),
        Call((torch.ones(3, 2), [torch.ones(3, 2).long()]), {"mask": torch.ones(3, dtype=torch.bool)}),
    )
    moved = (call.args[0], call.args[1][0], call.kwargs["mask"])
    assert [t.device.type for t in moved] == ["meta"] * 3
    assert [t.dtype for t in moved] == [torch.float16, torch.int64, torch.bool]


# -- wrappers --------------------------------------------------------------------------------------


class Lightning(nn.Module):
    """What a LightningModule is outside of a trainer: ``log`` raises, forward does not need it."""

    def __init__(self):
        super().__init__()
        self.net = MLP()
        self.trainer = None

    def log(self, *args):
        raise RuntimeError("self.log needs a trainer")

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        self.log("loss", 0)


def replicated():
    return nn.DataParallel(MLP())


def compiled():
    return torch.compile(MLP())


def compiled_part():
    model = MLP()
    return nn.Sequential(torch.compile(model[0]), *model[1:])


def graph_module():
    return torch.fx.symbolic_trace(MLP())


WRAPPED = {
    "data parallel": replicated,
    "compiled": compiled,
    "compiled part": compiled_part,
    "compiled twice": lambda: torch.compile(nn.DataParallel(MLP())),
    "graph": graph_module,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_models_have_the_names_of_the_model(kind, traced):
    torch.manual_seed(1)
    expected = rows(traced(MLP(), X))
    torch.manual_seed(1)
    assert rows(traced(WRAPPED[kind](), X)) == expected


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_function_inside_of_forward(fn, traced):
    activate = torch.compile(F.relu, backend="eager")
    model = fn(lambda self, x: self.b(activate(self.a(x))), a=nn.Linear(16, 16), b=nn.Linear(16, 2))
    model(X)
    assert [s.activation for s in traced(model, X).sites] == [None, None, "relu", None]


def test_a_distributed_model(traced, tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        found = traced(nn.parallel.DistributedDataParallel(MLP()), X)
    finally:
        torch.distributed.destroy_process_group()
    assert names(found) == ["input", "0", "1", "2"]
    assert found.gradient.live_matrices == 2


def test_a_lightning_module():
    report = ic.check(Lightning, inputs=ic.normal(16))
    assert report.verdict == "pass"
    assert "net.0" in [row.name for row in report.sites]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.jit.script(MLP()), "^a scripted module hides its operations"),
        (lambda: torch.jit.trace(MLP(), X), "^a scripted module hides its operations"),
        (
            lambda: nn.Sequential(nn.Linear(16, 16), torch.jit.script(MLP())),
            "^1 is a scripted module, which hides its operations; pass the module before",
        ),
        (
            lambda: nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 2, device="meta")),
            r"^the parameter 1\.weight is on the meta device .* build the model on the CPU",
        ),
        (
            lambda: nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16, affine=False, device="meta")),
            r"^the buffer 1\.running_mean is on the meta device",
        ),
    ],
    ids=["scripted", "traced", "scripted part", "part on meta", "buffer on meta"],
)
def test_what_hides_its_operations_or_holds_no_numbers_is_refused(make, message, traced):
    with pytest.raises(ModelError, match=message) as caught:
        traced(make(), X)
    assert "\n" not in str(caught.value)


# -- lazy ------------------------------------------------------------------------------------------


def lazy():
    return nn.Sequential(
        nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    )


def test_lazy_modules_are_drawn_by_a_first_forward_pass():
    report = ic.check(lazy, inputs=ic.images(3, 8, 8))
    assert report.verdict == "pass", str(report)
    assert [row.op for row in report.sites].count("linear") == 1
    again = ic.check(lazy, inputs=ic.images(3, 8, 8))
    assert [row.second_moment for row in again.sites] == [row.second_moment for row in report.sites]
    other = ic.check(lazy, inputs=ic.images(3, 8, 8), seed=1)
    assert [row.second_moment for row in other.sites] != [row.second_moment for row in report.sites]


def test_a_bad_lazy_model_fails():
    def bad():
        layers = []
        for _ in range(2):
            layers += [nn.LazyLinear(16), nn.ReLU()]
        return nn.Sequential(*layers, nn.LazyLinear(4))

    report = ic.check(bad, inputs=ic.normal(16, std=300), only="variance")
    assert report.verdict == "fail", str(report)


def test_a_built_lazy_model_stays_lazy():
    model = lazy()
    report = ic.check(model, inputs=ic.images(3, 8, 8), id="built")
    assert report.verdict == "inconclusive"
    assert all(nn.parameter.is_lazy(model[index].weight) for index in (0, 1, 4))
    assert model[1].num_batches_tracked.item() == 0


def test_a_lazy_layer_that_is_not_reached_is_refused(fn):
    report = ic.check(
        lambda: fn(lambda self, x: self.m(x), m=MLP(), spare=nn.LazyLinear(3)), inputs=ic.normal(16)
    )
    assert report.error.startswith(
        "spare.weight is lazy and a forward pass on these inputs does not reach it"
    )


def test_inputs_of_a_lazy_first_layer_cannot_be_inferred():
    assert "cannot be inferred" in ic.check(lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU())).error
