"""From failed claims to findings: the first place that is wrong, why, and the fix that was tried.

One finding per cause.  The cause that comes first is mended in fresh copies, which are judged anew by
the same engine: what then passes failed for this cause, what still fails has another one, which is
looked for in the mended model.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_initcheck.causes import why
from pytest_initcheck.config import DRIFT, Limits
from pytest_initcheck.edits import Edit
from pytest_initcheck.evidence import Seen
from pytest_initcheck.findings import (
    Failing,
    Lead,
    failing,
    first_claim,
    measure_of,
    text_of,
    told,
    undecided,
)
from pytest_initcheck.first_wrong import named_site
from pytest_initcheck.outcomes import measured
from pytest_initcheck.remedies import Remedy
from pytest_initcheck.report.result import Finding, Fix
from pytest_initcheck.trace import Trace

MOST_CAUSES = 4
MOST_TRIALS = 8
"""Causes and trials of one model; what is left is told without a trial."""
_DATA_DRIVEN = ("variance", "saturation", "dead-relu", "gradient", "reproducible")
_BEYOND_WEIGHTS = (
    *("raw pixels", "raw columns", "input scale", "input offset", "zero inputs", "cut off"),
    *("activation mismatch", "missing norm"),
)
"""Causes that no draw of the weights mends, though it may hide them."""


@dataclass(frozen=True)
class Bench:
    """What the engine offers to a diagnosis.

    * ``spell`` writes edits as code.
    * ``retry`` judges fresh copies with edits made, or says why it cannot; None where nothing is tried.
    * ``unit_variance`` measures the draw that gives every layer unit variance, on top of edits.
    """

    spell: Callable[[Sequence[Edit], Trace], str]
    retry: Callable[[tuple[Edit, ...]], Seen | str] | None = None
    unit_variance: Callable[[tuple[Edit, ...]], tuple[Edit, ...]] | None = None


def findings_for(seen: Seen, limits: Limits, bench: Bench, *, built: bool) -> tuple[Finding, ...]:
    """Return one finding per cause, and one per invariant that could not be decided."""
    found = _Search(limits, bench).causes_of(seen)
    doubtful = []
    judged = dict.fromkeys(claim.invariant for claim in seen.claims.values())
    for invariant in (name for name in judged if name != DRIFT):
        own = [claim for claim in seen.claims.values() if claim.invariant == invariant]
        open_claims = [claim for claim in own if claim.verdict == "inconclusive"]
        if open_claims and not any(claim.verdict == "fail" for claim in own):
            doubtful.append(undecided(open_claims, seen.trace, limits, built=built))
    return (*found, *doubtful)


# -- causes one after the other ------------------------------------------------------------------


_PASSES, _HELPS, _PARTLY, _UNTRIED, _VAIN = range(5)
"""Outcomes of a trial, the best first.

