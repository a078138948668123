"""The HTML page as text: what is in it, and that nothing of a model is more than text."""

from __future__ import annotations

import dataclasses
import html as escapes
import json
import re
import sys
from html.parser import HTMLParser

import pytest

import pytest_initcheck as ic
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.report import html
from pytest_initcheck.report.course import Course
from pytest_initcheck.report.palette import THEMES, colours, style_variables
from pytest_initcheck.report.result import (
    Finding,
    Fix,
    InvariantResult,
    PreActivations,
    Report,
    SiteRow,
)

ROWS = (
    SiteRow("input", "input", 1.0, 1.0, kind="input", index=0),
    SiteRow("fc", "linear", 0.3, 0.2, kind="linear", index=1, reads=(0,), first_wrong=True),
    SiteRow(
        "fc.relu",
        "relu",
        0.15,
        0.1,
        dead=0.25,
        kind="activation",
        index=2,
        reads=(1,),
        pre_activations=PreActivations((1, 3), -1.0, 1.0, 0.0, None),
    ),
)
FINDING = Finding(
    "variance", "error", "fail", "vanishing", "fc", 0.1, (0.1, 10.0),
    "fc (Linear 8->8): the signal falls", "weights are too small", "draw them larger", "13 of 13",
)  # fmt: skip
MODEL = Report(
    "test_models.py::net",
    "numpy",
    "fail",
    0,
    invariants={"variance": InvariantResult("fail", 13, (0.1, 10.0), "call", note="a note")},
    findings=(FINDING,),
    sites=ROWS,
    inputs="normal(0,1):8",
    claims=3,
    frameworks={"numpy": "2.0", "torch": "2.6"},
    notes=("allow matches nothing",),
    unobserved=("lstm: fused",),
)
EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7 * 7 }}{% raw %}",
    "</script><script>alert(1)</script>",
    "a\u2028b\u2029c",
    "a\x1b[31mb\x00c",
    "a\u202egnp.exe",
    "\ud800",
    "x" * 2000,
    "javascript:alert(1)",
)


def page(*reports: Report, **changes) -> str:
    return html.page(reports, **{"root_seed": 0, "claims": 3, **changes})


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.text += " "
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append(tag)
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.text += " "
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]

    def data(self) -> list[dict]:
        return [
            json.loads(text) for attributes, text in self.scripts if attributes.get("class") == "data"
        ]


def words(text: str) -> str:
    return " ".join(Elements(text).text.split())


# -- what is in it ---------------------------------------------------------------------------------


def test_a_run_without_models():
    text = words(page())
    assert "No model was checked." in text
    assert "@ic.model" in text


def test_a_finding_is_told_whole():
    fix = Fix(
        "draw them larger", "init(w)\ninit(v)", (Edit("fc.weight", "scale", 2.0),), "numpy", True, "1.0x"
    )
    finding = dataclasses.replace(
        FINDING,
        kind="init gain",
        place="fc (Linear 8->8)",
        detail="over 3 layers",
        costs="learns slowly",
        also=("gradient",),
        fixes=(fix, Fix("scale the inputs", helped=False, result="still falls"), Fix("ask the author")),
    )
    text = words(page(dataclasses.replace(MODEL, findings=(finding,))))
    for part in (
        "variance fails fc (Linear 8->8) : the signal falls",
        "The same cause fails gradient too.",
        "Seen over 3 layers",
        "Why init gain. weights are too small",
        "Costs learns slowly",
        "Fix draw them larger init(w) init(v) ✓ tried, helps 1.0x",
        "scale the inputs ✕ tried, does not help still falls",
        "ask the author – not tried",
        "Proof 13 of 13",
    ):
        assert part in text


def test_a_known_finding_shows_its_reason():
    known = dataclasses.replace(FINDING, severity="known", verdict="known", reason="goes <b> with v2")
    found = page(dataclasses.replace(MODEL, verdict="known", findings=(known,)))
    text = words(found)
    assert "≈ variance known" in text
    assert "Kept goes <b> with v2" in text
    assert "1 of 1 models fails in known ways only" in text
    assert 'value="known"' in found


def test_a_finding_without_fixes_shows_its_fix():
    assert "Fix draw them larger Proof" in words(page(MODEL))


