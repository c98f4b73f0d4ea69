"""Counts of inspections by hour, kept up to date in the transactions that change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, case

from patchbank.server.records.base import insert_or_update
from patchbank.server.records.entries import StoredInspection
from patchbank.server.records.tables import TALLIES

ALL = "all"
COUNTED_FIELDS = ("shift", "lot", "station")
KEYS = ("kind", "hour", "product", "value", "verdict", "review")
Key = tuple[str, int, str, str, str, str]


def hour_of(time: datetime) -> int:
    """Hours from 1970 to a time, UTC.

    >>> from datetime import timezone
    >>> hour_of(datetime(1970, 1, 2, 3, 59, tzinfo=timezone.utc))
    27
    """
    return int(time.timestamp() // 3600)


def count_new(connection: Connection, added: Sequence[StoredInspection]) -> None:
    """Count inspections that were added."""
    _change(connection, [(key, 1, one.id) for one in added for key in keys_of(one)])


def count_review(connection: Connection, before: StoredInspection, after: StoredInspection) -> None:
    """Count an inspection with its new review, and no longer with the one before."""
    changes = [(key, -1, before.id) for key in keys_of(before)]
    changes += [(key, 1, after.id) for key in keys_of(after)]
    _change(connection, changes)


def keys_of(inspection: StoredInspection) -> Iterable[Key]:
    """The rows that count an inspection."""
    hour = hour_of(inspection.time)
    end = (inspection.verdict, inspection.review or "")
    yield (ALL, hour, inspection.product, "", *end)
    for name in COUNTED_FIELDS:
        yield (name, hour, inspection.product, getattr(inspection.fields, name) or "", *end)


def _change(connection: Connection, changes: Iterable[tuple[Key, int, int]]) -> None:
    """Add numbers to rows of the tallies, which are made where there are none."""
    sums: dict[Key, list[int]] = {}
    for key, number, inspection_id in changes:
        found = sums.setdefault(key, [0, inspection_id, inspection_id])
        found[0] += number
        found[1] = min(found[1], inspection_id)
        found[2] = max(found[2], inspection_id)
    if not sums:
        return
    insert = insert_or_update(TALLIES, is_sqlite=connection.dialect.name == "sqlite")
    own, given = TALLIES.c, insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[own[name] for name in KEYS],
        set_={
            "number": own.number + given.number,
            "first_id": case((own.first_id < given.first_id, own.first_id), else_=given.first_id),
            "last_id": case((own.last_id > given.last_id, own.last_id), else_=given.last_id),
        },
    )
    rows = [
        {**dict(zip(KEYS, key, strict=True)), "number": n, "first_id": first, "last_id": last}
        for key, (n, first, last) in sorted(sums.items())
    ]
    connection.execute(statement, rows)
