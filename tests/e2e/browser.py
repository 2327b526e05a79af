"""A real Chromium, without a window, which notes all that is wrong with the pages that it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.servers import wait_for

#: Nothing of the browser's own goes out to anybody.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).parents[1] / "browser/node_modules/axe-core/axe.min.js"
WIDE, NARROW = (1400, 900), (320, 640)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, with a fresh profile, and end it."""
    path = shutil.which("chromium")
    assert path is not None, "chromium is not installed; tools/debian-packages browser does it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page that somebody looks at.

    Attributes:
        page: Playwright's.
        console: what the page, or the browser about it, had to complain of.
        requests: the addresses of all that was asked for.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)  # ms
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self._hear("error", str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.console.append(text)

    def _dismiss(self, dialog: Any) -> None:
        self.console.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def texts(self, selector: str) -> list[str]:
        """Give the text of each element, blanks as people see them."""
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def text(self, selector: str) -> str:
        """Give the text of the only such element."""
        (text,) = self.texts(selector)
        return text

    def wait_for_news(self) -> None:
        """Wait until the page has renewed itself."""
        seen = self.text("#made")
        wait_for(lambda: self.text("#made") != seen, "news on the page")

    def violations(self) -> list[str]:
        """Give what axe-core finds that would keep people from using the page."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate("axe.run().then(it => it.violations)")
        return [
            f"{each['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]


@contextmanager
def visit(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """Look at a page, which must not complain, nor ask for anything but what is beside it.

    Args:
        browser: the browser.
        url: the address.
        context: as for Playwright's contexts.
    """
    made = browser.new_context(**{"viewport": _size(WIDE), **context})
    try:
        there = Visit(made)
        there.page.goto(url)
        yield there
        origin = url.split("/", 3)[2]
        assert there.console == []
        assert {each.split("/", 3)[2] for each in there.requests} == {origin}
    finally:
        made.close()


def _size(size: tuple[int, int]) -> dict[str, int]:
    return {"width": size[0], "height": size[1]}


def narrow() -> dict[str, Any]:
    """Give the context of a small telephone."""
    return {"viewport": _size(NARROW)}
