"""What is wrong with one weight layer, and the changes that mend it and those like it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math

from pytest_initcheck import theory
from pytest_initcheck.edits import merged
from pytest_initcheck.invariants.length_map import matched_range
from pytest_initcheck.misfits import OFF, found_std, misfit, needs, range_of
from pytest_initcheck.remedies import (
    Remedy,
    Why,
    advice,
    centred,
    drawn,
    effective_fan_in,
    filled,
    input_name,
    matched_gain,
    standardised,
)
from pytest_initcheck.runs import (
    LINEAR,
    Layer,
    activation_after,
    exempt_inputs,
    path_layers,
    reads_through,
    signal_path,
)
from pytest_initcheck.trace import Parameter, Site, Trace

FOREIGN = 1e4
"""Root mean square of a weight that no scheme draws: what was in memory."""


def why_layer(trace: Trace, site: Site, invariant: str, direction: str | None) -> Why | None:
    """Return what is wrong with this layer's weight, bias or input; None if nothing is."""
    weight = site.weight
    if weight is None:
        return Why("unseen weight", "its weight was not seen", advice("show the weight to the check"))
    layer = layer_of(trace, site)
    after = layer.followed_by if layer is not None else activation_after(trace, site) or "identity"
    low, high = matched_range(layer) if layer is not None else range_of(after)
    smallest = invariant == "saturation"
    found = why_own(trace, site) or _why_mean(trace, site, after, smallest)
    if found is not None:
        return found
    # too small a weight saturates nothing and explodes nothing, too large a one lets nothing vanish
    too_large = weight.sigma_w2 > OFF * high and direction != "vanishing"
    too_small = weight.sigma_w2 < low / OFF and direction != "exploding" and not smallest
    if too_large or too_small:
        alike = _alike(trace, site, after, too_large=too_large)
        more = f"; {len(alike)} more {'layer' if len(alike) == 1 else 'layers'} like it" if alike else ""
        kind, who = misfit(weight, after)
        return Why(
            kind,
            f"{found_std(weight)}{who}; {needs(weight, after)}{more}",
            tuple(_draws(trace, weight, alike, after, smallest, head=direction == "exploding")),
        )
    return _why_read(trace, site, after, invariant, direction)


def layer_of(trace: Trace, site: Site) -> Layer | None:
    """Return the layer of the signal path that this site is, None for others and the head."""
    return next((item for item in path_layers(trace) if item.site.index == site.index), None)


def why_own(trace: Trace, site: Site) -> Why | None:
    """Return what is wrong with a layer whatever reads it: zeros, constants, memory, its bias."""
    weight = site.weight
    if weight is None:
        return None
    after = activation_after(trace, site) or "identity"
    if weight.constant:
        cause = f"its weights are all equal ({weight.mean:.3g}): its units compute the same"
        if weight.second_moment == 0:
            cause = "its weights are all zero"
        return Why("constant weights", cause, _instead_of_constants(trace, weight, after))
    if not weight.second_moment < FOREIGN**2:
        return Why(
            "uninitialised memory",
            f"its weights have root mean square {math.sqrt(weight.second_moment):.3g}, as memory has "
            "that was never written to",
            (drawn([weight], after),),
        )
    return _offset(trace, site)


def _instead_of_constants(trace: Trace, weight: Parameter, after: str) -> tuple[Remedy, ...]:
    """Return the draw of this weight alone, and with it of all that hold the same constant.

    A head or a branch that starts at zero does so on purpose, if it is the only one in its way.
    """
    others = {
        site.weight.name: (site.weight, activation_after(trace, site) or "identity")
        for site in trace.sites
        if site.kind in LINEAR
        and site.weight is not None
        and site.weight.constant
        and site.weight.mean == weight.mean
        and site.weight.name != weight.name
    }
    alone = drawn([weight], after)
    if not others:
        return (alone,)
    names = f"{weight.name} and the {len(others)} others that hold {weight.mean:.3g}"
    more = (drawn([other], behind).edits for other, behind in others.values())
    edits = (*alone.edits, *(edit for each in more for edit in each))
    return alone, Remedy(f"draw {names}", merged(edits))


