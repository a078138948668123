"""What leaves the trace is an error that names the user's line, and the way out of it."""

from __future__ import annotations

import copy
import math
from collections import deque

import numpy as np
import pytest

import pytest_initcheck as ic
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import numpy as probe
from pytest_initcheck.probes.numpy_runs import seen

rng = np.random.default_rng(7)
W1, W2 = rng.normal(0, 0.4, (12, 16)), rng.normal(0, 0.35, (16, 5))
X = rng.normal(size=(8, 12))


def traced(model, x=X):
    return seen(model, Call((x,), {}), seed=0)


def one_float(x):
    return (x @ W1) * float(x.mean())


def one_integer(x):
    return x[:, : int(np.argmax(x)) + 1]


def one_complex(x):
    return x @ W1 * complex(x.mean()).real


def one_item(x):
    return x @ W1 * x.max().item()


def as_list(x):
    return np.asarray(x.tolist()) @ W1


def math_function(x):
    return x @ W1 * math.tanh(x.mean())


def buffer(x):
    return np.frombuffer((x @ W1).tobytes()).reshape(8, 16)


def into_a_held_array(x):
    HELD[...] = (x @ W1).argmax(1)
    return HELD + x @ W1[:, :1]


def several_results(x):
    fraction, _ = np.modf(x @ W1)
    return fraction


def added_at(x):
    h = x @ W1
    np.add.at(h, [0, 0], 1.0)
    return h


def out_of_a_reduction(x):
    h = x @ W1
    out = np.zeros_like(h[:, 0])
    np.sum(h, axis=1, out=out)
    return out[:, None] * h


def imported_conversion(x):
    from numpy import asarray

    return asarray(x) @ W1


def flat_iterator(x):
    return np.stack(list((x @ W1).flat)).reshape(8, 16)


def objects(x):
    return (x @ W1).astype(object).astype(float)


HELD = np.zeros(8, dtype=int)


@pytest.mark.parametrize(
    ("model", "what", "remedy"),
    [
        (
            one_float,
            "a value of the forward pass becomes a plain float",
            "NumPy's function of the whole array",
        ),
        (one_integer, "becomes a plain int", "whole array"),
        (one_complex, "becomes a plain complex", "whole array"),
        (one_item, "becomes a plain number", "whole array"),
        (as_list, "becomes a plain list", "whole array"),
        (math_function, "becomes a plain float", "whole array"),
        (buffer, "ndarray.tobytes is not followed", "do without .tobytes()"),
        (
            into_a_held_array,
            "an array of the forward pass becomes a plain one",
            "np.take(table, ids, axis=0)",
        ),
        (several_results, "modf gives 2 arrays", "functions that give one"),
        (added_at, "add.at is not followed", "functions of whole arrays"),
        (out_of_a_reduction, "out= of this function is not followed", "without out="),
        (
            imported_conversion,
            "an array of the forward pass becomes a plain one",
            "leave the conversion out",
        ),
        (objects, "an array of the forward pass becomes one of objects", "stay with numbers"),
        (flat_iterator, "ndarray.flat is not followed", "do without .flat"),
    ],
)
def test_an_escape_names_the_line_and_the_remedy(model, what, remedy):
    with pytest.raises(ModelError) as caught:
        traced(model)
    message = str(caught.value)
    head, _, rest = message.partition(": ")
    assert "test_escapes.py:" in head
    assert f" in {model.__name__}, `" in head
    assert what in rest
    assert remedy in rest
    assert "ic.numpy.tap" in rest or "without out=" in rest
    assert "\n" not in message


def test_an_escape_that_the_code_catches_is_an_error_all_the_same():
    def model(x):
        try:
            scale = float(x.mean())
        except Exception:
            scale = 1.0
        return x @ W1 * scale

    with pytest.raises(ModelError, match="becomes a plain float"):
        traced(model)


def rows_written(x):
    out = np.empty((len(x), 16))
    for i in range(len(x)):
        out[i] = np.tanh(x[i] @ W1)
    return out @ W2


def rows_stacked(x):
    return np.array([np.tanh(row @ W1) for row in x]) @ W2


def rows_after_a_layer(x):
    h = x @ W1
    return np.stack([np.maximum(row, 0) for row in h]) @ W2


