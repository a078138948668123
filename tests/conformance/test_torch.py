"""The torch probe conforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_initcheck import conformance
from pytest_initcheck.probes import torch as probe


def dense(kernel, bias):
    layer = nn.Linear(*kernel.shape)
    layer.weight.data = torch.from_numpy(kernel.T.copy())
    layer.bias.data = torch.from_numpy(bias.copy())
    return layer


def conv(kernel, bias):
    layer = nn.Conv2d(*kernel.shape[2:], kernel.shape[:2], padding="same")
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    layer.bias.data = torch.from_numpy(bias.copy())
    return layer


class Model(nn.Module):
    """The layers of a network, by name, from its weights."""

    def __init__(self, weights):
        super().__init__()
        for layer in dict.fromkeys(name.partition(".")[0] for name in weights):
            if layer == "norm":
                self.norm = nn.LayerNorm(weights["norm.scale"].shape, eps=conformance.EPSILON)
                self.norm.weight.data = torch.from_numpy(weights["norm.scale"].copy())
                self.norm.bias.data = torch.from_numpy(weights["norm.offset"].copy())
            else:
                kernel = weights[f"{layer}.kernel"]
                make = conv if kernel.ndim == 4 else dense
                setattr(self, layer, make(kernel, weights[f"{layer}.bias"]))


class MLP(Model):
    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu())


class Tanh(Model):
    def forward(self, x):
        return self.head(self.second(self.first(x).tanh()).tanh())


class Convnet(Model):
    def forward(self, x):
        x = F.max_pool2d(self.first(x).relu(), 2)
        x = F.avg_pool2d(self.second(x).relu(), 2)
        return self.head(x.mean((2, 3)))


class Residual(Model):
    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.down(F.gelu(self.up(self.norm(x)), approximate="tanh")))


class Attention(Model):
    def forward(self, x):
        def split(layer):
            return layer(x).unflatten(-1, (conformance.HEADS, -1)).transpose(1, 2)

        q, k, v = map(split, (self.query, self.key, self.value))
        shares = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        return self.head((x + self.out((shares @ v).transpose(1, 2).flatten(2))).mean(1))


class LSTM(Model):
    def forward(self, x):
        h = c = x.new_zeros(len(x), self.head.in_features)
        for step in range(x.shape[1]):
            i, f, g, o = self.cell(torch.cat([x[:, step], h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.head(h)


MODELS = {
    "mlp": MLP, "tanh": Tanh, "convnet": Convnet, "residual": Residual, "attention": Attention, "lstm": LSTM,
}  # fmt: skip


def build(network, weights):
    return MODELS[network.name](weights)


CLAIMS = conformance.claims(probe, build, channels="first", inputs=torch.from_numpy)


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_the_torch_probe_conforms(claim):
    claim()
