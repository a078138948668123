"""The suite itself: its references are right, and each of its claims fails where a probe is wrong."""

from __future__ import annotations

import dataclasses
import math
import types

import numpy as np
import pytest

from pytest_initcheck import conformance
from pytest_initcheck.conformance import probe_claims as all_claims
from pytest_initcheck.conformance.agreement import Disagreement, close, equal, same_moments
from pytest_initcheck.conformance.reading import Reading
from pytest_initcheck.conformance.reference import moments, reference
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.probes import numpy as numpy_probe
from pytest_initcheck.probes.protocol import FUNCTIONS
from pytest_initcheck.probes.readouts import readouts
from pytest_initcheck.trace import Glimpse, Moments

NAMES = [network.name for network in conformance.NETWORKS]


def layers(network, weights):
    """The dense ReLU network as a list of layers."""
    return [
        (weights[f"{layer}.kernel"].copy(), weights[f"{layer}.bias"].copy(), which)
        for layer, which in (("first", "relu"), ("second", "relu"), ("head", None))
    ]


# -- the references --------------------------------------------------------------------------------


def forward(network, weights, x):
    reading = Reading(weights)
    return network.forward(reading, reading.input(x)).value


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_reference_are_those_of_finite_differences(name):
    network = conformance.network(name)
    weights = {key: value.astype(np.float64) for key, value in network.weights().items()}
    x = network.batch().astype(np.float64)
    cotangent, _, _ = readouts(reference(network, 3).output.shape, 3)

    def readout(key, step):
        return float((forward(network, {**weights, key: weights[key] + step}, x) * cotangent).sum())

    for weight in reference(network, 3).weights:
        shape = weights[weight.name].shape
        total = 0.0
        for index in np.ndindex(*shape):
            step = np.zeros(shape)
            step[index] = 1e-6
            total += ((readout(weight.name, step) - readout(weight.name, -step)) / 2e-6) ** 2
        assert total == pytest.approx(weight.gradient, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_no_reference_hangs_on_float32(name):
    """No value is so near a kink, a tie or a saturation bound that rounding decides."""
    network = conformance.network(name)
    weights = {key: value.astype(np.float64) for key, value in network.weights().items()}
    steps = network.read(weights, network.batch().astype(np.float64)).steps
    for step in steps:
        before = steps[step.reads[0]].value if step.reads else step.value
        if step.activation == "relu":
            assert np.abs(before).min() > 1e-5
        elif step.activation in ("tanh", "sigmoid"):
            slope = 1 - step.value**2 if step.activation == "tanh" else 4 * step.value * (1 - step.value)
            assert np.abs(slope - 0.05).min() > 1e-5


def test_a_network_is_the_same_wherever_it_is_drawn():
    network = conformance.network("mlp")
    first, again, other = network.weights(), network.weights(), network.weights(seed=1)
    assert all((first[key] == again[key]).all() for key in first)
    assert not any((first[key] == other[key]).all() for key in first)
    assert {value.dtype for value in first.values()} == {np.dtype(np.float32)}
    assert first["second.bias"][3] == -8


def test_the_networks_show_what_claims_look_for():
    references = [reference(network, 3) for network in conformance.NETWORKS]
    sites = [site for each in references for site in each.sites]
    assert any(site.dead for site in sites)
    assert any(site.saturated for site in sites if site.kind == "activation")
    assert any(site.saturated for site in sites if site.kind == "softmax")
    assert any(site.coverage < 1 for site in sites)
    for network in conformance.NETWORKS:
        assert len(set(network.batch().shape)) == network.batch().ndim  # no axis is taken for another
        assert network.text


# -- the claims ------------------------------------------------------------------------------------


def test_claims_are_named_and_run_one_by_one():
    found = conformance.claims(numpy_probe, layers, only=("mlp",))
    names = [str(claim) for claim in found]
    assert len(set(names)) == len(names)
    assert "protocol is complete" in names
    assert "mlp: sites have their moments" in names
    for claim in found:
        claim()


def test_two_lines_of_pytest_are_enough(pytester):
    pytester.makepyfile(
        """
        import pytest
        from pytest_initcheck import conformance
        from pytest_initcheck.probes import numpy as probe

        def build(network, weights):
            names = ("first", "relu"), ("second", "relu"), ("head", None)
            return [(weights[f"{n}.kernel"].copy(), weights[f"{n}.bias"].copy(), phi) for n, phi in names]

        @pytest.mark.parametrize("claim", conformance.claims(probe, build, only=("mlp",)), ids=str)
        def test_the_probe_conforms(claim):
            claim()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    count = len(conformance.claims(numpy_probe, layers, only=("mlp",)))
    result.assert_outcomes(passed=count)


def test_an_unknown_network_is_one_line():
    with pytest.raises(ConfigError, match="no reference network 'mpl'; did you mean 'mlp'"):
        conformance.claims(numpy_probe, layers, only=("mpl",))


def test_without_gradients_there_are_no_claims_about_them():
    names = [str(c) for c in conformance.claims(numpy_probe, layers, only=("mlp",), gradients=False)]
    assert "mlp: gradients agree" not in names
    assert "mlp: sites have their moments" in names


def probe_with(**changed):
    """The numpy probe with some of its functions replaced."""
    functions = {name: getattr(numpy_probe, name) for name in FUNCTIONS}
    return types.SimpleNamespace(FRAMEWORK="numpy", **{**functions, **changed})


def traces(change):
    """A probe whose traces are changed."""

    def trace(model, call, **how):
        return change(numpy_probe.trace(model, call, **how))

    return probe_with(trace=trace)


def site(index, **changed):
    """A probe that says something else of one site."""

    def change(trace):
        sites = list(trace.sites)
        fields = {k: v(getattr(sites[index], k)) for k, v in changed.items()}
        sites[index] = dataclasses.replace(sites[index], **fields)
        return dataclasses.replace(trace, sites=tuple(sites))

    return traces(change)


def field(name, value):
    return traces(lambda trace: dataclasses.replace(trace, **{name: value(getattr(trace, name))}))


def of(**changed):
    """Change fields of a dataclass."""
    return lambda old: dataclasses.replace(old, **{k: v(getattr(old, k)) for k, v in changed.items()})


def first(**changed):
    return lambda items: (of(**changed)(items[0]), *items[1:])


def writing(model, call, **how):
    model[0][0][0, 0] += 1
    return numpy_probe.trace(model, call, **how)


def unseeded(model, edits, call=None):
    for edit in edits:
        model[2][0][:] = np.random.default_rng().normal(size=model[2][0].shape)
        assert edit.kind


def blind(model, call, **how):
    return Glimpse(True, numpy_probe.glimpse(model, call, **how).length)


def forgiving(model, call, **how):
    try:
        return numpy_probe.trace(model, call, **how)
    except ModelError:
        return None


def silent(model, edits, call=None):
    try:
        numpy_probe.apply(model, edits, call)
    except ModelError:
        return


def halved(model, edits, call=None):
    numpy_probe.apply(
        model, [dataclasses.replace(e, values=tuple(v / 2 for v in e.values)) for e in edits], call
    )


WRONG = {
    "protocol_is_complete": probe_with(spell=None),
    "owns_its_models_and_nothing_else": probe_with(owns=lambda model: True),
    "says_its_framework": field("framework", lambda old: "torch"),
    "draws_leave_the_global_state_to_the_user": probe_with(apply=unseeded),
    "leaves_the_model_as_it_was": probe_with(trace=writing),
    "the_same_seed_gives_the_same_trace": field(
        "parameters", first(mean=lambda old: old + np.random.default_rng().random())
    ),
    "fingerprints_tell_draws_apart": probe_with(
        fingerprints=lambda model: numpy_probe.fingerprints([(w * 0 + 1, b, p) for w, b, p in model])
    ),
    "sites_have_kinds_in_order": site(2, kind=lambda old: "other"),
    "sites_read_what_they_read": site(2, reads=lambda old: (0,)),
    "sites_have_their_units": site(2, units=lambda old: old + 1),
    "sites_have_their_moments": site(3, value=of(second_moment=lambda old: old * (1 + 3e-5))),
    "saturated_and_dead_shares_agree": site(4, dead=lambda old: 0.0),
    "weights_have_their_fans": site(1, weight=of(fan_out=lambda old: old + 1)),
    "inputs_are_described": field("inputs", first(largest_index=lambda old: old + 1)),
    "nothing_is_unobserved": field("unobserved", lambda old: (("layer", "a reason"),)),
    "parameters_have_their_roles": field("parameters", first(multiplicative=lambda old: False)),
    "a_glimpse_agrees_with_the_trace": probe_with(
        glimpse=lambda *args, **how: of(length=lambda old: 2 * old)(numpy_probe.glimpse(*args, **how))
    ),
    "a_weight_that_is_not_finite_is_seen": probe_with(glimpse=blind),
    "a_dead_layer_is_seen": probe_with(glimpse=blind),
    "inputs_of_a_wrong_shape_are_one_line": probe_with(trace=forgiving),
    "gradients_agree": field("gradient", of(common=lambda old: old * (1 + 3e-5))),
    "parameters_have_their_gradients": field("parameters", first(gradient=lambda old: old * 1.01)),
    "sites_have_their_gradients": site(3, gradient=lambda old: None),
    "the_seed_decides_the_readout": probe_with(
        trace=lambda *args, **how: numpy_probe.trace(*args, **{**how, "seed": 3})
    ),
    "edits_change_what_they_say": probe_with(apply=halved),
    "edits_are_spelled": probe_with(spell=lambda edits, parameters: "model.mend()"),
    "an_edit_of_what_is_not_there_is_an_error": probe_with(apply=silent),
}


@pytest.mark.parametrize(("claim", "probe"), WRONG.items(), ids=WRONG)
def test_every_claim_fails_where_a_probe_is_wrong(claim, probe):
    name = claim.replace("_", " ")
    found = [c for c in conformance.claims(probe, layers, only=("mlp",)) if str(c).endswith(name)]
    assert len(found) == 1
    with pytest.raises(Disagreement) as error:
        found[0]()
    assert "\n" not in str(error.value)


def test_every_claim_is_shown_to_fail():
    groups = (all_claims.ONCE, all_claims.EACH, all_claims.GRADIENTS, all_claims.RECTIFIED)
    assert {check.__name__ for group in groups for check in group} == set(WRONG)


def test_a_disagreement_says_where_and_what():
    found = Moments(4, 0.0, 1.0, 1.0, -1.0, 1.0, 0)
    with pytest.raises(Disagreement, match=r"second moment: 1, the reference has 1\.1"):
        same_moments("site 1", found, dataclasses.replace(found, second_moment=1.1))
    with pytest.raises(Disagreement, match="site 1: nothing was measured"):
        same_moments("site 1", None, found)
    with pytest.raises(Disagreement, match="length: nan"):
        close("length", math.nan, 1.0)
    close("length", math.nan, math.nan)


def test_equal_is_to_the_last_bit():
    assert equal(Edit("fill", ("a",), (math.nan,)), Edit("fill", ("a",), (math.nan,)))
    assert not equal((1.0,), (1.0 + 1e-15,))
    assert not equal((1.0,), (1.0, 2.0))
    assert moments(np.array([[1.0], [3.0]])) == Moments(2, 2.0, 5.0, 1.0, 1.0, 3.0, 0)
