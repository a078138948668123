"""check_initializer on functions that return arrays: verdicts, causes, guards, refusals."""

from __future__ import annotations

import functools
import json
import math
import random
import re
import warnings

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck import initializers as init
from pytest_initcheck import probes
from pytest_initcheck.errors import ModelError
from pytest_initcheck.initializer_check.forms import form_of, layer_of

SQUARE = init.dense(64, 64)


def he(rng, shape):
    return rng.normal(0, math.sqrt(2 / shape[0]), shape)


def checked(fn, layer=SQUARE, **asked):
    return ic.check_initializer(fn, layer, raises=False, **asked)


def only(report):
    (finding,) = report.findings
    return finding


# -- verdicts ------------------------------------------------------------------------------------


def test_a_matched_init_passes_in_three_replicates():
    report = checked(he)
    assert (report.verdict, report.ok, report.replicates, report.findings) == ("pass", True, 3, ())
    assert set(report.verdicts) == {"variance", "mean", "independence"}
    assert report.second_moment == pytest.approx(2 / 64, rel=0.1)
    assert report.claims == 4
    assert report.error_bound == pytest.approx(4 * 4e-13, rel=0.01)
    assert str(report).startswith("PASS he on dense(64x64, numpy): Var w is 0.03")


def test_a_failure_raises_by_default_and_carries_its_report():
    with pytest.raises(ic.InitializerViolation, match=r"^variance FAIL he on dense") as caught:
        ic.check_initializer(he, SQUARE, activation="selu")
    assert isinstance(caught.value, ic.InitCheckError)
    assert caught.value.report.verdict == "fail"
    with pytest.raises(ic.InitializerViolation):
        caught.value.report.raise_if_failed()


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_quarter_off_is_seen_at_8x8_and_five_per_cent_is_allowed(factor):
    layer = init.dense(8, 8)

    def scaled(by):
        return lambda rng, shape: rng.normal(0, math.sqrt(2 * by / shape[0]), shape)

    assert checked(scaled(factor), layer).verdict == "fail"
    assert checked(scaled(1.0), layer).verdict == "pass"
    assert checked(scaled(math.sqrt(factor)), init.dense(256, 256), variance=0.3).verdict == "pass"


@pytest.mark.parametrize(
    ("fn", "asked", "cause"),
    [
        (lambda rng, shape: rng.normal(0, 2 / 64, shape), {}, "the variance was passed as the standard"),
        (
            lambda rng, shape: rng.uniform(-math.sqrt(2 / 64), math.sqrt(2 / 64), shape),
            {},
            "sqrt(3) times as large",
        ),
        (lambda rng, shape: rng.normal(0, 0.02, shape), {}, "the standard deviation is 0.02"),
        (lambda rng, shape: rng.normal(0, 0.125, shape), {}, "the gain is 1, LeCun's and Xavier's"),
        (he, {"activation": "tanh", "criterion": "backward", "variance": 1e-3}, None),
        (he, {"activation": "selu"}, "the gain is sqrt(2), He's"),
        (lambda rng, shape: rng.normal(0, 0.057, shape), {}, "0.328 times what is needed"),
    ],
    ids=range(7),
)
def test_causes_of_a_wrong_variance(fn, asked, cause):
    report = checked(fn, **asked)
    if cause is None:
        assert report.verdict == "pass"
        return
    finding = only(report)
    assert finding.invariant == "variance"
    assert cause in finding.cause
    assert finding.fix.startswith("rng.normal(0.0, ")
    assert "needed" in finding.message
    assert "needs" in finding.detail


def test_the_fix_is_code_that_passes():
    fix = only(checked(he, activation="gelu", criterion="forward")).fix

    def fixed(rng, shape):
        return eval(fix, {"rng": rng, "shape": shape})

    assert checked(fixed, activation="gelu", criterion="forward").verdict == "pass"


def test_any_of_three_criteria_will_do_and_the_note_says_which():
    layer = init.dense(64, 256)

    def backward(rng, shape):
        return rng.normal(0, math.sqrt(2 / shape[1]), shape)

    report = checked(backward, layer)
    assert report.verdict == "pass"
    assert report.notes == ("the backward criterion is met; the forward one needs 0.0312",)
    assert checked(backward, layer, criterion="backward").notes == ()
    finding = only(checked(backward, layer, criterion="forward"))
    assert "it divides by fan_out = 256; the forward criterion by 64" in finding.cause


