"""The tables of the records.  Migrations make them; this is what they come to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
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
    Column("source", String(20), nullable=False),
    Column("by", String(PRODUCT_LENGTH), nullable=False),
    Column("instance", String(64), nullable=False),
    Column("idempotency_key", String(FIELD_LENGTH)),
    Column("review", String(20)),
    UniqueConstraint("product", "idempotency_key"),
    sqlite_autoincrement=True,
)

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
    Column("key", String(100), nullable=False),
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Index(None, "instance", "channel", "id"),
    sqlite_autoincrement=True,
)
