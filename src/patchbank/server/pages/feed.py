"""Parts of a product as they are recorded, as a stream of events that can be resumed.

Each part is an event whose id is the number of its inspection, so a browser that connects again
says where it was, and gets every part since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from patchbank.runtime.printable import json_text
from patchbank.server.intake import NotRecorded
from patchbank.server.pages.assets import digest
from patchbank.server.records.counting import Count
from patchbank.server.records.entries import Filter, StoredInspection, iso_utc
from patchbank.server.records.store import Records
from patchbank.server.service.commits import Commits

STRIP = 12
"""Parts that a screen begins with."""
AT_ONCE = 200
OTHERS_S = 1.0
"""Time after which the records are asked for parts of other stations."""
BEAT_S = 2.0
"""Time after which a screen hears that the stream is alive."""
COUNTS_S = 0.5
"""Shortest time between counts."""
ASKED_S = 10.0
"""Time after which the caller is admitted again, whose token may be revoked."""
LIFE_S = 3600.0
"""Time after which a stream ends, and the browser opens another: so its session is renewed."""
RETRY_MS = 500
LONGEST_SHIFT = timedelta(hours=12)


def part_json(one: StoredInspection) -> dict[str, Any]:
    """The facts of a part that its screen shows."""
    score, threshold = one.result.get("score"), one.result.get("threshold")
    return {
        "id": one.id,
        "time": iso_utc(one.time),
        "verdict": one.verdict,
        "review": one.review,
        "share": None if score is None or not threshold else score / threshold,
        "serial_number": one.fields.serial_number,
        "lot": one.fields.lot,
        "image": one.result.get("image"),
        "is_kept": one.photograph is not None,
        "error": one.result.get("error"),
    }


def counts_json(records: Records, product: str, now: datetime) -> dict[str, Any]:
    """Counts of the shift of the newest part, or of today where that has none."""
    newest = records.inspections(Filter(product=product), limit=1).inspections
    shift = newest[0].fields.shift if newest else None
    if shift is not None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        groups = records.counts("shift", product=product, since=hour - LONGEST_SHIFT).groups
        found = next((one for one in groups if one.group == shift), Count(group=shift))
    else:
        midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight.astimezone(timezone.utc)
        groups = records.counts("product", product=product, since=since).groups
        found = groups[0] if groups else Count(group=product)
    return {
        "shift": shift,
        "good": found.good,
        "anomalous": found.anomalous,
        "unread": found.unread,
    }


def event(name: str, content: Any, number: int | None = None) -> str:
    r"""The text of one event.

    >>> event("part", {"id": 7}, 7)
    'id: 7\nevent: part\ndata: {"id": 7}\n\n'
    """
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json_text(content)}\n\n"


class Feed:
    """The stream of one screen."""

    def __init__(
        self, records: Records, product: str, after: int | None, trouble: Callable[[], str | None]
    ) -> None:
        """Nothing is asked yet.

        Args:
            records: of the service.
            product: of the parts.
            after: number of the last part that the screen has; None for a new screen.
            trouble: reason why the last inspections were not recorded; None if they were.
        """
        self._records, self._product, self._trouble = records, product, trouble
        self._position = after or 0
        self._is_new = after is None
        self._has_begun = self._is_live = self._has_counts = False
        self._counts_due = 0.0

    async def texts(
        self,
        changed: asyncio.Event,
        is_over: Callable[[], bool],
        admit: Callable[[], Awaitable[Any]],
    ) -> AsyncIterator[str]:
        """Texts of the events.

        Args:
            changed: is set when something was recorded.
            is_over: whether the service stops.
            admit: raises once the caller may not see it any more.
        """
        yield f"retry: {RETRY_MS}\n\n"
        spoke = asked = time.monotonic()
        end = spoke + LIFE_S
        while not is_over() and time.monotonic() < end:
            if time.monotonic() - asked > ASKED_S:
                await admit()
                asked = time.monotonic()
            changed.clear()
            is_all = False
            while not is_all:
                text, is_all = await run_in_threadpool(self._in_words, self._news)
                if text:  # at once: counts may take longer
                    yield text
                    spoke = time.monotonic()
            text, _ = await run_in_threadpool(self._in_words, self._counts)
            if not text and time.monotonic() - spoke > BEAT_S:
                text = event("beat", {})
            if text:
                yield text
                spoke = time.monotonic()
            with suppress(TimeoutError, asyncio.TimeoutError):
                wait_s = OTHERS_S if self._has_counts else COUNTS_S
                await asyncio.wait_for(changed.wait(), wait_s)

    def _in_words(self, ask: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
        """Answer of the records, or the event that says that they do not answer."""
        try:
            return ask()
        except NotRecorded as error:
            self._is_live = False
            return event("trouble", {"message": str(error)}), True

    def _news(self) -> tuple[str, bool]:
        """Events of the parts since the last question, and whether these are all.

        Raises:
            NotRecorded: the records do not answer.
        """
        texts = [] if self._has_begun else [self._begin()]
        found = self._records.inspections_after(self._product, self._position, limit=AT_ONCE)
        texts += [event("part", part_json(one), one.id) for one in found]
        if found:
            self._position, self._has_counts = found[-1].id, False
        is_all = len(found) < AT_ONCE
        trouble = self._trouble()
        if trouble is not None:
            self._is_live = False
            texts.append(event("trouble", {"message": trouble}))
        elif is_all and not self._is_live:
            self._is_live = True
            texts.append(event("live", {}))
        return "".join(texts), is_all

    def _counts(self) -> tuple[str, bool]:
        """The counts, if they have changed, and not too often.

        Raises:
            NotRecorded: the records do not answer.
        """
        if self._has_counts or time.monotonic() < self._counts_due:
            return "", True
        content = counts_json(self._records, self._product, datetime.now(timezone.utc))
        self._has_counts, self._counts_due = True, time.monotonic() + COUNTS_S
        return event("counts", content), True

    def _begin(self) -> str:
        """The first event: the newest parts, oldest first, and where the stream goes on."""
        newest = self._records.inspections(Filter(product=self._product), limit=STRIP).inspections
        last = newest[0].id if newest else 0
        self._position = last if self._is_new else min(self._position, last)
        self._has_begun = True
        parts = [part_json(one) for one in reversed(newest)]
        content = {"version": digest(), "after": self._position, "parts": parts}
        return event("begin", content)


async def stream(
    feed: Feed,
    commits: Commits,
    is_over: Callable[[], bool],
    admit: Callable[[], Awaitable[Any]],
) -> AsyncIterator[str]:
    """The texts of a feed, which is woken by the commits of this process."""
    with commits.subscribed() as changed:
        try:
            async for text in feed.texts(changed, is_over, admit):
                yield text
        except HTTPException:  # the caller may not any more: the browser asks again, and is refused
            return