@pytest.mark.parametrize("model", [rows_written, rows_stacked, rows_after_a_layer])
def test_a_loop_over_samples_is_refused(model):
    with pytest.raises(
        ModelError, match=r"takes one sample at a time; compute with the whole batch"
    ) as caught:
        traced(model)
    assert f" in {model.__name__}" in str(caught.value)


def test_a_loop_over_time_is_none_over_samples():
    u = rng.normal(0, 0.2, (16, 16))

    def model(x):
        h = np.zeros((len(x), 16))
        for step in x.reshape(8, 8, 12).transpose(1, 0, 2):  # as many steps as samples
            h = np.tanh(step @ W1 + h @ u)
        return h

    assert traced(model, rng.normal(size=(8, 96))).graph.outputs


def test_an_output_that_none_of_the_operations_made():
    def model(x):
        x @ W1
        return HELD[:, None] * 1.0

    with pytest.raises(ModelError, match=r"the output left the trace.*plain ndarray.*np.zeros_like"):
        traced(model)


def test_other_values_than_on_plain_arrays():
    def model(x):
        return x @ W1 + np.random.default_rng().normal(size=16)

    with pytest.raises(ModelError, match="gives other values when it is followed"):
        traced(model)


def test_a_model_that_runs_on_arrays_and_not_on_traced_ones():
    def model(x):
        if type(x) is not np.ndarray:
            raise TypeError("arrays only")
        return x @ W1

    with pytest.raises(
        ModelError, match=r"runs on arrays, but .* raised TypeError at test_escapes\.py:\d+: arrays only"
    ) as caught:
        traced(model)
    assert "arrays only" in caught.value.traceback_text


def test_code_that_asks_for_arrays_is_told_that_it_has_one():
    def model(x):
        assert isinstance(x, np.ndarray)
        assert np.isfinite(x).all()
        return x @ W1

    flow = traced(model)
    assert flow.unobserved == ()


def test_a_condition_on_values_is_listed():
    def model(x):
        h = x @ W1
        return h if h.mean() < 1e9 else h * 0

    ((place, reason),) = traced(model).unobserved
    assert place.startswith("a condition on values in model:")
    assert reason == "only the branch that was taken is seen"


def test_what_is_not_seen_inside_is_listed_and_has_no_gradient():
    def model(x):
        return np.apply_along_axis(np.sort, 1, x @ W1) @ W2

    trace = probe.trace(model, Call((X,), {}), mode="train", seed=0)
    reasons = [reason for _, reason in trace.unobserved]
    assert any(
        "np.apply_along_axis in model:" in reason and "not seen inside" in reason for reason in reasons
    )
    assert trace.gradient is None


def test_a_python_function_of_numbers_is_differentiated_by_differences():
    bent = np.frompyfunc(lambda v: v**3 / (1 + abs(v)), 1, 1)

    def model(x):
        return bent(x @ W1).astype(float) @ W2

    trace = probe.trace(model, Call((X,), {}), mode="train", seed=0)
    assert [reason for _, reason in trace.unobserved] == [
        reason for _, reason in trace.unobserved if "Python code for single numbers" in reason
    ]
    assert trace.gradient.difference > 0


@pytest.mark.parametrize("name", ["no_such", "__array_interface__", "__array_struct__", "__dlpack__"])
def test_no_protocol_lets_an_array_out(name):
    found = deque()  # a list would be put back

    def model(x):
        found.append(hasattr(x, name))
        return x @ W1

    traced(model)
    assert found[-1] is False


def test_an_array_is_printed_formatted_copied_and_compared():
    texts = deque()

    def model(x):
        h = x @ W1
        texts.append(f"{h.mean():.3f} {h} {h!r} {h.sum() in h}")
        return copy.copy(h) + 0 * copy.deepcopy(h)

    flow = traced(model)
    assert texts[0] == texts[1]
    np.testing.assert_array_equal(flow.outputs()[0], X @ W1)


def test_the_report_of_an_escape_is_an_error():
    def factory(rng):
        w = rng.normal(0, 0.3, (12, 4))
        return lambda x: x @ w * float(np.abs(x).max())

    report = ic.check(factory, inputs=ic.normal(12))
    assert report.verdict == "error"
    assert "test_escapes.py" in report.error
