"""One model in one process: judged once, asked for by each of its invariants.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_initcheck.baseline.applied import asked_of, compared
from pytest_initcheck.config import CALL_OPTIONS, DRIFT, RunOptions, check_marker, resolve, selected
from pytest_initcheck.declare import Allow, Declaration
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.origins import relative
from pytest_initcheck.parametrize import resolved_inputs
from pytest_initcheck.report.first_line import finding_about, headline, what_first
from pytest_initcheck.report.layout import LIBRARY, USUAL, Door, Layout
from pytest_initcheck.report.ledger import Entry, without_ini_notes
from pytest_initcheck.report.result import Report
from pytest_initcheck.report.terminal import render

if TYPE_CHECKING:
    from pytest_initcheck.families import Explored, Family
    from pytest_initcheck.subject import Watch


@dataclass(frozen=True)
class Outcome:
    """What an item says: its verdict, the text that explains it, and what a short summary says of it."""

    verdict: str
    text: str
    report: Report | None = None
    summary: str = ""


@dataclass(frozen=True)
class Asker:
    """The item that asks for an outcome.

    * ``layout`` and ``door`` are those of its text.
    * ``others`` has the ids of this model's items that run, by invariant: a cause that several share is
      told by one of them.
    * ``watch`` is told how far a check has come.
    """

    id: str
    layout: Layout = USUAL
    door: Door = LIBRARY
    others: Mapping[str, str] = field(default_factory=dict)
    watch: Watch | None = None


@dataclass
class ModelRun:
    """A model with everything that its verdicts depend on.

    * ``marks`` are the keyword arguments of its ``initcheck`` markers, the nearest first.
    * ``arguments`` were fixed by parametrize; ``factory`` has them bound already.

    Raises ConfigError for a marker that cannot be.
    """

    id: str
    name: str
    factory: Any
    declaration: Declaration
    options: RunOptions
    marks: tuple[Mapping[str, Any], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    _report: Report | None = None
    _family: Family | None = None
    _error_shown_by: str | None = None
    _watch: Watch | None = None
    statistics: str = ""
    updating: bool = False

    def __post_init__(self) -> None:
        for mark in self.marks:
            check_marker((), mark)
        self.strict = bool(self.marked("strict", self.options.strict))
        self.only = self.declaration.only or self.marked("only", None)
        self.limits = resolve(
            ("decorator", self.declaration.limits),
            *(("marker", _limits_of(mark)) for mark in self.marks),
            ("ini", self.options.limits),
        )
        self.invariants = selected(self.only or None, self.limits)
        baseline = self.options.baseline
        self.updating = baseline is not None and baseline.updating
        if self.options.compared_with is not None and not self._is_family():
            self.invariants = (*self.invariants, DRIFT)

    def marked(self, keyword: str, otherwise: Any) -> Any:
        """Return what the nearest marker that has this keyword says."""
        return next((mark[keyword] for mark in self.marks if mark.get(keyword) is not None), otherwise)

    def outcome(self, invariant: str, asker: Asker, entry: Entry) -> Outcome:
        """Return what this invariant's item says, and put what was evaluated into its entry.

        The first that asks shows an error of the model, others point to it.
        """
        self._watch = asker.watch
        if self._is_family():
            return self._family_outcome(invariant, asker, entry)
        if self._report is None:
            self._report = self._judged({}, self._inputs())
        self._add(entry, self._report)
        return self._single_outcome(self._report, invariant, asker)

    # -- one model -------------------------------------------------------------------------------

    def _single_outcome(self, report: Report, invariant: str, asker: Asker) -> Outcome:
        if report.error is not None:
            return self._error(report, invariant, asker)
        verdict = report.invariants[invariant].verdict
        if verdict != "fail":
            return Outcome(verdict, headline(report, invariant), report)
        finding = finding_about(report, invariant)
        shared = finding is not None and finding.invariant != invariant
        elsewhere = asker.others.get(finding.invariant, "") if finding is not None and shared else ""
        text = render(report, invariant, asker.layout, asker.door, elsewhere)
        return Outcome(verdict, text, report, what_first(report, invariant))

    def _error(self, report: Report, invariant: str, asker: Asker) -> Outcome:
        self._error_shown_by = self._error_shown_by or asker.id
        if self._error_shown_by == asker.id:
            text, summary = render(report, None, asker.layout), what_first(report, invariant)
        else:
            text = f"{self.id} could not be judged: see {self._error_shown_by}"
            summary = f"could not be judged: see {self._error_shown_by}"
        return Outcome("error", text, report, summary)

    def _add(self, entry: Entry, report: Report) -> None:
        report, used = without_ini_notes(report, self.options.allows)
        entry.add(report)
        entry.used_allows |= used

    def _inputs(self) -> Any:
        inputs = self.declaration.inputs
        return resolved_inputs(inputs, self.arguments) if self.arguments else inputs

    def _judged(self, drawn: Mapping[str, Any], inputs: Any, tries: bool = True) -> Report:
        from pytest_initcheck.engine import Subject, judge
        from pytest_initcheck.inputs import DEFAULT_BATCH

        declaration = self.declaration
        more = self.marked("ignore_sites", ())
        globs = (more,) if isinstance(more, str) else tuple(more)
        subject = Subject(
            factory=self.factory,
            id=self.id,
            inputs=inputs,
            example=dict(drawn) or None,
            only=tuple(name for name in self.invariants if name != DRIFT) if self.only else None,
            limits=self.limits,
            mode=self.marked("mode", "train") if declaration.mode == "train" else declaration.mode,
            root_seed=self.options.root_seed,
            batch=self.marked("batch", self.options.batch) or DEFAULT_BATCH,
            allows=(*declaration.allows, *(Allow(*fields) for fields in self.options.allows)),
            ignore_sites=(*declaration.ignore_sites, *globs),
            strict=self.strict,
            loss=declaration.loss,
            plots=self.options.html_path is not None,
            tries=tries,
            **({} if self._is_family() else asked_of(self.options.baseline, self.id)),
        )
        try:
            report = judge(subject, self._watch)
        except ConfigError as error:
            report = Report(self.id, None, "error", self.options.root_seed, error=str(error))
        report = self._placed(report)
        # what a family keeps is known once its examples have been shrunk
        return report if self._is_family() and self.updating else self._compared(report)

    def _compared(self, report: Report) -> Report:
        return compared(self.options.baseline, report, drifts=not self._is_family())

    def _placed(self, report: Report) -> Report:
        path = relative(self.declaration.path, self.options.root)
        return replace(report, path=path, line=self.declaration.line)

    # -- a family --------------------------------------------------------------------------------

    def _is_family(self) -> bool:
        if self.declaration.family is not None:
            return True
        if "hypothesis" not in sys.modules:
            return False
        from pytest_initcheck.families import is_strategy

        return is_strategy(self.declaration.inputs)

    def _family_outcome(self, invariant: str, asker: Asker, entry: Entry) -> Outcome:
        from pytest_initcheck.families import Family

        if self._family is None:
            self._family = Family(
                name=self.name,
                strategies=self.declaration.family or {},
                inputs=self.declaration.inputs,
                judge=self._judged,
                fixed=self.arguments,
                settings=self.declaration.settings,
                key=f"{self.options.root_seed} {self.id}",
                strict=self.strict,
            )
        explored = self._family.explore(invariant)
        if explored.report is not None and self.updating:
            report = self._compared(explored.report)
            kept = report.invariants.get(invariant)
            known = explored.verdict == "fail" and kept is not None and kept.verdict == "known"
            explored = replace(explored, report=report, verdict="known" if known else explored.verdict)
        self.statistics = explored.statistics
        if explored.report is not None:
            self._add(entry, explored.report)
        entry.claims[self.id] = dict(self._family.claims)
        return self._explored_outcome(explored, invariant, asker)

    def _explored_outcome(self, explored: Explored, invariant: str, asker: Asker) -> Outcome:
        report = explored.report
        if report is None:
            error = Report(self.id, None, "error", self.options.root_seed, error=explored.error)
            report = self._placed(error)
        if explored.verdict in ("error", "fail"):
            return self._single_outcome(report, invariant, asker)
        text = headline(report, invariant)
        if explored.verdict == "inconclusive":
            shown = explored.undecided[0]
            text = (
                f"{invariant} INCONCLUSIVE {self.id}  {len(explored.undecided)} of {explored.examples} "
                f"examples could not be decided, for example {shown}"
            )
        return Outcome(explored.verdict, text, report)


def _limits_of(mark: Mapping[str, Any]) -> dict[str, Any]:
    return {keyword: value for keyword, value in mark.items() if keyword not in CALL_OPTIONS}


def with_inputs(declaration: Declaration, inputs: Any) -> Declaration:
    """Return the declaration with other inputs, unless None is given."""
    return declaration if inputs is None else replace(declaration, inputs=inputs)