def test_an_offset_fails_the_mean():
    def offset(rng, shape):
        return rng.normal(0, math.sqrt(2 / 256), shape) + 0.02

    finding = only(checked(offset, init.dense(256, 64)))
    assert finding.invariant == "mean"
    assert "fan_in mean^2 / E[w^2]" in finding.detail


@pytest.mark.parametrize(
    ("copy", "cause"),
    [
        (lambda w: np.concatenate([w[:, :32], w[:, :32]], 1), "units 0 and 32 are equal"),
        (lambda w: np.concatenate([w[:32], w[:32]]), "inputs 0 and 32 are equal"),
        (
            lambda w: np.concatenate([w[:, :32], -w[:, :32] * (1 + 0.01 * w[:, 32:])], 1),
            "units 0 and 32 are nearly equal",
        ),
        (lambda w: np.concatenate([w[:, :63], w[:, 17:18]], 1), "units 17 and 63 are equal"),
    ],
    ids=range(4),
)
def test_copies_fail_independence(copy, cause):
    finding = only(checked(lambda rng, shape: copy(he(rng, shape))))
    assert finding.invariant == "independence"
    assert cause in finding.cause


def test_copied_blocks_and_groups_are_called_so():
    gates = init.recurrent(32, 16)
    finding = only(checked(lambda rng, shape: np.tile(he(rng, (32, 16)), 4), gates))
    assert "blocks 0 and 1 of 4 are copies" in finding.cause
    grouped = init.grouped_conv(32, 32, 3, 3, groups=4)

    def shared(rng, shape):
        return np.tile(rng.normal(0, math.sqrt(2 / 72), (3, 3, 8, 8)), 4)

    finding = only(checked(shared, grouped))
    assert "groups 0 and 1 of 4 are copies" in finding.cause


def test_a_product_of_thin_factors_spans_too_few_directions():
    def low_rank(rng, shape):
        thin = rng.normal(0, 1, (shape[0], 8)) @ rng.normal(0, 1, (8, shape[1]))
        return thin * math.sqrt(2 / shape[0] / 8)

    finding = only(checked(low_rank))
    assert finding.invariant == "independence"
    assert "times fewer directions" in finding.detail
    assert 6 < finding.value < 10


# -- schemes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "he_truncated_normal"])
@pytest.mark.parametrize("wanted", ["he_normal", "he_uniform", "he_truncated_normal"])
def test_a_named_scheme_is_told_from_others_of_its_variance(name, wanted):
    report = checked(init.scheme(name), init.dense(64, 64), scheme=wanted)
    assert report.verdicts["variance"] == "pass"
    assert report.verdicts["shape"] == ("pass" if name == wanted else "fail")
    if name != wanted:
        assert f"not distributed as {wanted}" in only(report).message


def test_a_scheme_that_is_itself_not_matched_is_noted():
    report = checked(init.scheme("keras.lecun_normal"), SQUARE, scheme="keras.lecun_normal")
    assert report.verdict == "pass"
    assert report.notes == ("keras.lecun_normal itself gives this layer 0.0156; relu needs 0.0312",)


def test_orthogonality_and_sparsity_are_shapes():
    assert checked(init.orthogonal(), scheme="orthogonal", activation="identity").verdict == "pass"
    report = checked(init.lecun_normal(), scheme="orthogonal", activation="identity")
    assert report.verdicts["shape"] == "fail"
    sparse = init.scheme("torch.sparse_", sparsity=0.9)
    assert checked(sparse, scheme=sparse).verdict == "pass"


def test_outliers_fail_the_shape():
    def with_outliers(rng, shape):
        weight = he(rng, shape)
        weight.flat[rng.integers(weight.size)] = 3.0
        return weight

    report = checked(with_outliers, init.dense(512, 512), scheme="he_normal")
    assert only(report).invariant == "shape"


# -- deterministic -------------------------------------------------------------------------------


