"""The page of reviews in a browser, and parts for it that are on record without an inspection."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from playwright.sync_api import Page, expect

from patchbank.server.records.entries import Fields, NewInspection, StoredInspection
from tests.server.pages.screens import WAIT_MS
from tests.server.services import records_of

UNSEEN_MS = 350


def copied(one: StoredInspection, **fields: Any) -> NewInspection:
    """What is recorded of a part, once more: of another part with the same photograph."""
    own = {name: getattr(one, name) for name in NewInspection.__slots__ if hasattr(one, name)}
    new = NewInspection(**{name: own[name] for name in own if name != "verdict"})
    return replace(new, fields=Fields(**fields), idempotency_key=None)


def add_copies(data, number: int, lot: str, serials: list[str]) -> list[int]:
    """Put copies of a part on record, in the same pictures.  -> their numbers."""
    with records_of(data) as records:
        one = records.inspection(number)
        added = records.add([copied(one, lot=lot, serial_number=serial) for serial in serials])
    return [answer.inspection.id for answer in added]


class ReviewPage:
    """The page of reviews."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url, self.errors = page, url, []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))

    def open(self, **query: str) -> ReviewPage:
        """Load it with filters, until nobody takes a key for one that was meant for nothing yet."""
        text = "&".join(f"{key}={value}" for key, value in query.items())
        self.page.goto(f"{self.url}/review?{text}")
        expect(self.page.locator("#part")).not_to_have_attribute("data-state", "loading")
        self.page.wait_for_timeout(UNSEEN_MS)
        return self

    def shows(self, serial: str) -> ReviewPage:
        """Wait for a part."""
        expect(self.page.locator("#serial")).to_have_text(serial)
        return self

    def says(self, text: str | re.Pattern[str]) -> ReviewPage:
        """Wait for the line that confirms what was done."""
        expect(self.page.locator("#said")).to_have_text(text)
        return self

    def press(self, *keys: str) -> ReviewPage:
        """Press keys."""
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def waits(self, number: int) -> ReviewPage:
        """Wait until so many parts are left."""
        expect(self.page.locator("#waiting")).to_have_text(f"{number} to review")
        return self

    def is_empty(self) -> ReviewPage:
        """Wait until no part is left."""
        expect(self.page.locator("#part")).to_have_attribute("data-state", "empty")
        return self
