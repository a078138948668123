"""What the tests of hazards share: a module made of a function, and ways to look at it."""

from __future__ import annotations

import pytest
from torch import nn

from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch as probe


class Fn(nn.Module):
    """A module whose forward is a function of itself and the input."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


@pytest.fixture(scope="session")
def fn():
    return Fn


@pytest.fixture(scope="session")
def traced():
    def trace(model, *args, mode="train", seed=0, **kwargs):
        return probe.trace(model, Call(args, kwargs), mode=mode, seed=seed)

    return trace
