"""One thread that records inspections: all that wait in one transaction, then they are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from patchbank.runtime.logs import LOGGER
from patchbank.server.intake import Answer, NotRecorded
from patchbank.server.records.entries import NewInspection

MOST_AT_ONCE = 500


class InspectionStore(Protocol):
    """The part of the records that adds inspections."""

    def add(
        self, new: Sequence[NewInspection], channels: Sequence[str] = ()
    ) -> Sequence[Answer | Exception]:
        """Record inspections in one transaction.  -> an answer or an error for each."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """An inspection that is to be recorded, and what waits for it."""

    new: NewInspection
    answered: Future[Answer]


class Committer:
    """Records inspections in the order in which they came.

    While a transaction is written to the disk, further inspections arrive, and are the next one: so
    the disk is never the limit, whatever a single transaction takes.
    """

    def __init__(
        self,
        store: InspectionStore,
        channels: Sequence[str],
        after: Callable[[Sequence[Answer]], None],
    ) -> None:
        """Begin.

        Args:
            store: the records.
            channels: to which each inspection has to be sent.
            after: called with what was recorded, before it is answered.
        """
        self._store, self._channels, self._after = store, channels, after
        self._waiting: list[Finished] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self.trouble: str | None = None
        """Reason why the last inspections were not recorded; None if they were."""
        self._thread = threading.Thread(target=self._run, name="patchbank-records", daemon=True)
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Hand in an inspection."""
        with self._changed:
            self._waiting.append(finished)
            self._changed.notify()

    def close(self, timeout_s: float | None = None) -> None:
        """Record what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                batch, self._waiting = (
                    self._waiting[:MOST_AT_ONCE],
                    self._waiting[MOST_AT_ONCE:],
                )
            if not batch:
                return
            self._commit(batch)

    def _commit(self, batch: Sequence[Finished]) -> None:
        try:
            outcomes = self._store.add([one.new for one in batch], self._channels)
        except Exception as error:
            if not isinstance(error, NotRecorded):
                LOGGER.error("not recorded: %s: %s", type(error).__name__, error)
            self.trouble = str(error)
            for one in batch:
                one.answered.set_exception(error)
            return
        self.trouble = None
        try:
            self._after([one for one in outcomes if isinstance(one, Answer)])
        except Exception as error:  # what is on record has to be answered, whatever else fails
            LOGGER.error("after a commit: %s: %s", type(error).__name__, error)
        for one, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                one.answered.set_exception(outcome)
            else:
                one.answered.set_result(outcome)
