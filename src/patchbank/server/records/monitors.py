"""Monitors of drift in the records, so that a question goes on where the last one ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from patchbank.runtime.printable import json_text
from patchbank.server.records.base import Store, insert_or_update
from patchbank.server.records.tables import DETECTORS, MONITORS


@dataclass(frozen=True, slots=True)
class SavedMonitor:
    """A monitor after some inspections."""

    last_id: int
    """Number of the last inspection that it has."""
    state: Mapping[str, Any]


class Monitors(Store):
    """The part of the records that keeps monitors."""

    def saved_monitor(
        self, product: str, detector_sha256: str, false_alarm_rate: float
    ) -> SavedMonitor | None:
        """The monitor of a product with a detector, if one was saved."""
        own = MONITORS.c
        statement = select(own.last_id, own.state).where(
            own.product == product,
            own.detector_sha256 == detector_sha256,
            own.false_alarm_rate == false_alarm_rate,
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else SavedMonitor(row.last_id, json.loads(row.state))

    def save_monitor(
        self, product: str, detector_sha256: str, false_alarm_rate: float, saved: SavedMonitor
    ) -> None:
        """Save a monitor, unless one with later inspections was saved meanwhile.

        Raises:
            NotRecorded: the database takes no write.
        """
        statement = insert_or_update(MONITORS, is_sqlite=self.is_sqlite)
        given = statement.excluded
        row = {
            "product": product,
            "detector_sha256": detector_sha256,
            "false_alarm_rate": false_alarm_rate,
            "last_id": saved.last_id,
            "state": json_text(saved.state),
        }
        keys = (MONITORS.c.product, MONITORS.c.detector_sha256, MONITORS.c.false_alarm_rate)
        with self._database.writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=keys,
                    set_={"last_id": given.last_id, "state": given.state},
                    where=MONITORS.c.last_id < given.last_id,
                ),
                row,
            )

    def first_with(self, product: str, detector_sha256: str) -> int:
        """Number of an inspection after which a product first had a detector."""
        own = DETECTORS.c
        statement = select(func.min(own.after_inspection)).where(
            own.product == product, own.sha256 == detector_sha256
        )
        with self._database.reading() as connection:
            return int(connection.execute(statement).scalar() or 0)
