"""Failed claims in words: what was found and needed, why, and the code that mends it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_initcheck.activations import Array
from pytest_initcheck.evidence import Claim, Claims
from pytest_initcheck.initializer_check.causes import explained, fix, formula
from pytest_initcheck.initializer_check.dependence import Copies, copies
from pytest_initcheck.initializer_check.forms import Form
from pytest_initcheck.initializer_check.measures import Asked, second_moment, spread
from pytest_initcheck.initializers.matching import Need
from pytest_initcheck.initializers.recogniser import Match
from pytest_initcheck.report.result import Finding
from pytest_initcheck.sentences import Said


def findings_of(
    claims: Claims,
    weights: Sequence[Array],
    asked: Asked,
    form: Form,
    recognised: tuple[Match, ...],
    activation: str | None,
) -> tuple[Finding, ...]:
    """Return a finding per claim that failed or could not be decided."""
    say = _Say(weights, asked, form, recognised, activation)
    return tuple(say.finding(claim) for claim in _told(claims, say.copies))


def _told(claims: Claims, seen: Copies | None) -> Iterator[Claim]:
    """The claims to tell of: equal units span few directions, and few directions look like copies."""
    both = all(claims[("independence", name)].verdict == "fail" for name in ("copies", "directions"))
    follows = "directions" if seen is None or seen.exact else "copies"
    # copies make everything else fluctuate, so they are told first
    for claim in sorted(claims.values(), key=lambda claim: claim.measure.claim != "copies"):
        if both and claim.measure.claim == follows:
            continue
        if claim.verdict in ("fail", "inconclusive"):
            yield claim


class _Say:
    """What one check has to say about its claims."""

    def __init__(
        self,
        weights: Sequence[Array],
        asked: Asked,
        form: Form,
        recognised: tuple[Match, ...],
        activation: str | None,
    ) -> None:
        self.weights, self.asked, self.form = weights, asked, form
        self.recognised, self.activation = recognised, activation
        self.moment = second_moment(weights)
        self.luck = spread(weights, self.moment)
        found = (copies(w, asked.layer, within=False) for w in weights[:16])
        self.copies = next((each for each in found if each is not None), None)

    def finding(self, claim: Claim) -> Finding:
        measure = claim.violating or claim.measure
        said, cause, mend = {
            "variance": self._variance,
            "mean": self._mean,
            "copies": self._copies,
            "directions": self._directions,
            "shape": self._shape,
        }[measure.claim](measure.value or 0.0)
        walk = claim.walk
        if claim.one_look:
            proof = "it draws the same weights for every seed: one look decides"
        else:
            proof = (
                f"{walk.violations} of {walk.replicates} replicates outside the widened limit; "
                "p < 4e-13 for a correct init"
            )
            if claim.verdict != "fail":
                proof = f"{walk.violations} of {walk.replicates} replicates outside: undecided"
        return Finding(
            invariant=claim.invariant,
            severity="error" if claim.verdict == "fail" else "warning",
            verdict=claim.verdict,
            direction=measure.direction,
            site=None,
            value=measure.value,
            limit=measure.limit,
            message=said.short,
            detail=said.detail,
            cause=cause,
            fix=mend,
            proof=proof,
        )

    # -- one sentence each -----------------------------------------------------------------------

    def _variance(self, value: float) -> tuple[Said, str, str]:
        asked = self.asked
        aim = asked.needs[0]  # the others do as well; one is told how to reach
        found = explained(self.moment, self.luck, aim, asked.needs, asked.layer, self.form)
        shown = f"{self.moment:.3g}" + (f" = {found.formula}" if found and self.moment else "")
        needed = f"{aim.low:.3g}" + (f" to {aim.high:.3g}" if aim.high > aim.low * 1.01 else "")
        said = Said(
            f"Var w is {self.moment:.3g}, needed {needed}", f"Var w is {shown}; {self._needed()}"
        )
        if found is None:
            times = math.sqrt(self.moment / aim.high) if aim.high else math.inf
            cause = f"its standard deviation is {times:.3g} times what is needed{self._looks()}"
        else:
            cause = f"{found.cause}{self._looks(found.variance)}"
        mend = fix(aim, asked.layer, self.form, self._for_fix())
        return said, cause, mend + (found.fix if found else "")

    def _for_fix(self) -> str | None:
        return None if self.asked.needs[0].criterion == "scheme" else self.activation

    def _looks(self, variance: float | None = None) -> str:
        """The scheme that the first draw looks like, of this variance if one has it."""
        layer = self.asked.layer
        named = [match for match in self.recognised if not match.fitted]
        of_it = [
            match
            for match in named
            if variance and math.isclose(match.scheme.layer_variance(layer), variance, rel_tol=1e-6)
        ]
        first = next(iter((*of_it, *named, *self.recognised)), None)
        if first is None:
            return ""
        default = ", PyTorch's default" if "default" in first.note else ""
        return f" (looks like {first.scheme.name}{default})"

    def _needed(self) -> str:
        needs = self.asked.needs
        if needs[0].criterion == "scheme" and self.asked.scheme is not None:
            return f"{self.asked.scheme.name} gives {_range(needs[0])}"
        told: dict[str, list[str]] = {}
        for need in needs:
            told.setdefault(_range(need), []).append(need.criterion)
        if len(told) == 1:
            return f"{self.activation} needs {next(iter(told))}"
        ways = [f"{text} ({', '.join(names)})" for text, names in told.items()]
        return f"{self.activation} needs {' or '.join(ways)}"

    def _mean(self, value: float) -> tuple[Said, str, str]:
        mean = sum(float(w.mean()) for w in self.weights) / len(self.weights)
        share = f"fan_in mean^2 / E[w^2] is {value:.3g}, needed is 0"
        return (
            Said(f"the weights have mean {mean:.3g}", share),
            f"the draw is not centred, so all units move together{self._looks()}",
            "draw around 0, for example uniform(-bound, bound) instead of uniform(0, bound)",
        )

    def _copies(self, value: float) -> tuple[Said, str, str]:
        found = self.copies
        if found is None:
            return Said("some units are copies of others"), "not seen in the last replicate", ""
        first, second = found.pair
        cause = f"{found.what} {first} and {second} are {'' if found.exact else 'nearly '}equal"
        layer = self.asked.layer
        each = layer.units // layer.blocks
        group = layer.units // layer.groups
        if found.what == "units" and layer.blocks > 1 and (second - first) % each == 0:
            cause = f"blocks {first // each} and {second // each} of {layer.blocks} are copies"
        elif found.what == "units" and layer.groups > 1 and (second - first) % group == 0:
            cause = f"groups {first // group} and {second // group} of {layer.groups} are copies"
        if self.weights[0].min() == self.weights[0].max():
            cause = "all weights are equal: every unit computes the same and receives the same gradient"
        else:
            cause += ": one seed or one draw was used twice"
        return (
            Said(f"{found.share:.0%} of the {found.what} are copies"),
            cause,
            "draw the whole weight at once, or each part from a generator of its own",
        )

    def _directions(self, value: float) -> tuple[Said, str, str]:
        return (
            Said(
                f"units span {value:.3g}x too few directions",
                f"the units span {value:.3g} times fewer directions than independent ones",
            ),
            "rows depend on each other: a product of thin factors, or one draw that is shared",
            "draw every row by itself",
        )

    def _shape(self, value: float) -> tuple[Said, str, str]:
        scheme = self.asked.scheme
        assert scheme is not None
        std = math.sqrt(self.moment) or 1.0
        reach = max(float(abs(w).max()) for w in self.weights) / std
        native = self.asked.native or self.asked.layer
        law = scheme.marginal(native)
        high = law.support[1]
        wanted = math.sqrt(scheme.layer_variance(native)) or 1.0
        limit = high / wanted if math.isfinite(high) else math.inf
        bounded = f"; {scheme.name} ends at {limit:.3g}" if math.isfinite(limit) else ""
        far = f"the largest weight is {reach:.3g} standard deviations from 0{bounded}"
        said = Said(f"not distributed as {scheme.name}", far)
        cause = f"another distribution is drawn{self._looks()}"
        cut = scheme.draw in ("truncated_normal", "bounded_normal")
        mend = ""
        if cut and reach > 1.01 * limit:
            cause = (
                f"nothing is cut here{self._looks()}; trunc_normal_'s own a and b are values, not "
                "standard deviations, and lie far out where weights are small"
            )
            mend = (
                f"nn.init.trunc_normal_(weight, std={law.scale:.4g}, a={law.low:.4g}, b={law.high:.4g})"
                if self.form.layout == "torch"
                else f"draw with std {law.scale:.4g} and cut at {law.low:.4g} and {law.high:.4g}"
            )
        return said, cause, mend


def _range(need: Need) -> str:
    high = f"{need.high:.3g} = {formula(need.high_gain**2, need.fan)}"
    if need.high <= need.low * 1.01:
        return high
    return f"{need.low:.3g} to {high}"
