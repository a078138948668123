"""The page in a browser: quiet, drawn, filtered, linked, and the same by keyboard."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from pytest_initcheck.report.terminal import plain

VANISHING = "model-models-py-vanishing"
GOOD = "model-models-py-good"
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "end of script": "</script><script>alert(1)</script>",
    "svg": "<svg onload=alert(1)>",
    "link": "<a href='javascript:alert(1)'>click</a>",
    "placeholder": "@second_moment",
    "template": "%{y} {{ 7 * 7 }}",
    "line separator": "a\u2028b\u2029c",
    "escape": "a\x1b[31mred\x07",
    "right to left": "a\u202egnp.exe",
    "long": "layer." * 200,
    "entity": "&lt;b&gt;",
}


def shown(visit) -> list[str]:
    """The ids of the models that are shown."""
    found: list[str] = visit.page.eval_on_selector_all(
        ".model", "all => all.filter(each => each.checkVisibility()).map(each => each.id)"
    )
    return found


def open_everything(visit) -> None:
    visit.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    for plot in visit.page.query_selector_all(".plot"):
        plot.scroll_into_view_if_needed()
    visit.until(
        "[...document.querySelectorAll('.plot')].every(each => each.querySelector('svg.main-svg'))"
    )


# -- it asks nothing of anyone, and says nothing on the console ------------------------------------


def test_a_page_is_quiet_with_everything_opened(visit, reports):
    with visit(reports.four()) as seen:
        open_everything(seen)
        seen.page.click("#theme")
        seen.page.fill("#find", "vanishing")


@pytest.mark.parametrize(
    "body",
    [
        "<script>console.error('no')</script>",
        "<script>throw new Error('no')</script>",
        "<script>alert(1)</script>",
        "<img src='http://127.0.0.1:9/pixel.png'>",
    ],
    ids=["console", "error", "dialog", "request"],
)
def test_the_watch_can_fail(visit, body):
    with visit(f"<!doctype html><meta charset=utf-8><body>{body}", strict=False) as seen:
        seen.page.wait_for_timeout(200)
        assert seen.wrong


def test_the_policy_of_the_page_stops_what_escaping_would_miss(visit, reports):
    unescaped = reports.four().replace(
        "it raised &lt;no&gt;", "<img src=x onerror=alert(1)><script>alert(1)</script>"
    )
    with visit(unescaped, strict=False) as seen:
        seen.page.wait_for_timeout(200)
        assert "dialog" not in seen.wrong
        assert any("Content Security Policy" in said for said in seen.wrong)


def test_without_scripts_verdicts_and_findings_are_there(visit, reports):
    with visit(reports.four(), scripts=False) as seen:
        seen.page.click(f"#{VANISHING} summary")
        assert seen.page.is_visible(f"#{VANISHING} .finding")
        assert "need JavaScript" in seen.page.inner_text("noscript")


# -- plots -----------------------------------------------------------------------------------------


def test_plots_are_drawn_when_a_model_is_opened(visit, reports):
    with visit(reports.four()) as seen:
        assert seen.page.query_selector("svg.main-svg") is None
        assert not seen.page.evaluate("'Plotly' in window")
        seen.page.click(f"#{VANISHING} summary")
        seen.drawn(f"#{VANISHING}")
        assert seen.page.query_selector(f"#{GOOD} svg.main-svg") is None
        names = seen.page.eval_on_selector(
            f"#{VANISHING} .propagation", "plot => plot.data.map(trace => trace.name)"
        )
        assert {
            "second moment", "centred variance", "what a matched init does", "spread over seeds",
            "after the fix", "first wrong site", "gradient", "dead units",
        } <= set(names)  # fmt: skip
        paths = seen.page.query_selector_all(f"#{VANISHING} .propagation .scatterlayer path.js-line")
        assert len(paths) >= 4
        told = seen.page.text_content(f"#{VANISHING} .propagation .annotation")
        assert told == "first wrong: 0 (linear)"


def test_few_models_are_drawn_at_once(visit, reports):
    with visit(reports.page(reports.good())) as seen:
        seen.drawn()


def test_the_histogram_is_that_of_the_chosen_activation(visit, reports):
    with visit(reports.page(reports.vanishing())) as seen:
        plot = seen.page.locator(".plot.reads")
        plot.scroll_into_view_if_needed()
        seen.page.wait_for_selector(".reads .bars path", state="attached")
        before = plot.get_attribute("aria-label")
        seen.page.select_option(".choose select", label="7.relu")
        seen.until("document.querySelector('.reads').ariaLabel.includes('7.relu')")
        assert plot.get_attribute("aria-label") != before
        assert re.search(r"About \d+", seen.page.inner_text(".outside"))
        assert len(seen.page.query_selector_all(".reads .bars path")) == 48


def test_the_pointer_is_told_the_name_and_all_figures_of_a_site(visit, reports):
    with visit(reports.page(reports.vanishing())) as seen:
        seen.drawn()
        plot = seen.page.locator(".propagation")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
        seen.page.wait_for_selector(".hoverlayer .legendtext")
        text = " ".join(seen.page.locator(".hoverlayer text").all_text_contents())
        for part in ("second moment", "centred variance", "dead units"):
            assert part in text
        assert re.match(r"\d+(\.relu| \(linear\))", text)


# -- filter and links ------------------------------------------------------------------------------


def test_the_filter_by_verdict(visit, reports):
    with visit(reports.four()) as seen:
        assert len(shown(seen)) == 4
        seen.page.uncheck("input[value='fail']")
        assert VANISHING not in shown(seen)
        assert seen.page.inner_text("#shown") == "3 of 4 shown"
        for verdict in ("error", "inconclusive", "pass"):
            seen.page.uncheck(f"input[value='{verdict}']")
        assert shown(seen) == []
        seen.page.check("input[value='pass']")
        assert shown(seen) == [GOOD]
        rows = seen.page.locator(".overview tbody tr:visible")
        assert rows.count() == 1


def test_the_filter_by_text(visit, reports):
    with visit(reports.four()) as seen:
        for words, count in (
            ("VANISH", 1),
            ("models.py", 4),
            ("variance vanishing", 1),
            ("nothing like it", 0),
        ):
            seen.page.fill("#find", words)
            assert len(shown(seen)) == count
        assert seen.page.inner_text("#shown") == "0 of 4 shown"
        seen.page.fill("#find", "")
        assert len(shown(seen)) == 4


def test_a_link_of_the_overview_opens_its_model(visit, reports):
    with visit(reports.four()) as seen:
        for _ in range(2):  # the second time the address stays as it is
            seen.page.click(f".overview a[href='#{GOOD}']")
            seen.until(f"document.activeElement.id === '{GOOD}'")
            assert seen.page.locator(f"#{GOOD} > details").get_attribute("open") is not None
            seen.page.evaluate(
                f"document.querySelector('#{GOOD} > details').open = false; scrollTo(0, 0)"
            )


def test_a_finding_leads_to_its_site(visit, reports):
    with visit(reports.four()) as seen:
        seen.page.click(f"#{VANISHING} summary")
        assert seen.page.query_selector(f"#{VANISHING} tbody tr[id]") is None
        seen.page.click(f"#{VANISHING} .finding a.place")
        row = seen.page.locator(f"#{VANISHING}--site-1")
        row.wait_for()
        assert "first wrong site" in row.inner_text()
        assert seen.page.evaluate("document.activeElement.id") == f"{VANISHING}--site-1"
        seen.until(
            f"(() => {{ const box = document.getElementById('{VANISHING}--site-1').getBoundingClientRect();"
            " return box.top > 0 && box.bottom < innerHeight })()"
        )


def test_an_address_leads_to_a_site(visit, reports):
    with visit(reports.four(), f"#{GOOD}--site-3") as seen:
        assert seen.page.locator(f"#{GOOD}--site-3").is_visible()
    with visit(reports.four(), "#model-nothing%20like--site-x") as seen:
        assert len(shown(seen)) == 4
    with visit(reports.four(), "#%E0%A4%A") as seen:
        assert len(shown(seen)) == 4


def test_a_link_shows_a_model_that_the_filter_hid(visit, reports):
    with visit(reports.four()) as seen:
        seen.page.fill("#find", "good")
        seen.follow(VANISHING)
        seen.until(f"document.activeElement.id === '{VANISHING}'")
        assert VANISHING in shown(seen)


def test_the_table_has_every_site_with_its_figures(visit, reports):
    report = reports.vanishing()
    with visit(reports.page(report)) as seen:
        seen.page.click("details.sites > summary")
        seen.page.wait_for_selector(".sites tbody tr")
        rows = seen.page.locator(".sites tbody tr")
        assert rows.count() == len(report.sites)
        first = rows.nth(1).inner_text().split("\t")
        assert first[:2] == ["1", "0\nfirst wrong site"] or "0" in first[1]
        assert float(first[3]) == pytest.approx(report.sites[1].second_moment, rel=0.01)
        assert "Sites of models.py::vanishing" in seen.page.locator(".sites caption").text_content()
        assert seen.page.locator(".sites thead th[scope='col']").count() == 10


def test_code_is_copied(visit, reports):
    with visit(reports.page(reports.vanishing())) as seen:
        seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        seen.page.click(".copy")
        seen.until("document.querySelector('.copy').textContent === 'Copied'")
        assert seen.page.evaluate("navigator.clipboard.readText()") == "init(w)"


# -- light and dark --------------------------------------------------------------------------------

GROUND = "getComputedStyle(document.body).backgroundColor"
PLOT = "[...document.querySelectorAll('.propagation .js-line')].map(line => line.style.stroke).join()"
LIGHT, DARK = "rgb(250, 249, 247)", "rgb(19, 20, 23)"


@pytest.mark.parametrize(("scheme", "ground", "other"), [("light", LIGHT, DARK), ("dark", DARK, LIGHT)])
def test_the_theme_follows_the_system_and_the_button(visit, scheme, ground, other, reports):
    with visit(reports.page(reports.vanishing()), scheme=scheme) as seen:
        seen.drawn()
        assert seen.page.evaluate(GROUND) == ground
        button = seen.page.locator("#theme")
        assert button.get_attribute("aria-pressed") == str(scheme == "dark").lower()
        curve = seen.page.evaluate(PLOT)
        button.click()
        assert seen.page.evaluate(GROUND) == other
        seen.until(f"{PLOT} !== '{curve}'")
        seen.page.reload()
        assert seen.page.evaluate(GROUND) == other


def test_plots_follow_when_the_system_changes(visit, reports):
    with visit(reports.page(reports.vanishing())) as seen:
        seen.drawn()
        curve = seen.page.evaluate(PLOT)
        seen.page.emulate_media(color_scheme="dark")
        seen.until(f"{PLOT} !== '{curve}'")


# -- keyboard and screen reader --------------------------------------------------------------------

FOCUSED = """() => {
  const found = document.activeElement;
  const style = getComputedStyle(found);
  const box = found.closest('.chip') ? getComputedStyle(found.closest('.chip')) : style;
  return [found.tagName + '.' + found.id + '.' + found.className + '.' + found.value + '.' + found.textContent.slice(0, 40),
          box.outlineStyle !== 'none' && parseFloat(box.outlineWidth) >= 2, found === document.body];
}"""
FOCUSABLE = """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
  .filter(each => each.checkVisibility({ visibilityProperty: true })).length"""


def test_everything_can_be_reached_and_the_focus_is_seen(visit, reports):
    with visit(reports.page(reports.vanishing())) as seen:
        seen.drawn()
        count = seen.page.evaluate(FOCUSABLE)
        stops = []
        for _ in range(count + 5):
            seen.page.keyboard.press("Tab")
            what, visible, nothing = seen.page.evaluate(FOCUSED)
            if nothing:
                break
            assert visible, what
            stops.append(what)
        # a region without content is no stop, everything else is
        assert len(stops) >= count - 1
        assert stops[0].startswith("A..skip.")
        assert len(set(stops)) == len(stops)


def test_the_page_can_be_used_by_keyboard_alone(visit, reports):
    with visit(reports.four()) as seen:
        press = seen.page.keyboard.press
        press("Tab")
        press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "models"
        press("Tab")
        seen.page.keyboard.type("vanishing")
        assert shown(seen) == [VANISHING]
        for _ in range(4):
            press("Tab")
        press("Space")
        assert shown(seen) == [VANISHING]  # of another verdict
        press("Tab")
        press("Enter")
        seen.until(f"document.activeElement.id === '{VANISHING}'")
        seen.drawn(f"#{VANISHING}")
        seen.page.focus(f"#{VANISHING} > details > summary")
        press("Enter")
        assert not seen.page.is_visible(f"#{VANISHING} .finding")
        press("Space")
        seen.page.focus(f"#{VANISHING} select")
        before = seen.page.input_value(f"#{VANISHING} select")
        press("ArrowDown")
        assert seen.page.input_value(f"#{VANISHING} select") != before


def test_a_screen_reader_finds_its_way(visit, reports):
    with visit(reports.page(reports.vanishing(), reports.good(), reports.broken())) as seen:
        open_everything(seen)
        levels = seen.page.eval_on_selector_all(
            "h1, h2, h3, h4", "all => all.map(each => +each.tagName[1])"
        )
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        for landmark in ("banner", "main", "contentinfo", "search"):
            assert seen.page.get_by_role(landmark).count() == 1
        unnamed = seen.page.evaluate(
            """() => [...document.querySelectorAll('[role=img], [role=region], table, input, select, svg.spark')]
              .filter(each => !(each.getAttribute('aria-label') || each.querySelector('caption')
                || each.closest('label') || each.closest('svg.main-svg') || each.closest('.js-plotly-plot') && !each.role))
              .map(each => each.outerHTML.slice(0, 80))"""
        )
        assert unnamed == []
        for plot in seen.page.query_selector_all(".propagation"):
            assert "second moment over 26 sites" in (plot.get_attribute("aria-label") or "")


# -- names, sizes and small screens ----------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(visit, name, reports):
    text = HOSTILE[name]
    with visit(reports.page(reports.named(text)), width=375) as seen:
        open_everything(seen)
        assert seen.page.locator(".found, .finding h3", has_text=plain(text)[:60]).count() >= 2
        assert plain(text) in (seen.page.locator(".sites tbody th").nth(2).text_content() or "")
        assert plain(text) in (seen.page.locator("select option").first.text_content() or "")
        annotation = seen.page.locator(".propagation .annotation").first.text_content() or ""
        assert plain(text)[:40] in annotation.replace("\u00a0", " ")
        assert seen.page.locator("img").count() == 0
        assert seen.page.locator("main script:not([type])").count() == 0
        assert seen.page.locator("a[href^='javascript']").count() == 0
        assert seen.page.locator(".plot a").count() == 0
        assert not seen.is_wide()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways(visit, scheme, reports):
    with visit(reports.four(), width=375, scheme=scheme) as seen:
        assert not seen.is_wide()
        open_everything(seen)
        assert not seen.is_wide()
        seen.page.evaluate(
            "document.body.append(Object.assign(document.createElement('hr'), {style: 'width: 400px'}))"
        )
        assert seen.is_wide()


def test_deep_models_and_many_models_come_as_data(visit, reports):
    many = [reports.deep(60) for _ in range(200)]
    with visit(reports.page(*many)) as seen:
        assert len(shown(seen)) == 200
        assert seen.page.evaluate("document.querySelectorAll('*').length") < 30_000
        assert seen.page.query_selector(".sites tbody tr") is None
        seen.page.fill("#find", "deep60")
        assert len(shown(seen)) == 200
    with visit(reports.page(reports.deep(2000))) as seen:
        seen.drawn()
        assert seen.page.query_selector(".sites tbody tr") is None
        seen.page.click("details.sites > summary")
        seen.page.wait_for_selector(".sites tbody tr")
        assert seen.page.locator(".sites tbody tr").count() == 2000


def test_nothing_to_show(visit, reports):
    with visit(reports.page()) as seen:
        assert "No model was checked" in seen.page.inner_text("h1")


def test_the_reports_of_this_folder_are_as_they_should_be(reports):
    assert reports.vanishing().verdict == "fail"
    assert reports.good().verdict == "pass"
    assert len(reports.vanishing().sites) == 26
    assert reports.undecided().verdict == "inconclusive"
