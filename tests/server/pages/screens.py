"""A real Chromium, and the operator's screen in it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.requirements import PAGE_TOOLS, chromium

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 60_000
AXE = PAGE_TOOLS / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MOST_BYTES = 60_000


@contextmanager
def launched(*further: str) -> Iterator[Browser]:
    """Debian's Chromium, without a window; with further arguments."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*ARGUMENTS, *further]
        )
        try:
            yield browser
        finally:
            browser.close()


def wait_for(page: Page, expression: str) -> None:
    """Wait until an expression of JavaScript is true.

    `Page.wait_for_function` evaluates it again from a script of the page, which the page's own
    policy forbids: it fails wherever the first look comes too early.
    """
    for _ in range(WAIT_MS // 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression}: expected within {WAIT_MS} ms, got none")


class Screen:
    """The operator's screen of a product."""

    def __init__(self, page: Page, url: str, product: str = "parts") -> None:
        self.page, self.url = page, f"{url}/line/{product}"
        self.errors: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith(self.url.partition("/line/")[0]):
            self.errors.append(f"a request to {url}")

    def open(self) -> Screen:
        """Load it, until it is live."""
        self.page.goto(self.url)
        return self.live()

    def live(self) -> Screen:
        """Wait until it says so."""
        expect(self.page.locator("#state")).to_have_attribute("data-live", "yes")
        return self

    def says(self, word: str, serial: str | None = None) -> Screen:
        """Wait for a word, and the serial number below it."""
        expect(self.page.locator("#word")).to_have_text(word)
        if serial is not None:
            expect(self.page.locator("#serial")).to_have_text(serial)
        return self

    def settled(self) -> Screen:
        """Wait until nobody would take a key for one that was meant for the part before."""
        self.page.wait_for_timeout(350)
        return self

    def press(self, key: str) -> Screen:
        """Press a key, as somebody who has seen the part."""
        self.settled().page.keyboard.press(key)
        return self

    def said(self, text: str) -> Screen:
        """Wait for the line that confirms what was done."""
        expect(self.page.locator("#said")).to_have_text(text)
        return self

    def choose(self, name: str, value: bool) -> Screen:
        """Change a setting."""
        self.page.locator("#settings summary").click()
        self.page.locator(f"#{name}").set_checked(value)
        self.page.locator("#settings summary").click()
        return self

    @property
    def strip(self) -> list[str]:
        """Names of the parts in the strip, newest first."""
        return self.page.locator("#strip small:nth-of-type(1)").all_inner_texts()

    def review_of(self, serial: str) -> str:
        """The review of a part in the strip."""
        return (
            self.page.locator("#strip button", has_text=serial).locator("small").last.inner_text()
        )


def violations(page: Page) -> list[str]:
    """What the rules of accessibility find."""
    page.evaluate(f"{AXE.read_text()}; null")
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES
    )
    assert len(found["passes"]) > 10
    return [
        f"{one['id']}: {one['help']}: {json.dumps(one['nodes'][0]['target'])}"
        for one in found["violations"]
    ]


def small_targets(page: Page) -> list[str]:
    """Whatever can be pressed, is seen, and is smaller than 44 px."""
    found = page.evaluate(
        """() => [...document.querySelectorAll(
                "a, button, summary, input, select, textarea, label:has(input)")]
            .filter(one => one.checkVisibility() && !(one.type === "checkbox"))
            .map(one => [one.id || one.textContent.trim(), one.getBoundingClientRect()])
            .filter(([_, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""
    )
    return [re.sub(r"\s+", " ", name) for name in found]


def keep_picture(page: Page, file: Path) -> None:
    """Write what is seen as a small picture for the guide."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.thumbnail((1280, 1280))
    for quality in (80, 65, 50, 35):
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=quality, method=6)
        if len(stream.getvalue()) <= MOST_BYTES:
            break
    file.write_bytes(stream.getvalue())
    assert file.stat().st_size <= MOST_BYTES
