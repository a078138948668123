"""The HTML report: one file that asks nothing of a network, and the repr of a Report in notebooks.

jinja2 and plotly, the extra ``html``, are imported when a page is made.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest_initcheck
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.report import figures
from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.figure_values import bins, columns, first_wrong, labels, site_label
from pytest_initcheck.report.json import finite
from pytest_initcheck.report.outline import Curve, curve
from pytest_initcheck.report.palette import THEMES, colours, style_variables
from pytest_initcheck.report.prose import number, plain, share
from pytest_initcheck.report.result import VERDICT_ORDER, Report
from pytest_initcheck.report.terminal import render
from pytest_initcheck.report.wording import described, headline, limits, parted, place_of
from pytest_initcheck.sequential import claim_error_bound

if TYPE_CHECKING:
    import jinja2

_FEW = 3
"""So many models are shown opened."""
_TEMPLATES = files(__package__).joinpath("templates")


def check_installed() -> None:
    """Raise ConfigError with the install command unless the extra ``html`` is there."""
    if any(importlib.util.find_spec(name) is None for name in ("jinja2", "plotly")):
        raise ConfigError(figures.NOT_INSTALLED)


# -- a page ----------------------------------------------------------------------------------------


def page(reports: Iterable[Report], *, root_seed: int, claims: int, course: Course = WHOLE) -> str:
    """Return the page of a run: an overview, then a section per model, the worst first.

    * ``claims`` and ``course`` as in the JSON report.

    Raises ConfigError without the extra ``html``.

    >>> "No model was checked" in page([], root_seed=0, claims=0)
    True
    """
    check_installed()
    models = sections(reports)
    script, plotly = _text("page.js"), _plotly()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            models=models,
            title=headline([model.report for model in models]),
            verdicts=Counter(model.report.verdict for model in models),
            frameworks=_frameworks(models),
            version=pytest_initcheck.__version__,
            root_seed=root_seed,
            claims=claims,
            error_bound=claims * claim_error_bound(),
            course=course,
            style=_raw(_text("page.css").replace("/* colours */", style_variables())),
            script=_raw(script),
            plotly=_raw(plotly),
            palettes=embedded({theme: colours(theme) for theme in THEMES}),
            policy=_policy(script, plotly),
            histogram=embedded(figures.histogram()),
        )
    )


@dataclass(frozen=True)
class Section:
    """One model in a page.

    * ``anchor`` is the id of its section, ``search`` what the filter looks at.
    * ``data`` are its columns and figures as JSON for a script element.
    * ``places`` has the row of each site by its name.
    """

    report: Report
    anchor: str
    search: str
    opened: bool
    curve: Curve | None
    data: Any
    keys: tuple[tuple[str, str], ...]
    places: Mapping[str, int]
    histograms: tuple[tuple[int, str], ...]
    chosen: int | None
    described: str

    @property
    def title(self) -> str:
        return plain(self.report.id)


def sections(reports: Iterable[Report]) -> tuple[Section, ...]:
    """Return the sections of these reports, the worst verdict first, with an anchor of its own each.

    >>> reports = [Report("a b", None, "pass", 0), Report("a?b", None, "fail", 0)]
    >>> [each.anchor for each in sections(reports)]
    ['model-a-b', 'model-a-b-2']
    """
    ordered = sorted(
        reports, key=lambda each: (VERDICT_ORDER.index(each.verdict), each.id, each.example or "")
    )
    taken: Counter[str] = Counter()
    found = []
    for report in ordered:
        name = "model-" + re.sub(r"[^A-Za-z0-9]+", "-", f"{report.id} {report.example or ''}").strip("-")
        taken[name] += 1
        anchor = name if taken[name] == 1 else f"{name}-{taken[name]}"
        found.append(_section(report, anchor, opened=len(ordered) <= _FEW))
    return tuple(found)


def _section(report: Report, anchor: str, *, opened: bool) -> Section:
    figure = figures.propagation(report)
    shown = {place: row.pre_activations for place, row in enumerate(report.sites)}
    histograms = {place: bins(seen) for place, seen in shown.items() if seen is not None}
    wrong = first_wrong(report)
    texts = (report.id, report.example, report.framework, report.error, *_finding_texts(report))
    return Section(
        report=report,
        anchor=anchor,
        search=plain(" ".join(text for text in texts if text)).lower(),
        opened=opened,
        curve=curve(report, 120, 28),
        data=embedded(
            {
                "columns": columns(report),
                "labels": labels(report),
                "figure": figure,
                "wrong": wrong,
                "histograms": histograms,
            }
        ),
        keys=tuple(dict.fromkeys((trace["meta"], trace["name"]) for trace in figure["data"])),
        places={row.name: place for place, row in reversed(list(enumerate(report.sites)))},
        histograms=tuple((place, site_label(report.sites[place])) for place in histograms),
        chosen=next((place for place in histograms if place >= (wrong or 0)), None),
        described=described(report),
    )


def _finding_texts(report: Report) -> Iterable[str]:
    for finding in report.findings:
        yield f"{finding.invariant} {finding.message} {finding.kind}"


def _frameworks(models: Iterable[Section]) -> dict[str, str]:
    return {
        name: version
        for model in models
        for name, version in sorted(model.report.frameworks.items())
        if name == model.report.framework
    }


# -- a notebook ------------------------------------------------------------------------------------


def fragment(report: Report) -> str:
    """Return the report as a piece of HTML without scripts; as text without the extra ``html``.

    >>> fragment(Report("<m>", None, "pass", 0)).count("&lt;m&gt;") > 0
    True
    """
    if importlib.util.find_spec("jinja2") is None:
        return f"<pre>{html.escape(render(report))}</pre>"
    return (
        _environment()
        .get_template("notebook.html.j2")
        .render(
            report=report,
            curve=curve(report, 560, 150),
            described=described(report),
            style=_raw(_text("notebook.css").replace("/* colours */", style_variables())),
        )
    )


# -- parts of a file -------------------------------------------------------------------------------


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "plain": plain,
        "number": number,
        "share": share,
        "limits": limits,
        "parted": parted,
        "place_of": place_of,
    }
    return environment


def _text(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    # no end tag of its own may end the element that it is in
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("</script", r"<\/script")


def _raw(text: str) -> Any:
    """Return text of our own that is not to be escaped."""
    from markupsafe import Markup

    return Markup(text)


_IN_A_SCRIPT = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}


def embedded(content: Mapping[str, Any]) -> Any:
    """Return the content as JSON that may stand in a script element, whatever texts are in it."""
    text = json.dumps(finite(content), separators=(",", ":"), ensure_ascii=False)
    return _raw(re.sub("[<>&\u2028\u2029]", lambda found: _IN_A_SCRIPT[found[0]], text))


def _policy(*scripts: str) -> str:
    """Return a policy that lets the page run these scripts and load nothing."""
    digests = (hashlib.sha256(text.encode()).digest() for text in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"
