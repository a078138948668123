"""Which place and which cause a bad case has, each argued from its source; no part of cases.py.

The arguments use the code of the case alone: its shapes, its draws, its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """The site where a case goes wrong first, the kind of its cause, and the argument."""

    site: str
    kind: str
    because: str


CORPUS = {
    "so48385830_sigmoid_unit_normal": Diagnosis(
        "0",
        "init gain",
        "dense(784, 30, 1.0) draws N(0, 1) where a sigmoid wants at most 4 / sqrt(784) = 0.14; its bias, "
        "N(0, 1) too, is small beside sqrt(784 * 0.063) = 7",
    ),
    "so33969059_tanh_raw_inputs": Diagnosis(
        "input", "input scale", "features are U(0, 10000); the weights, U(-0.05, 0.05), are small"
    ),
    "so48251943_relu_output": Diagnosis(
        "2",
        "activation mismatch",
        "the last layer, 4 -> 1, is followed by ReLU: its one unit is at zero for half of all draws",
    ),
    "autotrainer_relu34": Diagnosis(
        "2",
        "init gain",
        "Glorot on 128 -> 128 has gain 1 where ReLU needs sqrt(2); the first, 784 -> 128, has fan_in * "
        "Var w = 2 * 784 / 912 = 1.72, which is close to 2",
    ),
    "fastai48936_vgg16_default_init": Diagnosis(
        "0", "init gain", "the first convolution, as all later ones, is torch's default: gain sqrt(1/3)"
    ),
    "makemore_tanh_saturated": Diagnosis(
        "l1",
        "init gain",
        "the embedding is N(0, 1), as it should be; l1 draws N(0, 1) on 30 inputs, 5.5 times what tanh "
        "needs; its bias, N(0, 1), is small beside sqrt(30)",
    ),
    "pytorch3121_tied_embedding": Diagnosis(
        "head",
        "tied embedding scale",
        "the LSTM and the norm do not mind the embedding's N(0, 1); the head, whose weight it is, sums "
        "256 terms of variance 1",
    ),
    "pytorch_gat11_torch_empty": Diagnosis(
        "score_src", "uninitialised memory", "score_src holds a NaN, score_dst 1e30: torch.empty"
    ),
    "sapt11_lora_both_zero": Diagnosis(
        "0.A", "both factors zero", "A and B of the first adapter are zero, as those of all others"
    ),
    "so_tf_zeros_two_layers": Diagnosis(
        "0", "constant weights", "zeros_ of every parameter, the first layer's before all others"
    ),
    "statsse367057_fashion_0_255": Diagnosis(
        "input", "raw pixels", "mnist(64, scale=255.0); the model itself is Glorot uniform"
    ),
    "fixup_paper_he_residual_no_norm": Diagnosis(
        "2.add",
        "residual growth",
        "every convolution is He; the first of 27 additions, in the block at position 2, doubles first",
    ),
    "tf_mnist_truncnormal_std1_relu": Diagnosis(
        "0", "init gain", "5x5 on one channel: fan_in 25, so ReLU wants 0.28; truncated N(0, 1) has 0.88"
    ),
    "deep_tanh_std001": Diagnosis(
        "0", "init gain", "stack(..., 0.01): 256 inputs want 1 / 16 to 0.104 under tanh"
    ),
}

BROKEN = {
    "default_init": Diagnosis("0", "init gain", "torch's default from the first layer on"),
    "saturated_tanh": Diagnosis("0", "init gain", "3 / sqrt(256) in every layer, the first included"),
    "dead_relu": Diagnosis(
        "0", "bias offset", "the bias of -3 is in every layer; the first to hold it starts the dying"
    ),
    "zero_layer": Diagnosis("4", "constant weights", "zeros_(model[4].weight), all else is He"),
    "saturated_sigmoid": Diagnosis("0", "init gain", "N(0, 1) in every layer, the first included"),
}
"""The models of examples/broken; numpy names layers by their position in the list, activations apart."""

NUMPY_SITES = {"zero_layer": "2"}