def test_deterministic_inits_are_judged_by_one_look():
    zeros = checked(lambda shape: np.zeros(shape))
    assert (zeros.verdict, zeros.replicates) == ("fail", 1)
    assert "all weights are zero" in only(zeros).cause
    assert checked(lambda shape: np.zeros(shape), scheme="zeros").verdict == "pass"
    identity = checked(lambda shape: np.eye(*shape), activation="identity")
    assert identity.verdict == "pass"
    assert identity.recognised[0].startswith("torch.eye_")
    ones = checked(lambda shape: np.full(shape, 0.125), activation="identity")
    assert {finding.invariant for finding in ones.findings} == {"mean", "independence"}
    assert "all weights are equal" in ones.findings[0].cause


def test_a_fixed_seed_is_an_error():
    report = checked(lambda shape: he(np.random.default_rng(3), shape))
    assert report.verdict == "error"
    assert "ignores the seed: two inits are equal" in report.error


def test_unseeded_entropy_is_an_error():
    report = checked(lambda shape: he(np.random.default_rng(), shape))
    assert "draws from unseeded entropy" in report.error


def test_holes_are_an_error():
    def holes(rng, shape):
        weight = he(rng, shape)
        weight[0, :3] = np.nan
        return weight

    assert "3 of 4096 weights NaN or infinite" in checked(holes).error


def test_what_the_user_raises_is_one_line_with_their_traceback():
    def broken(shape):
        raise ZeroDivisionError("division by fan")

    with pytest.raises(
        ic.InitCheckError, match=r"broken raised ZeroDivisionError on dense.*division by"
    ):
        ic.check_initializer(broken, SQUARE)
    report = checked(broken)
    assert "in broken" in report.error_traceback
    assert "pytest_initcheck/" not in report.error_traceback
    assert not report.ok


# -- how it is called ----------------------------------------------------------------------------


def by_shape(shape):
    return he(np.random, shape)


def by_key(key, shape, dtype="float32"):
    assert key.dtype == np.uint32
    return he(np.random.default_rng(key.tolist()), shape).astype(dtype)


def optional_rng(shape, rng=None):
    return he(rng or np.random.default_rng(), shape)


class Initialiser:
    def __call__(self, shape, dtype=None):
        return he(np.random, shape)


@pytest.mark.parametrize(
    "fn",
    [
        he,
        by_shape,
        by_key,
        optional_rng,
        Initialiser(),
        lambda rng, size: he(rng, size),
        lambda rng, dims: he(rng, dims),
        functools.partial(lambda gain, rng, shape: gain * he(rng, shape), 1.0),
        init.he_uniform(),
    ],
    ids=range(9),
)
def test_forms_that_return_an_array(fn):
    report = checked(fn, (64, 32))
    assert report.verdict == "pass", str(report)
    assert checked(fn, (64, 64), activation="selu").verdict == "fail"


def test_a_bare_shape_means_in_out_for_functions_of_a_shape():
    form = form_of(he)
    assert layer_of((64, 32), form) == init.dense(64, 32, layout="numpy")
    assert layer_of((3, 3, 64, 32), form) == init.conv(64, 32, 3, 3, layout="numpy")
    tensor = form_of(lambda weight: None)
    assert layer_of((32, 64), tensor) == init.dense(64, 32, layout="torch")
    assert layer_of((32, 64, 3, 3), tensor) == init.conv(64, 32, 3, 3, layout="torch")


def module_annotated(x):
    return None


module_annotated.__annotations__["x"] = "nn.Module"


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (lambda weight: None, "tensor"),
        (lambda tensor, gain=1.0: None, "tensor"),
        (lambda w, generator: None, "tensor"),
        (lambda module: None, "module"),
        (lambda m: None, "module"),
        (lambda layer, gain=1: None, "module"),
        (module_annotated, "module"),
        (he, "array"),
        (init.he_normal(), "scheme"),
    ],
    ids=range(9),
)
def test_the_form_is_read_off_the_signature(fn, kind):
    assert form_of(fn).kind == kind