def _why_mean(trace: Trace, site: Site, after: str, smallest: bool) -> Why | None:
    weight = site.weight
    assert weight is not None
    if 2 * weight.mean**2 <= weight.second_moment:
        return None
    alike = [
        each.site.weight
        for each in path_layers(trace)
        if each.site.weight is not None
        and each.site.index > site.index
        and each.followed_by == after
        and 2 * each.site.weight.mean**2 > each.site.weight.second_moment
    ]
    return Why(
        "weights with a mean",
        f"its weights have mean {weight.mean:.3g} and standard deviation "
        f"{math.sqrt(weight.second_moment - weight.mean**2):.3g}: every unit sees the same sum",
        tuple(_draws(trace, weight, alike, after, smallest)),
    )


def _draws(
    trace: Trace,
    weight: Parameter,
    alike: list[Parameter],
    after: str,
    smallest: bool,
    *,
    head: bool = False,
) -> list[Remedy]:
    """Return the draw of a weight and those like it, and one of every layer that is followed alike.

    * ``head``: a head that is too large is drawn with them.
    """
    first = drawn([weight, *alike], after, smallest=smallest)
    known = {weight.name, *(each.name for each in alike)}
    last = _large_head(trace, known) if head else None
    if last is not None:
        more = drawn([last], "identity")
        both = (*first.edits, *more.edits)
        return [Remedy(f"{first.advice}, and {more.advice.removeprefix('draw ')}", both)]
    found = [first]
    if smallest and matched_gain(after) > OFF * matched_gain(after, smallest=True):
        found.append(drawn([weight, *alike], after))
    others = {
        layer.site.weight.name: layer.site.weight
        for layer in path_layers(trace)
        if layer.followed_by == after and layer.site.weight is not None
    }
    if set(others) <= known:
        return found
    every = [weight, *alike, *(each for name, each in others.items() if name not in known)]
    return [*found, drawn(every, after, smallest=smallest)]


def _large_head(trace: Trace, known: set[str]) -> Parameter | None:
    """Return the weight of the last layer of the path where its variance is too large."""
    heads = [s.weight for s in signal_path(trace) if s.kind in LINEAR and s.weight is not None]
    if not heads or heads[-1].name in known or heads[-1].sigma_w2 <= OFF:
        return None
    return heads[-1]


def _why_read(trace: Trace, site: Site, after: str, invariant: str, direction: str | None) -> Why | None:
    """The weights are as they should be: look at what the layer reads, and what it makes of it."""
    weight = site.weight
    assert weight is not None
    found = why_raw(trace, site)
    if found is not None:
        return found
    length = site.value.second_moment
    if invariant == "saturation":
        return Why(
            "input scale" if site.reads else "init gain",
            f"its pre-activations have standard deviation {math.sqrt(length):.3g}; {found_std(weight)}",
            (
                _draws(trace, weight, [], after, smallest=True)[-1],
                Remedy("use a smaller gain or smaller inputs, or set a larger limit"),
            ),
        )
    chi = theory.chi_1(after, weight.sigma_w2, q=length) if math.isfinite(length) else 1.0
    if direction == "vanishing" and chi < 0.5:
        return Why(
            "init gain",
            f"with this gain {after} passes {chi:.2g} of the squared gradient per layer",
            (
                *_draws(trace, weight, [], after, smallest=False)[-1:],
                Remedy("use an activation that passes more, or normalisation"),
            ),
        )
    return None


