"""Reports of fixed data: what a model with PyTorch's default init under ReLU shows, and others."""

from __future__ import annotations

import dataclasses
import math

from pytest_initcheck.report.result import Finding, Fix, InvariantResult, Report, SiteRow

_PROOF = "13 of 13 replicates outside the widened limit (default); p < 4e-13 for a correct init"

VANISHING = Finding(
    invariant="variance",
    severity="error",
    verdict="fail",
    direction="vanishing",
    site="features.4",
    value=1e-9,
    limit=(2.0**-16, 46.0),
    message="signal falls 6.53x per layer",
    cause=(
        "weights have std 0.0361 (like kaiming_uniform(a=sqrt(5)), PyTorch's default); relu needs 0.0884 "
        "(gain 1.414); 13 more layers like it"
    ),
    fix="",
    proof=_PROOF,
    kind="init gain",
    place="features.4 (Linear 256->256, then relu)",
    detail=(
        "over 15 layers; gradient descent separates inputs 1.2e+04 times too slowly (limit 256); "
        "13 later layers too"
    ),
    costs="the first layers learn to tell inputs apart 12 000 times more slowly than the last one",
    also=("saturation", "dead-relu"),
    fixes=(
        Fix("start the biases of all 15 layers at zero", helped=False, result="variance still fails"),
        Fix(
            "draw features.4.weight and 13 more with std 0.0884 = 1.414 / sqrt(256)",
            "for m in model.features:\n"
            "    if isinstance(m, nn.Linear):\n"
            '        nn.init.kaiming_normal_(m.weight, nonlinearity="relu")',
            helped=True,
            result="passes, 1.02x per layer",
        ),
        Fix("put a normalisation before every relu", result="changes the model"),
    ),
    allow_at="features.*",
)
INPUTS = Finding(
    invariant="inputs",
    severity="error",
    verdict="fail",
    direction=None,
    site="input",
    value=21700.0,
    limit=(0.0, 46.0),
    message="E[x^2] is 2.17e+04, at most 46",
    cause="looks like raw pixels 0..255: mean 128, standard deviation 73.6, 0 to 255",
    fix="",
    proof="13 of 13 draws of the inputs (ini initcheck_input_second_moment)",
    kind="input scale",
    place="input (input)",
    fixes=(Fix("scale the inputs", "x = (x - 128) / 73.6", result="it is the data that changes"),),
    allow_at="input",
)
UNDECIDED = Finding(
    invariant="dead-relu",
    severity="warning",
    verdict="inconclusive",
    direction=None,
    site="features.9",
    value=0.52,
    limit=(0.0, 0.5),
    message="undecided, 32 of 64 outside",
    cause="the model sits at its limit",
    fix="look at the value: it lies at the limit; change the init, or set the limit you want",
    proof="32 of 64 replicates outside the widened limit (default)",
    place="features.9 (Linear 256->256, then relu)",
)


def _sites(*, wrong: str) -> tuple[SiteRow, ...]:
    rows = [SiteRow("input", "input", 1.01, 0.98, None, None, None, non_finite=False)]
    signal = 0.98
    for index in range(0, 30, 2):
        name, before = f"features.{index}", signal
        signal /= 1.0 if index < 4 else 6.53
        row = SiteRow(
            name, "linear", signal + 1e-3, signal, None, None, signal / before, non_finite=False
        )
        rows.append(dataclasses.replace(row, first_wrong=name == wrong))
        dead = min(0.5, 0.03 * index)
        rows.append(
            SiteRow(f"features.{index + 1}", "relu", signal / 2, signal / 3, None, dead, None, False)
        )
    return tuple(rows)


def _result(verdict: str, note: str | None = None) -> InvariantResult:
    return InvariantResult(verdict, 13, None, "default", claims=1, note=note)


CLASSIFIER = Report(
    id="test_models.py::classifier",
    framework="torch",
    verdict="fail",
    root_seed=7,
    invariants={
        "finite": InvariantResult("pass", 13, None, "default", 3, inits_seen=20, inits_wanted=63),
        "inputs": _result("pass"),
        "variance": _result("fail"),
        "saturation": _result("fail"),
        "dead-relu": _result("fail"),
        "gradient": _result("skipped", "batch normalisation amplifies noise by design"),
        "trainable": _result("pass"),
        "symmetry": _result("pass"),
    },
    findings=(VANISHING,),
    sites=_sites(wrong="features.4"),
    inputs="normal(0,1):256",
    replicates=13,
    seeds=63,
    claims=75,
    error_bound=3e-11,
    spread=0.57,
    seconds=1.27,
)
TWO_FAULTS = dataclasses.replace(
    CLASSIFIER,
    id="Classifier",
    invariants={**CLASSIFIER.invariants, "inputs": _result("fail")},
    findings=(INPUTS, VANISHING),
    notes=("allow('dead-relu', at='backbone.*') matches nothing; remove it (pruned on purpose)",),
    unobserved=("features.lstm: a fused kernel", "head.crf: not reached by these inputs"),
)
LONG_NAMES = dataclasses.replace(
    CLASSIFIER,
    id="tests/models/test_translation.py::TestTransformers::encoder_decoder[pre_norm-rotary-512]",
    findings=(
        dataclasses.replace(
            VANISHING,
            site="encoder.layers.11.self_attention.out_proj",
            place="encoder.layers.11.self_attention.out_proj (Linear 512->512)",
        ),
    ),
    sites=tuple(
        dataclasses.replace(row, name=f"encoder.layers.11.self_attention.{row.name}")
        for row in CLASSIFIER.sites
    ),
)
NOT_FINITE = dataclasses.replace(
    CLASSIFIER,
    findings=(
        dataclasses.replace(
            VANISHING,
            invariant="finite",
            message="values hold NaN or infinity",
            kind="",
            cause="the parameters are finite, log gives NaN or infinity here",
            costs="",
            detail="",
            also=(),
            fixes=(
                Fix("keep its argument where it is defined", "torch.log(x + 1e-12)", result="by hand"),
            ),
            allow_at="features.4",
        ),
    ),
    sites=tuple(
        row
        if index < 5
        else dataclasses.replace(row, second_moment=math.nan, batch_variance=math.nan, non_finite=True)
        for index, row in enumerate(CLASSIFIER.sites)
    ),
)
DRAWN = dataclasses.replace(
    CLASSIFIER, id="test_models.py::mlp", example="mlp(depth=13, width=16, activation=relu, bias=False)"
)
INCONCLUSIVE = dataclasses.replace(
    CLASSIFIER,
    verdict="inconclusive",
    invariants={"dead-relu": _result("inconclusive"), "finite": _result("pass")},
    findings=(UNDECIDED,),
    sites=_sites(wrong=""),
)
ERROR = Report(
    "test_models.py::loader",
    None,
    "error",
    7,
    error="the factory loader raised FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt'",
    error_traceback=(
        'Traceback (most recent call last):\n  File "test_models.py", line 9, in loader\n'
        "    return torch.load(PATH)\n"
        "FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt'"
    ),
)
PASSING = dataclasses.replace(
    CLASSIFIER,
    id="Classifier",
    verdict="pass",
    invariants={"finite": _result("pass"), "variance": _result("pass")},
    findings=(),
    sites=_sites(wrong="")[:6],
)
