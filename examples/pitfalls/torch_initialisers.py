"""Ten bugs that initialisers were shipped with; each fails its check, and its repaired form passes.

``PITFALLS`` lists them: the wrong function, the right one, the layer, and what is asked.  Run
``python examples/pitfalls/torch_initialisers.py`` to see the reports.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import pytest_initcheck as ic
from pytest_initcheck.initializers import (
    Layer,
    conv_transposed,
    dense,
    depthwise_conv,
    fused_qkv,
    grouped_conv,
)


@dataclass(frozen=True)
class Pitfall:
    """A wrong initialiser and its repair, on a layer where the difference shows."""

    name: str
    reported: str
    wrong: Any
    right: Any
    layer: Layer
    invariant: str = "variance"
    asked: dict[str, Any] = field(default_factory=dict)


# -- fan_out of grouped and depthwise convolutions ----------------------------------------------------


def fan_out_of_all_groups_(weight):
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def fan_out_of_one_group(groups):
    def fan_out_of_one_group_(weight):
        taps = weight[0, 0].numel()
        nn.init.normal_(weight, std=math.sqrt(2 / (weight.shape[0] // groups * taps)))

    return fan_out_of_one_group_


# -- fans of transposed convolutions ------------------------------------------------------------------


def kaiming_transposed_(module):
    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def true_fan_transposed_(module):
    taps = module.weight[0, 0].numel()
    fan_in = module.in_channels * taps / math.prod(module.stride)
    nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))


# -- query, key and value as one weight ---------------------------------------------------------------


def xavier_fused_(weight):
    nn.init.xavier_uniform_(weight)


def xavier_by_block_(weight):
    for block in weight.chunk(3):
        nn.init.xavier_uniform_(block)


# -- trunc_normal_ cuts at absolute values ------------------------------------------------------------


def cut_at_two_(weight):
    nn.init.trunc_normal_(weight, std=math.sqrt(2 / weight.shape[1]))


def cut_at_two_deviations_(weight):
    # a normal that is cut at two standard deviations keeps 0.8796 of its own
    std = math.sqrt(2 / weight.shape[1]) / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def not_cut_at_all_(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


# -- gains --------------------------------------------------------------------------------------------


def kaiming_selu_(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="selu")


def lecun_(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="linear")


def left_at_the_default_(module):
    module.reset_parameters()  # kaiming_uniform_(a=sqrt(5))


def he_(module):
    nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")


# -- [in, out] in front of a function that reads [out, in] --------------------------------------------


def kaiming_as_it_is_stored_(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def kaiming_of_the_transpose_(weight):
    nn.init.kaiming_normal_(weight.T, nonlinearity="relu")


# -- one seed, used twice -----------------------------------------------------------------------------


def shards_of_one_seed_(weight):
    """Every shard restores the same random state, as ranks do that were seeded alike."""
    state = torch.get_rng_state()
    for shard in weight.chunk(3):
        torch.set_rng_state(state)
        nn.init.xavier_uniform_(shard)


def one_row_for_all_(weight):
    weight.copy_(torch.empty(1, weight.shape[1]).normal_(0, math.sqrt(2 / weight.shape[1])))


PITFALLS = (
    Pitfall(
        "fan_out of a grouped convolution",
        "pytorch#23854",
        fan_out_of_all_groups_,
        fan_out_of_one_group(8),
        grouped_conv(64, 64, 3, 3, groups=8),
    ),
    Pitfall(
        "fan_out of a depthwise convolution",
        "pytorch#23854",
        fan_out_of_all_groups_,
        fan_out_of_one_group(64),
        depthwise_conv(64, 3, 3),
    ),
    Pitfall(
        "fans of a transposed convolution",
        "pytorch#30079",
        kaiming_transposed_,
        true_fan_transposed_,
        conv_transposed(64, 32, 4, 4, stride=2),
    ),
    Pitfall(
        "Xavier over query, key and value as one",
        "pytorch#166378",
        xavier_fused_,
        xavier_by_block_,
        fused_qkv(64),
        asked={"activation": "identity"},
    ),
    Pitfall(
        "absolute bounds at a large standard deviation",
        "pytorch#174164",
        cut_at_two_,
        cut_at_two_deviations_,
        dense(1, 4096),
        asked={"criterion": "forward"},
    ),
    Pitfall(
        "absolute bounds at a small standard deviation",
        "timm#1286",
        cut_at_two_,
        cut_at_two_deviations_,
        dense(512, 64),
        invariant="shape",
        asked={"scheme": "he_truncated_normal"},
    ),
    Pitfall(
        "a normal where a truncated one was meant",
        "keras's he_normal is truncated, torch's is not",
        not_cut_at_all_,
        cut_at_two_deviations_,
        dense(512, 64),
        invariant="shape",
        asked={"scheme": "jax.he_normal"},
    ),
    Pitfall(
        "the gain 3/4 for SELU",
        "pytorch#24991",
        kaiming_selu_,
        lecun_,
        dense(256, 256),
        asked={"activation": "selu"},
    ),
    Pitfall(
        "kaiming_uniform(a=sqrt(5))",
        "pytorch#15314",
        left_at_the_default_,
        he_,
        dense(256, 256),
    ),
    Pitfall(
        "a weight stored as [in, out]",
        "pytorch#129834",
        kaiming_as_it_is_stored_,
        kaiming_of_the_transpose_,
        dense(64, 256, layout="numpy"),
    ),
    Pitfall(
        "blocks from one seed",
        "sharded init",
        shards_of_one_seed_,
        xavier_by_block_,
        fused_qkv(64),
        invariant="independence",
        asked={"activation": "identity"},
    ),
    Pitfall(
        "one row for all units",
        "broadcast init",
        one_row_for_all_,
        not_cut_at_all_,
        dense(64, 64),
        invariant="independence",
    ),
)


def report(pitfall, initialiser):
    """Return the report on one of the pitfall's two initialisers."""
    return ic.check_initializer(initialiser, pitfall.layer, raises=False, **pitfall.asked)


if __name__ == "__main__":
    for each in PITFALLS:
        print(f"{each.name} ({each.reported})")
        print(report(each, each.wrong))
        print(f"repaired: {report(each, each.right).verdict}\n")
