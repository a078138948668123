"""Layers of every kind: what is seen inside them, and that nothing is counted twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import pytest_initcheck as ic
from pytest_initcheck.errors import ModelError

torch.manual_seed(0)
X = torch.randn(32, 16)
STEPS = torch.randn(16, 5, 16)
IMAGES = torch.randn(8, 4, 8, 8)
IDS = torch.randint(1, 50, (32, 5))


def linear(n=16, m=16):
    return nn.Linear(n, m)


def weights(trace):
    return [s.weight.name for s in trace.sites if s.weight is not None]


def kinds(trace):
    return [s.kind for s in trace.sites]


def all_live(trace):
    return trace.gradient.live_matrices == trace.gradient.matrices > 0


# -- recurrent -------------------------------------------------------------------------------------


def recurrent(fn, kind, *, packed=False, **options):
    def forward(self, x):
        if packed:
            lengths = torch.tensor([5] * 8 + [3] * 8)
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        y, _ = self.rnn(x)
        if packed:
            y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
        return self.out(y[:, -1])

    rnn = kind(16, 16, batch_first=True, **options)
    width = (options.get("proj_size") or 16) * (2 if options.get("bidirectional") else 1)
    return fn(forward, rnn=rnn, out=nn.Linear(width, 4))


OPTIONS = {
    "plain": {},
    "two layers": {"num_layers": 2, "dropout": 0.5},
    "bidirectional": {"bidirectional": True},
    "packed": {"packed": True},
    "without bias": {"bias": False},
}
ACTIVATIONS = {nn.LSTM: {"sigmoid", "tanh"}, nn.GRU: {"sigmoid", "tanh"}, nn.RNN: {"tanh"}}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_a_recurrent_layer_is_seen_gate_by_gate(kind, options, fn, traced):
    model = recurrent(fn, kind, **OPTIONS[options])
    found = traced(model, STEPS)
    assert {s.activation for s in found.sites} - {None} == ACTIVATIONS[kind]
    assert set(weights(found)) == {n for n, p in model.named_parameters() if p.dim() > 1}
    assert found.unobserved == ()
    assert all(s.saturated is not None for s in found.sites if s.activation is not None)


def test_a_projected_recurrent_layer(fn, traced):
    found = traced(recurrent(fn, nn.LSTM, proj_size=8), STEPS)
    assert "rnn.weight_hr_l0" in weights(found)
    assert all_live(found)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell], ids=lambda cell: cell.__name__)
def test_recurrent_cells(cell, fn, traced):
    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.out(state[0] if isinstance(state, tuple) else state)

    found = traced(fn(forward, cell=cell(16, 8), out=nn.Linear(8, 2)), STEPS)
    assert set(weights(found)) == {"cell.weight_ih", "cell.weight_hh", "out.weight"}
    assert all_live(found)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_a_recurrent_layer_that_starts_saturated_fails(kind, fn):
    def bad():
        model = recurrent(fn, kind)
        for parameter in model.rnn.parameters():
            nn.init.normal_(parameter, 0, 5.0)
        return model

    report = ic.check(bad, inputs=ic.normal(5, 16), only="saturation", try_fixes=False)
    assert report.verdict == "fail", str(report)
    good = ic.check(lambda: recurrent(fn, kind), inputs=ic.normal(5, 16), only="saturation")
    assert good.verdict == "pass", str(good)


# -- attention -------------------------------------------------------------------------------------


def attention(fn, **options):
    def forward(self, x, **masks):
        return self.out(self.attention(x, x, x, need_weights=self.need_weights, **masks)[0].relu())

    need = options.pop("need_weights", True)
    model = fn(forward, attention=nn.MultiheadAttention(16, 2, **options), out=linear())
    model.need_weights = need
    return model


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_is_the_same_however_it_runs(mode, need_weights, dropout, fn, traced):
    torch.manual_seed(3)
    expected = traced(attention(fn, batch_first=True), STEPS).sites[-1].value
    torch.manual_seed(3)
    model = attention(fn, batch_first=True, need_weights=need_weights, dropout=dropout)
    found = traced(model, STEPS, mode=mode)
    assert weights(found) == [
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "out.weight",
    ]
    assert found.sites[-1].value.second_moment == pytest.approx(expected.second_moment, rel=1e-4)
    assert found.unobserved == ()
    [mixing] = [site for site in found.sites if site.kind in ("softmax", "attention")]
    assert mixing.saturated == 0.0
    assert all_live(found)


def test_masks_of_attention(fn, traced):
    future = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    padding = torch.zeros(16, 5, dtype=torch.bool)
    padding[:, 4] = True
    found = traced(attention(fn, batch_first=True), STEPS, attn_mask=future, key_padding_mask=padding)
    assert [c.name for c in found.inputs] == ["input0", "attn_mask", "key_padding_mask"]
    assert found.gradient.non_finite == ()
    assert all_live(found)


SDPA = {
    "plain": {},
    "causal": {"is_causal": True},
    "mask": {"attn_mask": torch.ones(5, 5).tril().bool()},
    "additive mask": {"attn_mask": torch.triu(torch.full((5, 5), -math.inf), 1)},
    "dropout": {"dropout_p": 0.5},
}


@pytest.mark.parametrize("heads", [False, True], ids=["three axes", "four axes"])
@pytest.mark.parametrize("kind", SDPA)
def test_scaled_dot_product_attention(kind, heads, fn, traced):
    def forward(self, x):
        q, k, v = (layer(x) for layer in (self.q, self.k, self.v))
        if heads:
            q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, **self.options)
        return self.out((y.transpose(1, 2).flatten(2) if heads else y).relu())

    torch.manual_seed(4)
    model = fn(forward, q=linear(), k=linear(), v=linear(), out=linear())
    model.options = SDPA[kind]
    found = traced(model, STEPS)
    assert weights(found) == ["q.weight", "k.weight", "v.weight", "out.weight"]
    assert {"softmax", "attention"} & set(kinds(found))
    assert all_live(found)
    model.options = {**SDPA[kind], "dropout_p": 0.0}
    expected = float((model(STEPS).detach() ** 2).mean())
    assert found.sites[-1].value.second_moment == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_an_encoder_layer_is_seen_in_either_mode(mode, batch_first, traced):
    model = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
    found = traced(model, STEPS if batch_first else STEPS.transpose(0, 1), mode=mode)
    assert weights(found)[-2:] == ["linear1.weight", "linear2.weight"]
    assert kinds(found).count("norm") == 2
    assert found.batch == 16
    assert all_live(found)


# -- weights that are computed ---------------------------------------------------------------------

COMPUTED = {
    "weight norm": (parametrizations.weight_norm, "0.parametrizations.weight.original1"),
    "spectral norm": (parametrizations.spectral_norm, "0.parametrizations.weight.original"),
    "orthogonal": (parametrizations.orthogonal, "0.parametrizations.weight.original"),
    "old weight norm": (nn.utils.weight_norm, "0.weight_v"),
    "old spectral norm": (nn.utils.spectral_norm, "0.weight_orig"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*spectral_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_weights_that_are_computed(kind, traced):
    wrap, name = COMPUTED[kind]
    model = nn.Sequential(wrap(linear()), nn.ReLU(), linear())
    found = traced(model, X)
    assert [(s.name, s.kind) for s in found.sites] == [
        ("input", "input"),
        ("0", "linear"),
        ("1", "activation"),
        ("2", "linear"),
    ]
    assert weights(found) == [name, "2.weight"]
    assert found.unobserved == ()
    assert all_live(found)


# -- normalisation ---------------------------------------------------------------------------------

NORMS = {
    "batch": (lambda: nn.BatchNorm2d(4), IMAGES),
    "instance": (lambda: nn.InstanceNorm2d(4), IMAGES),
    "instance, affine": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGES),
    "group": (lambda: nn.GroupNorm(2, 4), IMAGES),
    "layer": (lambda: nn.LayerNorm(8), IMAGES),
    "rms": (lambda: nn.RMSNorm(8), IMAGES),
}
WRITTEN_NORMS = {
    "unit length": lambda x: F.normalize(x, dim=-1),
    "rms": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    "rms by norm": lambda x: x / (x.norm(dim=-1, keepdim=True) * 8**-0.5 + 1e-6),
    "layer": lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5),
    "layer by variance": lambda x: (
        (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-5)
    ),
}


@pytest.mark.parametrize("kind", NORMS)
def test_normalisations_end_a_run(kind, traced):
    make, x = NORMS[kind]
    assert "norm" in kinds(traced(make(), x))


@pytest.mark.parametrize("kind", WRITTEN_NORMS)
def test_normalisations_that_are_written_out_end_a_run_too(kind, fn, traced):
    model = fn(
        lambda self, x: self.out(WRITTEN_NORMS[kind](self.fc(x))), fc=nn.Linear(8, 8), out=linear(8)
    )
    found = traced(model, IMAGES)
    assert kinds(found)[-2:] == ["norm", "linear"]


def test_batch_norm_over_one_value_is_one_clear_line():
    report = ic.check(lambda: nn.Sequential(linear(), nn.BatchNorm1d(16), nn.ReLU()), inputs=X[:1])
    assert "Expected more than 1 value per channel" in report.error
    assert report.error.endswith("pass a larger batch, or mode='eval'")


def test_a_forward_pass_that_leaves_torch_says_how_to_stay():
    class Leaves(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 8)

        def forward(self, x):
            return torch.as_tensor(np.tanh(self.first(x).numpy()))

    report = ic.check(Leaves, inputs=ic.normal(8))
    assert report.verdict == "error"
    assert "keep the forward pass to torch operations" in report.error
    assert "pass inputs=" not in report.error


# -- products and look-ups -------------------------------------------------------------------------


def by_einsum(self, x):
    y = torch.einsum("bi,oi->bo", x, self.a.weight).relu()
    return torch.einsum("bi,io->bo", y, self.b.weight)


def by_slices(self, x):
    return F.linear(F.linear(x, self.a.weight[:8]).relu(), self.a.weight[8:, :8])


def by_batches(self, x):
    blocks = x.view(-1, 4, 4).transpose(0, 1)
    return torch.baddbmm(self.bias, blocks, self.p).relu().transpose(0, 1)


def by_frequencies(self, x):
    return torch.fft.irfft(torch.fft.rfft(self.a(x)) * self.f, n=16).relu() @ self.b.weight


PRODUCTS = {
    "einsum": (by_einsum, ["a.weight", "b.weight"]),
    "slices": (by_slices, ["a.weight", "a.weight"]),
    "heads": (lambda self, x: torch.einsum("bhd,hde->bhe", x.view(-1, 4, 4), self.p), ["p"]),
    "baddbmm": (by_batches, ["p"]),
    "tensordot": (lambda self, x: torch.tensordot(x, self.b.weight, dims=([1], [0])), ["b.weight"]),
    "mv": (lambda self, x: torch.addmv(self.b.bias[:1], x, self.b.weight[0]), ["b.weight"]),
    "frequencies": (by_frequencies, ["a.weight", "b.weight"]),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products_with_bare_weights(kind, fn, traced):
    function, expected = PRODUCTS[kind]
    model = fn(function, a=linear(), b=linear())
    model.p = nn.Parameter(torch.randn(4, 4, 8) * 0.5)
    model.bias = nn.Parameter(torch.zeros(4, 1, 8))
    model.f = nn.Parameter(torch.randn(9, dtype=torch.complex64))
    found = traced(model, X)
    assert weights(found) == expected
    assert all_live(found)


CONVOLUTIONS = {
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(4, 8, 3, stride=2),
    "same": lambda: nn.Conv2d(4, 8, 3, padding="same"),
    "reflected": lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions(kind, traced):
    found = traced(
        nn.Sequential(CONVOLUTIONS[kind](), nn.ReLU(), nn.Conv2d(8 if kind != "depthwise" else 4, 2, 1)),
        IMAGES,
    )
    assert weights(found) == ["0.weight", "2.weight"]
    layer = next(s for s in found.sites if s.weight is not None)
    assert layer.value.second_moment == pytest.approx(
        layer.weight.sigma_w2 * layer.coverage * found.sites[0].value.second_moment, rel=0.5
    )


def test_a_convolution_by_unfolding(fn, traced):
    model = fn(lambda self, x: (self.w @ F.unfold(x, 3)).relu())
    model.w = nn.Parameter(torch.randn(8, 36) * 0.2)
    found = traced(model, IMAGES)
    assert [(s.kind, s.op) for s in found.sites] == [
        ("input", "input"),
        ("other", "im2col"),
        ("linear", "linear"),
        ("activation", "relu"),
    ]
    assert found.sites[2].weight.fan_in == 36


SHAPED = {
    "pixel shuffle": nn.PixelShuffle(2),
    "max pool": nn.MaxPool2d(2),
    "average pool": nn.AvgPool2d(2),
    "adaptive max pool": nn.AdaptiveMaxPool2d(2),
    "adaptive average pool": nn.AdaptiveAvgPool2d(2),
    "power-average pool": nn.LPPool2d(2, 2),
    "upsampling": nn.Upsample(scale_factor=2),
    "padding": nn.ZeroPad2d(1),
}


@pytest.mark.parametrize("kind", SHAPED)
def test_what_moves_or_pools_pixels_keeps_the_chain(kind, traced):
    part = SHAPED[kind]
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), part, nn.Flatten(), nn.LazyLinear(3))
    with torch.no_grad():
        model(IMAGES)
    found = traced(model, IMAGES)
    reached, waiting = set(), [found.output]
    while waiting:
        index = waiting.pop()
        reached.add(index)
        waiting.extend(found.sites[index].reads)
    assert reached == set(range(len(found.sites)))
    assert all_live(found)


def test_what_is_cut_and_joined_keeps_the_chain(fn, traced):
    def forward(self, x):
        a, b = self.fc(x).chunk(2, 1)
        c, d = b.split([3, 5], 1)
        return self.out(
            torch.cat([torch.stack([a, a + 1]).mean(0), c, d, a.roll(1), d.flip(1)], 1).relu()
        )

    found = traced(fn(forward, fc=linear(), out=nn.Linear(29, 2)), X)
    assert found.sites[found.output].reads
    assert all_live(found)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["embedding", "bag"])
def test_look_ups_with_dense_and_sparse_gradients(kind, sparse, traced):
    table = (
        nn.Embedding(50, 16, sparse=sparse, padding_idx=0)
        if kind == "embedding"
        else nn.EmbeddingBag(50, 16, sparse=sparse)
    )
    found = traced(nn.Sequential(table, nn.ReLU(), linear()), IDS)
    assert (found.sites[1].kind, found.sites[1].weight.name) == ("embedding", "0.weight")
    assert found.inputs[0].exempt
    assert all_live(found)


def test_a_sparse_gradient_is_as_large_as_a_dense_one(traced):
    def gradient(sparse):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Embedding(50, 16, sparse=sparse), nn.ReLU(), linear())
        return traced(model, IDS).gradient

    assert gradient(True).difference == pytest.approx(gradient(False).difference, rel=1e-5)


def test_a_bilinear_layer(fn, traced):
    model = fn(lambda self, x: self.out(self.b(x, x).relu()), b=nn.Bilinear(16, 16, 16), out=linear())
    found = traced(model, X)
    assert found.sites[found.output].reads
    assert found.gradient.live_matrices == 2


# -- gradients of their own ------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_parts_are_counted_once(reentrant, fn, traced):
    body = nn.Sequential(linear(), nn.ReLU(), nn.Dropout(0.5), linear(), nn.Tanh())
    forward = lambda self, x: self.out(checkpoint(self.body, self.first(x), use_reentrant=reentrant))  # noqa: E731
    plain = lambda self, x: self.out(self.body(self.first(x)))  # noqa: E731
    parts = {"first": linear(), "body": body, "out": linear()}
    found, expected = traced(fn(forward, **parts), X), traced(fn(plain, **parts), X)
    assert [s.name for s in found.sites] == [s.name for s in expected.sites]
    assert found.gradient == expected.gradient


def test_a_reentrant_checkpoint_of_an_input_gives_no_gradient_to_what_is_inside(fn, traced):
    parts = {"body": nn.Sequential(linear(), nn.ReLU()), "out": linear()}
    forward = lambda self, x: self.out(checkpoint(self.body, x, use_reentrant=True))  # noqa: E731
    gradient = traced(fn(forward, **parts), X).gradient
    assert (gradient.live_matrices, gradient.matrices) == (1, 2)


def test_checkpoints_work_as_before_afterwards(fn, traced):
    body = nn.Sequential(linear(), nn.ReLU())
    traced(fn(lambda self, x: checkpoint(self.body, x, use_reentrant=True), body=body), X)
    x = X.clone().requires_grad_()
    checkpoint(body, x, use_reentrant=True).sum().backward()
    assert x.grad is not None
    assert body[0].weight.grad is not None


def test_a_forward_pass_that_differentiates(fn, traced):
    def forward(self, x):
        x = x.requires_grad_()
        u = self.net(x)
        return torch.autograd.grad(u.sum(), x, create_graph=True)[0]

    found = traced(fn(forward, net=nn.Sequential(linear(), nn.Tanh(), linear())), X)
    assert all_live(found)


def test_a_forward_pass_that_frees_its_graph_is_one_clear_line(fn, traced):
    def forward(self, x):
        y = self.net(x)
        y.sum().backward()
        return y

    model = fn(forward, net=nn.Sequential(linear(), nn.Tanh(), linear()))
    with pytest.raises(ModelError, match=r"^the backward pass from the model's output raised") as caught:
        traced(model, X)
    assert "\n" not in str(caught.value)
    assert all(p.grad is None for p in model.parameters())


def test_a_part_without_gradients(fn, traced):
    def forward(self, x):
        with torch.no_grad():
            x = self.frozen(x).relu()
        return self.out(x)

    gradient = traced(fn(forward, frozen=linear(), out=linear()), X).gradient
    assert (gradient.live_matrices, gradient.matrices) == (1, 2)


def test_functional_calls_and_maps(fn, traced):
    net = nn.Sequential(linear(), nn.ReLU(), linear())
    call = lambda self, x: torch.func.functional_call(self.net, dict(self.net.named_parameters()), (x,))  # noqa: E731
    mapped = lambda self, x: torch.vmap(self.net)(x)  # noqa: E731
    expected = traced(net, X)
    for forward in (call, mapped):
        found = traced(fn(forward, net=net), X)
        assert [s.name for s in found.sites] == ["input", "net.0", "net.1", "net.2"]
        assert found.gradient.difference == pytest.approx(expected.gradient.difference, rel=1e-4)


def test_a_users_hook_that_changes_an_output_is_followed(traced):
    model = nn.Sequential(linear(), nn.ReLU(), linear())
    model[0].register_forward_hook(lambda module, args, output: output * 10)
    found = traced(model, X)
    assert [s.name for s in found.sites] == ["input", "0", "mul", "1", "2"]
    assert found.sites[2].value.second_moment == pytest.approx(
        100 * found.sites[1].value.second_moment, rel=1e-5
    )


def test_frozen_models_have_no_gradient_and_say_so(traced):
    model = nn.Sequential(linear(), nn.ReLU(), linear())
    model[0].requires_grad_(False)
    assert traced(model, X).gradient.matrices == 1
    found = traced(model.requires_grad_(False), X)
    assert found.gradient is None
    assert found.unobserved == (
        ("gradient", "the output does not depend on a trainable parameter through autograd"),
    )


@torch.library.custom_op("initcheck_tests::halved", mutates_args=())
def halved(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x) / 2


halved.register_autograd(
    lambda ctx, gradient: gradient / 2 * (ctx.saved_tensors[0] > 0),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
)


def test_an_operation_of_another_library_is_listed(fn, traced):
    found = traced(fn(lambda self, x: self.b(halved(self.a(x))), a=linear(), b=linear()), X)
    assert found.unobserved == (
        (
            "initcheck_tests::halved",
            "initcheck_tests::halved is one operation: not seen inside",
        ),
    )
    assert found.sites[-1].reads == (2,)
    assert all_live(found)
