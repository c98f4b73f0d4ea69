"""The parts of the records share a database, the name of the service, and checks of texts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Row, Table

from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable
from patchbank.server.records.database import Database
from patchbank.server.records.tables import FIELD_LENGTH


class Store:
    """One part of the records."""

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self.instance = instance
        """Name of the service that writes here."""

    @property
    def is_sqlite(self) -> bool:
        """Whether the records are in a file of SQLite."""
        return self._database.is_sqlite


def values_of(row: Row[Any], kind: Any) -> dict[str, Any]:
    """The values of a row that are the fields of an entry, which has slots."""
    return {name: getattr(row, name) for name in kind.__slots__}


def insert_or_update(table: Table, *, is_sqlite: bool) -> Any:
    """An insertion that can update the row that is in its way; each database has its own."""
    if is_sqlite:
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # it imports much

    return postgresql.insert(table)


LAST_YEAR = 9998
"""Times of the year after it cannot be rounded up to the next hour."""


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(timezone.utc)


def check_text(name: str, text: str | None, longest: int = FIELD_LENGTH) -> None:
    """Check that every database can keep a text as it is.

    Raises:
        ParameterError: it is too long, or has characters that are none.
    """
    if text is None:
        return
    if len(text) > longest:
        raise ParameterError(
            f"{name}: expected at most {longest} characters, got {len(text)}; shorten it"
        )
    if "\0" in text or not _is_utf8(text):
        raise ParameterError(f"{name}: expected text without NUL, got {printable(text)[:60]}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of pairs, as in names of files that are no text
        return False
    return True


def check_time(name: str, time: datetime | None) -> None:
    """Check that a time has its zone, and is in the years 1 to 9998 of UTC.

    Raises:
        ParameterError: it has none, or is not.
    """
    if time is None:
        return
    if time.utcoffset() is None:
        raise ParameterError(f"{name}: expected a time with its zone, got {time.isoformat()}")
    try:
        is_near_end = time.astimezone(timezone.utc).year > LAST_YEAR
    except OverflowError:
        is_near_end = True
    if is_near_end:
        raise ParameterError(
            f"{name}: expected a time in the years 1 to {LAST_YEAR}, got {time.isoformat()}"
        )
