"""What any probe has to satisfy, a function for each claim. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pytest_initcheck.conformance.agreement import (
    NOTHING,
    close,
    equal,
    require,
    same,
    same_moments,
)
from pytest_initcheck.conformance.edit_claims import (
    an_edit_of_what_is_not_there_is_an_error,
    edits_are_spelled,
    edits_change_what_they_say,
)
from pytest_initcheck.conformance.reference import Expected
from pytest_initcheck.conformance.subject import (
    MODE,
    SEED,
    Subject,
    as_before,
    kernel_of,
    narrowed,
    seed_all,
    with_first,
)
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.protocol import incomplete
from pytest_initcheck.trace import Site

# -- the protocol ----------------------------------------------------------------------------------


def protocol_is_complete(subject: Subject) -> None:
    lack = incomplete(subject.probe)
    require(lack is None, f"the probe {lack}")


def owns_its_models_and_nothing_else(subject: Subject) -> None:
    owns = subject.probe.owns
    require(owns(subject.model()), "owns() denies the model")
    for other in (None, 5, "model", object(), {}, [], (), type("Model", (), {})):
        require(not owns(other), f"owns() claims {other!r}")


def says_its_framework(subject: Subject) -> None:
    same("framework", subject.traced.framework, subject.probe.FRAMEWORK)
    same("batch", subject.traced.batch, len(subject.network.batch()))


# -- what is left as it was ------------------------------------------------------------------------


def leaves_the_model_as_it_was(subject: Subject) -> None:
    model = subject.model()
    before = subject.probe.fingerprints(model)
    subject.trace(model)
    subject.glimpse(model)
    require(before == subject.probe.fingerprints(model), "a trace changed the parameters")


def draws_leave_the_global_state_to_the_user(subject: Subject) -> None:
    """What the framework draws after a seed is the same, whatever was traced or drawn in between."""
    probe, name = subject.probe, subject.parameter(kernel_of(subject)).name

    def drawn(between: Callable[[], object]) -> object:
        model = subject.model()
        seed_all(subject)
        between()
        probe.apply(model, [Edit("draw", (name,), (0.5,))], subject.call())
        return probe.fingerprints(model)

    def kept() -> None:
        with as_before(subject):
            probe.apply(subject.model(), [Edit("draw", (name,), (0.5,))], subject.call())

    with as_before(subject):
        wanted = drawn(lambda: None)
        require(wanted == drawn(lambda: None), "seed() does not decide what is drawn")
        require(wanted == drawn(kept), "preserved() does not put the global random state back")
        with_trace = drawn(lambda: _preserved_trace(subject))
        require(wanted == with_trace, "a trace within preserved() changes what is drawn afterwards")


def _preserved_trace(subject: Subject) -> None:
    with as_before(subject):
        subject.trace(subject.model())


def the_same_seed_gives_the_same_trace(subject: Subject) -> None:
    model = subject.model()
    require(equal(subject.trace(model), subject.trace(model)), "two traces of one seed differ")
    require(equal(subject.trace(subject.model()), subject.trace(model)), "a copy has another trace")


def fingerprints_tell_draws_apart(subject: Subject) -> None:
    fingerprints = subject.probe.fingerprints
    first = fingerprints(subject.model())
    same("parameters with a fingerprint", len(first), len(subject.network.shapes))
    require(len({each.name for each in first}) == len(first), "two fingerprints have one name")
    require(first == fingerprints(subject.model()), "equal weights have different fingerprints")
    other = fingerprints(subject.build(subject.network, subject.network.weights(seed=1)))
    moved = [one.digest != two.digest for one, two in zip(first, other, strict=True)]
    require(all(moved), "two draws have equal fingerprints")
    require(not any(each.constant for each in first), "what was drawn is called constant")


# -- the sites -------------------------------------------------------------------------------------


def sites_have_kinds_in_order(subject: Subject) -> None:
    found = [(site.kind, site.activation) for site in subject.traced.sites]
    wanted = [(site.kind, site.activation) for site in subject.reference.sites]
    same("sites", [kind for kind, _ in found], [kind for kind, _ in wanted])
    same("activations", [name for _, name in found], [name for _, name in wanted])


def sites_read_what_they_read(subject: Subject) -> None:
    for place, site, wanted in _sites(subject):
        same(f"{place}, index", site.index, subject.traced.sites.index(site))
        same(f"{place}, reads", sorted(site.reads), sorted(wanted.reads))
    same("output", subject.traced.output, len(subject.traced.sites) - 1)
    same("logits", subject.traced.logits, subject.traced.output)


def sites_have_their_units(subject: Subject) -> None:
    """Channels, not rows of an image: sides and channels all differ."""
    for place, site, wanted in _sites(subject):
        same(f"{place}, units", site.units, wanted.units)


def sites_have_their_moments(subject: Subject) -> None:
    for place, site, wanted in _sites(subject):
        same_moments(place, site.value, wanted.value)


def saturated_and_dead_shares_agree(subject: Subject) -> None:
    for place, site, wanted in _sites(subject):
        _same_share(f"{place}, saturated", site.saturated, wanted.saturated)
        _same_share(f"{place}, dead", site.dead, wanted.dead)


def weights_have_their_fans(subject: Subject) -> None:
    for place, site, wanted in _sites(subject):
        if wanted.kernel is None:
            continue
        require(site.weight is not None, f"{place}: no weight was seen")
        assert site.weight is not None
        same(f"{place}, fans", (site.weight.fan_in, site.weight.fan_out), wanted.fans)
        same(f"{place}, weight", site.weight.name, subject.parameter(wanted.kernel).name)
        close(f"{place}, taps inside the image", site.coverage, wanted.coverage)


def inputs_are_described(subject: Subject) -> None:
    same("inputs", len(subject.traced.inputs), 1)
    columns = subject.traced.inputs[0]
    x = subject.network.batch().astype(np.float64)
    same_moments("the inputs", columns.value, subject.reference.sites[0].value)
    sizes = np.sqrt((x**2).mean(tuple(range(x.ndim - 1))))
    close("smallest column", columns.smallest_column, float(sizes.min()))
    close("largest column", columns.largest_column, float(sizes.max()))
    same("largest column's index", columns.largest_index, int(sizes.argmax()))
    same("smallest column's index", columns.smallest_index, int(sizes.argmin()))


def nothing_is_unobserved(subject: Subject) -> None:
    same("unobserved", subject.traced.unobserved, ())


def parameters_have_their_roles(subject: Subject) -> None:
    same("parameters", len(subject.traced.parameters), len(subject.network.shapes))
    for weight in subject.reference.weights:
        found = subject.parameter(weight.name)
        same(f"{weight.name}, multiplicative", found.multiplicative, weight.multiplicative)
        same(f"{weight.name}, used", found.used, True)
        same(f"{weight.name}, trainable", found.trainable, True)
        same(f"{weight.name}, non-finite", found.non_finite, 0)


def a_glimpse_agrees_with_the_trace(subject: Subject) -> None:
    seen = subject.glimpse(subject.model())
    require(seen.quiet, "a good network is not quiet")
    length = float((subject.reference.output**2).mean())
    close("length of the output", seen.length, length)
    close("length of the traced output", subject.traced.sites[-1].value.second_moment, length)


# -- gradients -------------------------------------------------------------------------------------


def gradients_agree(subject: Subject) -> None:
    found, wanted = subject.traced.gradient, subject.reference.gradient
    require(found is not None, "no gradient was taken")
    assert found is not None
    close("gradient of differences", found.difference, wanted.difference)
    close("gradient of what is common", found.common, wanted.common)
    same("matrices", (found.live_matrices, found.matrices), (wanted.live_matrices, wanted.matrices))
    same("non-finite gradients", found.non_finite, ())
    close("first over last", found.first_over_last, wanted.first_over_last)


def parameters_have_their_gradients(subject: Subject) -> None:
    whole = sum(weight.gradient for weight in subject.reference.weights)
    for weight in subject.reference.weights:
        found = subject.parameter(weight.name).gradient
        if weight.gradient < NOTHING * whole:  # a bias of the logits moves no difference
            require(found < NOTHING * whole, f"{weight.name}, gradient: {found:.9g}, it should be 0")
        else:
            close(f"{weight.name}, gradient", found, weight.gradient)


def sites_have_their_gradients(subject: Subject) -> None:
    for place, site, wanted in _sites(subject):
        if wanted.gradient is not None and wanted.gradient.second_moment > 0:
            same_moments(f"{place}, gradient", site.gradient, wanted.gradient)


def the_seed_decides_the_readout(subject: Subject) -> None:
    other = subject.trace(subject.model(), seed=SEED + 1).gradient
    require(other is not None, "no gradient was taken")
    assert other is not None
    wanted = subject.reference.gradient.difference
    require(abs(other.difference / wanted - 1) > 1e-3, "another seed has the same readout")


# -- what is wrong is seen -------------------------------------------------------------------------


def a_weight_that_is_not_finite_is_seen(subject: Subject) -> None:
    model = with_first(subject, kernel_of(subject), math.nan)
    require(not subject.glimpse(model).quiet, "a glimpse does not see NaN")
    trace = subject.trace(model)
    name = subject.parameter(kernel_of(subject)).name
    found = next(p for p in trace.parameters if p.name == name)
    same("non-finite entries", found.non_finite, 1)
    require(trace.sites[-1].value.non_finite > 0, "the output of NaN is finite")


def a_dead_layer_is_seen(subject: Subject) -> None:
    assert subject.network.off is not None
    bias = subject.network.off[0]
    off = np.full(subject.network.shapes[bias], -100.0, np.float32)
    model = subject.model(**{bias.replace(".", "__"): off})
    require(not subject.glimpse(model).quiet, "a glimpse does not see a dead layer")
    trace = subject.trace(model)
    require(1.0 in [site.dead for site in trace.sites], "no site is wholly dead")


def inputs_of_a_wrong_shape_are_one_line(subject: Subject) -> None:
    model, call = subject.model(), narrowed(subject).call()
    for name in ("trace", "glimpse"):
        try:
            getattr(subject.probe, name)(model, call, mode=MODE, seed=SEED)
        except ModelError as error:
            message = str(error)
        else:
            message = ""
        require(message, f"{name} accepts inputs that lack a unit")
        require("\n" not in message, f"{name}: more than one line: {message!r}")


def _sites(subject: Subject) -> list[tuple[str, Site, Expected]]:
    found, wanted = subject.traced.sites, subject.reference.sites
    same("number of sites", len(found), len(wanted))
    return [
        (f"site {site.index} {site.name!r} ({expected.kind})", site, expected)
        for site, expected in zip(found, wanted, strict=True)
    ]


def _same_share(where: str, found: float | None, wanted: float | None) -> None:
    if found is None or wanted is None:
        same(where, found, wanted)
    else:
        close(where, found, wanted, 1.0)


ONCE = (
    protocol_is_complete,
    owns_its_models_and_nothing_else,
    says_its_framework,
    draws_leave_the_global_state_to_the_user,
    an_edit_of_what_is_not_there_is_an_error,
    edits_change_what_they_say,
    edits_are_spelled,
)
"""Claims about the probe: one network shows them."""

RECTIFIED = (a_dead_layer_is_seen,)
"""Claims about networks that have a unit which can be switched off."""

EACH = (
    leaves_the_model_as_it_was,
    the_same_seed_gives_the_same_trace,
    fingerprints_tell_draws_apart,
    sites_have_kinds_in_order,
    sites_read_what_they_read,
    sites_have_their_units,
    sites_have_their_moments,
    saturated_and_dead_shares_agree,
    weights_have_their_fans,
    inputs_are_described,
    nothing_is_unobserved,
    parameters_have_their_roles,
    a_glimpse_agrees_with_the_trace,
    a_weight_that_is_not_finite_is_seen,
    inputs_of_a_wrong_shape_are_one_line,
)
"""Claims about every network."""

GRADIENTS = (
    gradients_agree,
    parameters_have_their_gradients,
    sites_have_their_gradients,
    the_seed_decides_the_readout,
)
"""Claims about every network, where the framework can differentiate it."""