@pytest.mark.parametrize(
    ("fn", "layer", "asked", "message"),
    [
        (3, SQUARE, {}, "check_initializer takes an initialiser, got 3; for example"),
        (dict, SQUARE, {}, "got the class dict"),
        (lambda: None, SQUARE, {}, "takes no argument"),
        (lambda rng: None, SQUARE, {}, "takes rng and no shape"),
        (lambda shape, gain: None, SQUARE, {}, "needs gain besides shape; bind them"),
        (lambda weight, gain: None, SQUARE, {}, "needs gain besides weight; bind them"),
        (he, (64,), {}, r"a weight has 2 to 5 sides, got \(64,\)"),
        (he, 64, {}, "a shape is a tuple such as"),
        (he, (64, 0), {}, "sides must be at least 1"),
        (he, (64, -2), {}, "sides must be at least 1"),
        (he, SQUARE, {"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'"),
        (he, SQUARE, {"criterion": "foward"}, "unknown criterion 'foward'; did you mean 'forward'"),
        (he, SQUARE, {"scheme": "he_nromal"}, "unknown scheme 'he_nromal'; did you mean 'he_normal'"),
        (he, SQUARE, {"scheme": 3}, "scheme is a name or a Scheme, got 3"),
        (he, SQUARE, {"scheme": "torch.dirac_"}, "torch.dirac_ takes a kernel"),
        (he, SQUARE, {"seed": -1}, "seed is a whole number"),
        (he, SQUARE, {"variance": 0}, "variance is a number above 0"),
        (he, SQUARE, {"directions": 0.5}, "directions is a number above 1"),
    ],
    ids=range(18),
)
def test_bad_input_is_one_clear_line(fn, layer, asked, message):
    with pytest.raises(ic.ConfigError, match=message) as error:
        ic.check_initializer(fn, layer, **asked)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("returned", "what"),
    [(None, "NoneType"), (np.zeros((2, 2)), r"shape \(2, 2\)"), ("weights", "str"), (0.5, "float")],
)
def test_a_wrong_return_value_is_one_clear_line(returned, what):
    report = checked(lambda shape: returned)
    assert report.verdict == "error"
    assert re.search(f"returned {what} for shape \\(64, 64\\)", report.error)


def test_a_torch_form_without_torch_is_one_clear_line(monkeypatch):
    def missing(framework):
        raise ModelError(f"{framework} is not installed; run: python -m pip install 'x[{framework}]'")

    monkeypatch.setattr(probes, "named", missing)
    with pytest.raises(
        ic.ConfigError, match=r"my_init_ seems to fill a torch tensor.*pip install"
    ) as error:
        ic.check_initializer(my_init_, SQUARE)
    assert "\n" not in str(error.value)
    assert "names its parameter shape" in str(error.value)


def my_init_(weight):
    weight.normal_()


# -- seeds ---------------------------------------------------------------------------------------


def test_the_same_call_has_the_same_report_and_another_seed_another():
    assert checked(he) == checked(he)
    assert checked(he).second_moment != checked(he, seed=1).second_moment
    assert checked(he, init.dense(64, 65)).second_moment != checked(he).second_moment


def test_global_random_states_are_put_back():
    random.seed(1)
    np.random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist())
    checked(lambda shape: np.random.normal(0, random.random(), shape))
    checked(lambda shape: np.random.standard_normal() / 0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_the_report_is_json():
    data = checked(lambda rng, shape: rng.normal(0, 1, shape)).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["verdict"] == "fail"
    assert data["findings"][0]["invariant"] == "variance"
    assert data["needed"]["forward"] == pytest.approx([2 / 64, 2 / 64])


def test_an_undecided_claim_warns():
    # half of the draws are right: neither "at most 10 %" nor "at least 90 %" outside
    def every_other(rng, shape):
        return he(rng, shape) * (1.0 if rng.random() < 0.5 else 2.0)

    verdicts = set()
    for seed in range(6):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                verdicts.add(ic.check_initializer(every_other, SQUARE, seed=seed).verdict)
            except ic.InitializerViolation:
                verdicts.add("fail")
                continue
        if "inconclusive" in verdicts:
            assert any(issubclass(each.category, ic.InitCheckWarning) for each in caught)
            break
    assert "inconclusive" in verdicts