The lead passes, and so does all else; or others still fail; or others fail only then.
"""


@dataclass(frozen=True)
class _Trial:
    """A fix, how it fared, and what was seen of the mended model."""

    fix: Fix
    rank: int
    after: Seen | None = None


class _Search:
    """Peels causes off a model, one trial after the other."""

    def __init__(self, limits: Limits, bench: Bench) -> None:
        self.limits = limits
        self.bench = bench
        self.trials = 0

    def causes_of(self, seen: Seen) -> tuple[Finding, ...]:
        """Return one finding per cause of the failures that were seen, in the order of causes."""
        first = failing(seen.claims)
        found: dict[Failing, Finding] = {}
        unsolved: set[Failing] = set()
        made: tuple[Edit, ...] = ()
        current, done = seen, set[Failing]()
        while leads := self._leads(current, done):
            lead = leads[0]
            fixes, mended = self._tried(lead, current, made, few=len(found) >= MOST_CAUSES)
            if mended is None:
                gone = {each.key for each in leads if _same_cause(each, lead)}
                unsolved.add(lead.key)
            else:
                edits, after = mended
                gone = set(failing(current.claims)) - set(failing(after.claims))
                made, current = (*made, *edits), after
                for key in gone & unsolved:
                    found.pop(key, None)  # it merely suffered from this cause
            done |= gone | {lead.key}
            if lead.key in first:
                also = _also(lead, gone, first, found.values())
                found[lead.key] = told(
                    replace(lead, group=first[lead.key]), fixes, also, seen, self.limits
                )
            elif found:
                # it fails in the mended model alone: what mends it belongs to the fix before
                key, before = list(found.items())[-1]
                found[key] = _with_fixes(before, fixes)
        return tuple(found.values())

    def _leads(self, seen: Seen, done: set[Failing]) -> list[Lead]:
        leads = []
        for key, group in failing(seen.claims).items():
            if key in done:
                continue
            claim = first_claim(group)
            site = named_site(claim.invariant, measure_of(claim), seen.trace)
            reason = why(claim.invariant, measure_of(claim), seen.trace, site)
            if reason.place is not None:
                site = next((each for each in seen.trace.sites if each.name == reason.place), None)
            leads.append(Lead(key, group, site, reason))
        return sorted(leads, key=lambda lead: _order(lead, seen.trace))

    # -- trials ----------------------------------------------------------------------------------

    def _tried(
        self, lead: Lead, current: Seen, made: tuple[Edit, ...], *, few: bool
    ) -> tuple[tuple[Fix, ...], tuple[tuple[Edit, ...], Seen] | None]:
        """Try remedies until one passes; return all, the best first, and what the best one gave."""
        trials: list[_Trial] = []
        for remedy in (remedy for remedy in lead.reason.remedies if remedy.edits):
            trials.append(self._trial(remedy, lead, current, made, few=few))
            if trials[-1].rank <= _HELPS and not self._is_left(lead, trials[-1].after):
                break
        if min((trial.rank for trial in trials), default=_VAIN) > _HELPS:
            last = self._last_resort(lead, made)
            if last is not None:
                trials.append(self._trial(last, lead, current, made, few=few))
            only_you = "not tried: only you can make this change"
            words = (remedy for remedy in lead.reason.remedies if not remedy.edits)
            trials += [_Trial(self._fix(each, current, None, only_you), _UNTRIED) for each in words]
        trials.sort(key=lambda trial: trial.rank)
        best = next((trial for trial in trials if trial.after is not None), None)
        mended = None
        if best is not None and best.after is not None and best.rank <= _PARTLY:
            mended = best.fix.edits, best.after
        return tuple(trial.fix for trial in trials), mended

    def _is_left(self, lead: Lead, after: Seen | None) -> bool:
        """Tell whether the very fault that was mended is found in another place too."""
        leads = [] if after is None else self._leads(after, set())
        return any(other.reason.cause == lead.reason.cause for other in leads)

    def _trial(
        self, remedy: Remedy, lead: Lead, current: Seen, made: tuple[Edit, ...], *, few: bool
    ) -> _Trial:
        retry = self.bench.retry
        if retry is None:
            return _Trial(self._fix(remedy, current, None, ""), _UNTRIED)
        if few or self.trials >= MOST_TRIALS:
            too_many = "not tried: others were tried before it"
            return _Trial(self._fix(remedy, current, None, too_many), _UNTRIED)
        self.trials += 1
        after = retry((*made, *remedy.edits))
        if isinstance(after, str):
            fix = self._fix(Remedy(remedy.advice), current, None, f"not tried: {after}")
            return _Trial(fix, _UNTRIED)
        left, new = _left(lead, current, after)
        rank = _VAIN if left else _PARTLY if new else _HELPS if failing(after.claims) else _PASSES
        result = self._result(lead, current, after) + (", with the fixes before it" if made else "")
        return _Trial(self._fix(remedy, current, rank <= _HELPS, result, after), rank, after)

    def _last_resort(self, lead: Lead, made: tuple[Edit, ...]) -> Remedy | None:
        """Return the draw that is measured on the inputs, where that does not hide what is wrong."""
        measurable = lead.key[0] in _DATA_DRIVEN and lead.reason.kind not in _BEYOND_WEIGHTS
        if not measurable or self.bench.unit_variance is None or self.trials >= MOST_TRIALS:
            return None
        edits = self.bench.unit_variance(made)
        words = "draw every layer orthogonal, rescaled to unit variance on these inputs"
        return Remedy(words, edits) if edits else None

    def _result(self, lead: Lead, current: Seen, after: Seen) -> str:
        left = failing(after.claims)
        before = {name for name, _ in failing(current.claims)}
        shown = measured(lead.key, after, self.limits)
        figures = f", {shown}" if shown else ""
        if not left and not _undecided(lead, after):
            return f"passes{figures}"
        if lead.key in left:
            return f"{lead.key[0]} still fails{figures}"
        if _undecided(lead, after):
            return f"{lead.key[0]} no longer fails, but is undecided{figures}"
        names = list(dict.fromkeys(name for name, _ in left))
        when = "still" if before.issuperset(names) else "then"
        verb = "fails" if len(names) == 1 else "fail"
        return f"{lead.key[0]} passes{figures}; {' and '.join(names)} {when} {verb}"

    def _fix(
        self, remedy: Remedy, seen: Seen, helped: bool | None, result: str, after: Seen | None = None
    ) -> Fix:
        return Fix(
            remedy.advice,
            self.bench.spell(remedy.edits, seen.trace) if remedy.edits else "",
            remedy.edits,
            seen.trace.framework,
            helped,
            result,
            () if after is None else _curve(seen.trace, after.trace),
        )


def _same_cause(one: Lead, other: Lead) -> bool:
    overflows = one.reason.kind == "undefined operation" and other.key == ("variance", "exploding")
    return overflows or (one.place, one.reason.kind) == (other.place, other.reason.kind)


def _also(
    lead: Lead, gone: Iterable[Failing], first: Iterable[Failing], found: Iterable[Finding]
) -> tuple[str, ...]:
    """Return the other invariants that failed for this cause, in the order of the table."""
    taken = {lead.key[0], *(name for each in found for name in (each.invariant, *each.also))}
    names = {name for name, _ in gone} - taken
    return tuple(dict.fromkeys(name for name, _ in first if name in names))


def _with_fixes(finding: Finding, fixes: tuple[Fix, ...]) -> Finding:
    """Return the finding with a fix that mends what its own fix left: both together come first."""
    partial, then = finding.fixes[0], fixes[0]
    both = replace(
        then,
        advice=f"{partial.advice}; then {then.advice}",
        code=f"{partial.code}\n{then.code}",
        edits=(*partial.edits, *then.edits),
    )
    chosen = (both, *finding.fixes) if then.helped else (*finding.fixes, *fixes)
    return replace(finding, fixes=chosen, fix=text_of(chosen[0]))


def _left(lead: Lead, before: Seen, after: Seen) -> tuple[bool, bool]:
    """Tell whether the lead still fails after an edit, and whether something fails that did not."""
    still = set(failing(after.claims))
    fails = lead.key in still or _undecided(lead, after)
    return fails, bool(still - set(failing(before.claims)))


def _undecided(lead: Lead, after: Seen) -> bool:
    """Tell whether a claim that failed can no longer be decided: that is not mended yet."""
    keys = {(claim.invariant, claim.measure.claim) for claim in lead.group}
    return any(key in keys and c.verdict == "inconclusive" for key, c in after.claims.items())


def _curve(before: Trace, after: Trace) -> tuple[float | None, ...]:
    """Return the second moments after a fix, by the sites before it; () where the sites differ."""
    if [site.name for site in before.sites] != [site.name for site in after.sites]:
        moments = {site.name: site.value.second_moment for site in after.sites}
        found = tuple(moments.get(site.name) for site in before.sites)
        return found if sum(each is None for each in found) <= 2 else ()
    return tuple(site.value.second_moment for site in after.sites)


def _order(lead: Lead, trace: Trace) -> tuple[int, int]:
    """What the model is fed and built of comes first, then the order of execution."""
    if lead.reason.kind == "uninitialised memory":
        return 0, 0
    if lead.key[0] == "inputs":
        return 1, 0
    place = next((s.index for s in trace.sites if s.name == lead.place), None)
    if place is None:
        place = lead.site.index if lead.site is not None else len(trace.sites)
    return 2, place
