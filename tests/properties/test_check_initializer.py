"""No textbook init fails its check, on any kind of layer, under any activation it matches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_initcheck as ic
from pytest_initcheck import strategies as ist
from pytest_initcheck.activations import NAMES
from pytest_initcheck.initializers.layers import Kind, Layer
from pytest_initcheck.initializers.matching import CRITERIA, matched, needs

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
KINDS: tuple[Kind, ...] = (
    "dense",
    "conv",
    "grouped_conv",
    "depthwise_conv",
    "conv_transposed",
    "embedding",
    "fused",
    "recurrent",
    "tied",
)


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_a_matched_scheme_passes_on_every_kind_of_layer(kind, data):
    layer = data.draw(ist.layer_shapes(kinds=(kind,), min_width=1, max_width=48))
    name = data.draw(ist.activations())
    scheme = data.draw(ist.initializers(activation=name))
    ic.check_initializer(scheme, layer, activation=name, seed=data.draw(st.integers(0, 3)))


@pytest.mark.parametrize("criterion", CRITERIA)
@SETTINGS
@given(layer=ist.layer_shapes(max_width=48), name=st.sampled_from(NAMES))
def test_a_scheme_passes_by_the_criterion_that_it_matches(criterion, layer, name):
    (need,) = needs(name, layer, criterion)
    for scheme in matched(name, criterion):
        # Xavier is tanh's forward rule between layers of one width only; orthogonal's where it can be
        if abs(need.distance(scheme.layer_variance(layer))) < 1e-6:
            ic.check_initializer(scheme, layer, activation=name, criterion=criterion)


@SETTINGS
@given(layer=ist.layer_shapes(max_width=32), scheme=ist.initializers())
def test_a_scheme_passes_as_itself(layer: Layer, scheme):
    layer = layer.laid_out("torch" if scheme.library == "torch" else "numpy")
    if scheme.misfit(layer) is None:
        report = ic.check_initializer(scheme, layer, scheme=scheme, raises=False)
        # what ones, eye and the like do to mean and independence is no matter of luck
        assert report.verdicts["variance"] == "pass"
        assert report.verdicts["shape"] == "pass"
        if not scheme.deterministic and not scheme.mean:
            assert report.verdict == "pass", str(report)


@SETTINGS
@given(layer=ist.layer_shapes(max_width=48), factor=st.sampled_from([0.7, 1.4]))
def test_a_scheme_of_another_variance_fails(layer, factor):
    (need,) = needs("relu", layer, "forward")
    std = (factor * need.low) ** 0.5

    def wrong(rng, shape):
        return rng.normal(0, std, shape)

    with pytest.raises(ic.InitializerViolation):
        ic.check_initializer(wrong, layer, activation="relu", criterion="forward")