def test_a_finding_leads_to_its_site():
    links = [each.get("href") for each in Elements(page(MODEL)).tags("a")]
    assert "#model-test-models-py-net--site-1" in links


def test_everything_else_that_a_report_says():
    text = words(page(MODEL))
    for part in (
        "0.1 to 10",
        "a note",
        "allow matches nothing",
        "lstm: fused",
        "normal(0,1):8",
        "numpy 2.0",
    ):
        assert part in text
    assert "torch 2.6" not in text


def test_a_model_in_error():
    broken = Report("m", None, "error", 0, error="it raised", error_traceback="File 1\n  <module>")
    text = words(page(broken))
    assert "it raised" in text
    assert "File 1 <module>" in text
    assert "1 of 1 models could not be judged" in text


def test_examples_of_a_family_have_sections_of_their_own():
    reports = [dataclasses.replace(MODEL, example=f"mlp(depth={depth})") for depth in (3, 12)]
    found = Elements(page(*reports, dataclasses.replace(MODEL, id="other", verdict="pass", findings=())))
    anchors = [each["id"] for each in found.tags("section") if each.get("class") == "model"]
    assert len(set(anchors)) == 3
    assert "mlp(depth=12)" in found.text
    assert "1 of 2 models does not start" in " ".join(found.text.split())


