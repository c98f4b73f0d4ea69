"""Whoever waits for new inspections on record is woken by each commit of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Commits:
    """Wakes those that wait, in their event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set after each commit, and when the service stops.

        Whoever waits clears it before the records are read.
        """
        one = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.append(one)
        try:
            yield one[1]
        finally:
            with self._lock:
                self._waiting.remove(one)

    def notify(self) -> None:
        """Wake all, from any thread."""
        with self._lock:
            waiting = [*self._waiting]
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
