"""The tables of the records.  Migrations make them; this is what they come to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator

FIELD_LENGTH = 200
PRODUCT_LENGTH = 100


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone in Python, in UTC in the database, also where that knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Convert to UTC."""
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give the zone back."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=timezone.utc)


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _number() -> Column[int]:
    """A key that rises with each row; SQLite counts only those of type INTEGER."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("id", kind, primary_key=True, autoincrement=True)


INSPECTIONS = Table(
    "inspections",
    METADATA,
    _number(),
    Column("time", UtcTime, nullable=False),
    Column("product", String(PRODUCT_LENGTH), nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("score", Double),
    Column("p_value", Double),
    Column("threshold", Double),
    Column("detector_sha256", String(64), nullable=False),
    Column("image", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("regions", Integer),
    Column("error", Text),
    Column("result", Text, nullable=False),
    Column("serial_number", String(FIELD_LENGTH)),
    Column("lot", String(FIELD_LENGTH)),
    Column("station", String(FIELD_LENGTH)),
    Column("shift", String(FIELD_LENGTH)),
    Column("operator", String(FIELD_LENGTH)),
    Column("camera", String(FIELD_LENGTH)),
    Column("photograph_sha256", String(64), nullable=False),
    Column("photograph", String(100)),
    Column("overlay", String(100)),
    Column("map", String(100)),
    Column("is_border", Boolean, nullable=False, server_default=false()),
    Column("source", String(20), nullable=False),
    Column("by", String(PRODUCT_LENGTH), nullable=False),
    Column("instance", String(64), nullable=False),
    Column("idempotency_key", String(FIELD_LENGTH)),
    Column("review", String(20)),
    UniqueConstraint("product", "idempotency_key"),
    Index(None, "product", "id"),
    Index(None, "verdict", "id"),
    sqlite_autoincrement=True,
)
INDEXED_WHERE_GIVEN = (
    "review",
    "serial_number",
    "lot",
    "station",
    "shift",
    "operator",
    "camera",
    "score",
)
"""Columns of inspections with an index of the rows that have them."""
for _name in INDEXED_WHERE_GIVEN:
    # The same holds in PostgreSQL by the migrations; an argument for it here would import all of
    # its dialect, a fifth of the time that SQLAlchemy takes.
    _column = INSPECTIONS.c[_name]
    Index(None, _column, INSPECTIONS.c.id, sqlite_where=_column.is_not(None))

TO_REVIEW = "review IS NULL AND (verdict <> 'good' OR (photograph IS NOT NULL AND is_border))"
"""Condition of inspections that wait for a review: flagged, unread, and border cases.

Border cases are parts that passed with a score that few good parts reach, as far as their
photographs were kept.  Databases find them by an index only where a question has this very text.
"""
Index(
    "ix_inspections_to_review",
    INSPECTIONS.c.id,
    INSPECTIONS.c.product,
    INSPECTIONS.c.lot,
    sqlite_where=text(TO_REVIEW),
)

FLAGGED = "review IS NULL AND verdict <> 'good'"
"""Condition of those of them that are no border cases, with an index of its own."""
Index(
    "ix_inspections_flagged",
    INSPECTIONS.c.id,
    INSPECTIONS.c.product,
    INSPECTIONS.c.lot,
    sqlite_where=text(FLAGGED),
)

CLAIMS = Table(
    "claims",
    METADATA,
    Column("inspection_id", ForeignKey("inspections.id"), primary_key=True, autoincrement=False),
    Column("reviewer", String(FIELD_LENGTH), nullable=False),
    Column("expires", UtcTime, nullable=False),
    Index(None, "reviewer"),
    sqlite_with_rowid=False,
)
"""Inspections that somebody is about to review, so that nobody else gets them meanwhile."""

TALLIES = Table(
    "tallies",
    METADATA,
    Column("kind", String(10), primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("product", String(PRODUCT_LENGTH), primary_key=True),
    Column("value", String(FIELD_LENGTH), primary_key=True),
    Column("verdict", String(10), primary_key=True),
    Column("review", String(20), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Inspections of each hour (since 1970, UTC), counted in the transaction that adds them.

``kind`` is ``all``, or the name of a field by whose ``value`` they are counted; ``review`` is
empty for those without one.  All inspections of the row have ids from ``first_id`` to ``last_id``.
"""

REVIEWS = Table(
    "reviews",
    METADATA,
    _number(),
    Column("inspection_id", ForeignKey("inspections.id"), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("decision", String(20), nullable=False),
    Column("by", String(PRODUCT_LENGTH), nullable=False),
    Column("note", Text, nullable=False),
    Index(None, "inspection_id"),
    sqlite_autoincrement=True,
)

DETECTORS = Table(
    "detectors",
    METADATA,
    _number(),
    Column("product", String(PRODUCT_LENGTH), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("action", String(20), nullable=False),
    Column("by", String(PRODUCT_LENGTH), nullable=False),
    Column("reason", Text, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("false_alarm_rate", Double, nullable=False),
    Column("after_inspection", BigInteger, nullable=False),
    Index(None, "product", "id"),
    sqlite_autoincrement=True,
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", UtcTime, nullable=False),
    Column("by", String(PRODUCT_LENGTH), nullable=False),
    Column("action", String(40), nullable=False),
    Column("product", String(PRODUCT_LENGTH)),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

TOKENS = Table(
    "tokens",
    METADATA,
    _number(),
    Column("name", String(PRODUCT_LENGTH), nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created", UtcTime, nullable=False),
    Column("expires", UtcTime),
    Column("revoked", UtcTime),
    sqlite_autoincrement=True,
)

OUTBOX = Table(
    "outbox",
    METADATA,
    _number(),
    Column("instance", String(64), nullable=False),
    Column("channel", String(PRODUCT_LENGTH), nullable=False),
    Column("product", String(PRODUCT_LENGTH), nullable=False),
    Column("inspection_id", BigInteger, nullable=False),
    Column("key", String(FIELD_LENGTH), nullable=False),
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("refused", Text),
    Index(None, "instance", "channel", "id"),
    sqlite_autoincrement=True,
)

MONITORS = Table(
    "monitors",
    METADATA,
    Column("product", String(PRODUCT_LENGTH), primary_key=True),
    Column("detector_sha256", String(64), primary_key=True),
    Column("false_alarm_rate", Double, primary_key=True),
    Column("last_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)
"""Monitors of drift, so that a question goes on where the last one ended."""

INSTANCES = Table(
    "instances",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("seen", UtcTime, nullable=False),
)
"""Services that write into this database, and when each last found that it takes a write."""