def test_the_worst_come_first_and_ids_are_unique():
    verdicts = ("pass", "inconclusive", "fail", "error")
    reports = [
        Report("same", None, each, 0, error="no" if each == "error" else None) for each in verdicts
    ]
    found = Elements(page(*reports))
    sections = [each for each in found.tags("section") if each.get("class") == "model"]
    assert [each["data-verdict"] for each in sections] == ["error", "fail", "inconclusive", "pass"]
    ids = [attributes["id"] for _, attributes in found.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_many_models_are_shown_closed():
    def opened(count: int) -> int:
        found = Elements(page(*(dataclasses.replace(MODEL, id=str(k)) for k in range(count))))
        details = [
            attributes
            for (tag, attributes), (before, _) in zip(found.found[1:], found.found, strict=False)
            if tag == "details" and before == "section"
        ]
        return sum("open" in each for each in details)

    assert opened(3) == 3
    assert opened(4) == 0


def test_the_columns_are_in_it_and_histograms_by_site():
    (data,) = Elements(page(MODEL)).data()
    assert data["columns"]["second_moment"] == [1.0, 0.3, 0.15]
    assert data["columns"]["dead"] == [None, None, 0.25]
    assert "gradient" not in data["columns"]
    assert data["wrong"] == 1
    assert data["histograms"]["2"]["bin_shares"] == [0.25, 0.75]


def test_an_interrupted_run_says_so():
    text = words(page(MODEL, course=Course(12, 5, "interrupted by KeyboardInterrupt")))
    assert "interrupted by KeyboardInterrupt: 5 of 12 items of declared models ran" in text
    assert "did not come to its end" not in words(page(MODEL))


def test_plotly_is_in_it_once_and_nothing_is_asked_of_a_network():
    text = page(MODEL, dataclasses.replace(MODEL, id="other"))
    assert text.count("plotly.js v") == 1
    found = Elements(text)
    loads = [
        (tag, name, value)
        for tag, attributes in found.found
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data")
        and not (value or "").startswith(("#", "data:"))
    ]
    assert loads == []
    assert "default-src 'none'" in escapes.unescape(text)
    assert not re.search(r"@import|url\(", "".join(t for a, t in found.scripts if not a.get("id")))


# -- texts of others -------------------------------------------------------------------------------


def hostile(evil: str) -> Report:
    finding = dataclasses.replace(
        FINDING, message=evil, cause=evil, fix=evil, proof=evil, kind=evil, place=evil, detail=evil,
        costs=evil, also=(evil,), site=evil, fixes=(Fix(evil, evil, result=evil),),
    )  # fmt: skip
    return dataclasses.replace(
        MODEL,
        id=evil,
        example=evil,
        inputs=evil,
        findings=(finding,),
        sites=tuple(dataclasses.replace(row, name=evil, op=evil) for row in ROWS),
        invariants={"variance": InvariantResult("fail", 13, (None, 1.0), evil, note=evil)},
        notes=(evil,),
        unobserved=(evil,),
        frameworks={"numpy": evil},
    )


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_is_text(evil):
    tame, text = page(hostile("name")), page(hostile(evil))
    expected, found = Elements(tame), Elements(text)
    # the same elements, with the same attributes, whatever the names
    assert [(tag, sorted(attributes)) for tag, attributes in found.found] == [
        (tag, sorted(attributes)) for tag, attributes in expected.found
    ]
    assert html.plain(evil) in found.text
    assert all(char.isprintable() or char in "\n\r\t" for char in found.text)
    (data,) = found.data()
    assert data["columns"]["name"] == [html.plain(evil)] * 3


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_errors_are_text(evil):
    text = page(Report(evil, None, "error", 0, error=evil, error_traceback=f"{evil}\n{evil}"))
    tame = page(Report("name", None, "error", 0, error="name", error_traceback="name\nname"))
    assert [tag for tag, _ in Elements(text).found] == [tag for tag, _ in Elements(tame).found]


def test_the_test_of_hostile_text_can_fail():
    unescaped = page(MODEL).replace("the signal falls", EVIL[1])
    assert [tag for tag, _ in Elements(unescaped).found] != [
        tag for tag, _ in Elements(page(MODEL)).found
    ]


def test_plotly_is_told_names_that_it_shows_literally():
    (data,) = Elements(page(hostile("<b>&amp;</b>"))).data()
    shown = data["labels"]["alias"]["1"]
    assert "<" not in shown
    assert escapes.unescape(shown) == "<b>&amp;</b>"


@pytest.mark.parametrize("evil", EVIL)
def test_anchors_are_plain(evil):
    (section,) = html.sections([hostile(evil)])
    assert re.fullmatch(r"model-[A-Za-z0-9-]*", section.anchor)


# -- notebooks and missing libraries ---------------------------------------------------------------


@pytest.mark.parametrize("evil", ["name", *EVIL])
def test_a_notebook_shows_a_fragment_without_scripts(evil):
    text = hostile(evil)._repr_html_()
    found = Elements(text)
    assert not found.tags("script")
    assert len(found.tags("svg")) == 1
    assert html.plain(evil) in found.text


def test_a_notebook_shows_errors_and_models_without_sites():
    assert "it raised" in words(Report("m", None, "error", 0, error="it raised")._repr_html_())
    assert "m" in words(Report("m", None, "pass", 0)._repr_html_())


def test_without_the_extra_a_notebook_shows_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    text = hostile("<script>")._repr_html_()
    assert text.startswith("<pre>")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("library", ["jinja2", "plotly"])
def test_without_the_extra_a_page_says_how_to_install_it(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"python -m pip install 'pytest-initcheck\[html\]'"):
        page(MODEL)


def test_a_real_report_makes_a_page():
    def network(rng):
        return [(rng.normal(0, 0.1, (32, 32)), None, "tanh") for _ in range(3)]

    report = ic.check(network, inputs=ic.normal(32))
    (data,) = Elements(page(report)).data()
    assert len(data["histograms"]) == 3
    assert {"gradient", "expected_low", "spread_high"} <= set(data["columns"])


# -- colours ---------------------------------------------------------------------------------------

TEXTS = {
    "page": ("text", "muted", "accent"),
    "surface": ("text", "muted", "accent", "wrong", "fail"),
    "raised": ("text", "muted"),
    "inconclusive-tint": ("text", "inconclusive"),
    "pass-tint": ("pass",),
    "fail-tint": ("fail", "text"),
    "error-tint": ("error",),
}
CURVES = ("signal", "centred", "fixed", "gradient", "saturated", "dead", "wrong", "matched")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_curves_can_be_told_from_what_is_behind_them(theme):
    found = colours(theme)
    for ground, names in TEXTS.items():
        for name in names:
            ratio = contrast(found[f"colour-{name}"], found[f"colour-{ground}"])
            assert ratio >= 4.5, f"{name} on {ground} in {theme}: {ratio:.2f}"
    for name in CURVES:
        assert contrast(found[f"colour-{name}"], found["colour-surface"]) >= 3, name


def test_the_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_style_sheet_knows_every_colour_that_it_uses():
    known = {line.split(":")[0] for line in style_variables().splitlines()}
    for name in ("page.css", "notebook.css"):
        used = set(re.findall(r"var\((--[\w-]+)\)", html._text(name))) - {"--mono"}
        assert used <= known
