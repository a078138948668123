"""The invariants about the signal, its gradient and what is fed.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from pytest_initcheck.explain.explanation import Cause, Explanation

FINITE = Explanation(
    invariant="finite",
    matters=(
        "A NaN or an infinity spreads. One in a weight makes every output that reads it NaN, and one "
        "step of training later all weights are."
    ),
    judged=(
        "It fails when a parameter, a value or a gradient is not finite. An event that shows in few "
        "initialisations is looked for too: 63 clean ones pass, 7 events fail. A value that a softmax, "
        "an exponential or a maximum takes back, an -inf of a mask say, does not count."
    ),
    theory=(
        "There is nothing to predict: a correct init never shows one. That it does so in at most one "
        "of 1000 initialisations is tested against one of 10 by Wald's sequential test."
    ),
    sources=("Wald 1945, Sequential tests of statistical hypotheses",),
    principles=("R1", "2.3"),
    causes=(
        Cause("memory that was never initialised", "initialise what torch.empty() made"),
        Cause(
            "a root, a logarithm, a norm or a quotient at zero", "sqrt(x + 1e-12), clamp(x, min=1e-6)"
        ),
        Cause("scores or sums too large for half precision", "scale the scores by 1 / sqrt(d)"),
    ),
    allow_at="decoder.log_prob",
    allow_when="the model replaces the value before anything is learned from it",
)

INPUTS = Explanation(
    invariant="inputs",
    matters=(
        "Every textbook init assumes inputs of second moment about 1. Raw pixels of 0..255 make the "
        "first layer's output 100 times too large, which saturates what follows, and a column in a "
        "unit of its own drowns all others."
    ),
    judged=(
        "It fails when the first weight layer reads a second moment past the limit, where a matched "
        "readout of the input would itself be saturated, or when one column is that much larger than "
        "another. Inputs in [0, 1], in [-1, 1] and N(0, 1) pass; tokens and one-hot rows are exempt; "
        "what the model scales itself is judged after that. With mean and std it asks that they be as "
        "wanted."
    ),
    theory=(
        "The first layer starts from E[x^2], not from the variance. Half of the sigmoids that read "
        "logits of variance 46 are beyond p = .01. Inputs in [0, 1] are not centred: two of them "
        "correlate by 3/4, so that more units are dead and outputs differ less than for [-1, 1]."
    ),
    sources=(
        "LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp",
        "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward networks",
    ),
    principles=("R7", "R5", "1.1", "1.5"),
    causes=(
        Cause("raw pixels", "x = (x / 255 - mean) / std, with the training set's mean and std"),
        Cause("columns in units of their own", "x = (x - x.mean(0)) / x.std(0)"),
        Cause("ids fed as numbers", "an embedding; declare the inputs as ic.tokens(...)"),
    ),
    allow_at="input",
    allow_when="the scale is the data's own and the first layer is drawn for it",
)

VARIANCE = Explanation(
    invariant="variance",
    matters=(
        "A signal that falls by a factor per layer leaves nothing that tells inputs apart; one that "
        "grows saturates the output. Gradient descent then moves all outputs together long before it "
        "separates them: the model trains late, badly, or differently from run to run, and raises no "
        "error."
    ),
    judged=(
        "Unasked it judges harm: gradient descent separates inputs 256 times more slowly than it moves "
        "all outputs together; the logits' variance is past 46; the signal grows 100 times since the "
        "last normalisation. With a limit it is the textbook property: over every run of layers "
        "between normalisations the second moment follows the length map of a matched init within that "
        "factor."
    ),
    theory=(
        "A layer maps the second moment q to sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2. The gain 1 / "
        "sqrt(E phi^2) keeps it: sqrt(2) for ReLU. Preserved means as a matched init does it: tanh "
        "under Xavier decays as 1 / (2 depth), and that is correct. Luck adds sqrt(5 / n) per ReLU "
        "layer of n units, by which every limit is widened."
    ),
    sources=(
        "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward networks",
        "He et al. 2015, Delving deep into rectifiers",
        "Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos",
        "Schoenholz et al. 2017, Deep information propagation",
        "Hanin and Rolnick 2018, How to start training",
        "Xiao, Pennington and Schoenholz 2020, Disentangling trainability and generalization",
    ),
    principles=("1.1", "1.3", "1.4", "R5", "R6", "R8"),
    causes=(
        Cause(
            "PyTorch's default init, or Xavier, in a plain ReLU stack",
            'nn.init.kaiming_normal_(m.weight, nonlinearity="relu")',
        ),
        Cause("fan_out taken for fan_in, groups not counted", "std = gain / sqrt(fan_in)"),
        Cause(
            "residual additions without normalisation",
            "scale each of n branches by 1 / sqrt(n), or start its last layer at zero",
        ),
        Cause("inputs that are not scaled", "pytest --initcheck-explain inputs"),
    ),
    allow_at="head",
    allow_when="an output is large on purpose, in a unit of its own say",
)

GRADIENT = Explanation(
    invariant="gradient",
    matters=(
        "A network can look fine layer by layer and still hash its input: a small change grows with "
        "every layer until the output has nothing to do with it. Its gradient explodes, and no step is "
        "small enough."
    ),
    judged=(
        "Unasked it fails when noise of 1 % moves the output half as far as another input would, and "
        "was amplified by more than 1.5 times per layer in second moments; batch normalisation "
        "amplifies by design and is exempt. With a limit the gradient's second moment follows the "
        "backward map of a matched init within that factor."
    ),
    theory=(
        "A layer multiplies the squared gradient, and the distance of close inputs, by chi_1 = "
        "sigma_w^2 E[phi'(sqrt(q) z)^2]. Above 1 the network is chaotic, below 1 ordered. ReLU with "
        "gain sqrt(2) has 1, tanh with gain 5/3 has 1.21, a batch-normalised ReLU layer 1.47."
    ),
    sources=(
        "Schoenholz et al. 2017, Deep information propagation",
        "Hanin 2018, Which neural net architectures give rise to exploding and vanishing gradients?",
        "Yang et al. 2019, A mean field theory of batch normalization",
        "Sitzmann et al. 2020, Implicit neural representations with periodic activation functions",
    ),
    principles=("1.2", "1.11", "R9"),
    causes=(
        Cause("weights too large before tanh", "nn.init.xavier_normal_(m.weight, gain=5 / 3)"),
        Cause(
            "a sine network with the framework's default init",
            "nn.init.uniform_(m.weight, -sqrt(6 / fan_in) / omega, sqrt(6 / fan_in) / omega)",
        ),
        Cause(
            "layers that widen or narrow under a forward-matched init", 'kaiming_normal_(mode="fan_out")'
        ),
    ),
    allow_at="fourier.*",
    allow_when="the model is a hash on purpose, as a random feature map is",
)

REPRODUCIBLE = Explanation(
    invariant="reproducible",
    matters=(
        "If the size of the signal depends on the seed, so does training: one run learns, the next one "
        "does not, and a comparison of two models compares two seeds."
    ),
    judged=(
        "It runs when asked for, and fails when the root mean square of the output differs from seed "
        "to seed by more than the limit, as a factor of one standard deviation."
    ),
    theory=(
        "Over L layers of n units ln q has variance c L / n, with c = E phi^4 / (E phi^2)^2 - 1: 5 for "
        "ReLU. Depth over width decides, not depth: 30 ReLU layers of width 64 spread the signal by a "
        "factor of 2.1, of width 512 by 1.3. Orthogonal weights spread it less."
    ),
    sources=(
        "Hanin and Rolnick 2018, How to start training",
        "Saxe, McClelland and Ganguli 2014, Exact solutions to the nonlinear dynamics of learning",
    ),
    principles=("1.4", "1.10", "6.3"),
    causes=(
        Cause("layers too narrow for the depth", "widen them, or make the network shallower"),
        Cause("a bottleneck of a few units", "widen it, or normalise behind it"),
        Cause("independent weights in a long chain", "nn.init.orthogonal_(m.weight, gain)"),
    ),
    allow_at="*",
    allow_when="the width is fixed by what the model is for",
)
