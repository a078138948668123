"""Input distributions, their grammar, and the other ways of saying what a model is fed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck import inputs
from pytest_initcheck.errors import ConfigError

SIDES = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple)
BATCHES = st.none() | st.integers(2, 1000)
NUMBERS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def distributions(draw):
    """Any distribution that the constructors accept."""
    kind = draw(st.sampled_from(["normal", "uniform", "images", "tokens", "one_hot"]))
    shape, batch = draw(SIDES), draw(BATCHES)
    if kind == "normal":
        return ic.normal(*shape, mean=draw(NUMBERS), std=draw(POSITIVE), batch=batch)
    if kind == "uniform":
        low, high = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True)))
        return ic.uniform(*shape, low=low, high=high, batch=batch)
    if kind == "images":
        sides = draw(st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)))
        return ic.images(*sides, mean=draw(NUMBERS), std=draw(POSITIVE), batch=draw(st.integers(2, 99)))
    size = draw(st.integers(2, 10**7))
    shape = shape if draw(st.booleans()) else ()
    make = ic.tokens if kind == "tokens" else ic.one_hot
    return make(*shape, **{"vocabulary" if kind == "tokens" else "classes": size}, batch=batch)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(distributions())
def test_the_text_of_a_distribution_reads_back_as_itself(distribution):
    assert inputs.parse(distribution.text) == distribution


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("normal:784@64", ic.normal(784, batch=64)),
        ("normal(1):3", ic.normal(3, mean=1)),
        ("uniform(0,1):3x32x32", ic.uniform(3, 32, 32)),
        ("uniform(-1, 1):8", ic.uniform(8, low=-1, high=1)),
        ("images(0.5,0.25):3x8x8", ic.images(3, 8, 8, mean=0.5, std=0.25)),
        ("images:1x8x8@4", ic.images(1, 8, 8, batch=4)),
        (" tokens(1000):32 ", ic.tokens(32, vocabulary=1000)),
        ("one-hot(10):", ic.one_hot(classes=10)),
        ("one_hot(10)", None),
    ],
)
def test_the_grammar_of_the_command_line(text, distribution):
    if distribution is None:
        with pytest.raises(ConfigError, match="wanted NAME"):
            inputs.parse(text)
    else:
        assert inputs.parse(text) == distribution


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("normall:3", "unknown input distribution 'normall'; did you mean 'normal'?"),
        ("784", "cannot read inputs '784'; wanted NAME[(NUMBERS)]:SHAPE[@BATCH]"),
        ("normal:3x", "cannot read inputs 'normal:3x'"),
        ("normal(a):3", "cannot read inputs 'normal(a):3': numbers in brackets"),
        ("normal(1,2,3):3", "too many numbers in inputs 'normal(1,2,3):3'"),
        ("normal(0,-1):3", "ic.normal: std must be positive"),
        ("normal(nan):3", "ic.normal: mean must be finite"),
        ("normal:0", "ic.normal: a shape has positive whole sides without the batch"),
        ("normal:3@1", "a batch has at least 2 samples, got 1"),
        ("uniform(1,1):3", "ic.uniform: low must be below high"),
        ("images:3x3", "images take CHANNELSxHEIGHTxWIDTH"),
        ("images(0,0):3x8x8", "ic.images: std must be positive"),
        ("tokens:32", "tokens needs its size in brackets, for example tokens(1000):32"),
        ("tokens(1):32", "ic.tokens: vocabulary must be at least 2"),
        ("tokens(nan):32", "tokens needs a whole number as its size, got 'tokens(nan):32'"),
        ("tokens(2.5):32", "tokens needs a whole number"),
        ("one_hot(1):", "ic.one_hot: classes must be at least 2"),
    ],
)
def test_a_wrong_text_says_what_is_wanted(text, message):
    with pytest.raises(ConfigError) as caught:
        inputs.parse(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad", [{"std": 0.0}, {"std": float("inf")}, {"mean": float("nan")}, {"batch": 0}]
)
def test_impossible_parameters_are_refused(bad):
    with pytest.raises(ConfigError):
        ic.normal(3, **bad)


@pytest.mark.parametrize("shape", [(0,), (-3,), (2.0,), (True,)])
def test_a_shape_is_positive_and_whole(shape):
    with pytest.raises(ConfigError, match="positive whole sides"):
        ic.uniform(*shape)


@given(
    distributions().filter(lambda d: np.prod(d.shape, initial=1) < 1e5 and getattr(d, "classes", 0) < 99)
)
def test_a_sample_is_a_function_of_its_generator(distribution):
    first, again, other = (distribution.sample(rng(seed), 4) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape[: 1 + len(distribution.shape)] == (4, *distribution.shape)
    assert first.dtype == (np.int64 if distribution.text.startswith("tokens") else np.float32)
    assert other.shape == first.shape


@pytest.mark.parametrize(
    "distribution",
    [
        ic.normal(300, mean=1.5, std=0.5),
        ic.uniform(300, low=-1, high=3),
        ic.images(3, 16, 16, mean=0.3, std=2.0),
    ],
    ids=lambda d: d.text,
)
def test_samples_have_the_moments_that_the_distribution_states(distribution):
    x = distribution.sample(rng(), 400).astype(np.float64)
    assert (x**2).mean() == pytest.approx(distribution.second_moment, rel=0.02)


def test_uniform_samples_fill_their_range():
    x = ic.uniform(1000, low=-1, high=3).sample(rng(), 50)
    assert -1 <= x.min() < -0.99
    assert 2.99 < x.max() <= 3


def test_neighbouring_pixels_correlate_and_distant_ones_do_not():
    x = ic.images(1, 32, 32).sample(rng(), 400)[:, 0]
    near = np.corrcoef(x[:, 8, 8], x[:, 8, 9])[0, 1]
    far = np.corrcoef(x[:, 2, 2], x[:, 29, 29])[0, 1]
    assert near > 0.6
    assert abs(far) < 0.4
    assert near - far > 0.3


def test_one_hot_rows_have_a_single_one():
    x = ic.one_hot(5, classes=7).sample(rng(), 3)
    assert x.shape == (3, 5, 7)
    assert (x.sum(-1) == 1).all()
    assert set(np.unique(x)) == {0.0, 1.0}


def test_tokens_stay_below_the_vocabulary_and_use_it():
    x = ic.tokens(500, vocabulary=6).sample(rng(), 4)
    assert set(np.unique(x)) == set(range(6))


def sample(source: inputs.Source) -> inputs.Call:
    return source.sample(rng())


def test_a_distribution_takes_the_default_batch_or_its_own():
    assert sample(inputs.source(ic.normal(4), 16)).args[0].shape == (16, 4)
    assert sample(inputs.source(ic.normal(4, batch=8), 16)).args[0].shape == (8, 4)
    assert sample(inputs.source("normal:4@8")).args[0].shape == (8, 4)
    assert sample(inputs.source(ic.normal(4))).args[0].shape == (inputs.DEFAULT_BATCH, 4)


def test_the_arguments_of_a_call_share_one_batch():
    spec = ic.call(ic.normal(4), ic.tokens(3, vocabulary=9, batch=8), flag=True, mask=ic.uniform(2))
    drawn = sample(inputs.source(spec))
    assert [len(array) for array in drawn.args] == [8, 8]
    assert len(drawn.kwargs["mask"]) == 8
    assert drawn.kwargs["flag"] is True
    assert inputs.source(spec).text == (
        "call(normal(0,1):4, tokens(9):3@8, flag=True, mask=uniform(0,1):2)"
    )


def test_a_real_batch_is_fixed_and_described_by_its_shape():
    batch = np.zeros((5, 3))
    source = inputs.source(batch)
    assert source.fixed
    assert source.text == "batch(5x3)"
    assert sample(source).args[0] is batch


def test_a_mapping_becomes_keywords():
    source = inputs.source({"ids": np.zeros((2, 3)), "scale": 2.0})
    assert source.fixed
    assert source.text == "dict(ids=batch(2x3), scale=2.0)"
    assert sample(source).kwargs["scale"] == 2.0


def test_a_loader_gives_the_first_element_of_its_first_batch():
    first = np.ones((4, 2))

    class Loader:
        def __iter__(self):
            yield (first, np.zeros(4))

    source = inputs.source(Loader())
    assert source.fixed
    assert sample(source).args[0] is first


@pytest.mark.parametrize(
    ("batches", "message"), [([], "the loader is empty"), ([()], "first batch is empty")]
)
def test_an_empty_loader_is_said_to_be_empty(batches, message):
    class Loader:
        def __iter__(self):
            return iter(batches)

    with pytest.raises(ConfigError, match=message):
        inputs.source(Loader())


def test_a_function_of_rng_may_return_a_batch_a_mapping_or_a_call():
    def batch(rng):
        return rng.normal(size=(3, 2))

    source = inputs.source(batch)
    assert not source.fixed
    assert "0x" not in source.text
    assert np.array_equal(source.sample(rng(4)).args[0], source.sample(rng(4)).args[0])
    assert set(sample(inputs.source(lambda rng: {"x": batch(rng)})).kwargs) == {"x"}
    assert len(sample(inputs.source(lambda rng: ic.call(batch(rng), ic.normal(2)), 7)).args[1]) == 7


def test_no_text_contains_an_address():
    for item in (lambda rng: None, ic.call(object()), {"x": object()}, ic.call(np.zeros(3), print)):
        assert "0x" not in inputs.source(item).text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((np.zeros(3), np.zeros(3)), "a tuple of inputs is ambiguous; use ic.call"),
        ([np.zeros(3)], "a tuple of inputs is ambiguous"),
        (3, "inputs cannot be int; use ic.normal"),
        (None, "inputs cannot be NoneType"),
        (ic.inputs_from(lambda width: ic.normal(width)), "ic.inputs_from belongs to a family"),
    ],
)
def test_what_cannot_be_an_input_is_refused_with_the_remedy(wrong, message):
    with pytest.raises(ConfigError) as caught:
        inputs.source(wrong)
    assert str(caught.value).startswith(message)
