"""The invariants about single units, tensors and weights.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pytest_initcheck.explain.explanation import Cause, Explanation

SATURATION = Explanation(
    invariant="saturation",
    matters=(
        "A tanh or a sigmoid beyond its bend has no slope: the unit hardly reacts and hardly learns, "
        "and every layer below receives that much less gradient. A softmax that starts one-hot passes "
        "none."
    ),
    judged=(
        "It fails when more than the limit's share of a hidden layer's (unit, sample) pairs have a "
        "slope below 5 % of its maximum: tanh beyond 2.18, a sigmoid beyond 4.36. Good models reach 16 "
        "%, bugs 50 % and more. Outputs are not judged, nor gates that their bias opens or closes."
    ),
    theory=(
        "The share is P(abs(z) > bend) for z ~ N(0, q): 3 % for a tanh of unit pre-activations, 19 % "
        "with gain 5/3, 83 % where the weights have variance 1 and 100 inputs."
    ),
    sources=(
        "LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp",
        "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward networks",
    ),
    principles=("1.6", "R4"),
    causes=(
        Cause("weights of variance 1", "nn.init.xavier_normal_(m.weight, gain=5 / 3)"),
        Cause("inputs that are not scaled", "pytest --initcheck-explain inputs"),
        Cause("attention scores that are not scaled", "q @ k.mT / sqrt(d)"),
    ),
    allow_at="decoder.gate",
    allow_when="a unit is meant to start as a switch",
)

DEAD_RELU = Explanation(
    invariant="dead-relu",
    matters=(
        "A rectifier unit that is inactive on every input passes no gradient and so stays dead, "
        "whatever is learned above it. A layer that is wholly dead cuts off all that lies before it."
    ),
    judged=(
        "Unasked a layer fails that lost more than half of the units which a matched init keeps alive "
        "at that depth and batch, or that is wholly dead. A limit is the largest dead share of a "
        "layer, taken at its word; the message says what a matched init shows."
    ),
    theory=(
        "A unit is dead on N inputs that correlate by rho with probability E[Phi(s)^N], s ~ N(0, rho / "
        "(1 - rho)). With depth inputs grow alike: a correct He network shows 31 % dead units on 32 "
        "inputs at depth 20. At one input a layer of n units is dead in 2^-n of all inits."
    ),
    sources=(
        "Cho and Saul 2009, Kernel methods for deep learning",
        "He et al. 2015, Delving deep into rectifiers",
        "Lu, Shin, Su and Karniadakis 2020, Dying ReLU and initialization",
    ),
    principles=("1.5", "1.10", "R2"),
    causes=(
        Cause("negative biases", "nn.init.zeros_(m.bias)"),
        Cause("inputs far from 0 beside their spread", "x = (x - mean) / std"),
        Cause("a rectifier layer of a few units", "widen it, or use a leaky rectifier"),
        Cause("a rectifier on the output", "leave it out"),
    ),
    allow_at="backbone.*",
    allow_when="units are pruned or sparse on purpose",
)

TRAINABLE = Explanation(
    invariant="trainable",
    matters=(
        "A tensor without a gradient keeps its initial values for ever. The loss falls all the same, "
        "by what the other layers learn, and nobody notices."
    ),
    judged=(
        "It fails when a trainable weight that the output is computed from has a gradient of exactly "
        "zero in each of 3 normalised steps on a copy, down a random readout or your loss=, or when "
        "autograd has no path to it. Biases go with their layer."
    ),
    theory=(
        "Where one factor of a product starts at zero the other has no gradient yet, and has one after "
        "the first step: zero heads, zero branches, LoRA. Fixup and adaLN-zero need 2 steps, nothing "
        "good needs more. Where both are zero neither moves, ever."
    ),
    sources=(
        "Zhang, Dauphin and Ma 2019, Fixup initialization",
        "Hu et al. 2022, LoRA",
        "Peebles and Xie 2023, Scalable diffusion models with transformers (adaLN-zero)",
    ),
    principles=("R2",),
    causes=(
        Cause("both factors of a product at zero", "draw one of them"),
        Cause(
            "detach(), stop_gradient, .data, no_grad() or an argmax on the way",
            "take it out, or freeze the tensor",
        ),
        Cause("a dead layer behind it", "pytest --initcheck-explain dead-relu"),
    ),
    allow_at="teacher.*",
    allow_when="the tensor is meant to stay; requires_grad_(False) says so to everybody",
)

SYMMETRY = Explanation(
    invariant="symmetry",
    matters=(
        "Equal units that receive equal gradients stay equal: a layer of a thousand of them is a layer "
        "of one. Weights that are copies of each other halve what a layer can do at the start."
    ),
    judged=(
        "It fails when a matrix of equal rows still is one after 3 gradient steps on a copy, when two "
        "tensors start as copies and stay so, and when blocks of a weight are copies of each other. A "
        "zero head is freed by its first step and passes."
    ),
    theory=(
        "Gradient descent commutes with swapping two units: what is symmetric under it stays so. Only "
        "the draw breaks the symmetry, or what differs around it."
    ),
    sources=("Goodfellow, Bengio and Courville 2016, Deep Learning, section 8.4",),
    principles=("R3",),
    causes=(
        Cause("constant weights in two layers in a row", "draw one of them at random"),
        Cause("one seed for every shard of a weight", "draw it whole, then split it"),
        Cause("an ensemble made by deepcopy", "build each member anew"),
    ),
    allow_at="ema.*",
    allow_when="the copy is kept equal on purpose",
)

MATCHED_INIT = Explanation(
    invariant="matched-init",
    matters=(
        "A weight whose variance is not the one that its activation needs changes the signal in every "
        "layer that is drawn like it; depth makes a harmless factor a harmful one."
    ),
    judged=(
        "It runs when asked for, and fails when a weight's variance is off by more than the limit from "
        "the forward, the backward and the compromise criterion, with any gain that a textbook gives "
        "the activation. Heads are left out: their scale is a choice."
    ),
    theory=(
        "Forward Var w = gain^2 / fan_in with gain 1 / sqrt(E phi^2); backward gain^2 / fan_out with "
        "gain 1 / sqrt(E phi'^2); the compromise over their mean. fan_in is channels per group times "
        "taps. N weights know their second moment to sqrt((kurtosis - 1) / N), by which the limit is "
        "widened."
    ),
    sources=(
        "Glorot and Bengio 2010, equation 12",
        "He et al. 2015, equations 10 and 14",
        "Klambauer et al. 2017, Self-normalizing neural networks",
    ),
    principles=("6.1", "6.4", "1.3"),
    causes=(
        Cause("the init of another activation", "nn.init.calculate_gain, or ic.theory.gain('gelu')"),
        Cause("fan_out of a grouped or depthwise convolution", "divide it by the groups"),
        Cause("one Xavier draw over a fused qkv weight", "draw each third by itself"),
    ),
    allow_at="embedding",
    allow_when="the scale is set elsewhere, by a norm or a multiplier behind the layer",
)
