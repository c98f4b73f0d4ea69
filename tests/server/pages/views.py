"""A page as people see it: at the sizes of a desktop, a tablet and a phone, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.server.pages.screens import WAIT_MS, keep_picture, small_targets, violations

SIZES = {"desktop": (1920, 1080), "tablet": (1024, 768), "phone": (390, 844)}
SCHEMES = ("light", "dark")
PICTURES = os.environ.get("PATCHBANK_PICTURES")
"""Folder in which pictures are kept, such as docs/pictures/page; none are if it is not set."""


@contextmanager
def opened_views(chromium: Browser) -> Iterator[dict[str, Page]]:
    """Empty pages by the name of their size and scheme, each in a profile of its own."""
    contexts = []
    found = {}
    try:
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                context = chromium.new_context(
                    locale="en-GB",
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    reduced_motion="reduce",
                )
                contexts.append(context)
                page = found[f"{size}-{scheme}"] = context.new_page()
                page.set_default_timeout(WAIT_MS)
        yield found
    finally:
        for context in contexts:
            context.close()


def check_views(pages: dict[str, Page], name: str, *, scrolls: bool = False) -> None:
    """Check what people see, and keep pictures if `PATCHBANK_PICTURES` says where.

    Args:
        pages: by their views, of `opened_views`.
        name: of the screen, which the pictures have.
        scrolls: whether a desktop or a tablet may have to scroll down.
    """
    for view, page in pages.items():
        assert violations(page) == [], (name, view)
        assert small_targets(page) == [], (name, view)
        wide, high = page.evaluate(
            "[document.documentElement.scrollWidth - innerWidth,"
            " document.documentElement.scrollHeight - innerHeight]"
        )
        assert wide <= 0, (name, view)
        assert scrolls or high <= 0 or view.startswith("phone"), (name, view)
        if PICTURES:
            keep_picture(page, Path(PICTURES) / f"{name}-{view}.webp")


def log_in(page: Page, url: str, secret: str, target: str = "/line") -> None:
    """Log in with a token, as a person does."""
    page.goto(f"{url}/login?next={target}")
    page.get_by_label("Token").fill(secret)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}{target}")
