"""Keys of triggers: there is one picture under a key, however often it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from patchbank.server.intake import Answer
from patchbank.server.records.entries import StoredInspection


class KnownInspections(Protocol):
    """The part of `Records` that triggers need."""

    def by_key(self, product: str, key: str) -> StoredInspection | None:
        """The inspection under a key."""
        ...


class TriggerKeys:
    """Knows the triggers that are under way by their keys, and asks the records for the others.

    Args:
        records: with the inspections that are done.
    """

    def __init__(self, records: KnownInspections) -> None:
        self._records = records
        self._under_way: dict[tuple[str, str], Future[Answer]] = {}
        self._changing = threading.Lock()

    def once(
        self, product: str, key: str, take: Callable[[], Future[Answer]]
    ) -> tuple[Future[Answer], bool]:
        """Take a picture, unless there is one under this key.

        Args:
            product: of the camera.
            key: of the trigger.
            take: takes the picture.

        Returns:
            The answer to the first trigger under the key, and whether this is the first.

        Raises:
            NotRecorded: the records do not answer; there is no picture.
        """
        own = product, key
        with self._changing:
            found = self._under_way.get(own)
            if found is not None:
                return found, False
            stored = self._records.by_key(product, key)
            if stored is not None:
                found = Future()
                found.set_result(Answer(stored, is_new=False))
                return found, False
            answer = take()
            self._under_way[own] = answer
        answer.add_done_callback(lambda _: self._end(own))  # it may be done, and then ends here
        return answer, True

    def _end(self, own: tuple[str, str]) -> None:
        # Without the lock: a camera that fails triggers holds its own, which `take` waits for.
        self._under_way.pop(own, None)
