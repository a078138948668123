"""Fixes as data: spelled as code, made of models and inputs; what is printed is what is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.edits import Edit, merged
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes.input_edits import edited, spell_inputs
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.probes.numpy_sites import parameter

INIT = "init({p})"


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["m.fc.w"], "init(m.fc.w)"),
        (["m[0].w", "m[3].w"], "for i in range(0, 4, 3):\n    init(m[i].w)"),
        (["m[1].w", "m[2].w"], "for i in range(1, 3):\n    init(m[i].w)"),
        (["m[0].w", "m[2].w", "m[5].w"], "for i in (0, 2, 5):\n    init(m[i].w)"),
        (["m[2].w", "m[0].w"], "for i in (2, 0):\n    init(m[i].w)"),
        (["m[0].a[1].w", "m[4].a[1].w"], "for i in range(0, 5, 4):\n    init(m[i].a[1].w)"),
        (["m[0].a[1].w", "m[1].a[2].w"], "for p in (m[0].a[1].w, m[1].a[2].w):\n    init(p)"),
        (["m.a.w", "m.b.w"], "for p in (m.a.w, m.b.w):\n    init(p)"),
    ],
)
def test_one_call_or_one_loop(paths, code):
    assert looped(INIT, paths) == code


def test_many_paths_have_a_line_each():
    paths = [f"model.{name * 20}.weight" for name in "abcdef"]
    lines = looped(INIT, paths).splitlines()
    assert lines[0] == "for p in ("
    assert lines[1:7] == [f"    {path}," for path in paths]
    assert lines[-1] == "    init(p)"


def test_values_that_differ_are_looped_with_their_tensors():
    assert looped("fill({p}, {v})", ["a", "b"], ["1", "2"]) == (
        "for p, value in (\n    (a, 1),\n    (b, 2),\n):\n    fill(p, value)"
    )
    assert looped("fill({p}, {v})", ["m[0]", "m[1]"], ["1", "1"]) == (
        "for i in range(0, 2):\n    fill(m[i], 1)"
    )


@pytest.mark.parametrize(
    ("edit", "dims", "code"),
    [
        (Edit("standardise", ("input",), (33.3, 78.6)), 2, "x = (x - 33.3) / 78.6"),
        (Edit("standardise", ("input",), (-3.0, 2.0)), 2, "x = (x + 3) / 2"),
        (Edit("standardise", ("input",), (0.0, 2.0)), 2, "x = x / 2"),
        (Edit("standardise", ("input",), (5.0, 1.0)), 2, "x = x - 5"),
        (Edit("standardise", ("pixels",), (127.0, 60.0)), 4, "pixels = (pixels - 127) / 60"),
        (Edit("standardise-columns", ("input",)), 2, "x = (x - x.mean(0)) / x.std(0)"),
        (
            Edit("standardise-columns", ("input",)),
            4,
            "x = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)",
        ),
    ],
)
def test_the_code_for_inputs_is_what_is_made_of_them(edit, dims, code):
    assert spell_inputs(edit, dims) == code
    name = edit.names[0]
    x = np.random.default_rng(0).normal(3, 5, (8, 3, 2, 2)[:dims])
    call = Call((x,), {}) if name == "input" else Call((), {name: x})
    made = edited(call, [edit])
    variable = "x" if name == "input" else name
    scope = {variable: x}
    exec(code, scope)
    value = made.args[0] if name == "input" else made.kwargs[name]
    np.testing.assert_allclose(value, scope[variable])


def test_inputs_in_containers_are_found_by_their_names():
    batch = {"a": [np.ones(3), np.full(3, 5.0)], "b": np.ones(3)}
    made = edited(Call((batch,), {"y": 1}), [Edit("standardise", ("input0.a.1",), (5.0, 2.0))])
    assert list(made.args[0]["a"][1]) == [0, 0, 0]
    assert batch["a"][1][0] == 5.0, "the user's own batch stays as it is"
    assert made.kwargs == {"y": 1}


def test_an_input_that_is_not_there_is_said():
    with pytest.raises(ModelError, match="there is no input 'z' to change"):
        edited(Call((np.ones(2),), {}), [Edit("standardise", ("z",), (0.0, 1.0))])


def test_equal_changes_are_merged():
    edits = [Edit("fill", ("a",), (0.0,)), Edit("scale", ("b",), (2.0,)), Edit("fill", ("c",), (1.0,))]
    assert merged(edits) == (Edit("fill", ("a", "c"), (0.0, 1.0)), Edit("scale", ("b",), (2.0,)))


# -- numpy -----------------------------------------------------------------------------------------


def layers():
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(6, 6)), np.ones(6), "relu") for _ in range(3)]


@pytest.mark.parametrize(
    "edit",
    [
        Edit("draw", ("0.W", "1.W", "2.W"), (0.5, 0.5, 0.5)),
        Edit("draw", ("0.W", "2.W"), (0.5, 0.25)),
        Edit("fill", ("0.b", "1.b"), (0.0, 0.0)),
        Edit("scale", ("2.W",), (0.1234,)),
        Edit("orthogonal", ("0.W", "1.W"), (1.5, 0.5)),
    ],
)
def test_numpy_code_does_what_the_edit_does(edit):
    model, again = layers(), layers()
    probe.seed(0)
    probe.apply(model, [edit])
    paths = {f"{k}.{name}": f"layers[{k}][{i}]" for k in range(3) for i, name in enumerate("Wb")}
    plain = parameter("", layers()[0][0])
    code = probe.spell([edit], {n: replace(plain, name=n, path=path) for n, path in paths.items()})
    probe.seed(0)
    exec(code, {"layers": again, "rng": np.random, "np": np})
    for one, other in zip(model, again, strict=True):
        np.testing.assert_allclose(one[0], other[0])
        np.testing.assert_allclose(one[1], other[1])


def test_an_orthogonal_draw_is_orthogonal():
    model = layers()
    probe.apply(model, [Edit("orthogonal", ("0.W",), (2.0,))])
    np.testing.assert_allclose(model[0][0] @ model[0][0].T, 4 * np.eye(6), atol=1e-9)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("fill", ("9.W",), (0.0,)), "no array '9.W'"),
        (Edit("remove", ("1.relu",)), "part of the model's own code"),
    ],
)
def test_what_a_numpy_model_does_not_have_is_said(edit, message):
    with pytest.raises(ModelError, match=message):
        probe.apply(layers(), [edit])


def test_a_read_only_array_is_said():
    model = layers()
    model[0][0].flags.writeable = False
    with pytest.raises(ModelError, match=r"0\.W is read-only"):
        probe.apply(model, [Edit("fill", ("0.W",), (0.0,))])


# -- in a report -------------------------------------------------------------------------------------


def tiny(rng):
    return [(rng.normal(0, 1e-5, (64, 64)), np.zeros(64), "relu") for _ in range(5)]


def test_a_fix_of_a_report_can_be_applied():
    report = ic.check(tiny, inputs=ic.normal(64))
    fix = report.fixes[0]
    assert fix.helped
    assert fix.result.startswith("passes, ")
    model = tiny(np.random.default_rng(0))
    assert fix.apply(model) is model
    assert model[0][0].std() == pytest.approx(0.177, rel=0.1)


def test_a_fix_of_the_inputs_is_none_of_the_model():
    def good(rng):
        return [(rng.normal(0, (2 / 64) ** 0.5, (64, 64)), None, "relu") for _ in range(3)]

    report = ic.check(good, inputs=ic.uniform(64, high=255))
    with pytest.raises(ConfigError, match=r"this fix changes the inputs: x = \(x - "):
        report.fixes[0].apply(good(np.random.default_rng(0)))


def test_a_fix_does_not_fit_another_model():
    report = ic.check(tiny, inputs=ic.normal(64))
    with pytest.raises(ConfigError, match="does not fit this model: the model has no array"):
        report.fixes[0].apply(tiny(np.random.default_rng(0))[:1])


def test_the_code_of_a_report_is_that_of_its_edits():
    report = ic.check(tiny, inputs=ic.normal(64))
    model = tiny(np.random.default_rng(0))
    exec(report.fixes[0].code, {"layers": model, "rng": np.random.default_rng(3)})
    assert model[1][0].std() == pytest.approx(0.177, rel=0.1)
