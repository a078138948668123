"""Pages in a real browser: ``tox run -e browser``, with Debian's ``chromium`` (or another Chromium).

Where playwright or the browser is missing these tests fail: a page that nobody opened is not tested.
"""

from __future__ import annotations

import runpy
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 20
"""Seconds after which something will not happen any more."""
_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def reports() -> SimpleNamespace:
    """The functions of ``reports.py``, which make pages to look at."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("reports.py"))))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium with a fresh profile; playwright brings none of its own."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("no browser: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path, headless=True, chromium_sandbox=False, args=list(_QUIET)
        )
        yield launched
        launched.close()


@dataclass
class Visit:
    """An open page, and everything that a page of ours must never do."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        page = self.page
        page.on("console", lambda said: self.wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: self._asked(request.url))
        page.on("popup", lambda _: self.wrong.append("popup"))

    def _asked(self, url: str) -> None:
        if not url.startswith(("file://", "data:")):
            self.wrong.append(f"request: {url}")

    def is_wide(self) -> bool:
        """Tell whether the page scrolls sideways."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    def until(self, expression: str) -> None:
        """Wait until the expression holds; playwright's own wait evaluates text, which the page forbids."""
        end = time.monotonic() + _PATIENCE
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(20)

    def follow(self, anchor: str) -> None:
        self.page.evaluate("anchor => { location.hash = anchor }", anchor)

    def drawn(self, within: str = "") -> None:
        """Wait until the propagation plot within this selector is drawn."""
        self.page.wait_for_selector(f"{within} .propagation .scatterlayer .trace", state="attached")


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Callable[..., AbstractContextManager[Visit]]:
    """Open the text of a page; what it must not do fails the test at the end."""

    @contextmanager
    def opened(
        text: str,
        anchor: str = "",
        *,
        width: int = 1280,
        scheme: str = "light",
        scripts: bool = True,
        strict: bool = True,
    ) -> Iterator[Visit]:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        context.set_default_timeout(1000 * _PATIENCE)
        try:
            found = Visit(context.new_page())
            found.watch()
            found.page.goto(path.as_uri() + anchor)
            yield found
            if strict:
                assert found.wrong == []
        finally:
            context.close()

    return opened
