"""The audit: who changed what, when and why, as a chain of hashes that is only appended to.

Each entry has the hash of the one before, so that a changed, added or removed entry breaks the
chain from there on.  What a chain cannot show by itself is that its last entries were cut off:
keep the hash of the last one elsewhere now and then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from patchbank.errors import ParameterError
from patchbank.server.records.base import Store, check_text, now
from patchbank.server.records.entries import AuditEntry, iso_utc
from patchbank.server.records.tables import AUDIT, PRODUCT_LENGTH

BEGINNING = "0" * 64
AT_ONCE = 1000
LONGEST_ACTION = 40


class Audit(Store):
    """The part of the records that remembers who changed what."""

    def append_audit(
        self, by: str, action: str, product: str | None, details: Mapping[str, Any]
    ) -> AuditEntry:
        """Append an entry.

        Raises:
            ParameterError: a text is too long, or `details` is no JSON.
            NotRecorded: the database takes no write.
        """
        with self._database.writing() as connection:
            return append(connection, by=by, action=action, product=product, details=details)

    def audit(self, limit: int = 50, cursor: int | None = None) -> list[AuditEntry]:
        """Entries, newest first.

        Args:
            limit: most of them.
            cursor: number of an entry; only earlier ones are wanted.
        """
        statement = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        if cursor is not None:
            statement = statement.where(AUDIT.c.number < cursor)
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(statement)]

    def verify_audit(self) -> AuditEntry | None:
        """The first entry that is not as it was written, or not after the one it was written after.

        Returns:
            None where the chain is whole.
        """
        previous = BEGINNING
        for number, entry in enumerate(self._from_the_first(), start=1):
            if (entry.number, entry.previous) != (number, previous) or entry.hash != hash_of(entry):
                return entry
            previous = entry.hash
        return None

    def _from_the_first(self) -> Iterator[AuditEntry]:
        last = -1 << 62
        while True:
            statement = select(AUDIT).where(AUDIT.c.number > last).order_by(AUDIT.c.number)
            with self._database.reading() as connection:
                rows = connection.execute(statement.limit(AT_ONCE)).all()
            yield from map(_entry, rows)
            if len(rows) < AT_ONCE:
                return
            last = rows[-1].number


def append(
    connection: Connection,
    *,
    by: str,
    action: str,
    product: str | None,
    details: Mapping[str, Any],
) -> AuditEntry:
    """Append an entry in the transaction of a connection.

    Raises:
        ParameterError: a text is too long, or `details` is no JSON.
    """
    check_text("by", by, PRODUCT_LENGTH)
    check_text("action", action, LONGEST_ACTION)
    check_text("product", product, PRODUCT_LENGTH)
    if connection.dialect.name != "sqlite":
        connection.execute(text("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"))
    last = connection.execute(
        select(AUDIT.c.number, AUDIT.c.hash).order_by(AUDIT.c.number.desc()).limit(1)
    ).first()
    number, previous = (0, BEGINNING) if last is None else (last.number, last.hash)
    written = _canonical(details)
    entry = AuditEntry(
        number=number + 1,
        time=now(),
        by=by,
        action=action,
        product=product,
        details=json.loads(written),
        previous=previous,
        hash="",
    )
    entry = replace(entry, hash=hash_of(entry))
    connection.execute(insert(AUDIT), {**asdict(entry), "details": written})
    return entry


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 of the canonical JSON of an entry without its hash."""
    content = {
        "number": entry.number,
        "time": iso_utc(entry.time),
        "by": entry.by,
        "action": entry.action,
        "product": entry.product,
        "details": entry.details,
        "previous": entry.previous,
    }
    return hashlib.sha256(_canonical(content).encode("ascii")).hexdigest()


def _canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces, in ASCII: equal contents have equal texts."""
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"details: expected what JSON can hold, got: {error}") from None


def _entry(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    try:
        values["details"] = json.loads(values["details"])
    except ValueError:  # somebody has changed it: the hash shows that
        values["details"] = {"damaged": values["details"]}
    return AuditEntry(**values)