def why_raw(trace: Trace, site: Site) -> Why | None:
    """Return what is wrong with the input that this layer reads; None where it reads no input."""
    read = trace.sites[site.reads[0]] if site.reads else site
    if read.kind not in ("input", "cast") or read.index in exempt_inputs(trace):
        return None
    value, name = read.value, input_name(trace, read)
    if value.second_moment > 4 and value.mean**2 < 0.75 * value.second_moment:
        size = math.sqrt(value.second_moment)
        return Why(
            "input scale",
            f"its input is large: root mean square {size:.3g}, where the init assumes about 1",
            (standardised(name, value),),
        )
    if 4 * value.batch_variance < value.second_moment:
        spread = math.sqrt(max(value.batch_variance, 0.0))
        return Why(
            "input offset",
            f"its input is not centred: mean {value.mean:.3g} against a spread of {spread:.3g}",
            (centred(name, value), standardised(name, value)),
        )
    if value.second_moment > 4:
        return Why(
            "input scale",
            f"its input is large: mean {value.mean:.3g}, root mean square "
            f"{math.sqrt(value.second_moment):.3g}, where the init assumes about 0 and 1",
            (standardised(name, value),),
        )
    return None


def _alike(trace: Trace, site: Site, after: str, *, too_large: bool) -> list[Parameter]:
    """Return the weights of later layers that are off in the same way.

    Those on the signal path; for a layer beside it, as in a residual branch, all before its activation.
    """
    found: dict[str, Parameter] = {}
    if layer_of(trace, site) is not None or after == "identity":
        layers = [
            (each.site, matched_range(each)) for each in path_layers(trace) if each.followed_by == after
        ]
    else:
        beside = (each for each in trace.sites if each.kind in LINEAR)
        layers = [(each, range_of(after)) for each in beside if activation_after(trace, each) == after]
    for each, (low, high) in layers:
        weight = each.weight
        if weight is None or each.index <= site.index or weight == site.weight:
            continue
        if weight.sigma_w2 > OFF * high if too_large else weight.sigma_w2 < low / OFF:
            found.setdefault(weight.name, weight)
    if site.weight is not None:
        found.pop(site.weight.name, None)
    return list(found.values())


def _offset(trace: Trace, site: Site) -> Why | None:
    """Tell whether the bias outweighs what matched weights would make of the input."""
    bias = site.bias
    made = offset_from(trace, site)
    if bias is None or made is None:
        return None
    size = math.sqrt(bias.second_moment)
    # behind a large bias the same one outweighs nothing, and is the same mistake
    alike = [
        other.bias
        for other in trace.sites
        if other.kind in LINEAR
        and other.index > site.index
        and other.bias is not None
        and math.isclose(other.bias.second_moment, bias.second_moment, rel_tol=0.2)
        and math.isclose(other.bias.mean, bias.mean, abs_tol=0.1 * size)
    ]
    more = f"; {len(alike)} more {'layer' if len(alike) == 1 else 'layers'} like it" if alike else ""
    who = f"set {bias.name}{f' and {len(alike)} more' if alike else ''} to 0"
    return Why(
        "bias offset",
        f"its bias ({bias.mean:.3g} on average, root mean square {size:.3g}) outweighs what the weights "
        f"make of the input (standard deviation {made:.3g}){more}",
        (filled(f"{who}: a unit then starts where its input decides", [bias, *alike], 0.0),),
    )


def offset_from(trace: Trace, site: Site) -> float | None:
    """Return the standard deviation that a bias outweighs, None if it does not."""
    bias, weight = site.bias, site.weight
    if bias is None or weight is None or not site.reads:
        return None
    layer = layer_of(trace, site)
    after = activation_after(trace, site) or reads_through(trace, site)
    high = (matched_range(layer) if layer is not None else range_of(after))[1]
    read = trace.sites[site.reads[0]].value.second_moment
    # a layer behind dead ones reads nothing; what a matched input would be is for its own layer to say
    made = max(weight.sigma_w2, high) * read
    return None if bias.second_moment <= made or effective_fan_in(weight) < 1 else math.sqrt(made)
