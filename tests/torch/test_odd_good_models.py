"""Models that are good and look odd at the start: zeros, copies, cuts and closed gates that are meant."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck import replicates

MODELS = []


def good(inputs, **options):
    def register(factory):
        MODELS.append(pytest.param(factory, inputs, options, id=factory.__name__.strip("_")))
        return factory

    return register


@pytest.fixture(autouse=True)
def _as_if_larger(monkeypatch):
    """Fewer seeds per replicate, as for models sixteen times this size: the verdicts are the same."""
    monkeypatch.setattr(replicates, "_REPLICATE_ELEMENTS", replicates._REPLICATE_ELEMENTS // 16)


@pytest.mark.parametrize(("factory", "inputs", "options"), MODELS)
def test_an_odd_good_model_passes(factory, inputs, options):
    report = ic.check(factory, inputs=inputs, id=factory.__name__, **options)
    assert report.verdict == "pass", str(report)


class Fn(nn.Module):
    """A module with these parts, whose forward is ``call(self, *args)``."""

    def __init__(self, call, **parts):
        super().__init__()
        self.call = call
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.call(self, *args, **kwargs)


def mlp(*widths, act=nn.ReLU):
    layers = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), act()]
    return nn.Sequential(*layers[:-1])


def zeroed(module):
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


def zeros(*shape):
    return nn.Parameter(torch.zeros(*shape))


# -- several networks in one ------------------------------------------------------------------------


@good(ic.normal(32))
def ensemble_of_heads():
    return Fn(
        lambda self, x: [head(self.body(x)) for head in self.heads],
        body=mlp(32, 64, 64),
        heads=nn.ModuleList(nn.Linear(64, 3) for _ in range(5)),
    )


@good(ic.normal(32))
def ensemble_averaged():
    return Fn(
        lambda self, x: torch.stack([net(x) for net in self.nets]).mean(0),
        nets=nn.ModuleList(mlp(32, 64, 64, 3) for _ in range(4)),
    )


@good(ic.normal(32))
def multi_task_with_a_dict_in_it():
    return Fn(
        lambda self, x: (
            self.depth(h := torch.relu(self.body(x))),
            {"classes": self.classes(h), "boxes": {"corners": self.boxes(h)}},
        ),
        body=mlp(32, 64, 64),
        depth=nn.Linear(64, 1),
        classes=nn.Linear(64, 10),
        boxes=nn.Linear(64, 4),
    )


def routed(k, experts):
    def call(self, x):
        gates = self.router(x).softmax(-1)
        top, chosen = gates.topk(k, -1)
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            row, slot = (chosen == index).nonzero(as_tuple=True)
            out = out.index_add(0, row, expert(x[row]) * top[row, slot, None])
        return self.head(x + out)

    return Fn(
        call,
        router=nn.Linear(32, experts, bias=False),
        experts=nn.ModuleList(mlp(32, 64, 32, act=nn.GELU) for _ in range(experts)),
        head=nn.Linear(32, 5),
    )


@good(ic.normal(32))
def mixture_of_experts_top_2():
    return routed(2, 4)


@good(ic.normal(32), batch=16)
def mixture_of_experts_top_1_with_idle_ones():
    return routed(1, 8)


@good(ic.normal(32))
def byol_with_a_frozen_target():
    online = mlp(32, 64, 16)
    target = copy.deepcopy(online).requires_grad_(False)
    return Fn(
        lambda self, x: (self.predictor(self.online(x)), self.target(x)),
        online=online,
        target=target,
        predictor=mlp(16, 32, 16),
    )


@good(ic.normal(32))
def simsiam_with_a_stopped_gradient():
    return Fn(
        lambda self, x: (self.predictor(z := self.encoder(x)), z.detach()),
        encoder=mlp(32, 64, 64, 16),
        predictor=mlp(16, 8, 16),
    )


@good(ic.normal(32))
def moco_with_a_queue():
    def call(self, x):
        q, k = F.normalize(self.q(x), dim=1), F.normalize(self.k(x), dim=1)
        return torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone().detach()], 1) / 0.2

    q = mlp(32, 64, 16)
    model = Fn(call, q=q, k=copy.deepcopy(q).requires_grad_(False))
    model.register_buffer("queue", F.normalize(torch.randn(16, 128), dim=0))
    return model


@good(ic.normal(64))
def autoencoder_with_tied_weights():
    return Fn(
        lambda self, x: F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.t(), self.bias),
        encoder=nn.Linear(64, 32),
        bias=zeros(64),
    )


@good(ic.normal(12, 32))
def transformer_encoder_of_clones():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 4), nn.Linear(32, 5))


# -- discrete choices ---------------------------------------------------------------------------------


def vq(learned):
    def call(self, x):
        z = self.encoder(x)
        code = self.codebook if learned else self.code
        nearest = code[torch.cdist(z, code).argmin(1)]
        loss = ((nearest - z.detach()) ** 2).mean() + 0.25 * ((nearest.detach() - z) ** 2).mean()
        out = self.decoder(z + (nearest - z).detach())
        return (out, loss) if learned else out

    parts = {"codebook": nn.Parameter(torch.randn(16, 8))} if learned else {}
    model = Fn(call, encoder=mlp(32, 64, 8), decoder=mlp(8, 64, 32), **parts)
    if not learned:
        model.register_buffer("code", torch.randn(16, 8))
    return model


@good(ic.normal(32))
def vq_vae_straight_through():
    return vq(learned=True)


@good(ic.normal(32))
def vq_vae_with_an_averaged_codebook():
    return vq(learned=False)


@good(ic.normal(32))
def gumbel_softmax_hard():
    return Fn(
        lambda self, x: self.out(F.gumbel_softmax(self.scores(x), tau=1.0, hard=True)),
        scores=mlp(32, 64, 12),
        out=nn.Linear(12, 5),
    )


@good(ic.normal(10, 32))
def hard_attention_straight_through():
    def call(self, x):
        soft = (self.key(x) @ self.query / 32**0.5).softmax(1)
        hard = F.one_hot(soft.argmax(1), x.shape[1]).to(x.dtype)
        return self.head(((hard + soft - soft.detach())[..., None] * x).sum(1))

    return Fn(call, key=nn.Linear(32, 32), query=nn.Parameter(torch.randn(32)), head=nn.Linear(32, 5))


@good(ic.normal(32))
def binary_code_straight_through():
    def call(self, x):
        z = torch.tanh(self.encoder(x))
        return self.decoder(z + (z.sign() - z).detach())

    return Fn(call, encoder=mlp(32, 64, 16), decoder=mlp(16, 64, 32))


@good(ic.normal(32))
def deep_equilibrium_with_one_step_of_gradient():
    def call(self, x):
        z, injected = torch.zeros_like(x), self.inject(x)
        with torch.no_grad():
            for _ in range(10):
                z = torch.tanh(self.cell(z) + injected)
        return self.head(torch.tanh(self.cell(z) + injected))

    return Fn(call, inject=nn.Linear(32, 32), cell=nn.Linear(32, 32), head=nn.Linear(32, 5))


# -- zeros that are meant --------------------------------------------------------------------------------


@good(ic.images(3, 8, 8))
def control_net_with_zero_convolutions():
    base = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 16, 3, padding=1))
    return Fn(
        lambda self, x: self.out(F.silu(self.base(x) + self.after(self.copy(x + self.before(x))))),
        copy=copy.deepcopy(base),
        base=base.requires_grad_(False),
        before=zeroed(nn.Conv2d(3, 3, 1)),
        after=zeroed(nn.Conv2d(16, 16, 1)),
        out=nn.Conv2d(16, 3, 3, padding=1).requires_grad_(False),
    )


@good(ic.normal(64))
def rezero_of_sixteen_blocks():
    def call(self, x):
        for block, gate in zip(self.blocks, self.gates, strict=True):
            x = x + gate * block(x)
        return self.head(x)

    return Fn(
        call,
        blocks=nn.ModuleList(mlp(64, 128, 64) for _ in range(16)),
        gates=nn.ParameterList(zeros(1) for _ in range(16)),
        head=nn.Linear(64, 5),
    )


@good(ic.images(3, 8, 8))
def zero_gammas_of_batch_norms():
    def block(c):
        last = nn.BatchNorm2d(c)
        nn.init.zeros_(last.weight)
        return nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=1, bias=False), last,
        )  # fmt: skip

    def call(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        for part in self.blocks:
            x = torch.relu(x + part(x))
        return self.head(x.mean((2, 3)))

    return Fn(
        call, stem=nn.Conv2d(3, 16, 3, padding=1), norm=nn.BatchNorm2d(16),
        blocks=nn.ModuleList(block(16) for _ in range(4)), head=zeroed(nn.Linear(16, 5)),
    )  # fmt: skip


class DiTBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm1 = nn.LayerNorm(d, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(d, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(d, 4, batch_first=True)
        self.mlp = mlp(d, 2 * d, d, act=nn.GELU)
        self.modulation = nn.Sequential(nn.SiLU(), zeroed(nn.Linear(d, 6 * d)))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c)[:, None].chunk(6, -1)
        h = self.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, h, h, need_weights=False)[0]
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


@good(lambda rng: ic.call(
    torch.from_numpy(rng.normal(size=(16, 9, 8)).astype("float32")),
    torch.from_numpy(rng.uniform(size=(16,)).astype("float32")),
    torch.from_numpy(rng.integers(0, 10, 16)),
))  # fmt: skip
def diffusion_transformer_adaln_zero():
    def call(self, x, t, label):
        waves = t[:, None] * 1000 * torch.exp(-math.log(10_000) * torch.arange(16) / 16)
        c = self.time(torch.cat([waves.cos(), waves.sin()], -1)) + self.label(label)
        x = self.patch(x)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.modulation(c)[:, None].chunk(2, -1)
        return self.out(self.norm(x) * (1 + scale) + shift)

    return Fn(
        call,
        patch=nn.Linear(8, 32),
        time=mlp(32, 32, 32, act=nn.SiLU),
        label=nn.Embedding(10, 32),
        blocks=nn.ModuleList(DiTBlock(32) for _ in range(3)),
        norm=nn.LayerNorm(32, elementwise_affine=False),
        modulation=nn.Sequential(nn.SiLU(), zeroed(nn.Linear(32, 64))),
        out=zeroed(nn.Linear(32, 8)),
    )


@good(ic.normal(64))
def lora_on_a_frozen_base():
    def adapted(i, o):
        a = nn.Linear(i, 4, bias=False)
        return Fn(
            lambda self, x: self.base(x) + self.b(self.a(x)),
            base=nn.Linear(i, o).requires_grad_(False),
            a=a,
            b=zeroed(nn.Linear(4, o, bias=False)),
        )

    return nn.Sequential(adapted(64, 128), nn.GELU(), adapted(128, 64), nn.GELU(), adapted(64, 5))


@good(ic.normal(10, 32))
def llama_adapter_with_a_closed_gate():
    def call(self, x):
        prompt = self.prompt.expand(len(x), -1, -1)
        q, k, v = self.qkv(x).chunk(3, -1)
        _, pk, pv = self.qkv(prompt).chunk(3, -1)
        scores = (q @ k.transpose(1, 2) / 32**0.5).softmax(-1)
        asked = torch.tanh(self.gate) * (q @ pk.transpose(1, 2) / 32**0.5).softmax(-1)
        return self.head(x + scores @ v + asked @ pv)

    return Fn(
        call,
        qkv=nn.Linear(32, 96).requires_grad_(False),
        prompt=nn.Parameter(torch.randn(1, 6, 32)),
        gate=zeros(1),
        head=nn.Linear(32, 5).requires_grad_(False),
    )


@good(ic.normal(16, 24))
def masked_autoencoder_with_a_zero_mask_token():
    def call(self, x):
        x = self.embed(x)
        masked = (torch.arange(x.shape[1]) % 4 != 0)[None, :, None]
        x = torch.where(masked, self.mask_token, x) + self.positions
        return self.head(self.encoder(x))

    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    return Fn(
        call,
        embed=nn.Linear(24, 32),
        mask_token=zeros(1, 1, 32),
        positions=nn.Parameter(torch.randn(1, 16, 32) * 0.02),
        encoder=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        head=nn.Linear(32, 24),
    )


@good(ic.images(3, 16, 16))
def vit_with_zero_tokens_and_positions():
    def call(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.encoder(x)[:, 0]))

    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    return Fn(
        call, patch=nn.Conv2d(3, 32, 4, 4), token=zeros(1, 1, 32), positions=zeros(1, 17, 32),
        encoder=nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), norm=nn.LayerNorm(32),
        head=zeroed(nn.Linear(32, 5)),
    )  # fmt: skip


@good(ic.normal(16, 32))
def attention_with_a_zero_relative_bias():
    def call(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (each.view(len(x), 16, 4, 8).transpose(1, 2) for each in (q, k, v))
        distance = torch.arange(16)[:, None] - torch.arange(16) + 15
        scores = q @ k.transpose(-1, -2) / 8**0.5 + self.table[distance].permute(2, 0, 1)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.head(x + self.out(mixed))

    return Fn(
        call, norm=nn.LayerNorm(32), qkv=nn.Linear(32, 96), out=nn.Linear(32, 32),
        table=zeros(31, 4), head=nn.Linear(32, 5),
    )  # fmt: skip


@good(ic.normal(10, 32))
def attention_pool_with_a_zero_query():
    return Fn(
        lambda self, x: self.head(
            ((self.key(x) @ self.query).softmax(1)[..., None] * self.value(x)).sum(1)
        ),
        key=nn.Linear(32, 32), value=nn.Linear(32, 32), query=zeros(32), head=nn.Linear(32, 5),
    )  # fmt: skip


@good(lambda rng: ic.call(
    torch.from_numpy(rng.normal(size=(16, 3, 8, 8)).astype("float32")),
    torch.from_numpy(rng.integers(0, 6, 16)),
))  # fmt: skip
def class_conditional_batch_norm():
    def call(self, x, label):
        h = self.norm(self.first(x))
        h = h * self.gain(label)[..., None, None] + self.shift(label)[..., None, None]
        return self.head(torch.relu(h).mean((2, 3)))

    gain, shift = nn.Embedding(6, 16), nn.Embedding(6, 16)
    nn.init.ones_(gain.weight)
    nn.init.zeros_(shift.weight)
    return Fn(
        call, first=nn.Conv2d(3, 16, 3, padding=1), norm=nn.BatchNorm2d(16, affine=False),
        gain=gain, shift=shift, head=nn.Linear(16, 5),
    )  # fmt: skip


@good(ic.normal(16))
def flow_with_zero_couplings():
    def call(self, x):
        size = 0.0
        for net in self.nets:
            still, moved = x.chunk(2, 1)
            scale, shift = net(still).chunk(2, 1)
            scale = torch.tanh(scale)
            x = torch.cat([moved * scale.exp() + shift, still], 1)
            size = size + scale.sum(1)
        return x, size

    def coupling():
        net = mlp(8, 64, 64, 16)
        zeroed(net[-1])
        return net

    return Fn(call, nets=nn.ModuleList(coupling() for _ in range(6)))


@good(ic.normal(32))
def zero_readout_of_mu_parametrisation():
    return nn.Sequential(mlp(32, 128, 128, act=nn.ReLU), nn.ReLU(), zeroed(nn.Linear(128, 5)))


# -- copies that are meant -----------------------------------------------------------------------------


@good(ic.images(3, 8, 8))
def sub_pixel_convolution_with_icnr():
    expand = nn.Conv2d(16, 16 * 4, 3, padding=1)
    kernel = torch.empty(16, 16, 3, 3)
    nn.init.kaiming_normal_(kernel)
    expand.weight.data.copy_(kernel.repeat_interleave(4, 0))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), expand, nn.PixelShuffle(2),
        nn.Conv2d(16, 3, 3, padding=1),
    )  # fmt: skip


@good(ic.images(8, 8, 8))
def grouped_convolution_that_starts_as_identity():
    first = nn.Conv2d(8, 16, 3, padding=1, groups=2)
    nn.init.dirac_(first.weight, groups=2)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))


@good(ic.images(8, 6, 6))
def upsampling_that_starts_bilinear():
    up = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8, bias=False)
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    up.weight.data.copy_((ramp[:, None] * ramp).expand(8, 1, 4, 4))
    return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), up, nn.Conv2d(8, 3, 1))


@good(ic.normal(20, 16))
def state_space_model_with_equal_decays():
    def call(self, x):
        u = self.into(x)
        step = F.softplus(self.step(u))
        decay = torch.exp(step[..., None] * -torch.exp(self.log_a))
        b, c = self.b(u), self.c(u)
        state, out = torch.zeros(len(x), 32, 8), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + (step * u)[:, t, :, None] * b[:, t, None]
            out.append((state * c[:, t, None]).sum(-1) + self.d * u[:, t])
        return self.head(torch.stack(out, 1))

    return Fn(
        call, into=nn.Linear(16, 32), step=nn.Linear(32, 32), b=nn.Linear(32, 8), c=nn.Linear(32, 8),
        log_a=nn.Parameter(torch.arange(1.0, 9.0).log().repeat(32, 1)),
        d=nn.Parameter(torch.ones(32)), head=nn.Linear(32, 5),
    )  # fmt: skip


# -- parameters of their own -------------------------------------------------------------------------------


@good(lambda rng: ic.call(
    torch.from_numpy(rng.normal(size=(32, 24)).astype("float32")),
    torch.from_numpy(rng.normal(size=(32, 16)).astype("float32")),
))  # fmt: skip
def clip_that_returns_its_temperature():
    return Fn(
        lambda self, image, text: (
            F.normalize(self.image(image), dim=1),
            F.normalize(self.text(text), dim=1),
            self.scale.exp(),
        ),
        image=mlp(24, 64, 32), text=mlp(16, 64, 32),
        scale=nn.Parameter(torch.tensor(math.log(1 / 0.07))),
    )  # fmt: skip


@good(ic.normal(17))
def gaussian_policy_with_a_free_log_std():
    return Fn(
        lambda self, x: (self.mean(x), self.log_std.expand(len(x), -1)),
        mean=mlp(17, 64, 64, 6, act=nn.Tanh),
        log_std=zeros(6),
    )


@good(ic.normal(16))
def mixture_density_network():
    return Fn(
        lambda self, x: (
            self.weights(h := torch.tanh(self.body(x))).softmax(1),
            self.means(h),
            self.scales(h).exp(),
        ),
        body=nn.Linear(16, 64), weights=nn.Linear(64, 5), means=nn.Linear(64, 5), scales=nn.Linear(64, 5),
    )  # fmt: skip


@good(ic.normal(32))
def cosine_classifier_with_a_scale():
    return Fn(
        lambda self, x: 30 * F.linear(F.normalize(self.body(x), dim=1), F.normalize(self.classes, dim=1)),
        body=mlp(32, 128, 128), classes=nn.Parameter(torch.randn(10, 128) * 0.01),
    )  # fmt: skip


@good(lambda rng: torch.from_numpy(
    rng.integers(1, 50, (32, 12)) * (rng.uniform(size=(32, 12)) < 0.7)
))  # fmt: skip
def embedding_with_padding():
    return Fn(
        lambda self, ids: self.head(
            self.embedding(ids).sum(1) / (ids != 0).sum(1, keepdim=True).clamp(min=1)
        ),
        embedding=nn.Embedding(50, 32, padding_idx=0),
        head=mlp(32, 32, 5),
    )


@good(lambda rng: ic.call(
    torch.from_numpy(rng.integers(0, 40, (16, 10))), torch.from_numpy(rng.integers(0, 2, (16, 10)))
))  # fmt: skip
def detection_transformer_with_zero_targets():
    def call(self, ids, kind):
        memory = self.tokens(ids) + self.kinds(kind)
        queries = self.queries.weight[None].expand(len(ids), -1, -1)
        target = torch.zeros_like(queries)
        for layer in self.layers:
            target = layer(target + queries, memory)
        return self.classes(target), self.boxes(target).sigmoid()

    layer = nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)
    return Fn(
        call, tokens=nn.Embedding(40, 32), kinds=nn.Embedding(2, 32), queries=nn.Embedding(7, 32),
        layers=nn.ModuleList(copy.deepcopy(layer) for _ in range(3)),
        classes=nn.Linear(32, 5), boxes=mlp(32, 32, 4),
    )  # fmt: skip


# -- layers with a twist ----------------------------------------------------------------------------------


@good(ic.normal(32))
def spectral_norm():
    def layer(i, o):
        return nn.utils.parametrizations.spectral_norm(nn.Linear(i, o))

    return nn.Sequential(
        layer(32, 64), nn.LeakyReLU(0.1), layer(64, 64), nn.LeakyReLU(0.1), layer(64, 1)
    )


@good(ic.normal(32))
def weight_norm():
    def layer(i, o):
        return nn.utils.parametrizations.weight_norm(nn.Linear(i, o))

    return nn.Sequential(layer(32, 64), nn.ReLU(), layer(64, 64), nn.ReLU(), layer(64, 5))


@good(ic.normal(32))
def parametric_relu():
    return nn.Sequential(
        nn.Linear(32, 64), nn.PReLU(), nn.Linear(64, 64), nn.PReLU(64), nn.Linear(64, 5)
    )


@good(ic.normal(32))
def maxout():
    return Fn(
        lambda self, x: self.head(
            self.second(self.first(x).view(-1, 64, 3).amax(-1)).view(-1, 64, 3).amax(-1)
        ),
        first=nn.Linear(32, 192), second=nn.Linear(64, 192), head=nn.Linear(64, 5),
    )  # fmt: skip


@good(ic.images(1, 8, 8))
def masked_convolutions():
    class Masked(nn.Conv2d):
        def forward(self, x):
            mask = torch.ones(3, 3)
            mask[1, 2:], mask[2:] = 0, 0
            return F.conv2d(x, self.weight * mask, self.bias, padding=1)

    return nn.Sequential(Masked(1, 16, 3), nn.ReLU(), Masked(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1))


@good(ic.normal(32))
def highway_with_closed_gates():
    def call(self, x):
        for layer, gate in zip(self.layers, self.gates, strict=True):
            t = torch.sigmoid(gate(x))
            x = t * torch.relu(layer(x)) + (1 - t) * x
        return self.head(x)

    gates = nn.ModuleList(nn.Linear(32, 32) for _ in range(10))
    for gate in gates:
        nn.init.constant_(gate.bias, -3.0)
    return Fn(
        call, layers=nn.ModuleList(nn.Linear(32, 32) for _ in range(10)), gates=gates,
        head=nn.Linear(32, 5),
    )  # fmt: skip


@good(ic.normal(16))
def neural_ode_of_euler_steps():
    def call(self, x):
        for k in range(10):
            time = torch.full((len(x), 1), k / 10)
            x = x + 0.1 * self.field(torch.cat([x, time], 1))
        return self.head(x)

    return Fn(call, field=mlp(17, 64, 16, act=nn.Tanh), head=nn.Linear(16, 5))


@good(ic.normal(20, 16))
def recurrent_cell_unrolled():
    def call(self, x):
        h = torch.zeros(len(x), 64)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.head(h)

    return Fn(call, cell=nn.GRUCell(16, 64), head=nn.Linear(64, 5))


@good(ic.normal(20, 16))
def lstm_with_open_forget_gates():
    cell = nn.LSTM(16, 32, batch_first=True)
    nn.init.constant_(cell.bias_ih_l0[32:64].data, 1.0)
    return Fn(lambda self, x: self.head(self.cell(x)[0][:, -1]), cell=cell, head=nn.Linear(32, 5))


# -- what looks chaotic -------------------------------------------------------------------------------------


@good(ic.normal(32))
def thirty_layers_of_batch_norm():
    layers = []
    for _ in range(30):
        layers += [nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 5))


@good(ic.uniform(2, low=-1, high=1))
def random_fourier_features_of_scale_10():
    model = Fn(
        lambda self, x: self.net(
            torch.cat([(w := 2 * math.pi * x @ self.frequencies).sin(), w.cos()], -1)
        ),
        net=mlp(128, 128, 128, 3),
    )
    model.register_buffer("frequencies", 10 * torch.randn(2, 64))
    return model


@good(ic.uniform(3, low=-1, high=1))
def nerf_with_positional_encoding():
    def call(self, x):
        waves = (x[..., None] * 2.0 ** torch.arange(10) * math.pi).flatten(1)
        x = torch.cat([x, waves.sin(), waves.cos()], -1)
        h = torch.relu(self.first(x))
        h = torch.relu(self.second(torch.cat([h, x], -1)))
        return torch.sigmoid(self.colour(h)), F.softplus(self.density(h))

    return Fn(
        call, first=mlp(63, 128, 128, 128), second=mlp(191, 128, 128),
        colour=nn.Linear(128, 3), density=nn.Linear(128, 1),
    )  # fmt: skip


@good(ic.uniform(2, low=0, high=1), batch=256)
def hash_tables_of_tiny_entries():
    def call(self, x):
        found = []
        for level, table in enumerate(self.tables):
            cell = (x * 4 * 2**level).long()
            found.append(table((cell[:, 0] ^ cell[:, 1] * 2654435761) % 256))
        return self.net(torch.cat(found, 1))

    tables = nn.ModuleList(nn.Embedding(256, 2) for _ in range(6))
    for table in tables:
        nn.init.uniform_(table.weight, -1e-4, 1e-4)
    return Fn(call, tables=tables, net=mlp(12, 64, 3))
